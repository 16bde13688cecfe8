//! OmniGraph 0.6.2–0.7.2: stamp 3. Stamp 2 (0.4–0.6.1) has the same rows; it is read, and written only after its owner
//! has asked for the step to 3.

use super::{Dialect, Recognised};

pub(super) fn recognise(stamp: u32) -> Option<Recognised> {
    matches!(stamp, 2 | 3).then_some(Recognised { dialect: Dialect::GraphV3, stamp, writable: stamp == 3 })
}
