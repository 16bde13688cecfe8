//! OmniGraph 0.8: stamp 4, the history of commits inside the manifest.

use super::{Dialect, Recognised};

pub(super) fn recognise(stamp: u32) -> Option<Recognised> {
    (stamp == 4).then_some(Recognised { dialect: Dialect::GraphV4, stamp, writable: true })
}
