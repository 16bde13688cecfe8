//! The commits on one table, read from Lance's transactions: the evidence that recovery judges.

use super::ids::Version;
use serde::{Deserialize, Serialize};

/// One version of a table and the transaction that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The version it made.
    pub version: Version,
    /// The version its author had read.
    pub read_version: Version,
    /// What it did.
    pub kind: StepKind,
    /// Property `outrigger.operation`, set on every commit of ours and on those of native writers.
    pub operation: Option<String>,
    /// The transaction's own unique id: identity of the version across re-created branches.
    pub transaction: String,
}

/// What a transaction did (Lance `Operation`), sorted by what matters here: whether rows may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepKind {
    /// Rows were added.
    Append,
    /// Rows were changed, or changed and added (merge-insert).
    Update,
    /// Rows were deleted.
    Delete,
    /// A delete that matched nothing: a version with the same content.
    EmptyDelete,
    /// All rows and the schema were replaced.
    Overwrite,
    /// An index was built or replaced.
    CreateIndex,
    /// Files were compacted; the same rows.
    Rewrite,
    /// Fragment ids were set aside, as compaction does before a rewrite.
    ReserveFragments,
    /// Settings or metadata.
    UpdateConfig,
    /// The content of an older version was made the head.
    Restore(Version),
    /// Anything else, by Lance's name; counted as content.
    Other(String),
}

impl StepKind {
    /// A writer's change of rows.
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Append | Self::Update | Self::Delete | Self::Overwrite)
    }

    /// Leaves every row, its schema and its visibility as they were (verified maintenance).
    pub fn is_neutral(&self) -> bool {
        matches!(
            self,
            Self::CreateIndex
                | Self::Rewrite
                | Self::ReserveFragments
                | Self::UpdateConfig
                | Self::EmptyDelete
        )
    }

    /// The printed name.
    pub fn name(&self) -> String {
        match self {
            Self::Append => "Append".into(),
            Self::Update => "Update".into(),
            Self::Delete => "Delete".into(),
            Self::EmptyDelete => "Delete(nothing)".into(),
            Self::Overwrite => "Overwrite".into(),
            Self::CreateIndex => "CreateIndex".into(),
            Self::Rewrite => "Rewrite".into(),
            Self::ReserveFragments => "ReserveFragments".into(),
            Self::UpdateConfig => "UpdateConfig".into(),
            Self::Restore(version) => format!("Restore({version})"),
            Self::Other(name) => name.clone(),
        }
    }
}

/// One line for people: `6 Append, 7 CreateIndex`; the middle of a long history is left out.
pub fn describe(steps: &[Step]) -> String {
    let one = |step: &Step| format!("{} {}", step.version, step.kind.name());
    let all = || steps.iter().map(one).collect::<Vec<_>>().join(", ");
    match steps {
        [] => "none".into(),
        [first, second, rest @ .., last] if rest.len() > 3 => {
            format!("{}, {}, … {} more …, {}", one(first), one(second), rest.len(), one(last))
        }
        _ => all(),
    }
}
