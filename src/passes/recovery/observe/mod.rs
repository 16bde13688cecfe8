//! Reads everything that the decisions about one repository need. No request here changes anything.
//!
//! What cannot be read in one scope becomes a value in that scope; only a store that does not answer ends the whole look.

pub mod drift;
mod evidence;
mod find;
mod merge;
mod schema;
mod table;

pub use evidence::{Grace, Quiet};
pub use find::{
    ClaimFile, Found, Intent, Unjudged, begun_since, company, find, find_all, group, is_explained_since,
};
pub(super) use find::{fence_record, lineages};
pub(super) use schema::layout_file;
pub use schema::leftover;

use super::observation::{BranchSeen, Claim, Component, Origin, TableRef};
use crate::error::{Error, Result};
use crate::model::sidecar::Sidecar;
use crate::model::{Branch, Version};
use crate::repo::branches::{self, BranchRef};
use crate::repo::snapshot::MANIFEST;
use crate::repo::tables::Table;
use crate::repo::{Dialect, Repository, Snapshot};
use futures::{FutureExt, StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Reads of one look that may be under way at once.
const CONCURRENCY: usize = 16;

/// A component and the snapshots it was judged against.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The facts.
    pub component: Component,
    /// By graph branch; a branch that is gone has none.
    pub snapshots: BTreeMap<Branch, Arc<Snapshot>>,
    /// The intents, in the component's order of claims.
    pub intents: Vec<Intent>,
    /// The lineages that could be opened, as they were judged: their versions need not be looked up again.
    pub tables: BTreeMap<TableRef, Table>,
    /// The graph's write lock as it was judged.
    pub lock: Option<BranchRef>,
    /// The branches of the manifest as they were listed.
    pub branches: BTreeMap<Branch, BranchRef>,
}

/// Observes one group against fresh snapshots of its graph branches.
pub async fn component(
    repo: &Repository,
    found: &Found,
    intents: Vec<Intent>,
    quiet: &Quiet<'_>,
) -> Result<Seen> {
    let mut snapshots = BTreeMap::new();
    let mut unusable = BTreeMap::new();
    let branches: BTreeSet<Branch> = intents.iter().map(|intent| intent.sidecar.branch.clone()).collect();
    for branch in branches {
        match usable_snapshot(repo, found, &branch).await {
            Ok(Some(snapshot)) => {
                snapshots.insert(branch, Arc::new(snapshot));
            }
            Ok(None) => {}
            Err(error) if error.is_local() => {
                unusable.insert(branch, error.chain());
            }
            Err(error) => return Err(error),
        }
    }
    let component = Component { locked: found.is_locked(), ..Component::default() };
    let (lock, branches) = (found.lock().cloned(), found.branches.clone());
    let mut seen = Seen { component, snapshots, lock, branches, ..Seen::default() };
    read_tables(repo, &mut seen, &intents).await?;
    for intent in intents {
        let claim = claim(repo, found, &seen, &intent, &unusable, quiet).await?;
        seen.component.claims.push(claim);
        seen.intents.push(intent);
    }
    Ok(seen)
}

/// The branch's snapshot if it is listed and may be written; an error of kind `Corrupt` or `Refused` says why not.
async fn usable_snapshot(repo: &Repository, found: &Found, branch: &Branch) -> Result<Option<Snapshot>> {
    if !branch.is_main() && !found.branches.contains_key(branch) {
        return Ok(None);
    }
    let Some(snapshot) = repo.snapshot(branch).await? else {
        if !branch.is_main() && !branches::list(repo.store(), MANIFEST).await?.contains_key(branch) {
            return Err(Error::moved(format!("branch {branch} was deleted during the look")));
        }
        return Err(Error::corrupt(format!("branch {branch} is listed but has no versions")));
    };
    snapshot.writable()?;
    if snapshot.recognised.dialect == Dialect::GraphV3 && !repo.has_commit_branch(branch).await? {
        return Err(Error::corrupt(format!(
            "branch {branch} has no commit history: {}",
            match drift::own_fork(&snapshot) {
                None => "its creation died half-way, and `outrigger repair branch --exclusive` offers to remove it"
                    .to_owned(),
                Some(table) => drift::only_history_is_lost(branch, table),
            }
        )));
    }
    Ok(Some(snapshot))
}

async fn read_tables(repo: &Repository, seen: &mut Seen, intents: &[Intent]) -> Result<()> {
    let mut wanted: BTreeMap<TableRef, (Version, Arc<Snapshot>)> = BTreeMap::new();
    for intent in intents {
        let Some(snapshot) = seen.snapshots.get(&intent.sidecar.branch) else { continue };
        // Of one that is settled nothing is judged any more, but what its writer has done since.
        let is_settled = snapshot.state.marker(&intent.sidecar.operation).is_some();
        if is_settled && intent.origin != Origin::ClosedFence {
            continue;
        }
        for pin in &intent.sidecar.pins {
            let at = TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
            let (floor, _) = wanted.entry(at).or_insert_with(|| (pin.expected, snapshot.clone()));
            *floor = pin.expected.min(*floor);
        }
    }
    let reads = futures::stream::iter(wanted).map(|(at, (floor, snapshot))| {
        async move {
            let found = table::lineage(repo, &snapshot, &at, floor).await?;
            Ok::<_, Error>((at, found))
        }
        .boxed()
    });
    let mut reads = reads.buffered(CONCURRENCY);
    while let Some((at, (found, table))) = reads.try_next().await? {
        seen.tables.extend(table.map(|table| (at.clone(), table)));
        seen.component.tables.insert(at, found);
    }
    Ok(())
}

/// Whether a native sidecar was written for an earlier branch of that name. One whose record cannot be read is judged by its time.
async fn is_another(repo: &Repository, sidecar: &Sidecar, listed: &BranchRef) -> Result<bool> {
    let Some(written_for) = &sidecar.branch_identity else { return Ok(false) };
    match branches::read(repo.store(), listed).await {
        Ok(record) => Ok(record.is_some_and(|record| record.identifier != *written_for)),
        Err(error) if error.is_local() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn claim(
    repo: &Repository,
    found: &Found,
    seen: &Seen,
    intent: &Intent,
    unusable: &BTreeMap<Branch, String>,
    quiet: &Quiet<'_>,
) -> Result<Claim> {
    let sidecar = &intent.sidecar;
    let snapshot = seen.snapshots.get(&sidecar.branch);
    let branch = match (found.branches.get(&sidecar.branch), unusable.get(&sidecar.branch)) {
        (None, _) if !sidecar.branch.is_main() => BranchSeen::Gone,
        // Also younger than a fence record: whoever armed that has seen the branch that it is about.
        (Some(listed), _) if listed.stored_at > intent.stored_at => BranchSeen::Younger,
        (Some(listed), _) if is_another(repo, sidecar, listed).await? => BranchSeen::Younger,
        (_, Some(why)) => BranchSeen::Unusable(why.clone()),
        _ if snapshot.is_none() => {
            BranchSeen::Unusable(format!("branch {} could not be read", sidecar.branch))
        }
        _ => BranchSeen::Live,
    };
    // The marker of an orphan lies on main: its own branch has no manifest to put it in.
    let marker = match &branch {
        BranchSeen::Gone | BranchSeen::Younger => repo
            .snapshot(&Branch::main())
            .await?
            .and_then(|main| main.state.marker(&sidecar.operation).cloned()),
        _ => snapshot.and_then(|snapshot| snapshot.state.marker(&sidecar.operation).cloned()),
    };
    let settled = marker.is_some();
    let mut claim = Claim {
        sidecar: sidecar.clone(),
        origin: intent.origin,
        held: intent.held.clone(),
        branch,
        marker,
        quiet_for: None,
        beats: found.beats.contains_key(&sidecar.operation),
        merge: None,
        schema: None,
    };
    if claim.branch == BranchSeen::Live {
        match schema::observe(repo, found, snapshot.map(|at| &**at), intent).await {
            Err(error) if error.is_local() => claim.held = Some(error.chain()),
            seen => claim.schema = seen?,
        }
    }
    if settled {
        return Ok(claim);
    }
    if let (Some(snapshot), BranchSeen::Live) = (snapshot, &claim.branch) {
        claim.merge = merge::observe(repo, found, snapshot, sidecar).await?;
    }
    let beat = found.beats.get(&sidecar.operation);
    claim.quiet_for = quiet.of(repo, intent, &seen.component, beat).await?;
    Ok(claim)
}
