//! One claim on its own: the decision table, first match wins.

use super::super::observation::{BranchSeen, Claim, Component, Lineage, MergeSeen, TableRef, TableSeen};
use super::ownership::is_proven;
use super::standing::{Standing, standing};
use super::{Judgement, TablePlan, TableWork, schema};
use crate::model::audit::Verdict;
use crate::model::history::describe;
use crate::model::sidecar::{Pin, WriterKind};
use std::collections::BTreeSet;

/// A pin with where it stands.
pub(super) struct Placed<'a> {
    pub pin: &'a Pin,
    /// `None` if the lineage is not there, or if what lies above the pin is not for this claim to move.
    pub lineage: Option<&'a Lineage>,
    pub standing: Standing,
    /// The graph shows what may be the operation's commit, whatever lies above it.
    pub shown_below: bool,
}

/// Judges one claim as if no other claim shared its tables, except that the data above `elsewhere` is other claims'.
pub fn judge(component: &Component, claim: &Claim, elsewhere: &BTreeSet<TableRef>) -> Judgement {
    // What is left of a published schema change is told by its files.
    if let (Some(why), WriterKind::SchemaApply) = (&claim.held, claim.sidecar.kind) {
        return Judgement::plain(Verdict::Hold, why);
    }
    if let Some(marker) = &claim.marker {
        let reason = format!("its {} is published already", marker.verdict.as_str());
        let schema = schema::left_over(claim, marker.verdict);
        return Judgement { schema, ..Judgement::plain(Verdict::Finish, reason) };
    }
    if let Some(why) = &claim.held {
        return Judgement::plain(Verdict::Hold, why);
    }
    let branch = &claim.sidecar.branch;
    match claim.branch {
        BranchSeen::Gone => {
            return Judgement::plain(Verdict::DiscardOrphan, format!("branch {branch} is gone"));
        }
        BranchSeen::Younger => {
            let reason = format!("branch {branch} was created after this sidecar");
            return Judgement::plain(Verdict::DiscardOrphan, reason);
        }
        BranchSeen::Live | BranchSeen::Unusable(_) => {}
    }
    let pins = place(component, claim, elsewhere);
    if let Some(why) = obstacle(claim, &pins) {
        return Judgement::plain(Verdict::Hold, why);
    }
    match (claim.sidecar.kind, &claim.schema) {
        (WriterKind::SchemaApply, Some(seen)) => schema::judge(claim, &pins, seen),
        (kind, _) if kind.is_maintenance() => maintenance(&pins).unwrap_or_else(|| data(claim, &pins)),
        _ => data(claim, &pins),
    }
}

/// Where each pin of a claim stands.
pub(super) fn place<'a>(
    component: &'a Component,
    claim: &'a Claim,
    elsewhere: &BTreeSet<TableRef>,
) -> Vec<Placed<'a>> {
    let placed = |pin: &'a Pin| {
        let at = TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
        let seen = component.tables.get(&at);
        let elsewhere = elsewhere.contains(&at);
        let lineage = match seen {
            Some(TableSeen::Present(lineage)) if !elsewhere => Some(lineage),
            _ => None,
        };
        let below = standing(claim, pin, seen, true);
        let shown_below = below == Standing::Shown;
        let standing = if elsewhere { below } else { standing(claim, pin, seen, false) };
        Placed { pin, lineage, standing, shown_below }
    };
    claim.sidecar.pins.iter().map(placed).collect()
}

/// Row 2: something about a claim that is not understood, whoever else shares its tables.
pub(super) fn obstacle(claim: &Claim, pins: &[Placed]) -> Option<String> {
    if claim.held.is_some() {
        return claim.held.clone();
    }
    if let BranchSeen::Unusable(why) = &claim.branch {
        return Some(why.clone());
    }
    // A writer's commits land on the Lance branch named like its graph branch. Anything else is not a writer we know.
    let graph_branch = &claim.sidecar.branch;
    if let Some((table, branch)) = claim.sidecar.tables().find(|(_, branch)| *branch != graph_branch) {
        return Some(format!("{table} would land on branch {branch} of a commit to {graph_branch}"));
    }
    if claim.sidecar.kind == WriterKind::SchemaApply {
        if !graph_branch.is_main() {
            return Some(format!("a schema change of branch {graph_branch}; there is one schema, main's"));
        }
        if claim.schema.is_none() {
            return Some("the schema's contract files were not observed".into());
        }
    }
    pins.iter().find_map(|placed| match &placed.standing {
        Standing::Unknown(why) => Some(why.clone()),
        _ => None,
    })
}

impl Placed<'_> {
    /// Nothing but maintenance lies above the pin, if anything does.
    fn is_neutral(&self) -> bool {
        self.lineage.is_none_or(|lineage| lineage.tail().iter().all(|step| step.kind.is_neutral()))
    }

    /// Neither the graph nor the tail holds rows of the operation.
    fn is_idle(&self) -> bool {
        match self.standing {
            Standing::Unmoved | Standing::Missing(_) | Standing::Neutral => true,
            Standing::Complete | Standing::Own(_) => self.is_neutral(),
            _ => false,
        }
    }

    fn is_shown(&self) -> bool {
        self.standing == Standing::Shown
    }

    /// The newest version has the rows that the graph shows, and none of the operation's.
    fn is_undone(&self) -> bool {
        self.is_idle() || matches!(self.standing, Standing::Undone | Standing::RestoredSince)
    }
}

/// Row 5, and its counterpart without a tail: what leaves rows as they are is never undone.
fn maintenance(pins: &[Placed]) -> Option<Judgement> {
    if !pins.iter().all(Placed::is_neutral) {
        return None;
    }
    let moved: Vec<_> = pins.iter().filter_map(show_head).collect();
    if !moved.is_empty() {
        let reason = format!("only maintenance lies above the pins: {}", tails(pins));
        return Some(Judgement::plain(Verdict::RollForward, reason).with_tables(moved));
    }
    pins.iter().any(Placed::is_shown).then(|| {
        Judgement::plain(Verdict::AlreadyPublished, "its maintenance is shown and nothing lies above it")
    })
}

/// Rows 6 to 11.
fn data(claim: &Claim, pins: &[Placed]) -> Judgement {
    let stands = |placed: &Placed, one: Standing| placed.standing == one;
    if pins.iter().any(|placed| matches!(placed.standing, Standing::Foreign(_))) {
        Judgement::plain(Verdict::Hold, first_reason(pins))
    } else if pins.is_empty() {
        Judgement::plain(Verdict::NothingToDo, "it names no table")
    } else if pins.iter().all(|placed| stands(placed, Standing::Complete)) {
        forward(claim, pins, format!("every commit is complete: {}", tails(pins)))
    } else if pins.iter().all(Placed::is_idle) {
        nothing_to_do(claim, pins)
    } else if pins.iter().all(Placed::is_shown) {
        published(claim, pins)
    } else if pins.iter().all(|placed| placed.is_idle() || stands(placed, Standing::RestoredSince)) {
        Judgement::plain(Verdict::RolledBackSince, "a later restore went below its commits")
    } else if pins.iter().any(Placed::is_shown) {
        half_shown(claim, pins)
    } else if pins.iter().all(Placed::is_undone) {
        let reason = "every table that moved was restored to what the graph shows";
        Judgement::plain(Verdict::AlreadyUndone, reason)
            .with_tables(pins.iter().filter_map(show_undone).collect())
    } else {
        back(pins, first_reason(pins))
    }
}

/// The ordinary grace is enough where the sidecar itself does harm (the engine cannot write beside it), and where a writer
/// that wakes up later can only leave maintenance, which is shown whenever it is found.
fn nothing_to_do(claim: &Claim, pins: &[Placed]) -> Judgement {
    let missing = pins.iter().find_map(|placed| match &placed.standing {
        Standing::Missing(what) => Some(format!("no table moved, and {what}")),
        _ => None,
    });
    let ordinary_grace = missing.is_some() || claim.sidecar.kind.is_maintenance();
    let reason = missing.unwrap_or_else(|| "no table moved".into());
    Judgement { ordinary_grace, ..Judgement::plain(Verdict::NothingToDo, reason) }
}

/// Row 7. A merge is published only with the tables that its sidecar does not name; an engine may have shown the others
/// alone, and a record of the whole would then hide what is missing from every later merge.
fn published(claim: &Claim, pins: &[Placed]) -> Judgement {
    let shown = "the graph shows its commit on every table";
    match &claim.merge {
        Some(MergeSeen::Completable(switches)) if !switches.is_empty() => {
            forward(claim, pins, format!("{shown}, but not yet what the merge takes over"))
        }
        Some(MergeSeen::NotCompletable(why) | MergeSeen::Unknown(why)) => Judgement::plain(
            Verdict::Hold,
            format!("{shown}, but the rest of the merge cannot be told: {why}"),
        ),
        _ => Judgement::plain(Verdict::AlreadyPublished, shown),
    }
}

/// Row 9. Where every shown commit names the operation and all the others are complete, showing them makes the commit
/// whole. Without that proof a shown commit may be another writer's, and going forward would show half of this one.
fn half_shown(claim: &Claim, pins: &[Placed]) -> Judgement {
    let proven = |placed: &Placed| {
        placed.is_shown()
            && placed.lineage.is_some_and(|lineage| is_proven(&claim.sidecar, placed.pin, lineage))
    };
    let whole = pins.iter().all(|placed| placed.standing == Standing::Complete || proven(placed));
    if whole && claim.sidecar.kind != WriterKind::BranchMerge {
        let reason = format!("some tables are shown already, the others are complete: {}", tails(pins));
        return forward(claim, pins, reason);
    }
    let side = |shown: bool| {
        let tables = pins.iter().filter(|placed| placed.is_shown() == shown);
        tables.map(|placed| placed.pin.table.to_string()).collect::<Vec<_>>().join(", ")
    };
    let reason =
        format!("the graph shows what may be its commit on {} but not on {}", side(true), side(false));
    Judgement::plain(Verdict::Hold, reason)
}

fn forward(claim: &Claim, pins: &[Placed], reason: String) -> Judgement {
    let mut tables: Vec<_> = pins.iter().filter_map(show_head).collect();
    match &claim.merge {
        Some(MergeSeen::NotCompletable(why)) => {
            return back(pins, format!("the merge cannot be completed: {why}"));
        }
        Some(MergeSeen::Unknown(why)) => {
            return Judgement::plain(Verdict::Hold, format!("the rest of the merge cannot be told: {why}"));
        }
        Some(MergeSeen::Completable(switches)) => tables.extend(switches.iter().map(|switch| TablePlan {
            at: TableRef { table: switch.table.clone(), branch: switch.branch.clone() },
            pin: switch.from,
            pin_branch: claim.sidecar.branch.clone(),
            work: TableWork::Show { to: switch.to },
        })),
        None if claim.sidecar.kind == WriterKind::BranchMerge => {
            return Judgement::plain(Verdict::Hold, "what else the merge would have shown was not observed");
        }
        None => {}
    }
    Judgement::plain(Verdict::RollForward, reason).with_tables(tables)
}

/// Row 10. Tables that had not moved are restored too, to the content they have: a commit that the writer has staged on the
/// old head is then refused by Lance.
fn back(pins: &[Placed], reason: String) -> Judgement {
    let tables = pins.iter().filter_map(restore).collect();
    Judgement::plain(Verdict::RollBack, reason).with_tables(tables)
}

fn plan(placed: &Placed, work: impl FnOnce(&Lineage) -> Option<TableWork>) -> Option<TablePlan> {
    let lineage = placed.lineage?;
    Some(TablePlan {
        at: TableRef { table: placed.pin.table.clone(), branch: placed.pin.branch.clone() },
        pin: lineage.pin,
        pin_branch: lineage.pin_branch.clone(),
        work: work(lineage)?,
    })
}

/// Shows the newest version where it is the claim's to show: its own commit, or the rows that are shown already.
pub(super) fn show_head(placed: &Placed) -> Option<TablePlan> {
    if placed.standing != Standing::Complete && !placed.is_neutral() {
        return None;
    }
    plan(placed, |lineage| (lineage.head > lineage.pin).then_some(TableWork::Show { to: lineage.head }))
}

fn show_undone(placed: &Placed) -> Option<TablePlan> {
    if placed.standing != Standing::Undone && !placed.is_neutral() {
        return None;
    }
    plan(placed, |lineage| {
        (lineage.head > lineage.pin).then_some(TableWork::ShowUndone { head: lineage.head })
    })
}

pub(super) fn restore(placed: &Placed) -> Option<TablePlan> {
    match placed.standing {
        Standing::Undone => show_undone(placed),
        _ => plan(placed, |lineage| Some(TableWork::Restore { head: lineage.head })),
    }
}

/// The reason of the first pin that has one, else what the tails are.
fn first_reason(pins: &[Placed]) -> String {
    let stated = pins.iter().find_map(|placed| match &placed.standing {
        Standing::Foreign(why) => Some(why.clone()),
        _ => None,
    });
    let stated = stated.or_else(|| {
        pins.iter().find_map(|placed| match &placed.standing {
            Standing::Own(why) | Standing::StaleUndo(why) => Some(why.clone()),
            _ => None,
        })
    });
    stated.unwrap_or_else(|| {
        let idle = pins.iter().filter(|placed| placed.is_idle());
        let idle: Vec<_> = idle.map(|placed| placed.pin.table.to_string()).collect();
        match idle.is_empty() {
            true => format!("its tables are undone in part: {}", tails(pins)),
            false => format!("only some tables moved: {}; not {}", tails(pins), idle.join(", ")),
        }
    })
}

pub(super) fn tails(pins: &[Placed]) -> String {
    let one = |placed: &Placed| {
        let lineage = placed.lineage.filter(|lineage| !lineage.tail().is_empty())?;
        Some(format!("{} {}", placed.pin.table, describe(lineage.tail())))
    };
    pins.iter().filter_map(one).collect::<Vec<_>>().join("; ")
}
