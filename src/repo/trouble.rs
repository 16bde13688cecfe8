//! Lance's errors in our words: by what the caller does next.

use crate::error::{Error, Kind};
use lance::Error as Lance;
use std::fmt::Display;

/// Turns an error of Lance into ours, keeping what Lance said.
pub(super) fn explain(error: Lance, doing: impl Display) -> Error {
    let kind = kind_of(&error);
    match of_store(&error) {
        Some(trouble) if matches!(kind, Kind::Unavailable | Kind::Denied | Kind::Invalid) => {
            crate::store::explain_plainly(&doing, trouble)
        }
        _ => Error::new(kind, format!("{doing}: {}", said(&error))),
    }
}

/// What the caller does next.
pub(super) fn kind_of(error: &Lance) -> Kind {
    match error {
        unknown if unknown.is_commit_status_unknown() => Kind::Unknown,
        Lance::DatasetNotFound { .. }
        | Lance::NotFound { .. }
        | Lance::RefNotFound { .. }
        | Lance::VersionNotFound { .. }
        | Lance::IndexNotFound { .. } => Kind::Missing,
        Lance::CommitConflict { .. }
        | Lance::RetryableCommitConflict { .. }
        | Lance::TooMuchWriteContention { .. }
        | Lance::IncompatibleTransaction { .. }
        | Lance::DatasetAlreadyExists { .. }
        | Lance::RefConflict { .. } => Kind::Moved,
        Lance::Timeout { .. } => Kind::Unknown,
        Lance::CorruptFile { .. }
        | Lance::Schema { .. }
        | Lance::SchemaMismatch { .. }
        | Lance::Arrow { .. } => Kind::Corrupt,
        Lance::NotSupported { .. } | Lance::VersionConflict { .. } => Kind::Refused,
        Lance::DiskCapExceeded { .. } | Lance::Backpressure { .. } => Kind::Unavailable,
        Lance::InvalidRef { .. } | Lance::InvalidInput { .. } => from_store(error).unwrap_or(Kind::Invalid),
        _ => from_store(error).unwrap_or(Kind::Internal),
    }
}

/// An object store's error anywhere in the chain decides, if there is one. Lance reads a small file once for all who ask,
/// and hides that it is missing in an error of the store that says nothing.
fn from_store(error: &Lance) -> Option<Kind> {
    if error.is_not_found() {
        return Some(Kind::Missing);
    }
    of_store(error).map(crate::store::kind_of)
}

fn of_store(error: &Lance) -> Option<&object_store::Error> {
    let mut chain =
        std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source());
    chain.find_map(|cause| cause.downcast_ref::<object_store::Error>())
}

/// Lance ends its messages with the source position, which tells a reader of ours nothing.
fn said(error: &Lance) -> String {
    let text = error.to_string();
    let cut = text.rfind(", /").filter(|at| text[*at..].contains(".rs:"));
    text[..cut.unwrap_or(text.len())].to_owned()
}
