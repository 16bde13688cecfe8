//! What a run says: by repository, pass and scope; and the exit code that sums it up.

use crate::model::audit::Verdict;
use crate::model::ids::spelt;
use crate::model::{Branch, TableKey, Version, Window};
use serde::{Deserialize, Serialize};
use std::time::Duration;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $word)] $value,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The printed word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }
    )+ };
}

words! {
    /// What a scope waits for.
    WaitReason {
        /// Its evidence has not stood still for long enough.
        Grace = "grace",
        /// Any window.
        Window = "window",
        /// A window that somebody opens by hand.
        ManualWindow = "manual_window",
        /// A schema change that holds the graph's write lock.
        Lock = "lock",
        /// Another reconciler, whose turn it is.
        Turn = "turn",
        /// A fresh look: something moved, or the last attempt failed.
        Look = "look",
    }

    /// What was changed in a store.
    ActionKind {
        /// Several pins moved at once in the manifest.
        Publish = "publish",
        /// A table got the content of an earlier version.
        Restore = "restore",
        /// A fence record was written or closed.
        Fence = "fence",
        /// Rows were added to a graph's own history or audit tables.
        Audit = "audit",
        /// A sidecar was removed.
        DeleteSidecar = "delete_sidecar",
        /// A tag was put on a pinned version, or taken off.
        Tag = "tag",
        /// Schema files were moved or removed, or the lock was taken off.
        Schema = "schema",
        /// The leader lease was taken or given up.
        Lease = "lease",
        /// The writers' gate of a native repository was closed.
        Gate = "gate",
    }

    /// How a change ended.
    ActionOutcome {
        /// It happened.
        Committed = "committed",
        /// Its precondition no longer held; nothing happened.
        Conflict = "conflict",
        /// The store's answer was lost; it is looked up before anything else.
        Unknown = "unknown",
        /// It failed; nothing happened.
        Failed = "failed",
    }
}

impl ActionOutcome {
    /// How an act ended that failed with `error`.
    pub fn of(error: &crate::Error) -> Self {
        match error.kind() {
            crate::Kind::Moved => Self::Conflict,
            crate::Kind::Unknown => Self::Unknown,
            _ => Self::Failed,
        }
    }
}

/// What a scope waits for, and for how long if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What for.
    #[serde(rename = "for")]
    pub reason: WaitReason,
    /// How much longer, if nothing moves.
    #[serde(rename = "seconds", skip_serializing_if = "Option::is_none", with = "seconds", default)]
    pub left: Option<Duration>,
}

/// Durations as whole seconds, rounded up: who comes back then is not too early.
mod seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(left: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        let rounded = left.map(|left| left.as_secs() + u64::from(left.subsec_nanos() > 0));
        rounded.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

/// How a scope ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Settled in this run.
    Done,
    /// A plan's word: it would be settled now.
    Due,
    /// Waits for its grace, a window or a moved table; the reason says for what.
    Waits,
    /// Waits for a person.
    Held,
    /// An error; the reason has its chain.
    Failed,
}

/// One table of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    /// The table.
    pub key: TableKey,
    /// The Lance branch.
    #[serde(serialize_with = "spelt")]
    pub branch: Branch,
    /// The version shown before.
    pub from: Version,
    /// The version shown after.
    pub to: Version,
}

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeReport {
    /// Operations, or a file's or table's name.
    pub scope: String,
    /// What is right.
    pub verdict: Verdict,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, and what it waits for.
    pub reason: String,
    /// What it waits for, if it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits: Option<Wait>,
    /// The tables it moves or would move.
    pub tables: Vec<TableReport>,
}

impl ScopeReport {
    /// Whether it waits for nothing but such a window.
    pub fn waits_for(&self, window: Window) -> bool {
        self.waits.is_some_and(|wait| match wait.reason {
            WaitReason::Window => true,
            WaitReason::ManualWindow => window.covers_unguarded_acts(),
            WaitReason::Grace | WaitReason::Lock | WaitReason::Turn | WaitReason::Look => false,
        })
    }
}

/// One pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassReport {
    /// Its name.
    pub pass: String,
    /// Its scopes, oldest first.
    pub scopes: Vec<ScopeReport>,
}

/// Exit codes of one-shot commands, the worst wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Nothing is left to do.
    Converged = 0,
    /// The store or this program failed.
    Failed = 1,
    /// Something waits for its grace or a window.
    Waits = 10,
    /// Something is held for a person.
    Held = 11,
    /// A plan found work that is due now.
    Due = 12,
    /// Refused or misconfigured.
    Refused = 78,
}

impl Exit {
    /// Worst first.
    const BY_SEVERITY: [Self; 6] =
        [Self::Refused, Self::Failed, Self::Held, Self::Due, Self::Waits, Self::Converged];

    /// The worst of many; converged if there is none.
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        let rank = |exit: &Self| Self::BY_SEVERITY.iter().position(|other| other == exit);
        exits.into_iter().min_by_key(rank).unwrap_or(Self::Converged)
    }

    /// What an error exits with.
    pub fn of(error: &crate::Error) -> Self {
        match error.kind() {
            crate::Kind::Refused | crate::Kind::Invalid => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// The process's exit code.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Converged,
            Outcome::Due => Self::Due,
            Outcome::Waits => Self::Waits,
            Outcome::Held => Self::Held,
            Outcome::Failed => Self::Failed,
        }
    }
}

impl PassReport {
    /// The worst of its scopes.
    pub fn exit(&self) -> Exit {
        Exit::worst(self.scopes.iter().map(|scope| scope.outcome.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_wins() {
        let worst = |exits: &[Exit]| Exit::worst(exits.iter().copied()).code();
        assert_eq!(worst(&[]), 0);
        assert_eq!(worst(&[Exit::Converged, Exit::Waits]), 10);
        assert_eq!(worst(&[Exit::Waits, Exit::Due]), 12);
        assert_eq!(worst(&[Exit::Held, Exit::Due, Exit::Waits]), 11);
        assert_eq!(worst(&[Exit::Held, Exit::Failed]), 1);
        assert_eq!(worst(&[Exit::Failed, Exit::Refused]), 78);
    }
}
