//! What the pass saw of one component: plain facts, read in one go, on which [`super::decide`] works.

use crate::model::history::Step;
use crate::model::manifest::Marker;
use crate::model::sidecar::{Pin, Sidecar};
use crate::model::{Branch, OperationId, StoreTime, TableKey, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// One lineage of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableRef {
    /// The table.
    pub table: TableKey,
    /// The Lance branch of it.
    pub branch: Branch,
}

/// All claims that share a lineage, directly or through others, and what their lineages look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Component {
    /// Oldest first; the order is only an order of work.
    pub claims: Vec<Claim>,
    /// Every lineage that a claim names.
    pub tables: BTreeMap<TableRef, TableSeen>,
    /// The graph's write lock is there.
    pub locked: bool,
}

/// A writer's intent that is not settled: a sidecar, or what a fence record kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The intent.
    pub sidecar: Sidecar,
    /// Where it was found.
    pub origin: Origin,
    /// Why nothing is done about it: a person is at work on it, or the files of its schema change cannot be told.
    pub held: Option<String>,
    /// Whether its graph branch is still the one it was written for.
    pub branch: BranchSeen,
    /// The recovery that settled it already, if one did.
    pub marker: Option<Marker>,
    /// Its writer has a beat: three that are missed tell more than any longer wait.
    pub beats: bool,
    /// How long its evidence (the sidecar, the beat and the tails) has stood still; `None` if the store gave no time to start from.
    pub quiet_for: Option<Duration>,
    /// Merges: how the tables that the sidecar does not name can be completed.
    pub merge: Option<MergeSeen>,
    /// Schema changes: the contract files and datasets.
    pub schema: Option<SchemaSeen>,
}

/// Where a claim was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The writer's own file.
    Sidecar,
    /// An armed fence record whose sidecar is gone.
    ArmedFence,
    /// A closed fence record of a writer that woke up late and left drift.
    ClosedFence,
}

/// The claim's graph branch now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchSeen {
    /// Listed, and not younger than the sidecar.
    Live,
    /// Not listed any more.
    Gone,
    /// Listed, but created after the sidecar was written: another branch of the same name.
    Younger,
    /// It cannot be worked on; says why.
    Unusable(String),
}

/// One lineage as it is now, relative to the snapshot of the claim's graph branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableSeen {
    /// It could be read.
    Present(Lineage),
    /// The dataset or its Lance branch is not there.
    Missing {
        /// What is not there.
        what: String,
        /// The version that the graph branch shows, [`Version::ABSENT`] if it knows none.
        pin: Version,
        /// Whether the graph branch shows this very lineage (then its data is gone).
        placed: bool,
    },
    /// It could not be read; says why. Unknown, not absent.
    Unreadable(String),
}

/// A readable lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// P: the version that the graph branch shows of the table.
    pub pin: Version,
    /// The Lance branch that holds the shown version. Differs from the lineage's own while a fork is not published.
    pub pin_branch: Branch,
    /// H: the newest version on this lineage.
    pub head: Version,
    /// Transactions in ascending order of version, at least all that could be read from the oldest claim's E on. A version
    /// whose transaction is gone is left out.
    pub steps: Vec<Step>,
    /// Head and pin have the same schema, fragments, deletions and row ids.
    pub head_equals_pin: bool,
}

impl Lineage {
    /// Whether the graph branch shows this very lineage.
    pub fn is_placed(&self, branch: &Branch) -> bool {
        self.pin_branch == *branch
    }

    /// Transactions in (P, H].
    pub fn tail(&self) -> &[Step] {
        let start = self.steps.partition_point(|step| step.version <= self.pin);
        &self.steps[start..]
    }

    /// Whether every version in (P, H] has a readable transaction.
    pub fn tail_is_whole(&self) -> bool {
        self.tail().len() as u64 == self.head.0.saturating_sub(self.pin.0)
    }

    /// Transactions in (E, P].
    pub fn inner(&self, expected: Version) -> &[Step] {
        let start = self.steps.partition_point(|step| step.version <= expected);
        let end = self.steps.partition_point(|step| step.version <= self.pin);
        &self.steps[start.min(end)..end]
    }

    /// Whether every version in (E, P] has a readable transaction.
    pub fn inner_is_whole(&self, expected: Version) -> bool {
        self.inner(expected).len() as u64 == self.pin.0.saturating_sub(expected.0)
    }
}

/// What a confirmed merge needs beyond its pins: tables that it would have switched or forked, or why that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeSeen {
    /// Tables to show besides the pins, possibly none.
    Completable(Vec<PointerSwitch>),
    /// The merge cannot be completed; says why.
    NotCompletable(String),
    /// It cannot be told; says why.
    Unknown(String),
}

/// A table that a merge takes over from its source as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointerSwitch {
    /// The table.
    pub table: TableKey,
    /// What the target shows now.
    pub from: Version,
    /// The version to show.
    pub to: Version,
    /// The Lance branch that holds it.
    pub branch: Branch,
}

/// A schema contract file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContractFile {
    /// The schema's source text.
    Source,
    /// Its compiled form.
    Compiled,
    /// The record of the compiled form's hash.
    State,
}

/// The contract files and datasets around a schema change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaSeen {
    /// Files that still have a staged form.
    pub staged: Vec<ContractFile>,
    /// Tables of the change, at whose places any files of it may lie.
    pub left_datasets: Vec<TableKey>,
    /// When the record took the sidecar's place: what is younger is not of this change. `None` while the sidecar is there.
    pub made_before: Option<StoreTime>,
    /// `None` if staged and final files together are one consistent schema that fits the tables; else why not.
    pub inconsistent: Option<String>,
    /// Tables to be created whose dataset does not exist or cannot be read.
    pub missing_datasets: Vec<TableKey>,
    /// A table to be dropped that somebody has written to since the change read it.
    pub written_since: Option<TableKey>,
    /// The graph shows a table that this change creates, or shows no more one that it drops: it was published.
    pub published: bool,
    /// Whether the graph's write lock (a branch of the manifest) is there.
    pub locked: bool,
}

impl Claim {
    /// The operation.
    pub fn operation(&self) -> &OperationId {
        &self.sidecar.operation
    }
}

impl Component {
    /// The lineage on which a pin's commits land.
    pub fn lineage_of(&self, pin: &Pin) -> Option<&TableSeen> {
        self.tables.get(&TableRef { table: pin.table.clone(), branch: pin.branch.clone() })
    }
}
