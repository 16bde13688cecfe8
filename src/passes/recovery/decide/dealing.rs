//! How the commits in the tails can be dealt out to claims that share them.

use super::super::observation::{Claim, Component, Lineage, TableRef, TableSeen};
use super::ownership::{is_inline, own_data};
use super::standing::after_restore;
use super::{TablePlan, TableWork};
use crate::model::history::{Step, describe};
use crate::model::sidecar::{Pin, WriterKind};
use std::collections::{BTreeMap, BTreeSet};

/// Why claims are not surely complete.
pub(super) enum Flaw {
    /// In some way of dealing a claim goes without a commit.
    Incomplete(String),
    /// In no way are all commits explained.
    Unexplained(String),
}

/// The tables to show, if in every possible way of dealing each claim has its commit on each of its tables.
pub(super) fn deal(component: &Component, claims: &[&Claim]) -> Result<Vec<TablePlan>, Flaw> {
    let at = |pin: &Pin| TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
    let lineages: BTreeSet<TableRef> =
        claims.iter().flat_map(|claim| claim.sidecar.pins.iter().map(at)).collect();
    let mut tables = Vec::new();
    let mut incomplete = None;
    for at in lineages {
        let Some(TableSeen::Present(lineage)) = component.tables.get(&at) else {
            incomplete.get_or_insert(format!("{} is not there", at.table));
            continue;
        };
        let claimants: Vec<Claimant> =
            claims.iter().filter_map(|claim| Claimant::of(claim, &at, lineage)).collect();
        match deal_table(lineage, &claimants) {
            Err(Flaw::Incomplete(why)) => {
                incomplete.get_or_insert(why);
            }
            unexplained @ Err(_) => unexplained?,
            Ok(()) => {
                let work = TableWork::Show { to: lineage.head };
                let pin_branch = lineage.pin_branch.clone();
                tables.push(TablePlan { at, pin: lineage.pin, pin_branch, work });
            }
        }
    }
    incomplete.map_or(Ok(tables), |why| Err(Flaw::Incomplete(why)))
}

/// Whether a claim has a pin on this lineage.
pub(super) fn names(claim: &Claim, at: &TableRef) -> bool {
    pin_at(claim, at).is_some()
}

fn pin_at<'a>(claim: &'a Claim, at: &TableRef) -> Option<&'a Pin> {
    claim.sidecar.pins.iter().find(|pin| pin.table == at.table && pin.branch == at.branch)
}

/// A claim at one of its tables.
pub(super) struct Claimant<'a> {
    claim: &'a Claim,
    pin: &'a Pin,
    /// The data in the tail that it may have committed.
    pub(super) own: Vec<&'a Step>,
}

impl<'a> Claimant<'a> {
    pub(super) fn of(claim: &'a Claim, at: &TableRef, lineage: &'a Lineage) -> Option<Self> {
        let pin = pin_at(claim, at)?;
        Some(Self { claim, pin, own: own_data(&claim.sidecar, pin, lineage.tail()) })
    }

    /// Its commits name it.
    fn is_named(&self) -> bool {
        self.own.iter().any(|step| step.operation.is_some())
    }

    fn takes_many(&self) -> bool {
        self.is_named() || self.claim.sidecar.kind == WriterKind::BranchMerge || is_inline(self.pin)
    }

    /// The number of commits tells whether it is complete here. Merges and schema changes have rules of their own.
    fn is_counted(&self) -> bool {
        let kind = self.claim.sidecar.kind;
        matches!(kind, WriterKind::Mutation | WriterKind::Load) && (self.is_named() || !is_inline(self.pin))
    }
}

/// One table: every data commit needs a claimant of its own, and every claimant must come out with a commit.
fn deal_table(lineage: &Lineage, claimants: &[Claimant]) -> Result<(), Flaw> {
    let [first, ..] = claimants else { return Ok(()) };
    let table = &first.pin.table;
    let restored = after_restore(lineage.tail());
    let tail = restored.map_or(lineage.tail(), |(_, rest)| rest);
    let makers: Vec<Vec<usize>> = tail
        .iter()
        .filter(|step| !step.kind.is_neutral())
        .map(|step| (0..claimants.len()).filter(|one| claimants[*one].own.contains(&step)).collect())
        .collect();
    let takes_many: Vec<bool> = claimants.iter().map(Claimant::takes_many).collect();
    if !can_deal(&makers, &takes_many, None) {
        let found = describe(tail);
        return Err(Flaw::Unexplained(format!(
            "{table} has commits that its operations do not explain: {found}"
        )));
    }
    if restored.is_some() {
        return Err(Flaw::Incomplete(format!("{table} was restored in part: {}", describe(lineage.tail()))));
    }
    for (index, claimant) in claimants.iter().enumerate() {
        let operation = claimant.claim.operation();
        if claimant.pin.expected != lineage.pin {
            return Err(Flaw::Incomplete(format!(
                "operation {operation} began at another version of {table}"
            )));
        }
        if !claimant.is_counted() {
            return Err(Flaw::Incomplete(format!(
                "the commits of operation {operation} on {table} cannot be told"
            )));
        }
        if can_deal(&makers, &takes_many, Some(index)) {
            return Err(Flaw::Incomplete(format!("operation {operation} may have no commit on {table}")));
        }
    }
    Ok(())
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
