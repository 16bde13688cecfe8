//! A schema change: complete only if its tables, its new datasets and its three contract files are all of one schema.

use super::super::observation::{Claim, ContractFile, SchemaSeen};
use super::judge::{Placed, restore, show_head};
use super::standing::Standing;
use super::timing::manual_timing;
use super::{Decision, Judgement, Policy, Timing};
use crate::model::audit::Verdict;
use crate::model::{Branch, StoreTime, TableKey};
use crate::passes::hint;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What surrounds the publish of a schema change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct SchemaWork {
    /// Staged files to make final, in this order, after the publish.
    pub promote: Vec<ContractFile>,
    /// Staged files to delete, in this order, after the undoing is published.
    pub discard: Vec<ContractFile>,
    /// Datasets of the change to remove, if no branch has registered them.
    pub remove_datasets: Vec<TableKey>,
    /// Of these datasets, only what was stored no later.
    #[serde(skip)]
    pub made_before: Option<StoreTime>,
    /// The graph's write lock goes with it, else the engine stays unable to write.
    pub unlock: bool,
}

/// Order in which staged files become final: what readers compare with comes last.
const PROMOTION: [ContractFile; 3] = [ContractFile::Source, ContractFile::Compiled, ContractFile::State];
/// Order in which staged files are deleted: the state first, so that no rest looks complete.
const DISCARDING: [ContractFile; 3] = [ContractFile::State, ContractFile::Compiled, ContractFile::Source];

fn staged_in(order: [ContractFile; 3], seen: &SchemaSeen) -> Vec<ContractFile> {
    order.into_iter().filter(|file| seen.staged.contains(file)).collect()
}

impl SchemaWork {
    /// What finishes a complete change.
    fn finishing(seen: &SchemaSeen) -> Self {
        Self { promote: staged_in(PROMOTION, seen), unlock: seen.locked, ..Self::default() }
    }

    /// What undoes a change.
    pub(super) fn undoing(claim: &Claim, seen: &SchemaSeen) -> Self {
        Self {
            promote: Vec::new(),
            discard: staged_in(DISCARDING, seen),
            remove_datasets: match seen.made_before {
                None => claim.sidecar.registrations.iter().map(|new| new.table.clone()).collect(),
                Some(_) => seen.left_datasets.clone(),
            },
            made_before: seen.made_before,
            unlock: seen.locked,
        }
    }

    /// Whether any of it is an act without a store-side condition: files and the lock have none.
    pub(super) fn is_unguarded(&self) -> bool {
        let Self { promote, discard, remove_datasets, made_before: _, unlock } = self;
        !promote.is_empty() || !discard.is_empty() || !remove_datasets.is_empty() || *unlock
    }
}

/// Staged contract files, or the lock, that no sidecar explains: what a crashed change of metadata alone leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftover {
    /// Files and lock. `inconsistent` says why staged and final files are not one schema of exactly the tables there are.
    pub seen: SchemaSeen,
    /// How long the staged files have stood still.
    pub quiet_for: Option<Duration>,
    /// A record that is not judged and may be of this very change.
    pub owner: Option<Owner>,
}

/// A record that may be of a schema change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub record: String,
    /// A person has put it aside.
    pub is_put_aside: bool,
}

impl Owner {
    /// What to do about it first. An old one may be of another change: only a person can tell.
    fn advice(&self) -> String {
        let name = self.record.rsplit('/').next().unwrap_or(&self.record);
        let show = hint::command(&["sidecars", "show", name]);
        match self.is_put_aside {
            true => {
                let back = hint::command(&["sidecars", "restore", name]);
                format!(
                    "{show} prints it; {back} lets it be judged; if it is of another change, move it out of __recovery/"
                )
            }
            false => format!("{show} prints it; settle that one first"),
        }
    }
}

/// Decides a leftover; `None` if there is nothing. The state is staged last: if it is staged, the set was complete.
pub fn decide_leftover(left: &Leftover, policy: &Policy) -> Option<Decision> {
    let seen = &left.seen;
    let hold = |reason: String| (Verdict::Hold, None, reason);
    let of_owner = |owner: &Owner| {
        format!("a schema is staged, and {} may be its record: {}", owner.record, owner.advice())
    };
    let owned = left.owner.as_ref().map(of_owner);
    let (verdict, schema, reason) = match (seen.staged.contains(&ContractFile::State), &seen.inconsistent) {
        _ if seen.staged.is_empty() && !seen.locked => return None,
        _ if seen.staged.is_empty() => {
            hold("a schema change holds the graph's write lock and left no record; while no writer is active, `outrigger repair lock --exclusive` offers to remove it".into())
        }
        _ if let Some(why) = owned => hold(why),
        (true, None) => {
            let reason = "a staged schema is complete and fits the tables";
            (Verdict::RollForward, Some(SchemaWork::finishing(seen)), reason.into())
        }
        (true, Some(why)) => hold(format!("a complete schema is staged, but {why}")),
        (false, _) => {
            let work = SchemaWork { discard: staged_in(DISCARDING, seen), unlock: seen.locked, ..SchemaWork::default() };
            (Verdict::RollBack, Some(work), "an incomplete schema is staged, and nothing was published".into())
        }
    };
    let timing =
        if verdict == Verdict::Hold { Timing::Person } else { manual_timing(left.quiet_for, policy) };
    Some(Decision {
        branch: Branch::main(),
        operations: Vec::new(),
        verdict,
        timing,
        reason,
        tables: Vec::new(),
        schema,
        needs_fence: false,
    })
}

/// What may still be to do after the publish of a schema change; all of it repeats to the same end.
pub(super) fn left_over(claim: &Claim, published: Verdict) -> Option<SchemaWork> {
    let seen = claim.schema.as_ref()?;
    let forward = published == Verdict::RollForward;
    Some(if forward {
        SchemaWork::finishing(seen)
    } else {
        SchemaWork { remove_datasets: seen.left_datasets.clone(), ..SchemaWork::undoing(claim, seen) }
    })
}

pub(super) fn judge(claim: &Claim, pins: &[Placed], seen: &SchemaSeen) -> Judgement {
    if let Some(why) = pins.iter().find_map(|placed| match &placed.standing {
        Standing::Foreign(why) => Some(why.clone()),
        _ => None,
    }) {
        return Judgement::plain(Verdict::Hold, why);
    }
    let ready = |placed: &&Placed| matches!(placed.standing, Standing::Complete | Standing::Shown);
    let unready = pins.iter().find(|placed| !ready(placed));
    let unready = unready.map(|placed| format!("{} was not rewritten", placed.pin.table));
    let missing = seen.missing_datasets.first().map(|table| format!("the dataset of {table} does not exist"));
    let written = seen.written_since.as_ref();
    let written = written.map(|table| format!("{table} was written to since, which it drops"));
    match unready.or(missing).or(written).or_else(|| seen.inconsistent.clone()) {
        None => forward(claim, pins, seen),
        // Its files describe what is shown: whatever lies above, they must stay.
        Some(why) if seen.published || pins.iter().any(|placed| placed.shown_below) => {
            Judgement::plain(Verdict::Hold, format!("the graph shows tables of the schema change, but {why}"))
        }
        Some(why) => back(claim, pins, seen, why),
    }
}

fn forward(claim: &Claim, pins: &[Placed], seen: &SchemaSeen) -> Judgement {
    let created = claim.sidecar.registrations.len();
    let dropped = claim.sidecar.tombstones.len();
    let rewritten = pins.len();
    let reason = format!(
        "the schema change is complete: {rewritten} tables rewritten, {created} created, {dropped} dropped"
    );
    Judgement {
        schema: Some(SchemaWork::finishing(seen)),
        tables: pins.iter().filter_map(show_head).collect(),
        ..Judgement::plain(Verdict::RollForward, reason)
    }
}

fn back(claim: &Claim, pins: &[Placed], seen: &SchemaSeen, why: String) -> Judgement {
    let moved = pins.iter().any(|placed| placed.lineage.is_some_and(|lineage| !lineage.tail().is_empty()));
    Judgement {
        schema: Some(SchemaWork::undoing(claim, seen)),
        tables: if moved { pins.iter().filter_map(restore).collect() } else { Vec::new() },
        ..Judgement::plain(Verdict::RollBack, format!("the schema change is not complete: {why}"))
    }
}
