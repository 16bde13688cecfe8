//! For how long a claim's evidence has stood still.
//!
//! Watched are the sidecar's own state, its writer's beat if it has one, and the tails of its tables, not their heads, so that a
//! hot table does not restart the wait. The wait starts from the store's own age of that evidence and goes on by the observer's monotonic clock. None
//! of this makes an act safe; it makes it unlikely to disturb a writer that is alive.

use super::super::observation::{Component, Lineage, TableRef, TableSeen};
use super::Intent;
use crate::error::Result;
use crate::model::history::Step;
use crate::model::{OperationId, StoreTime, TableKey, Version};
use crate::repo::Repository;
use crate::repo::tables::dataset_path;
use crate::store::{ETag, Key, Meta};
use std::collections::BTreeMap;
use std::slice;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was seen of a claim's evidence: equal values mean that nothing moved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Evidence {
    sidecar: Option<ETag>,
    beat: Option<ETag>,
    tails: BTreeMap<TableRef, Vec<String>>,
}

#[derive(Debug, Clone)]
struct Watched {
    evidence: Evidence,
    /// Age of the evidence at the first sight of it, by the store's clock.
    age_then: Option<Duration>,
    /// Reading of the monotonic clock at that moment.
    seen_at: Duration,
    /// The look at half-built index files has been made.
    looked_at_indexes: bool,
}

/// Transactions of a drifted table at the first sight of them.
#[derive(Debug, Clone)]
struct WatchedTail {
    transactions: Vec<String>,
    age_then: Option<Duration>,
    seen_at: Duration,
}

/// How long a drifted table has been as it is; `None` if the store gave no time to start from.
#[derive(Debug, Clone, Copy)]
pub(super) struct TailWait {
    /// Since when nothing was added to it.
    pub quiet_for: Option<Duration>,
    /// Since when its oldest change of rows is there, or its oldest version if none changes rows.
    pub changed_for: Option<Duration>,
}

/// What is watched of a drifted table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    All,
    OldestChange,
}

/// Memory of one repository's waits.
#[derive(Debug, Default)]
pub struct Grace {
    watched: Mutex<BTreeMap<OperationId, Watched>>,
    tails: Mutex<BTreeMap<(TableRef, Part), WatchedTail>>,
    protected: Mutex<BTreeMap<OperationId, Protected>>,
}

/// The versions that are tagged for an operation.
type Protected = Vec<(TableKey, Option<Version>)>;

/// The wait of one look.
#[derive(Debug, Clone, Copy)]
pub struct Quiet<'a> {
    /// Earlier looks.
    pub memory: &'a Grace,
    /// The wait that is asked for; zero asks the store nothing.
    pub grace: Duration,
    /// The monotonic clock now.
    pub uptime: Duration,
}

impl Quiet<'_> {
    /// How long the claim's evidence has stood still; `None` if the store gave no time to start from.
    pub(super) async fn of(
        &self,
        repo: &Repository,
        intent: &Intent,
        component: &Component,
        beat: Option<&Meta>,
    ) -> Result<Option<Duration>> {
        let evidence = Evidence::of(intent, component, beat);
        let known = self.memory.lock().get(&intent.sidecar.operation).cloned();
        let mut watched = match known {
            Some(known) if known.evidence == evidence => known,
            _ => {
                let age_then = self.age(repo, intent, component, beat).await?;
                Watched { evidence, age_then, seen_at: self.uptime, looked_at_indexes: false }
            }
        };
        if self.waited(&watched) >= Some(self.grace) && !self.grace.is_zero() && !watched.looked_at_indexes {
            watched.looked_at_indexes = true;
            if let Some(age) = youngest_index_file(repo, intent).await?.filter(|age| *age < self.grace) {
                watched = Watched { age_then: Some(age), seen_at: self.uptime, ..watched };
            }
        }
        let quiet = self.waited(&watched);
        self.memory.lock().insert(intent.sidecar.operation.clone(), watched);
        Ok(quiet)
    }

    /// How long a drifted table's tail has stood still, and how long it has been there.
    pub(super) async fn of_tail(
        &self,
        repo: &Repository,
        at: &TableRef,
        lineage: &Lineage,
    ) -> Result<TailWait> {
        let tail = lineage.tail();
        let oldest = tail.iter().find(|step| !step.kind.is_neutral()).or(tail.first());
        Ok(TailWait {
            quiet_for: self.of_steps(repo, at, Part::All, tail).await?,
            changed_for: self
                .of_steps(repo, at, Part::OldestChange, oldest.map_or(&[], slice::from_ref))
                .await?,
        })
    }

    /// How long the newest of these steps has been there.
    async fn of_steps(
        &self,
        repo: &Repository,
        at: &TableRef,
        part: Part,
        steps: &[Step],
    ) -> Result<Option<Duration>> {
        let transactions: Vec<String> = steps.iter().map(|step| step.transaction.clone()).collect();
        let watched_as = (at.clone(), part);
        let known = self.memory.tails().get(&watched_as).cloned();
        let watched = match known {
            Some(known) if known.transactions == transactions => known,
            _ => {
                let newest = steps.last().filter(|_| !self.grace.is_zero());
                let stored = match newest {
                    Some(newest) => stored_at(repo, at, newest.version).await?,
                    None => None,
                };
                let age_then = repo.store().now().zip(stored).map(|(now, stored)| now.since(stored));
                WatchedTail { transactions, age_then, seen_at: self.uptime }
            }
        };
        self.memory.tails().insert(watched_as, watched.clone());
        Ok(self.since(watched.age_then, watched.seen_at))
    }

    fn waited(&self, watched: &Watched) -> Option<Duration> {
        self.since(watched.age_then, watched.seen_at)
    }

    /// Without an age from the store the wait starts at the first sight, and counts only once it is a second look.
    fn since(&self, age_then: Option<Duration>, seen_at: Duration) -> Option<Duration> {
        let since = self.uptime.saturating_sub(seen_at);
        age_then.map(|age| age + since).or((!since.is_zero()).then_some(since))
    }

    /// Age of the youngest piece of evidence by the store's clock. A time in the store's future counts as age zero.
    async fn age(
        &self,
        repo: &Repository,
        intent: &Intent,
        component: &Component,
        beat: Option<&Meta>,
    ) -> Result<Option<Duration>> {
        let Some(now) = repo.store().now() else { return Ok(None) };
        let mut youngest = intent.stored_at.max(beat.map_or(intent.stored_at, |beat| beat.last_modified));
        if now.since(youngest) >= self.grace && !self.grace.is_zero() {
            for pin in &intent.sidecar.pins {
                let Some(TableSeen::Present(lineage)) = component.lineage_of(pin) else { continue };
                if !lineage.tail().is_empty() {
                    let at = TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
                    youngest = youngest.max(stored_at(repo, &at, lineage.head).await?.unwrap_or(now));
                }
            }
        }
        Ok(Some(now.since(youngest)))
    }
}

impl Grace {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<OperationId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tails(&self) -> std::sync::MutexGuard<'_, BTreeMap<(TableRef, Part), WatchedTail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the waits of tables that are not ahead of their pins any more.
    pub(super) fn retain_tails(&self, is_ahead: impl Fn(&TableRef) -> bool) {
        self.tails().retain(|(at, _), _| is_ahead(at));
    }

    /// Whether exactly these versions were tagged for an operation by this process.
    pub(in super::super) fn protects(&self, operation: &OperationId, wanted: &Protected) -> bool {
        let protected = self.protected.lock().unwrap_or_else(PoisonError::into_inner);
        protected.get(operation) == Some(wanted)
    }

    /// These versions are tagged now.
    pub(in super::super) fn protected(&self, operation: &OperationId, tagged: Protected) {
        self.protected.lock().unwrap_or_else(PoisonError::into_inner).insert(operation.clone(), tagged);
    }

    /// Forgets operations that are settled.
    pub fn retain(&self, pending: impl Fn(&OperationId) -> bool) {
        self.protected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|operation, _| pending(operation));
        self.lock().retain(|operation, _| pending(operation));
    }
}

impl Evidence {
    fn of(intent: &Intent, component: &Component, beat: Option<&Meta>) -> Self {
        let tail = |pin: &crate::model::sidecar::Pin| {
            let at = TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
            let steps = match component.tables.get(&at) {
                Some(TableSeen::Present(lineage)) => lineage.tail(),
                _ => &[],
            };
            (at, steps.iter().map(|step| step.transaction.clone()).collect())
        };
        let sidecar = intent.file.as_ref().and_then(|file| file.etag.clone());
        let beat = beat.and_then(|beat| beat.etag.clone());
        Self { sidecar, beat, tails: intent.sidecar.pins.iter().map(tail).collect() }
    }
}

async fn stored_at(repo: &Repository, at: &TableRef, version: Version) -> Result<Option<StoreTime>> {
    let dataset = crate::model::table_path::branch_path(&dataset_path(&at.table)?, &at.branch);
    let file = format!("{dataset}/_versions/{:020}.manifest", u64::MAX - version.0);
    let Ok(key) = Key::parse(&file) else { return Ok(None) };
    Ok(repo.store().head(&key).await?.map(|meta| meta.last_modified))
}

/// Age of the youngest file under the pinned tables' `_indices/`: an index build commits only when it ends, and may run
/// for longer than any wait.
async fn youngest_index_file(repo: &Repository, intent: &Intent) -> Result<Option<Duration>> {
    let Some(now) = repo.store().now() else { return Ok(None) };
    let mut youngest: Option<StoreTime> = None;
    for pin in &intent.sidecar.pins {
        let dataset = crate::model::table_path::branch_path(&dataset_path(&pin.table)?, &pin.branch);
        let Ok(key) = Key::parse(&format!("{dataset}/_indices")) else { continue };
        let newest = repo.store().list(&key).await?.into_iter().map(|meta| meta.last_modified).max();
        youngest = youngest.max(newest);
    }
    Ok(youngest.map(|stored| now.since(stored)))
}
