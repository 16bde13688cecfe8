//! Tables that are not at their pins, and no sidecar says why: every lineage that some branch shows, two requests each.

use super::super::decide::drift::Drift;
use super::super::decide::standing::FILES_FIRST;
use super::super::observation::{TableRef, TableSeen};
use super::super::quarantine::note;
use super::evidence::TailWait;
use super::find::{lineages, parsed};
use super::{CONCURRENCY, Found, Intent, Quiet, begun_since, fence_record, table};
use crate::error::{Error, Kind, Result};
use crate::model::sidecar::Sidecar;
use crate::model::table_path::branch_path;
use crate::model::{Branch, TableKey, Version};
use crate::repo::tables::dataset_path;
use crate::repo::{Repository, Snapshot};
use crate::store::Key;
use futures::{FutureExt, StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A drifted table, or why it cannot be told.
#[derive(Debug)]
pub enum Drifted {
    /// It could be read.
    Seen(Drift),
    /// It could not; says why.
    Unreadable(TableRef, String),
    /// The store did not answer for it.
    Failed(TableRef, Error),
}

impl Drifted {
    fn at(&self) -> &TableRef {
        match self {
            Self::Seen(drift) => &drift.at,
            Self::Unreadable(at, _) | Self::Failed(at, _) => at,
        }
    }
}

/// Looks at every lineage that a public branch shows and that none of the `pending` intents names.
pub async fn find_drift(
    repo: &Repository,
    found: &Found,
    pending: &[Intent],
    snapshots: &[Arc<Snapshot>],
    quiet: &Quiet<'_>,
) -> Result<Vec<Drifted>> {
    let covered: BTreeSet<TableRef> = pending.iter().flat_map(|intent| lineages(&intent.sidecar)).collect();
    let mut lineages = Vec::new();
    for snapshot in snapshots {
        for (key, entry) in snapshot.own_entries() {
            let at = TableRef { table: key.clone(), branch: entry.branch.clone() };
            if !covered.contains(&at) {
                lineages.push((at, entry.version, snapshot.clone()));
            }
        }
    }
    let probed = probe_all(repo, lineages).await?;
    quiet.memory.retain_tails(|at| probed.iter().any(|(_, (drifted, ..))| drifted == at));
    let ended = if probed.is_empty() { Vec::new() } else { ended_writers(repo, found).await? };
    let look = Look { repo, quiet, ended, locked: found.is_locked() };
    let mut drifted = Vec::new();
    for (probed, (at, pin, snapshot)) in probed {
        let seen = match probed {
            Ok(Probed::Moved) => look.observe(&snapshot, at.clone()).await.map(Some),
            Ok(Probed::Gone) => look.observe_gone(at.clone(), pin).await,
            Err(error) => Err(error),
        };
        drifted.extend(seen.unwrap_or_else(|error| Some(Drifted::Failed(at, error))));
    }
    without_writers(repo, found, snapshots, drifted).await
}

/// Leaves out what is the work of writers that began after the records were listed: their record is there now, or they have published
/// since. The records are looked for first: a writer's goes after its publish.
async fn without_writers(
    repo: &Repository,
    found: &Found,
    snapshots: &[Arc<Snapshot>],
    mut drifted: Vec<Drifted>,
) -> Result<Vec<Drifted>> {
    if drifted.is_empty() {
        return Ok(drifted);
    }
    let begun = begun_since(repo, found).await?;
    let mut moved = BTreeSet::new();
    for before in snapshots {
        let of_branch: Vec<_> =
            drifted.iter().map(Drifted::at).filter(|at| at.branch == before.branch).collect();
        if of_branch.is_empty() {
            continue;
        }
        let now = repo.snapshot(&before.branch).await?;
        let shown = |snapshot: &Snapshot, table: &TableKey| snapshot.state.entry(table).cloned();
        let is_as_before = |at: &&TableRef| {
            now.as_ref().is_some_and(|now| shown(now, &at.table) == shown(before, &at.table))
        };
        moved.extend(of_branch.into_iter().filter(|at| !is_as_before(at)).cloned());
    }
    drifted.retain(|one| !begun.contains(one.at()) && !moved.contains(one.at()));
    Ok(drifted)
}

/// Forks that a branch shows and that have no record, with the version that is shown: one request for each fork.
pub async fn without_record(
    repo: &Repository,
    snapshots: &[Arc<Snapshot>],
) -> Result<Vec<(TableRef, Version)>> {
    let named = snapshots.iter().filter(|snapshot| !snapshot.branch.is_main());
    let forks = named.flat_map(|snapshot| {
        snapshot.own_entries().map(|(table, entry)| (table.clone(), entry.branch.clone(), entry.version))
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

/// What is not as the pin says.
enum Probed {
    /// There is a version after the pin.
    Moved,
    /// There is none, and the shown version itself is not there.
    Gone,
}

/// A lineage, the version of it that is shown, and by what.
type Shown = (TableRef, Version, Arc<Snapshot>);

/// Probes lineages, and keeps those that are not as their pins say, in order of branch and table. An error if the store does
/// not answer for any of them.
async fn probe_all(repo: &Repository, mut shown: Vec<Shown>) -> Result<Vec<(Result<Probed>, Shown)>> {
    // In an order in which tables of one folder do not stand together: a store may throttle one.
    shown.sort_by_cached_key(|(at, ..)| {
        dataset_path(&at.table).map(|path| path.split('/').next_back().map(str::to_owned)).ok()
    });
    let mut shown = shown.into_iter().peekable();
    let mut probed = Vec::new();
    while shown.peek().is_some() {
        let batch = shown.by_ref().take(CONCURRENCY);
        let batch = batch.map(|one| async move { (probe(repo, &one.0, one.1).await, one) }.boxed());
        let mut batch = futures::future::join_all(batch).await;
        let is_silent =
            |probed: &Result<_>| matches!(probed, Err(error) if error.kind() == Kind::Unavailable);
        // Asked for each of the others, it would take all our patience each time.
        let stop = batch.len() > 1 && batch.iter().all(|(probed, _)| is_silent(probed));
        if stop && probed.is_empty() {
            batch.swap_remove(0).0?;
        }
        probed.extend(batch);
        if stop {
            let unasked = "not asked for: the store did not answer for other tables";
            probed.extend(shown.by_ref().map(|one| (Err(Error::new(Kind::Unavailable, unasked)), one)));
        }
    }
    let mut probed: Vec<_> =
        probed.into_iter().filter_map(|(probed, one)| Some((probed.transpose()?, one))).collect();
    probed.sort_by(|(_, (one, ..)), (_, (other, ..))| {
        one.branch.cmp(&other.branch).then(one.table.cmp(&other.table))
    });
    Ok(probed)
}

/// Looks for the version after the pin and for the pin: two requests at once, whatever the length of the history. A list
/// would tell both, but S3 asks twelve times the price of a read for it.
async fn probe(repo: &Repository, at: &TableRef, pin: Version) -> Result<Option<Probed>> {
    let Ok(dataset) = dataset_path(&at.table) else { return Ok(Some(Probed::Moved)) };
    let versions = branch_path(&dataset, &at.branch) + "/_versions";
    let exists = async |version: Version| {
        let name = format!("{versions}/{:020}.manifest", u64::MAX - version.0);
        let key = Key::parse(&name).map_err(|bad| Error::internal(bad.to_string()))?;
        Ok::<_, Error>(repo.store().head(&key).await?.is_some())
    };
    let (is_there, has_next) = futures::try_join!(exists(pin), exists(pin.next()))?;
    Ok(match (is_there, has_next) {
        (_, true) => Some(Probed::Moved),
        (false, false) => Some(Probed::Gone),
        (true, false) => None,
    })
}

/// One look at tables that are not as their pins say.
struct Look<'a> {
    repo: &'a Repository,
    quiet: &'a Quiet<'a>,
    /// Operations that were ended while their writers might still be alive.
    ended: Vec<Sidecar>,
    /// The graph's write lock is held.
    locked: bool,
}

impl Look<'_> {
    /// A table whose shown version was not found. Said only if the graph still shows it: whoever publishes may remove what
    /// was shown before.
    async fn observe_gone(&self, at: TableRef, pin: Version) -> Result<Option<Drifted>> {
        let Some(snapshot) = self.repo.snapshot(&at.branch).await? else { return Ok(None) };
        let shown = snapshot.state.entry(&at.table).filter(|entry| entry.branch == at.branch);
        if shown.is_none_or(|entry| entry.version != pin) {
            return Ok(None);
        }
        Ok(match self.observe(&snapshot, at).await? {
            Drifted::Unreadable(at, why) => {
                let remedy =
                    if why.contains(FILES_FIRST) { String::new() } else { format!("; {FILES_FIRST}") };
                let why =
                    format!("the graph shows version {pin} of {}, and it is gone: {why}{remedy}", at.table);
                Some(Drifted::Unreadable(at, why))
            }
            failed @ Drifted::Failed(..) => Some(failed),
            // It was there all the time, under a name of Lance's older scheme.
            Drifted::Seen(drift) if drift.lineage.head == pin => None,
            seen => Some(seen),
        })
    }

    async fn observe(&self, snapshot: &Snapshot, at: TableRef) -> Result<Drifted> {
        match table::lineage(self.repo, snapshot, &at, Version(u64::MAX)).await?.0 {
            TableSeen::Unreadable(why) | TableSeen::Missing { what: why, .. } => {
                Ok(Drifted::Unreadable(at, why))
            }
            TableSeen::Present(lineage) => {
                let TailWait { quiet_for, changed_for } =
                    self.quiet.of_tail(self.repo, &at, &lineage).await?;
                let of_this = |sidecar: &&Sidecar| sidecar.pins.iter().any(|pin| pin.table == at.table);
                let ended = self.ended.iter().filter(of_this).cloned().collect();
                Ok(Drifted::Seen(Drift { at, lineage, ended, quiet_for, changed_for, locked: self.locked }))
            }
        }
    }
}

/// The operations of closed fence records. Read only when something has drifted; a record that cannot be read, or that a
/// person has put aside, explains nothing.
async fn ended_writers(repo: &Repository, found: &Found) -> Result<Vec<Sidecar>> {
    let mut ended = Vec::new();
    for operation in found.closed_fences.keys() {
        if note(repo, operation).await?.is_some() {
            continue;
        }
        let Some(Ok(record)) = fence_record(repo, operation).await? else { continue };
        ended.extend(parsed(repo, operation, record.sidecar.as_bytes()));
    }
    Ok(ended)
}

/// A table of which a branch shows a fork of its own: then its creation came to its end.
pub fn own_fork(snapshot: &Snapshot) -> Option<&TableKey> {
    snapshot.own_entries().next().map(|(table, _)| table)
}

/// What is wrong with a branch that has no commit history and was written all the same.
pub fn only_history_is_lost(branch: &Branch, table: &TableKey) -> String {
    format!(
        "branch {branch} shows a fork of {table}: its creation came to its end, its commit history was lost since"
    )
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
