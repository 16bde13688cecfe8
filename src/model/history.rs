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

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<StepKind> {
        use StepKind::*;
        let plain = [
            Append,
            Update,
            Delete,
            EmptyDelete,
            Overwrite,
            CreateIndex,
            Rewrite,
            ReserveFragments,
            UpdateConfig,
        ];
        plain.into_iter().chain([Restore(Version(5)), Other("Project".into())]).collect()
    }

    fn steps(kinds: &[StepKind]) -> Vec<Step> {
        let step = |(version, kind): (u64, &StepKind)| Step {
            version: Version(version),
            read_version: Version(version - 1),
            kind: kind.clone(),
            operation: None,
            transaction: String::new(),
        };
        (6..).zip(kinds).map(step).collect()
    }

    #[test]
    fn a_step_that_may_change_rows_is_never_neutral() {
        for kind in all() {
            assert!(!(kind.is_data() && kind.is_neutral()), "{kind:?}");
        }
        let neither: Vec<_> =
            all().into_iter().filter(|kind| !kind.is_data() && !kind.is_neutral()).collect();
        assert_eq!(neither, [StepKind::Restore(Version(5)), StepKind::Other("Project".into())]);
        assert!(StepKind::EmptyDelete.is_neutral() && StepKind::Delete.is_data());
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = all().iter().map(StepKind::name).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn a_history_is_told_in_one_line_without_its_middle() {
        use StepKind::*;
        assert_eq!(describe(&[]), "none");
        assert_eq!(describe(&steps(&[Append])), "6 Append");
        let five = [Append, EmptyDelete, Restore(Version(5)), CreateIndex, Update];
        assert_eq!(
            describe(&steps(&five)),
            "6 Append, 7 Delete(nothing), 8 Restore(5), 9 CreateIndex, 10 Update"
        );
        let seven: Vec<_> = five.into_iter().chain([Rewrite, Other("Project".into())]).collect();
        assert_eq!(
            describe(&steps(&seven[..6])),
            "6 Append, 7 Delete(nothing), 8 Restore(5), 9 CreateIndex, 10 Update, 11 Rewrite"
        );
        assert_eq!(describe(&steps(&seven)), "6 Append, 7 Delete(nothing), … 4 more …, 12 Project");
    }
}
