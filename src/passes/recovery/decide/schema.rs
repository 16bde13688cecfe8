//! A schema change: complete only if its tables, its new datasets and its three contract files are all of one schema.

use super::super::observation::{Claim, ContractFile, SchemaSeen};
use super::judge::{Placed, restore, tails};
use super::standing::Standing;
use super::{Judgement, TablePlan, TableWork};
use crate::model::TableKey;
use crate::model::audit::Verdict;
use crate::passes::recovery::observation::TableRef;
use serde::{Deserialize, Serialize};

/// What surrounds the publish of a schema change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct SchemaWork {
    /// Staged files to make final, in this order, after the publish.
    pub promote: Vec<ContractFile>,
    /// Staged files to delete, in this order, after the undoing is published.
    pub discard: Vec<ContractFile>,
    /// Datasets of the change to remove, if no branch has registered them.
    pub remove_datasets: Vec<TableKey>,
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

pub(super) fn judge(claim: &Claim, pins: &[Placed]) -> Judgement {
    let Some(seen) = &claim.schema else {
        return Judgement::plain(Verdict::Hold, "the schema's contract files were not observed");
    };
    if let Some(placed) = pins.iter().find(|placed| matches!(placed.standing, Standing::Foreign(_))) {
        let Standing::Foreign(why) = &placed.standing else { unreachable!("found by this shape") };
        return Judgement::plain(Verdict::Hold, why.clone());
    }
    let ready = |placed: &Placed| matches!(placed.standing, Standing::Complete | Standing::Shown);
    let unready = pins
        .iter()
        .find(|placed| !ready(placed))
        .map(|placed| format!("{} was not rewritten", placed.pin.table));
    let missing = seen.missing_datasets.first().map(|table| format!("the dataset of {table} does not exist"));
    match unready.or(missing).or_else(|| seen.inconsistent.clone()) {
        None => forward(claim, pins, seen),
        Some(_) if pins.iter().any(|placed| placed.standing == Standing::Shown) => {
            let why = seen.inconsistent.as_deref().unwrap_or("not all of its tables are");
            Judgement::plain(Verdict::Hold, format!("the graph shows its tables, but {why}"))
        }
        Some(why) => back(claim, pins, seen, why),
    }
}

fn forward(claim: &Claim, pins: &[Placed], seen: &SchemaSeen) -> Judgement {
    let show = |placed: &Placed| {
        let lineage = placed.lineage.filter(|_| placed.standing == Standing::Complete)?;
        Some(TablePlan {
            at: TableRef { table: placed.pin.table.clone(), branch: placed.pin.branch.clone() },
            pin: lineage.pin,
            pin_branch: lineage.pin_branch.clone(),
            work: TableWork::Show { to: lineage.head },
        })
    };
    let schema = SchemaWork {
        promote: staged_in(PROMOTION, seen),
        discard: Vec::new(),
        remove_datasets: Vec::new(),
        unlock: seen.locked,
    };
    let created = claim.sidecar.registrations.len();
    let dropped = claim.sidecar.tombstones.len();
    let reason = format!(
        "the schema change is complete: {}; {created} tables created, {dropped} dropped",
        tails(pins)
    );
    Judgement { schema: Some(schema), ..Judgement::plain(Verdict::RollForward, reason) }
        .with_tables(pins.iter().filter_map(show).collect())
}

fn back(claim: &Claim, pins: &[Placed], seen: &SchemaSeen, why: String) -> Judgement {
    let moved = pins.iter().any(|placed| placed.lineage.is_some_and(|lineage| !lineage.tail().is_empty()));
    let tables = if moved { pins.iter().filter_map(restore).collect() } else { Vec::new() };
    let schema = SchemaWork {
        promote: Vec::new(),
        discard: staged_in(DISCARDING, seen),
        remove_datasets: claim.sidecar.registrations.iter().map(|new| new.table.clone()).collect(),
        unlock: seen.locked,
    };
    Judgement {
        schema: Some(schema),
        ..Judgement::plain(Verdict::RollBack, format!("the schema change is not complete: {why}"))
    }
    .with_tables(tables)
}
