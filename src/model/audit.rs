//! What a recovery did, in the words of the graph's own audit table (source: docs/formats.md, "Audit").

use super::ids::{TableKey, Version};
use serde::{Deserialize, Serialize};

/// What the pass decided about a sidecar. Also a metric label and the `verdict` of every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// An earlier recovery published; its tail (audit, deletions) is finished.
    Finish,
    /// The commit is complete: publish it.
    RollForward,
    /// The commit is not complete: undo it, in a window.
    RollBack,
    /// The undoing is done but not published: publish it; no window is needed.
    AlreadyUndone,
    /// The writer, or somebody for it, has published all of it.
    AlreadyPublished,
    /// The writer published and somebody undid it since.
    RolledBackSince,
    /// No table moved.
    NothingToDo,
    /// The sidecar's branch is gone.
    DiscardOrphan,
    /// Not understood, or not ours to decide: untouched until a person looks.
    Hold,
    /// Not judged: the look at it failed, or ended before that. Never decided, recorded or acted on.
    Unknown,
}

impl Verdict {
    /// Every verdict, for zeroed metrics and exhaustive tests.
    pub const ALL: &'static [Self] = &[
        Self::Finish,
        Self::RollForward,
        Self::RollBack,
        Self::AlreadyUndone,
        Self::AlreadyPublished,
        Self::RolledBackSince,
        Self::NothingToDo,
        Self::DiscardOrphan,
        Self::Hold,
        Self::Unknown,
    ];

    /// The stored and printed name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::RollForward => "roll_forward",
            Self::RollBack => "roll_back",
            Self::AlreadyUndone => "already_undone",
            Self::AlreadyPublished => "already_published",
            Self::RolledBackSince => "rolled_back_since",
            Self::NothingToDo => "nothing_to_do",
            Self::DiscardOrphan => "discard_orphan",
            Self::Hold => "hold",
            Self::Unknown => "unknown",
        }
    }

    /// Whether everything that the operation meant is shown.
    pub fn shows(self) -> bool {
        self.recovery_kind() == Some(RecoveryKind::RolledForward)
    }

    /// The audit row's kind; `None` for verdicts that record nothing of their own.
    pub fn recovery_kind(self) -> Option<RecoveryKind> {
        match self {
            Self::RollForward | Self::AlreadyPublished => Some(RecoveryKind::RolledForward),
            Self::RollBack | Self::AlreadyUndone | Self::RolledBackSince | Self::NothingToDo => {
                Some(RecoveryKind::RolledBack)
            }
            Self::DiscardOrphan => Some(RecoveryKind::OrphanedBranchDiscarded),
            Self::Finish | Self::Hold | Self::Unknown => None,
        }
    }
}

/// The engine's three audit kinds; any other value would make its reader fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecoveryKind {
    /// The operation's versions are shown.
    RolledForward,
    /// The operation left nothing that is shown.
    RolledBack,
    /// The operation's branch no longer exists.
    OrphanedBranchDiscarded,
}

impl RecoveryKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::RolledForward, Self::RolledBack, Self::OrphanedBranchDiscarded];

    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RolledForward => "RolledForward",
            Self::RolledBack => "RolledBack",
            Self::OrphanedBranchDiscarded => "OrphanedBranchDiscarded",
        }
    }
}

/// What happened to one table, as the audit row's JSON has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOutcome {
    /// The table.
    pub table_key: TableKey,
    /// Forward: the pin before. Back: the head before the restore.
    pub from_version: Version,
    /// Forward: the version shown. Back: the version whose content is shown.
    pub to_version: Version,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_printed_as_it_is_stored() {
        for verdict in Verdict::ALL.iter().copied() {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
        let names: std::collections::BTreeSet<_> =
            Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
        assert_eq!(names.len(), Verdict::ALL.len());
    }

    #[test]
    fn what_is_shown_in_the_end_decides_the_kind_of_audit_row() {
        use RecoveryKind::*;
        let kinds: Vec<_> = Verdict::ALL.iter().map(|verdict| verdict.recovery_kind()).collect();
        let (forward, back) = (Some(RolledForward), Some(RolledBack));
        let discarded = Some(OrphanedBranchDiscarded);
        let expected = [None, forward, back, back, forward, back, back, discarded, None, None];
        assert_eq!(kinds, expected);
        for kind in [RolledForward, RolledBack, OrphanedBranchDiscarded] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn an_outcome_has_the_fields_of_the_engines_json() {
        let outcome = TableOutcome {
            table_key: TableKey::parse("node:Person").unwrap(),
            from_version: Version(5),
            to_version: Version(6),
        };
        let text = r#"{"table_key":"node:Person","from_version":5,"to_version":6}"#;
        assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
        assert_eq!(serde_json::from_str::<TableOutcome>(text).unwrap(), outcome);
    }
}
