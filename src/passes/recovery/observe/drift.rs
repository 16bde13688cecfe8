//! Tables ahead of their pins that no sidecar explains: every lineage that some branch shows, one request each.

use super::super::decide::drift::Drift;
use super::super::observation::{TableRef, TableSeen};
use super::{CONCURRENCY, Found, Intent, Quiet, fence_record, table};
use crate::error::{Error, Result};
use crate::model::sidecar::Sidecar;
use crate::model::table_path::branch_path;
use crate::model::{Branch, Version};
use crate::repo::tables::dataset_path;
use crate::repo::{Repository, Snapshot};
use crate::store::Key;
use futures::{FutureExt, StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A drifted table, or why it cannot be told.
#[derive(Debug, Clone)]
pub enum Drifted {
    /// It could be read.
    Seen(Drift),
    /// It could not; says why.
    Unreadable(TableRef, String),
}

/// Looks at every lineage that a public branch shows and that none of the `pending` intents names.
pub async fn find_drift(
    repo: &Repository,
    found: &Found,
    pending: &[Intent],
    snapshots: &[Arc<Snapshot>],
    quiet: &Quiet<'_>,
) -> Result<Vec<Drifted>> {
    let covered: BTreeSet<TableRef> = pending.iter().flat_map(named).collect();
    let mut lineages = Vec::new();
    for snapshot in snapshots {
        for (key, entry) in snapshot.state.entries().filter(|(_, entry)| entry.branch == snapshot.branch) {
            let at = TableRef { table: key.clone(), branch: entry.branch.clone() };
            if !covered.contains(&at) {
                lineages.push((at, entry.version, snapshot.clone()));
            }
        }
    }
    let probes = futures::stream::iter(lineages).map(|(at, pin, snapshot)| {
        async move { Ok::<_, Error>(has_moved(repo, &at, pin).await?.then_some((at, snapshot))) }.boxed()
    });
    let moved: Vec<_> = probes.buffered(CONCURRENCY).try_collect().await?;
    let moved: Vec<_> = moved.into_iter().flatten().collect();
    let ended = if moved.is_empty() { Vec::new() } else { ended_writers(repo, found).await? };
    let mut drifted = Vec::new();
    for (at, snapshot) in moved {
        drifted.push(observe(repo, &snapshot, at, quiet, &ended, found.is_locked()).await?);
    }
    Ok(drifted)
}

/// Forks that a branch shows and that have no record, with the version that is shown: one request for each fork.
pub async fn without_record(
    repo: &Repository,
    snapshots: &[Arc<Snapshot>],
) -> Result<Vec<(TableRef, Version)>> {
    let named = snapshots.iter().filter(|snapshot| !snapshot.branch.is_main());
    let forks = named.flat_map(|snapshot| {
        let own = snapshot.state.entries().filter(|(_, entry)| entry.branch == snapshot.branch);
        own.map(|(table, entry)| (table.clone(), entry.branch.clone(), entry.version))
    });
    let looks = futures::stream::iter(forks.collect::<Vec<_>>()).map(|(table, branch, pin)| {
        async move {
            let record = repo.table_branch(&table, &branch).await?;
            Ok::<_, Error>(record.is_none().then_some((TableRef { table, branch }, pin)))
        }
        .boxed()
    });
    let lost: Vec<_> = looks.buffered(CONCURRENCY).try_collect().await?;
    Ok(lost.into_iter().flatten().collect())
}

fn named(intent: &Intent) -> impl Iterator<Item = TableRef> {
    intent.sidecar.tables().map(|(table, branch)| TableRef { table: table.clone(), branch: branch.clone() })
}

/// Whether the version after the pin exists: one request, whatever the length of the history.
async fn has_moved(repo: &Repository, at: &TableRef, pin: Version) -> Result<bool> {
    let Ok(dataset) = dataset_path(&at.table) else { return Ok(true) };
    let name =
        format!("{}/_versions/{:020}.manifest", branch_path(&dataset, &at.branch), u64::MAX - pin.next().0);
    let key = Key::parse(&name).map_err(|bad| Error::internal(bad.to_string()))?;
    Ok(repo.store().head(&key).await?.is_some())
}

async fn observe(
    repo: &Repository,
    snapshot: &Snapshot,
    at: TableRef,
    quiet: &Quiet<'_>,
    ended: &[Sidecar],
    locked: bool,
) -> Result<Drifted> {
    match table::lineage(repo, snapshot, &at, Version(u64::MAX)).await?.0 {
        TableSeen::Unreadable(why) | TableSeen::Missing { what: why, .. } => Ok(Drifted::Unreadable(at, why)),
        TableSeen::Present(lineage) => {
            let quiet_for = quiet.of_tail(repo, &at, &lineage).await?;
            let of_this = |sidecar: &&Sidecar| sidecar.pins.iter().any(|pin| pin.table == at.table);
            let ended = ended.iter().filter(of_this).cloned().collect();
            Ok(Drifted::Seen(Drift { at, lineage, ended, quiet_for, locked }))
        }
    }
}

/// The operations of closed fence records. Read only when something has drifted; a record that cannot be read explains
/// nothing.
async fn ended_writers(repo: &Repository, found: &Found) -> Result<Vec<Sidecar>> {
    let mut ended = Vec::new();
    for operation in found.closed_fences.keys().filter(|closed| !found.quarantined.contains(closed)) {
        let Some(Ok(record)) = fence_record(repo, operation).await? else { continue };
        ended.extend(Sidecar::parse(operation.as_str(), record.sidecar.as_bytes()));
    }
    Ok(ended)
}

/// Branches whose creation died half-way: listed, but without their part of the history (graph-v3).
pub async fn half_created(repo: &Repository, found: &Found) -> Result<Vec<Branch>> {
    if repo.recognised().dialect != crate::repo::Dialect::GraphV3 {
        return Ok(Vec::new());
    }
    let named: Vec<Branch> = found.public_branches().filter(|branch| !branch.is_main()).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let history = crate::repo::branches::list(repo.store(), crate::repo::history::COMMITS).await?;
    Ok(named.into_iter().filter(|branch| !history.contains_key(branch)).collect())
}
