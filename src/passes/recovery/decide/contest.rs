//! Claims that share a table. On graph dialects a commit does not say whose it is, so a claim is only rolled forward if it
//! is complete *however* the commits are dealt out; otherwise all that may have written them are undone in a window.
//!
//! A claim has a *stake* in a tail if it may have committed some of its data. Claims whose stakes meet are judged together.
//! The others are judged by what the graph shows and leave that tail alone. Where commits name their operation a stake is proof,
//! and whoever only names a table with another's commit leaves it alone, too.

use super::super::observation::{BranchSeen, Claim, Component, TableRef, TableSeen};
use super::dealing::{Claimant, Flaw, deal, names};
use super::judge::{Placed, judge, obstacle, place, restore};
use super::schema::SchemaWork;
use super::standing::Standing;
use super::{Judgement, TablePlan};
use crate::model::audit::Verdict;
use crate::model::sidecar::WriterKind;
use std::collections::{BTreeMap, BTreeSet};

/// Indices into the component's claims, and what is right for them together.
pub type Resolved = (Vec<usize>, Judgement);

/// Judges every claim, those whose stakes meet together.
pub fn resolve(component: &Component) -> Vec<Resolved> {
    let stakes = stakes(component);
    let mut resolved: Vec<Resolved> = Vec::new();
    // Tails whose authors are held, with the reason.
    let mut held: BTreeMap<&TableRef, String> = BTreeMap::new();
    for group in groups(component, &stakes) {
        let claims: Vec<&Claim> = group.iter().map(|index| &component.claims[*index]).collect();
        let judgement = together(component, &claims, &of_others(component, &group, &stakes));
        if judgement.verdict == Verdict::Hold {
            let of_group = stakes.iter().filter(|(_, owners)| group.iter().any(|one| owners.contains(one)));
            held.extend(of_group.map(|(at, _)| (at, judgement.reason.clone())));
        }
        resolved.push((group, judgement));
    }
    let staked: BTreeSet<usize> = stakes.values().flatten().copied().collect();
    for (index, claim) in component.claims.iter().enumerate().filter(|(index, _)| !staked.contains(index)) {
        let elsewhere: BTreeSet<TableRef> = stakes.keys().filter(|at| names(claim, at)).cloned().collect();
        let waits_for = elsewhere.iter().find_map(|at| held.get(at)).filter(|_| is_open(claim));
        let judgement = match waits_for {
            Some(why) => Judgement::plain(Verdict::Hold, why.clone()),
            None => judge(component, claim, &elsewhere),
        };
        resolved.push((vec![index], judgement));
    }
    resolved.sort_by_key(|(claims, _)| claims.first().copied());
    resolved
}

/// Settled claims (a marker) and claims of gone branches explain nothing in a tail.
fn is_open(claim: &Claim) -> bool {
    claim.marker.is_none() && matches!(claim.branch, BranchSeen::Live | BranchSeen::Unusable(_))
}

/// For every tail with data that some claim may have committed: those claims.
fn stakes(component: &Component) -> BTreeMap<TableRef, BTreeSet<usize>> {
    let owners = |(at, seen): (&TableRef, &TableSeen)| {
        let TableSeen::Present(lineage) = seen else { return None };
        let has_stake = |claim: &Claim| {
            let claimant = Claimant::of(claim, at, lineage).filter(|_| is_open(claim));
            claimant.is_some_and(|claimant| !claimant.own.is_empty())
        };
        let claims = component.claims.iter().enumerate().filter(|(_, claim)| has_stake(claim));
        let owners: BTreeSet<usize> = claims.map(|(index, _)| index).collect();
        (!owners.is_empty()).then(|| (at.clone(), owners))
    };
    component.tables.iter().filter_map(owners).collect()
}

/// The tails that belong to others than this group for certain.
fn of_others(
    component: &Component,
    group: &[usize],
    stakes: &BTreeMap<TableRef, BTreeSet<usize>>,
) -> BTreeSet<TableRef> {
    let proven = group.iter().all(|index| component.claims[*index].sidecar.names_commits);
    let foreign = |owners: &BTreeSet<usize>| proven && group.iter().all(|index| !owners.contains(index));
    stakes.iter().filter(|(_, owners)| foreign(owners)).map(|(at, _)| at.clone()).collect()
}

/// The claims that have a stake, sorted into groups: two are in one group if they name the same such tail; where commits name
/// their operation, if both have committed to it.
fn groups(component: &Component, stakes: &BTreeMap<TableRef, BTreeSet<usize>>) -> Vec<Vec<usize>> {
    let staked: BTreeSet<usize> = stakes.values().flatten().copied().collect();
    let mut groups: Vec<BTreeSet<usize>> = Vec::new();
    for at in stakes.keys() {
        let concerns = |index: &usize| {
            let claim = &component.claims[*index];
            if claim.sidecar.names_commits { stakes[at].contains(index) } else { names(claim, at) }
        };
        let mut linked: BTreeSet<usize> = staked.iter().copied().filter(concerns).collect();
        groups.retain(|group| {
            let apart = group.is_disjoint(&linked);
            if !apart {
                linked.extend(group);
            }
            apart
        });
        groups.push(linked);
    }
    groups.into_iter().map(|group| group.into_iter().collect()).collect()
}

/// Claims whose stakes meet: all forward, or all back, or held. What lies above the pins of `elsewhere` is others'.
fn together(component: &Component, claims: &[&Claim], elsewhere: &BTreeSet<TableRef>) -> Judgement {
    let alone: Vec<Judgement> = claims.iter().map(|claim| judge(component, claim, elsewhere)).collect();
    if let [only] = &alone[..] {
        return only.clone();
    }
    let placed: Vec<Vec<Placed>> = claims.iter().map(|claim| place(component, claim, elsewhere)).collect();
    if let Some(why) = claims.iter().zip(&placed).find_map(|(claim, pins)| obstacle(claim, pins)) {
        return Judgement::plain(Verdict::Hold, why);
    }
    if alone.iter().all(|judgement| judgement.verdict == Verdict::AlreadyUndone) {
        let reason = alone[0].reason.clone();
        let tables = once_each(alone.into_iter().flat_map(|judgement| judgement.tables));
        return Judgement::plain(Verdict::AlreadyUndone, reason).with_tables(tables);
    }
    match deal(component, claims) {
        Err(Flaw::Unexplained(why)) => Judgement::plain(Verdict::Hold, why),
        Ok(tables) => {
            let reason = format!("{} operations share tables and each of them is complete", claims.len());
            Judgement::plain(Verdict::RollForward, reason).with_tables(tables)
        }
        Err(Flaw::Incomplete(why)) => {
            let shown = claims.iter().zip(&placed).flat_map(|(claim, pins)| {
                // A shown schema needs its files whatever lies above its tables.
                let schema = claim.sidecar.kind == WriterKind::SchemaApply;
                let stays = move |one: &&Placed| one.standing == Standing::Shown || schema && one.shown_below;
                pins.iter().filter(stays)
            });
            if let Some(shown) = shown.map(|placed| &placed.pin.table).next() {
                let why = format!("{why}, and the graph shows what may be its commit on {shown}");
                return Judgement::plain(Verdict::Hold, why);
            }
            Judgement {
                schema: undo_schema(claims),
                tables: once_each(placed.iter().flatten().filter_map(restore)),
                ..Judgement::plain(Verdict::RollBack, why)
            }
        }
    }
}

fn once_each(plans: impl IntoIterator<Item = TablePlan>) -> Vec<TablePlan> {
    let by_table: BTreeMap<TableRef, TablePlan> =
        plans.into_iter().map(|plan| (plan.at.clone(), plan)).collect();
    by_table.into_values().collect()
}

/// What undoes the schema changes among these claims.
fn undo_schema(claims: &[&Claim]) -> Option<SchemaWork> {
    let works = claims.iter().filter_map(|claim| Some(SchemaWork::undoing(claim, claim.schema.as_ref()?)));
    works.reduce(|mut all, one| {
        // Of several schema changes none owns files or lock (`observe::schema`); the datasets are each one's own.
        all.remove_datasets.extend(one.remove_datasets);
        all.made_before = all.made_before.into_iter().chain(one.made_before).min();
        all
    })
}
