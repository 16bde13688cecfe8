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

/// What Lance says, without the source positions that it adds, often in the middle: they tell a reader of ours nothing.
pub(super) fn said(error: &Lance) -> String {
    let mut text = error.to_string();
    let is_position = |word: &str| word.contains(".rs:");
    while let Some((at, word)) = text.match_indices(", ").find_map(|(at, gap)| {
        let after = &text[at + gap.len()..];
        let word = &after[..after.find([' ', ')', ',']).unwrap_or(after.len())];
        let word = word.strip_suffix(':').unwrap_or(word);
        is_position(word).then(|| (at, gap.len() + word.len()))
    }) {
        text.replace_range(at..at + word, "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_positions_are_not_said() {
        let inner = Lance::invalid_input("no such column");
        let outer = Lance::invalid_input(format!("cannot resolve ({inner}): x"));
        assert!(!said(&outer).contains(".rs"), "{}", said(&outer));
        assert!(said(&outer).contains("no such column") && said(&outer).ends_with(": x"), "{}", said(&outer));
    }
}
