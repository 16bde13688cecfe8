//! Repositories of Outrigger's own writer library: rows as in graph-v4, under a stamp of their own.

use super::{Dialect, ManifestLook, Recognised};
use crate::error::{Error, Result};

/// Key of the native format stamp in the schema metadata of `__manifest`. Where it is, it decides.
pub const NATIVE_STAMP_KEY: &str = "outrigger:format_version";

/// The native format that this release reads and writes.
pub const NATIVE_FORMAT: u32 = 1;

/// What stands under an engine's own stamp key from the creation on: newer than any format of theirs, so that an engine refuses
/// the repository instead of stamping it.
pub const REFUSED_BY_ENGINES: u32 = 1_000_000;

/// `None` if it has no native stamp.
pub(super) fn recognise(look: &ManifestLook) -> Option<Result<Recognised>> {
    let text = look.metadata.get(NATIVE_STAMP_KEY)?;
    Some(match text.trim().parse() {
        Ok(NATIVE_FORMAT) => {
            Ok(Recognised { dialect: Dialect::Native, stamp: NATIVE_FORMAT, writable: true })
        }
        _ => {
            let shown: String = text.chars().take(40).collect();
            Err(Error::refused(format!(
                "__manifest has the native format {shown:?}; this release knows {NATIVE_FORMAT}: a newer Outrigger may read it; \
                 nothing was written"
            )))
        }
    })
}
