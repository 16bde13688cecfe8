//! Claims that share a table. On graph dialects a commit does not say whose it is, so a claim is only rolled forward if it
//! is complete *however* the commits are dealt out; otherwise the whole component is undone in a window.

use super::super::observation::{BranchSeen, Claim, Component, TableRef, TableSeen};
use super::judge::{judge, place, restore};
use super::standing::{Standing, fits};
use super::{Judgement, TablePlan, TableWork};
use crate::model::Version;
use crate::model::audit::Verdict;
use crate::model::history::{Step, StepKind, describe};
use crate::model::sidecar::WriterKind;
use std::collections::{BTreeMap, BTreeSet};

/// Indices into the component's claims, and what is right for them together.
pub type Resolved = (Vec<usize>, Judgement);

/// Judges every claim; those whose tails meet on a table are judged together.
pub fn resolve(component: &Component) -> Vec<Resolved> {
    let alone: Vec<_> = component.claims.iter().map(|claim| judge(component, claim)).collect();
    let contested = contested(component, &alone);
    let mut resolved: Vec<Resolved> = Vec::new();
    if !contested.is_empty() {
        resolved.extend(together(component, &contested));
    }
    let rest = alone.into_iter().enumerate().filter(|(index, _)| !contested.contains(index));
    resolved.extend(rest.map(|(index, judgement)| (vec![index], judgement)));
    resolved.sort_by_key(|(claims, _)| claims.first().copied());
    resolved
}

/// Claims whose judgement on their own would read a tail that another unsettled claim may have written.
///
/// Settled claims (a marker) and claims of gone branches explain nothing in a tail. A tail of maintenance alone needs no
/// author: whoever shows it changes no row.
fn contested(component: &Component, alone: &[Judgement]) -> BTreeSet<usize> {
    let open = |index: &usize| !matches!(alone[*index].verdict, Verdict::Finish | Verdict::DiscardOrphan);
    let mut contested = BTreeSet::new();
    for (at, seen) in &component.tables {
        let TableSeen::Present(lineage) = seen else { continue };
        if lineage.tail().iter().all(|step| step.kind.is_neutral()) {
            continue;
        }
        let claimants: Vec<usize> = (0..component.claims.len())
            .filter(open)
            .filter(|index| names(&component.claims[*index], at))
            .collect();
        if claimants.len() > 1 {
            contested.extend(claimants);
        }
    }
    spread(component, contested)
}

/// Whoever shares a table with a contested claim is contested too.
fn spread(component: &Component, mut contested: BTreeSet<usize>) -> BTreeSet<usize> {
    if contested.is_empty() {
        return contested;
    }
    loop {
        let tables: BTreeSet<TableRef> =
            contested.iter().flat_map(|index| refs(&component.claims[*index])).collect();
        let more: BTreeSet<usize> = (0..component.claims.len())
            .filter(|index| component.claims[*index].marker.is_none())
            .filter(|index| refs(&component.claims[*index]).any(|at| tables.contains(&at)))
            .collect();
        if more.is_subset(&contested) {
            return contested;
        }
        contested.extend(more);
    }
}

fn refs(claim: &Claim) -> impl Iterator<Item = TableRef> {
    let at =
        |(table, branch): (&_, &_)| TableRef { table: Clone::clone(table), branch: Clone::clone(branch) };
    claim.sidecar.tables().map(at)
}

fn names(claim: &Claim, at: &TableRef) -> bool {
    claim.sidecar.pins.iter().any(|pin| pin.table == at.table && pin.branch == at.branch)
}

/// Contested claims: all forward, or all back, or held.
fn together(component: &Component, claims: &BTreeSet<usize>) -> Vec<Resolved> {
    let members: Vec<usize> = claims.iter().copied().collect();
    if let Some(hold) = members.iter().find_map(|index| unknown_about(component, &component.claims[*index])) {
        return vec![(members, Judgement::plain(Verdict::Hold, hold))];
    }
    match dealt(component, &members) {
        Dealing::Complete(tables) => {
            let reason = format!("{} operations share tables and each of them is complete", members.len());
            vec![(members, Judgement::plain(Verdict::RollForward, reason).with_tables(tables))]
        }
        Dealing::Incomplete(why) => {
            let tables = undo_all(component, &members);
            vec![(members, Judgement::plain(Verdict::RollBack, why).with_tables(tables))]
        }
        Dealing::Unexplained(why) => vec![(members, Judgement::plain(Verdict::Hold, why))],
    }
}

/// What no company changes: something unknown about a claim's branch or tables.
fn unknown_about(component: &Component, claim: &Claim) -> Option<String> {
    let unknown = place(component, claim).into_iter().find_map(|placed| match placed.standing {
        Standing::Unknown(why) => Some(why),
        _ => None,
    });
    unknown.or_else(|| match &claim.branch {
        BranchSeen::Unusable(why) => Some(why.clone()),
        _ => None,
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

fn dealt(component: &Component, members: &[usize]) -> Dealing {
    let mut plans: BTreeMap<TableRef, TablePlan> = BTreeMap::new();
    let mut incomplete = None;
    let lineages: BTreeSet<TableRef> =
        members.iter().flat_map(|index| refs(&component.claims[*index])).collect();
    for at in lineages {
        let claimants: Vec<&Claim> =
            members.iter().map(|index| &component.claims[*index]).filter(|claim| names(claim, &at)).collect();
        let Some(TableSeen::Present(lineage)) = component.tables.get(&at) else {
            incomplete.get_or_insert(format!("{} is not there", at.table));
            continue;
        };
        match deal_table(&at, lineage.tail(), lineage.pin, &claimants) {
            Deal::Unexplained(why) => return Dealing::Unexplained(why),
            Deal::Short(why) => {
                incomplete.get_or_insert(why);
            }
            Deal::Sure => {
                plans.insert(
                    at.clone(),
                    TablePlan {
                        at,
                        pin: lineage.pin,
                        pin_branch: lineage.pin_branch.clone(),
                        work: TableWork::Show { to: lineage.head },
                    },
                );
            }
        }
    }
    match incomplete {
        Some(why) => Dealing::Incomplete(why),
        None => Dealing::Complete(plans.into_values().collect()),
    }
}

enum Deal {
    Sure,
    Short(String),
    Unexplained(String),
}

/// One table: every data commit needs a claimant of its own, and every claimant must come out with a commit.
fn deal_table(at: &TableRef, tail: &[Step], pin: Version, claimants: &[&Claim]) -> Deal {
    let table = &at.table;
    if tail.iter().any(|step| matches!(step.kind, StepKind::Restore(_))) {
        return Deal::Short(format!("{table} was restored in part: {}", describe(tail)));
    }
    if let Some(step) = tail.iter().find(|step| matches!(step.kind, StepKind::Other(_))) {
        return Deal::Unexplained(format!(
            "{table} has a commit that nothing explains: {} {}",
            step.version,
            step.kind.name()
        ));
    }
    // Schema changes and merges make several commits or read the whole graph: they are complete alone or not at all.
    if claimants.iter().any(|claim| !deals_in_single_commits(claim)) {
        return Deal::Short(format!("{table} is claimed by operations that cannot be told apart"));
    }
    let commits: Vec<&Step> = tail.iter().filter(|step| step.kind.is_data()).collect();
    let writers: Vec<&&Claim> =
        claimants.iter().filter(|claim| !claim.sidecar.kind.is_maintenance()).collect();
    let may = |commit: &Step, claim: &Claim| {
        let claim_pin = claim.sidecar.pins.iter().find(|claim_pin| claim_pin.table == *table);
        fits(claim.sidecar.kind, &commit.kind)
            && claim_pin.is_some_and(|claim_pin| commit.read_version <= claim_pin.expected)
            && commit.operation.as_deref().is_none_or(|named| named == claim.operation().as_str())
    };
    let edges: Vec<Vec<usize>> = commits
        .iter()
        .map(|commit| (0..writers.len()).filter(|writer| may(commit, writers[*writer])).collect())
        .collect();
    if !can_deal(&edges, None) {
        return Deal::Unexplained(format!(
            "{table} has more commits than its operations explain: {}",
            describe(tail)
        ));
    }
    let began_here = |claim: &&&Claim| {
        claim.sidecar.pins.iter().any(|claim_pin| claim_pin.table == *table && claim_pin.expected == pin)
    };
    if let Some(claim) = writers.iter().find(|claim| !began_here(claim)) {
        return Deal::Short(format!("operation {} began at another version of {table}", claim.operation()));
    }
    match (0..writers.len()).find(|writer| can_deal(&edges, Some(*writer))) {
        Some(without) => {
            Deal::Short(format!("operation {} may have no commit on {table}", writers[without].operation()))
        }
        None => Deal::Sure,
    }
}

fn deals_in_single_commits(claim: &Claim) -> bool {
    !matches!(claim.sidecar.kind, WriterKind::SchemaApply | WriterKind::BranchMerge)
}

/// Whether every commit can have a claimant of its own, with one claimant left out. Augmenting paths: tails are short.
fn can_deal(edges: &[Vec<usize>], left_out: Option<usize>) -> bool {
    fn give(
        commit: usize,
        edges: &[Vec<usize>],
        left_out: Option<usize>,
        tried: &mut BTreeSet<usize>,
        owner: &mut BTreeMap<usize, usize>,
    ) -> bool {
        for &writer in &edges[commit] {
            if Some(writer) == left_out || !tried.insert(writer) {
                continue;
            }
            let free = match owner.get(&writer).copied() {
                None => true,
                Some(other) => give(other, edges, left_out, tried, owner),
            };
            if free {
                owner.insert(writer, commit);
                return true;
            }
        }
        false
    }
    let mut owner = BTreeMap::new();
    (0..edges.len()).all(|commit| give(commit, edges, left_out, &mut BTreeSet::new(), &mut owner))
}

/// The undoing of every table that a contested claim names, each once.
fn undo_all(component: &Component, members: &[usize]) -> Vec<TablePlan> {
    let mut tables = BTreeMap::new();
    for index in members {
        for placed in place(component, &component.claims[*index]) {
            if let Some(plan) = restore(&placed) {
                tables.entry(plan.at.clone()).or_insert(plan);
            }
        }
    }
    tables.into_values().collect()
}
