//! A table ahead of its pin that no sidecar explains.
//!
//! | tail | verdict |
//! |---|---|
//! | rows as the graph shows them | show the head; every version under a restore is filled |
//! | a restore to something else | undo, in a window |
//! | a commit that a settled operation's writer made when it woke up late | undo, in a window |
//! | anything else | hold: a person decides |

use super::ownership::{fits, is_named};
use super::standing::after_restore;
use super::timing::{drift_timing, window_timing};
use super::{Decision, Policy, TablePlan, TableWork};
use crate::model::TableKey;
use crate::model::audit::Verdict;
use crate::model::history::describe;
use crate::model::sidecar::{Sidecar, WriterKind};
use crate::passes::hint;
use crate::passes::recovery::observation::{Lineage, TableRef};
use std::time::Duration;

/// What was seen of one drifted table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The lineage; the graph branch shows it.
    pub at: TableRef,
    /// Its pin, head and transactions.
    pub lineage: Lineage,
    /// Operations that were ended while their writers might still be alive: closed fence records.
    pub ended: Vec<Sidecar>,
    /// How long the tail has stood still.
    pub quiet_for: Option<Duration>,
    /// How long its oldest change of rows has been there, whatever came after it.
    pub changed_for: Option<Duration>,
    /// The graph's write lock is held.
    pub locked: bool,
}

/// Decides a drifted table.
pub fn decide_drift(drift: &Drift, policy: &Policy) -> Decision {
    let (verdict, work, mut reason) = judge(drift);
    let is_asked =
        matches!(verdict, Verdict::AlreadyUndone | Verdict::RollForward) && !policy.publish_neutral_drift;
    if is_asked {
        reason = format!("{reason}; the policy asks before it is shown: {}", repair(&drift.at.table, "head"));
    }
    let timing = match verdict {
        // A writer that is at work looks the same until it has published: whoever asks a person too early asks in vain. One
        // that goes on and on without publishing does not put the question off.
        Verdict::Hold if !drift.lineage.tail_is_whole() || drift.lineage.head < drift.lineage.pin => {
            super::Timing::Person
        }
        Verdict::Hold => match drift_timing(drift.changed_for, policy) {
            super::Timing::Now => super::Timing::Person,
            waits => waits,
        },
        _ if is_asked => super::Timing::Person,
        _ if drift.locked && drift.at.branch.is_main() => super::Timing::Lock,
        Verdict::RollBack => window_timing(drift.quiet_for, policy),
        _ => drift_timing(drift.quiet_for, policy),
    };
    Decision {
        branch: drift.at.branch.clone(),
        operations: Vec::new(),
        verdict,
        timing,
        reason,
        tables: work.map(|work| plan(drift, work)).into_iter().collect(),
        schema: None,
        needs_fence: false,
    }
}

/// Which version of a drifted table a person calls right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one that the graph shows.
    Pin,
    /// The newest.
    Head,
}

/// A person's decision about a drifted table, for a window that the person vouches for.
pub fn chosen(drift: &Drift, choice: Choice) -> Decision {
    let lineage = &drift.lineage;
    let (verdict, work) = match choice {
        Choice::Pin => (Verdict::RollBack, TableWork::Restore { head: lineage.head }),
        Choice::Head => (Verdict::RollForward, TableWork::Show { to: lineage.head }),
    };
    Decision {
        branch: drift.at.branch.clone(),
        operations: Vec::new(),
        verdict,
        timing: super::Timing::Now,
        reason: "a person's choice".into(),
        tables: vec![plan(drift, work)],
        schema: None,
        needs_fence: false,
    }
}

fn plan(drift: &Drift, work: TableWork) -> TablePlan {
    let lineage = &drift.lineage;
    TablePlan { at: drift.at.clone(), pin: lineage.pin, pin_branch: lineage.pin_branch.clone(), work }
}

fn judge(drift: &Drift) -> (Verdict, Option<TableWork>, String) {
    let (table, lineage) = (&drift.at.table, &drift.lineage);
    let tail = lineage.tail();
    let found = describe(tail);
    if lineage.head < lineage.pin {
        let reason =
            format!("the graph shows {table} at {}, above its newest version {}", lineage.pin, lineage.head);
        return (Verdict::Hold, None, reason);
    }
    if !lineage.tail_is_whole() {
        return (
            Verdict::Hold,
            None,
            format!("a transaction of {table} above version {} cannot be read", lineage.pin),
        );
    }
    let restore = TableWork::Restore { head: lineage.head };
    let undone = TableWork::ShowUndone { head: lineage.head };
    match after_restore(tail) {
        Some((to, rest)) if rest.iter().all(|step| step.kind.is_neutral()) => {
            if to == lineage.pin || lineage.head_equals_pin {
                (
                    Verdict::AlreadyUndone,
                    Some(undone),
                    format!("its rows were restored to what the graph shows: {found}"),
                )
            } else {
                let reason =
                    format!("it was restored to version {to}, but the graph shows {}: {found}", lineage.pin);
                (Verdict::RollBack, Some(restore), reason)
            }
        }
        _ if tail.iter().all(|step| step.kind.is_neutral()) => {
            let reason = format!("only maintenance lies above the pin: {found}");
            (Verdict::RollForward, Some(TableWork::Show { to: lineage.head }), reason)
        }
        _ => match drift.ended.iter().find(|ended| woke_up(ended, drift)) {
            Some(ended) => {
                let reason = format!(
                    "operation {} was ended, and its writer committed afterwards: {found}",
                    ended.operation
                );
                (Verdict::RollBack, Some(restore), reason)
            }
            None => {
                let (hide, show) = (repair(table, "pin"), repair(table, "head"));
                let first = match drift.locked && drift.at.branch.is_main() {
                    true => {
                        let unlock = hint::command(&["repair", "lock", "--exclusive"]);
                        format!(
                            "; a schema change holds the graph's write lock: if it is dead, {unlock} first"
                        )
                    }
                    false => String::new(),
                };
                let reason = format!(
                    "commits that nothing explains: {found}; while no writer is active, {hide} offers to hide them, {show} to show them{first}"
                );
                (Verdict::Hold, None, reason)
            }
        },
    }
}

fn repair(table: &TableKey, to: &str) -> String {
    hint::command(&["repair", "drift", "--exclusive", "--table", table.as_str(), "--to", to])
}

/// Whether all of the tail's data may be the work of one ended operation: its kind, staged on what it had read or earlier, and
/// naming no other.
fn woke_up(ended: &Sidecar, drift: &Drift) -> bool {
    let Some(pin) =
        ended.pins.iter().find(|pin| pin.table == drift.at.table && pin.branch == drift.at.branch)
    else {
        return false;
    };
    let mut data = drift.lineage.tail().iter().filter(|step| !step.kind.is_neutral()).peekable();
    data.peek().is_some()
        && data.all(|step| {
            fits(ended.kind, &step.kind)
                && (is_named(ended, step) || step.operation.is_none() && !ended.names_commits)
                // A merge's later commits read its own earlier ones.
                && (step.read_version <= pin.expected || ended.kind == WriterKind::BranchMerge)
        })
}
