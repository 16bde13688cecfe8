//! Claims that share a table. On graph dialects a commit does not say whose it is, so a claim is only rolled forward if it
//! is complete *however* the commits are dealt out; otherwise all that may have written them are undone in a window.
//!
//! A claim has a *stake* in a tail if it may have committed some of its data. Claims whose stakes meet are judged together.
//! The others are judged by what the graph shows and leave that tail alone.

use super::super::observation::{BranchSeen, Claim, Component, Lineage, TableRef, TableSeen};
use super::judge::{Placed, judge, obstacle, place, restore};
use super::schema::SchemaWork;
use super::standing::{Standing, after_restore, may_own};
use super::{Judgement, TablePlan, TableWork};
use crate::model::Version;
use crate::model::audit::Verdict;
use crate::model::history::{Step, describe};
use crate::model::sidecar::{Pin, WriterKind};
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
        let judgement = match group[..] {
            [alone] => judge(component, &component.claims[alone], &BTreeSet::new()),
            _ => {
                together(component, &group.iter().map(|index| &component.claims[*index]).collect::<Vec<_>>())
            }
        };
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

fn names(claim: &Claim, at: &TableRef) -> bool {
    pin_at(claim, at).is_some()
}

fn pin_at<'a>(claim: &'a Claim, at: &TableRef) -> Option<&'a Pin> {
    claim.sidecar.pins.iter().find(|pin| pin.table == at.table && pin.branch == at.branch)
}

fn may_have_made(claim: &Claim, at: &TableRef, step: &Step) -> bool {
    pin_at(claim, at).is_some_and(|pin| may_own(&claim.sidecar, pin, step))
}

/// For every tail with data that some claim may have committed: those claims.
fn stakes(component: &Component) -> BTreeMap<TableRef, BTreeSet<usize>> {
    let owners = |(at, seen): (&TableRef, &TableSeen)| {
        let TableSeen::Present(lineage) = seen else { return None };
        let claims = component.claims.iter().enumerate().filter(|(_, claim)| {
            is_open(claim) && lineage.tail().iter().any(|step| may_have_made(claim, at, step))
        });
        let owners: BTreeSet<usize> = claims.map(|(index, _)| index).collect();
        (!owners.is_empty()).then(|| (at.clone(), owners))
    };
    component.tables.iter().filter_map(owners).collect()
}

/// The claims that have a stake, sorted into groups: two are in one group if they name the same such tail.
fn groups(component: &Component, stakes: &BTreeMap<TableRef, BTreeSet<usize>>) -> Vec<Vec<usize>> {
    let staked: BTreeSet<usize> = stakes.values().flatten().copied().collect();
    let mut groups: Vec<BTreeSet<usize>> = Vec::new();
    for at in stakes.keys() {
        let mut linked: BTreeSet<usize> =
            staked.iter().copied().filter(|index| names(&component.claims[*index], at)).collect();
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

/// Claims whose stakes meet: all forward, or all back, or held.
fn together(component: &Component, claims: &[&Claim]) -> Judgement {
    let placed: Vec<Vec<Placed>> =
        claims.iter().map(|claim| place(component, claim, &BTreeSet::new())).collect();
    if let Some(why) = claims.iter().zip(&placed).find_map(|(claim, pins)| obstacle(claim, pins)) {
        return Judgement::plain(Verdict::Hold, why);
    }
    let alone: Vec<Judgement> =
        claims.iter().map(|claim| judge(component, claim, &BTreeSet::new())).collect();
    if alone.iter().all(|judgement| judgement.verdict == Verdict::AlreadyUndone) {
        let reason = alone[0].reason.clone();
        let tables = once_each(alone.into_iter().flat_map(|judgement| judgement.tables));
        return Judgement::plain(Verdict::AlreadyUndone, reason).with_tables(tables);
    }
    match deal(component, claims) {
        Dealing::Unexplained(why) => Judgement::plain(Verdict::Hold, why),
        Dealing::Complete(tables) => {
            let reason = format!("{} operations share tables and each of them is complete", claims.len());
            Judgement::plain(Verdict::RollForward, reason).with_tables(tables)
        }
        Dealing::Incomplete(why) => {
            let pins = || placed.iter().flatten();
            if let Some(shown) = pins().find(|placed| placed.standing == Standing::Shown) {
                let why = format!("{why}, and the graph shows what may be its commit on {}", shown.pin.table);
                return Judgement::plain(Verdict::Hold, why);
            }
            Judgement {
                schema: undo_schema(claims),
                tables: once_each(pins().filter_map(restore)),
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
        // Files and lock are the graph's, the same for all; the datasets are each one's own.
        all.remove_datasets.extend(one.remove_datasets);
        all
    })
}

/// How the commits in the tails can be dealt out to the claims.
enum Dealing {
    /// In every possible way each claim has its commit on each of its tables; these tables are to be shown.
    Complete(Vec<TablePlan>),
    /// In some way a claim goes without.
    Incomplete(String),
    /// In no way are all commits explained.
    Unexplained(String),
}

fn deal(component: &Component, claims: &[&Claim]) -> Dealing {
    let at = |pin: &Pin| TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
    let lineages: BTreeSet<TableRef> =
        claims.iter().flat_map(|claim| claim.sidecar.pins.iter().map(at)).collect();
    let mut tables = Vec::new();
    let mut incomplete = None;
    for at in lineages {
        let claimants: Vec<&Claim> = claims.iter().copied().filter(|claim| names(claim, &at)).collect();
        let Some(TableSeen::Present(lineage)) = component.tables.get(&at) else {
            incomplete.get_or_insert(format!("{} is not there", at.table));
            continue;
        };
        match deal_table(&at, lineage, &claimants) {
            Deal::Unexplained(why) => return Dealing::Unexplained(why),
            Deal::Short(why) => {
                incomplete.get_or_insert(why);
            }
            Deal::Sure => {
                let work = TableWork::Show { to: lineage.head };
                let pin_branch = lineage.pin_branch.clone();
                tables.push(TablePlan { at, pin: lineage.pin, pin_branch, work });
            }
        }
    }
    incomplete.map_or(Dealing::Complete(tables), Dealing::Incomplete)
}

enum Deal {
    Sure,
    Short(String),
    Unexplained(String),
}

/// One table: every data commit needs a claimant of its own, and every claimant must come out with a commit.
fn deal_table(at: &TableRef, lineage: &Lineage, claimants: &[&Claim]) -> Deal {
    let table = &at.table;
    let restored = after_restore(lineage.tail());
    let tail = restored.map_or(lineage.tail(), |(_, rest)| rest);
    let commits: Vec<&Step> = tail.iter().filter(|step| !step.kind.is_neutral()).collect();
    let makers: Vec<Vec<usize>> = commits
        .iter()
        .map(|step| (0..claimants.len()).filter(|one| may_have_made(claimants[*one], at, step)).collect())
        .collect();
    let takes_many: Vec<bool> = claimants.iter().map(|claim| commits_often(claim, at)).collect();
    if !can_deal(&makers, &takes_many, None) {
        let found = describe(tail);
        return Deal::Unexplained(format!("{table} has commits that its operations do not explain: {found}"));
    }
    if restored.is_some() {
        return Deal::Short(format!("{table} was restored in part: {}", describe(lineage.tail())));
    }
    let began_elsewhere =
        |claim: &&Claim| pin_at(claim, at).is_none_or(|claim_pin| claim_pin.expected != lineage.pin);
    if let Some(claim) = claimants.iter().copied().find(began_elsewhere) {
        return Deal::Short(format!("operation {} began at another version of {table}", claim.operation()));
    }
    // What commits often, or is complete only by its own rule, is complete alone or not at all.
    if let Some(claim) = claimants.iter().find(|claim| {
        commits_often(claim, at)
            || matches!(claim.sidecar.kind, WriterKind::SchemaApply | WriterKind::BranchMerge)
    }) {
        return Deal::Short(format!(
            "the commits of operation {} on {table} cannot be told",
            claim.operation()
        ));
    }
    match (0..claimants.len()).find(|one| can_deal(&makers, &takes_many, Some(*one))) {
        Some(without) => {
            Deal::Short(format!("operation {} may have no commit on {table}", claimants[without].operation()))
        }
        None => Deal::Sure,
    }
}

/// Whether a claim may have several data commits on a table.
fn commits_often(claim: &Claim, at: &TableRef) -> bool {
    let promised = |pin: &Pin| pin.post_commit > Version(pin.expected.0 + 1);
    claim.sidecar.kind == WriterKind::BranchMerge || pin_at(claim, at).is_some_and(promised)
}

/// Whether every commit can have a maker, none making two unless it takes many, with one claimant left out. Augmenting
/// paths: tails are short.
fn can_deal(makers: &[Vec<usize>], takes_many: &[bool], left_out: Option<usize>) -> bool {
    fn give(
        commit: usize,
        makers: &[Vec<usize>],
        takes_many: &[bool],
        tried: &mut BTreeSet<usize>,
        owner: &mut BTreeMap<usize, usize>,
    ) -> bool {
        for &maker in &makers[commit] {
            if !tried.insert(maker) {
                continue;
            }
            let free = takes_many[maker]
                || match owner.get(&maker).copied() {
                    None => true,
                    Some(other) => give(other, makers, takes_many, tried, owner),
                };
            if free {
                owner.insert(maker, commit);
                return true;
            }
        }
        false
    }
    let mut owner = BTreeMap::new();
    (0..makers.len()).all(|commit| {
        let mut tried: BTreeSet<usize> = left_out.into_iter().collect();
        give(commit, makers, takes_many, &mut tried, &mut owner)
    })
}
