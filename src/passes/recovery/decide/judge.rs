//! One claim on its own: the decision table, first match wins.

use super::super::observation::{
    BranchSeen, Claim, Component, Lineage, MergeSeen, Origin, TableRef, TableSeen,
};
use super::standing::{Standing, lands_elsewhere, standing};
use super::{Judgement, TablePlan, TableWork, schema};
use crate::model::audit::Verdict;
use crate::model::history::describe;
use crate::model::sidecar::{Pin, WriterKind};

/// A pin with where it stands.
pub(super) struct Placed<'a> {
    pub pin: &'a Pin,
    pub lineage: Option<&'a Lineage>,
    pub standing: Standing,
}

/// Judges one claim as if no other claim shared its tables.
pub fn judge(component: &Component, claim: &Claim) -> Judgement {
    if let Some(marker) = &claim.marker {
        return Judgement::plain(
            Verdict::Finish,
            format!("its {} is published already", marker.verdict.as_str()),
        );
    }
    match &claim.branch {
        BranchSeen::Unusable(why) => return Judgement::plain(Verdict::Hold, why.clone()),
        BranchSeen::Gone => {
            return Judgement::plain(
                Verdict::DiscardOrphan,
                format!("branch {} is gone", claim.sidecar.branch),
            );
        }
        BranchSeen::Younger => {
            let reason = format!("branch {} was created after this sidecar", claim.sidecar.branch);
            return Judgement::plain(Verdict::DiscardOrphan, reason);
        }
        BranchSeen::Live => {}
    }
    if let Some(pin) = lands_elsewhere(&claim.sidecar) {
        let reason = format!(
            "{} would land on branch {} of a commit to {}",
            pin.table, pin.branch, claim.sidecar.branch
        );
        return Judgement::plain(Verdict::Hold, reason);
    }
    let pins = place(component, claim);
    if let Some(why) = pins.iter().find_map(|placed| unknown(&placed.standing)) {
        return Judgement::plain(Verdict::Hold, why);
    }
    match claim.sidecar.kind {
        WriterKind::SchemaApply => schema::judge(claim, &pins),
        kind if kind.is_maintenance() => maintenance(&pins).unwrap_or_else(|| data(claim, &pins)),
        _ => data(claim, &pins),
    }
}

pub(super) fn place<'a>(component: &'a Component, claim: &'a Claim) -> Vec<Placed<'a>> {
    let placed = |pin: &'a Pin| {
        let seen = component.lineage_of(pin);
        let lineage = match seen {
            Some(TableSeen::Present(lineage)) => Some(lineage),
            _ => None,
        };
        Placed { pin, lineage, standing: standing(&claim.sidecar, pin, seen) }
    };
    claim.sidecar.pins.iter().map(placed).collect()
}

fn unknown(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Unknown(why) => Some(why.clone()),
        _ => None,
    }
}

/// Row 5, and its counterpart without a tail: what leaves rows as they are is never undone.
fn maintenance(pins: &[Placed]) -> Option<Judgement> {
    let neutral = |placed: &Placed| {
        placed.lineage.is_none_or(|lineage| lineage.tail().iter().all(|step| step.kind.is_neutral()))
    };
    if !pins.iter().all(neutral) {
        return None;
    }
    let moved: Vec<_> = pins.iter().filter_map(show_head).collect();
    if !moved.is_empty() {
        let reason = format!("only maintenance lies above the pins: {}", tails(pins));
        return Some(Judgement::plain(Verdict::RollForward, reason).with_tables(moved));
    }
    let shown = pins.iter().any(|placed| placed.standing == Standing::Shown);
    shown.then(|| {
        Judgement::plain(Verdict::AlreadyPublished, "its maintenance is shown and nothing lies above it")
    })
}

/// Rows 6 to 11.
fn data(claim: &Claim, pins: &[Placed]) -> Judgement {
    let all = |wanted: fn(&Standing) -> bool| pins.iter().all(|placed| wanted(&placed.standing));
    let any = |wanted: fn(&Standing) -> bool| pins.iter().any(|placed| wanted(&placed.standing));
    let idle = |standing: &Standing| {
        matches!(standing, Standing::Unmoved | Standing::Missing(_) | Standing::Neutral)
    };
    let gone = |standing: &Standing| {
        matches!(
            standing,
            Standing::Unmoved | Standing::Missing(_) | Standing::Neutral | Standing::RestoredSince
        )
    };
    if any(|standing| matches!(standing, Standing::Foreign(_))) {
        return Judgement::plain(Verdict::Hold, first_reason(pins));
    }
    if all(idle) {
        return nothing_to_do(pins);
    }
    if all(|standing| *standing == Standing::Complete) {
        return forward(claim, pins, format!("every commit is complete: {}", tails(pins)));
    }
    if all(|standing| *standing == Standing::Shown) {
        return Judgement::plain(Verdict::AlreadyPublished, "the graph shows its commit on every table");
    }
    if all(gone) {
        return Judgement::plain(Verdict::RolledBackSince, "a later restore went below its commits");
    }
    if any(|standing| *standing == Standing::Shown) {
        return half_shown(claim, pins);
    }
    if pins.iter().all(|placed| placed.standing == Standing::Undone || gone(&placed.standing)) {
        let tables = pins.iter().filter_map(show_undone).collect();
        return Judgement::plain(
            Verdict::AlreadyUndone,
            "every table that moved was restored to what the graph shows",
        )
        .with_tables(tables);
    }
    back(pins, first_reason(pins))
}

fn nothing_to_do(pins: &[Placed]) -> Judgement {
    let missing = pins.iter().find_map(|placed| match &placed.standing {
        Standing::Missing(what) => Some(format!("no table moved, and {what}")),
        _ => None,
    });
    let blocks_writers = missing.is_some();
    let reason = missing.unwrap_or_else(|| "no table moved".into());
    Judgement { blocks_writers, ..Judgement::plain(Verdict::NothingToDo, reason) }
}

/// Some tables of the commit were shown by somebody else. If all the others are complete, showing them makes the commit
/// whole; otherwise neither direction does.
fn half_shown(claim: &Claim, pins: &[Placed]) -> Judgement {
    let whole = pins.iter().all(|placed| matches!(placed.standing, Standing::Shown | Standing::Complete));
    if whole && claim.sidecar.kind != WriterKind::BranchMerge {
        return forward(
            claim,
            pins,
            format!("some tables are shown already, the others are complete: {}", tails(pins)),
        );
    }
    let side = |shown: bool| {
        let tables = pins.iter().filter(|placed| (placed.standing == Standing::Shown) == shown);
        tables.map(|placed| placed.pin.table.to_string()).collect::<Vec<_>>().join(", ")
    };
    let reason = format!("the graph shows its commit on {} but not on {}", side(true), side(false));
    Judgement::plain(Verdict::Hold, reason)
}

fn forward(claim: &Claim, pins: &[Placed], reason: String) -> Judgement {
    let mut tables: Vec<_> = pins.iter().filter_map(show_head).collect();
    match &claim.merge {
        Some(MergeSeen::NotCompletable(why)) => {
            return back(pins, format!("the merge cannot be completed: {why}"));
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

fn show_head(placed: &Placed) -> Option<TablePlan> {
    plan(placed, |lineage| (lineage.head > lineage.pin).then_some(TableWork::Show { to: lineage.head }))
}

fn show_undone(placed: &Placed) -> Option<TablePlan> {
    plan(placed, |lineage| {
        (lineage.head > lineage.pin).then_some(TableWork::ShowUndone { head: lineage.head })
    })
}

pub(super) fn restore(placed: &Placed) -> Option<TablePlan> {
    if placed.standing == Standing::Undone {
        return show_undone(placed);
    }
    plan(placed, |lineage| Some(TableWork::Restore { head: lineage.head }))
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
        let idle =
            pins.iter().filter(|placed| matches!(placed.standing, Standing::Unmoved | Standing::Missing(_)));
        let idle: Vec<_> = idle.map(|placed| placed.pin.table.to_string()).collect();
        format!("only some tables moved: {}; not {}", tails(pins), idle.join(", "))
    })
}

pub(super) fn tails(pins: &[Placed]) -> String {
    let one = |placed: &Placed| {
        let lineage = placed.lineage.filter(|lineage| !lineage.tail().is_empty())?;
        Some(format!("{} {}", placed.pin.table, describe(lineage.tail())))
    };
    pins.iter().filter_map(one).collect::<Vec<_>>().join("; ")
}

/// Whether the claim still has a sidecar file that its writer or an engine could act on.
pub fn has_file(claim: &Claim) -> bool {
    claim.origin == Origin::Sidecar
}
