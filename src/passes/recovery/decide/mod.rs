//! What is right for each claim of a component, and when it may be done. Pure.
//!
//! First match wins (docs/recovery.md has the same table with its reasons):
//!
//! | # | seen | verdict |
//! |---|---|---|
//! | 1 | the operation's marker | finish what is left |
//! | 2 | something that is not understood | hold |
//! | 3 | the graph branch is gone or younger (the list of branches tells, whatever its tables look like) | discard orphan |
//! | 4 | a schema change | [`schema`] |
//! | 5 | index building or compaction, tails of maintenance only | roll forward whatever moved |
//! | 6 | every tail complete | roll forward |
//! | 7 | no data above the pins, the commit is shown on every pin | already published, or rolled back since |
//! | 8 | no data above the pins, the commit is on no pin | nothing to do |
//! | 9 | shown on some pins only | hold; roll forward if these name the operation and all the others are complete |
//! | 10 | own tail, but not ready; restored tails | roll back; already undone, if the newest rows are those shown |
//! | 11 | data that nothing explains | hold |
//!
//! [`ownership`] says whose a commit may be, [`standing`] where one pin stands, [`judge`] what is right for one claim,
//! [`contest`] for claims that share commits (`dealing` deals these out), [`timing`] when it may be done, [`own`] what a native
//! writer does about its own operation.

pub mod contest;
mod dealing;
pub mod drift;
pub mod judge;
pub mod own;
pub mod ownership;
pub mod schema;
pub mod standing;
pub mod timing;

use super::observation::{Component, TableRef};
pub use crate::model::Window;
use crate::model::audit::Verdict;
use crate::model::{Branch, OperationId, TableKey, Version};
use serde::{Deserialize, Serialize};
pub use timing::{Policy, Timing};

/// What to do with one table, under the condition that head and pin are still as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum TableWork {
    /// Show this version.
    Show {
        /// The version.
        to: Version,
    },
    /// Restore the pin's content as `head` + 1, accepted by the table only on exactly that head, and show it; every version
    /// between is filled, so that nobody can show it any more.
    Restore {
        /// The head that was seen.
        head: Version,
    },
    /// Show the head, whose content is the pin's already, and fill every version between.
    ShowUndone {
        /// The head that was seen.
        head: Version,
    },
}

/// One table of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// The lineage.
    #[serde(flatten)]
    pub at: TableRef,
    /// The version that the graph must still show.
    pub pin: Version,
    /// The Lance branch of the shown version.
    pub pin_branch: Branch,
    /// What to do.
    #[serde(flatten)]
    pub work: TableWork,
}

impl TablePlan {
    /// The version shown when all is done.
    pub fn shown(&self) -> Version {
        match self.work {
            TableWork::Show { to } => to,
            TableWork::Restore { head } => head.next(),
            TableWork::ShowUndone { head } => head,
        }
    }
}

/// A decision about claims that are settled together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The graph branch on which it is published.
    pub branch: Branch,
    /// The operations, oldest first; none for drift.
    pub operations: Vec<OperationId>,
    /// What is right.
    pub verdict: Verdict,
    /// When it may be done.
    pub timing: Timing,
    /// Why, for people.
    pub reason: String,
    /// The tables to move, none for verdicts that leave them.
    pub tables: Vec<TablePlan>,
    /// Schema changes: the steps around the publish.
    pub schema: Option<schema::SchemaWork>,
    /// Tables that are not moved by us but on which the writer may still wake up: a fence record is needed.
    pub needs_fence: bool,
}

/// A claim's judgement before timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What is right.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The tables to move.
    pub tables: Vec<TablePlan>,
    /// Schema changes: the steps around the publish.
    pub schema: Option<schema::SchemaWork>,
    /// With nothing to do: the ordinary grace is enough, no window or longer wait is needed.
    pub ordinary_grace: bool,
}

impl Judgement {
    fn plain(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), tables: Vec::new(), schema: None, ordinary_grace: false }
    }

    fn with_tables(mut self, tables: Vec<TablePlan>) -> Self {
        self.tables = tables;
        self
    }
}

/// Decides every claim of a component.
pub fn decide(component: &Component, policy: &Policy) -> Vec<Decision> {
    contest::resolve(component)
        .into_iter()
        .map(|(claims, judgement)| timing::timed(component, &claims, judgement, policy))
        .collect()
}

/// The tables that a decision names, for reports: key, branch, version before, version after.
pub fn table_moves(decision: &Decision) -> Vec<(TableKey, Branch, Version, Version)> {
    let moved = |plan: &TablePlan| (plan.at.table.clone(), plan.at.branch.clone(), plan.pin, plan.shown());
    decision.tables.iter().map(moved).collect()
}

#[cfg(test)]
mod tests;
