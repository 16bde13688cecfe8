//! Sidecar format 1: format 2 without confirmation. A `confirmed_version` that somebody put there is not evidence.

use super::{Sidecar, Unreadable, from_json, v2};

/// Reads format 1.
pub(super) fn parse(bytes: &[u8]) -> Result<Sidecar, Unreadable> {
    let mut sidecar = from_json::<v2::File>(bytes)?.into_sidecar(1)?;
    for pin in &mut sidecar.pins {
        pin.confirmed = None;
    }
    Ok(sidecar)
}
