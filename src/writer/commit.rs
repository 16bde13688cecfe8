//! One commit, in its phases.
//!
//! | phase | what | a stop after it leaves |
//! |---|---|---|
//! | – | rows and deletions are written as files | files that no version names |
//! | A | the beat, then the crash record (sidecar), then a look at the gate and at who has begun before | a record of nothing: it is ended |
//! | B | each table, in sorted order: its fork if it needs one, then one commit on exactly the version that is shown | some tables moved: undone; all of them: shown |
//! | C | one publish of the manifest, on exactly the version that was looked at | shown; the record says what it was |
//! | D | the record is removed, then the beat | nothing |
//!
//! A writer that cannot go on before all tables have moved undoes what it has moved itself. Once all have, it only ever tries to
//! publish: from then on a recovery may do that as well, and whoever is first is right.
//!
//! *A clock is wrong*: no step depends on one. *The writer sleeps, and wakes after a recovery has settled its record*: a commit of
//! its lands only on the version that it has seen; its publish is refused by the marker of the recovery.

use super::beat::Beat;
use super::draft::Draft;
use super::error::{Error, Result};
use super::queue::UnderWay;
use super::repository::Repository;
use super::snapshot::open;
use crate::error::Kind;
use crate::host::chance::halved;
use crate::model::manifest::{Change, CommitIntent, Entry, Marker, Publish};
use crate::model::sidecar::{Brought, Pin, Sidecar, WriterKind};
use crate::model::table_path::table_path;
use crate::model::{Branch, BranchIdentity, OperationId, TableKey, Version};
use crate::passes::recovery::observe::find;
use crate::passes::recovery::undo::{Ended, OwnHands, end_own};
use crate::repo::forks::Forked;
use crate::repo::staged::{Landed, Staged};
use crate::repo::tables::{Table, dataset_path};
use crate::repo::{self, Published};
use crate::runtime::gate::Passage;
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Written};
use futures::TryStreamExt;
use futures::stream::FuturesOrdered;
use std::collections::BTreeMap;
use std::time::Duration;

/// Attempts against others before a commit gives up; about half a minute with the waits between them.
const ATTEMPTS: u32 = 40;

/// The first wait after a lost race, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Who commits, where nobody is named: for the limits alone.
const NOBODY: &str = "";

/// A commit that is shown.
///
/// ```
/// fn report(committed: &outrigger::writer::Committed) -> String {
///     format!("commit {} is version {} of the manifest", committed.id, committed.manifest_version)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its id in the history.
    pub id: String,
    /// The operation that every one of its table commits names.
    pub operation: OperationId,
    /// The version of the branch's manifest that shows it.
    pub manifest_version: u64,
    /// The version of each table that it has made.
    pub tables: BTreeMap<String, u64>,
    /// Whether a recovery has shown it, while this writer was too slow: then the history names the recovery as its author.
    pub by_recovery: bool,
}

/// What is to be committed.
pub(super) struct Commit {
    pub(super) repository: Repository,
    pub(super) branch: Branch,
    pub(super) identity: BranchIdentity,
    pub(super) actor: Option<String>,
    /// Each changes a row.
    pub(super) drafts: BTreeMap<TableKey, Draft>,
    pub(super) kind: WriterKind,
    /// Merges: the commit that is merged.
    pub(super) merged: Option<String>,
    /// Merges: tables that the branch lacks, as the source shows them.
    pub(super) brought: BTreeMap<TableKey, Entry>,
    /// Files that are written, each for the draft as it is now: an attempt that lost a race writes them once.
    pub(super) staged: BTreeMap<TableKey, Staged>,
}

/// A commit whose crash record is there.
struct Registered {
    operation: OperationId,
    /// Its state.
    file: Option<ETag>,
    beat: Beat,
    _under_way: UnderWay,
}

/// Why a registered commit does not go on.
enum Stop {
    /// What it has moved is to be undone, for this.
    Undo(Error),
    /// It may be shown, or others are about to settle it: nothing more is done.
    Leave(Error),
}

impl From<crate::Error> for Stop {
    /// After an answer that was lost the commit may be there, and may come later.
    fn from(error: crate::Error) -> Self {
        match error.kind() {
            Kind::Unknown => Self::Leave(error.into()),
            _ => Self::Undo(error.into()),
        }
    }
}

impl Commit {
    /// Commits; `None` if there is nothing to do.
    pub(super) async fn run(&mut self) -> Result<Option<Committed>> {
        if self.drafts.is_empty() {
            return Ok(None);
        }
        let Repository { manager, parts, .. } = self.repository.clone();
        let bytes = self.drafts.values().map(Draft::bytes).sum();
        // A merge reads whole tables.
        let merges = usize::from(self.kind == WriterKind::BranchMerge);
        let rewrites = self.drafts.values().filter(|draft| draft.replaces_all()).count().max(merges);
        let actor = self.actor.as_deref().unwrap_or(NOBODY);
        let _room = manager.admission().commit(&parts.limits, actor, bytes, rewrites)?;
        let _turns = manager.turns(&self.drafts.keys().cloned().collect(), &self.branch).await;
        let mut lost = None;
        for attempt in 0..ATTEMPTS {
            match self.attempt().await {
                Err(error) if error.is_contention() => lost = Some(error),
                ended => return ended.map(Some),
            }
            self.wait(attempt).await;
        }
        Err(lost.unwrap_or_else(|| crate::Error::internal("no attempt was made").into()))
    }

    async fn wait(&self, attempt: u32) {
        let host = &self.repository.parts.host;
        let (first, longest) = WAITS;
        let wait = first.saturating_mul(1 << attempt.min(16)).min(longest);
        host.clock.sleep(halved(wait, host.chance.as_ref())).await;
    }

    /// Everything once. An error of contention leaves nothing behind and may be tried again.
    async fn attempt(&mut self) -> Result<Committed> {
        let base = self.rebase().await?;
        self.stage().await?;
        let registered = self.register().await?;
        let published = match self.land(&registered).await {
            Ok(landed) => self.publish(&registered, &base, &landed).await,
            Err(stop) => Err(stop),
        };
        match published {
            Ok(committed) if committed.by_recovery => {
                self.end_after_recovery(registered).await;
                Ok(committed)
            }
            Ok(committed) => {
                self.unregister(registered).await;
                Ok(committed)
            }
            Err(Stop::Leave(error)) => {
                let operation = registered.operation.clone();
                tracing::warn!(%operation, %error, "a commit is left to a recovery");
                Err(Error::PendingRecovery { sidecar: operation })
            }
            Err(Stop::Undo(error)) => self.undo(registered, error).await,
        }
    }

    /// Bases what may be on what the branch shows now.
    async fn rebase(&mut self) -> Result<repo::Snapshot> {
        let repo = &self.repository.repo;
        let snapshot =
            repo.snapshot(&self.branch).await?.ok_or_else(|| self.repository.gone(&self.branch))?;
        snapshot.writable()?;
        for (table, draft) in &mut self.drafts {
            let entry = snapshot.state.entry(table);
            let entry =
                entry.ok_or_else(|| crate::Error::missing(format!("table {table} was dropped meanwhile")))?;
            if (entry.version, &entry.branch) == (draft.expected(), &draft.entry().branch) {
                continue;
            }
            let opened = open(repo, table, entry).await?;
            let shown = draft.entry();
            if draft.is_repeatable() {
                *draft = draft.based_on(opened, entry.clone()).await?;
            } else if repo.same_content(&opened, shown.version, &shown.branch).await? {
                // What we have undone ourselves after a lost race, above all.
                draft.stand_on(opened, entry.clone());
            } else {
                let (table, expected, actual) = (table.clone(), draft.expected(), entry.version);
                return Err(Error::Conflict { table, expected, actual });
            }
            self.staged.remove(table);
        }
        for table in self.brought.keys() {
            if let Some(entry) = snapshot.state.entry(table) {
                let (table, expected, actual) = (table.clone(), Version::ABSENT, entry.version);
                return Err(Error::Conflict { table, expected, actual });
            }
        }
        Ok(snapshot)
    }

    async fn stage(&mut self) -> Result<()> {
        let missing = self.drafts.iter().filter(|(table, _)| !self.staged.contains_key(*table));
        let stage = |(table, draft): (&TableKey, &Draft)| {
            let (repo, branch, table) = (self.repository.repo.clone(), self.branch.clone(), table.clone());
            let (base, change) = (draft.base().clone(), draft.change());
            async move { repo.stage(&base, &branch, &change).await.map(|staged| (table, staged)) }
        };
        let staged: Vec<_> = missing.map(stage).collect::<FuturesOrdered<_>>().try_collect().await?;
        self.staged.extend(staged);
        Ok(())
    }

    /// Phase A. *Dies in it*: a record of nothing at most.
    async fn register(&self) -> Result<Registered> {
        let parts = &self.repository.parts;
        let operation = self.repository.operation()?;
        let sidecar = self.sidecar(&operation)?;
        let key = ControlObject::Sidecar(operation.clone()).key();
        let beat = Beat::start(parts.store.clone(), parts.host.clock.clone(), operation.clone()).await?;
        let _under_way = self.repository.manager.begin(&operation);
        let mut registered = Registered { operation, file: None, beat, _under_way };
        let entered = match parts.store.create(&key, sidecar.to_json().into()).await {
            Ok(Written::Committed { etag }) => {
                registered.file = etag;
                self.enter(&registered).await
            }
            // Another's record stays.
            Ok(Written::Conflict) => {
                return Err(crate::Error::internal(format!("{key} is there already")).into());
            }
            Ok(Written::Unknown { error }) | Err(error) => Err(error.into()),
        };
        match entered {
            Ok(()) => Ok(registered),
            Err(error) => {
                self.unregister(registered).await;
                Err(error)
            }
        }
    }

    /// Looks whether writers may begin, and whether the branch is still the one that was read: whoever closes the gate or the branch
    /// looks for records afterwards.
    async fn enter(&self, registered: &Registered) -> Result<()> {
        let Repository { parts, repo, gate, .. } = &self.repository;
        let listing = parts.store.list(&recovery_dir()).await?;
        if let Passage::Closed { retry_after } = gate.passage(&listing).await? {
            return Err(Error::Paused { retry_after });
        }
        match repo.which(&self.branch).await? {
            Some(which) if which.identity != self.identity => return Err(self.repository.gone(&self.branch)),
            None => return Err(self.repository.gone(&self.branch)),
            Some(which) if which.is_closing => {
                let branch = &self.branch;
                let why = format!(
                    "branch {branch} is being deleted; if whoever did that has died, delete it again"
                );
                return Err(crate::Error::moved(why).into());
            }
            Some(_) => {}
        }
        self.give_way(&registered.operation, &listing).await?;
        self.require_unmoved(&registered.operation).await
    }

    fn sidecar(&self, operation: &OperationId) -> Result<Sidecar> {
        let parts = &self.repository.parts;
        let mut pins = Vec::new();
        for (table, draft) in &self.drafts {
            let path =
                table_path(table).ok_or_else(|| crate::Error::internal(format!("{table} has no path")))?;
            pins.push(Pin {
                table: table.clone(),
                recorded_path: format!("{}/{path}", parts.store.uri()),
                expected: draft.expected(),
                post_commit: draft.expected().next(),
                confirmed: None,
                branch: self.branch.clone(),
            });
        }
        Ok(Sidecar {
            format: 2,
            operation: operation.clone(),
            started_at: Some(parts.host.clock.now()),
            branch: self.branch.clone(),
            actor: self.actor.clone(),
            kind: self.kind,
            pins,
            merge_source: self.merged.clone(),
            registrations: Vec::new(),
            tombstones: Vec::new(),
            brought: self.brought.iter().map(brought).collect(),
            branch_identity: Some(self.identity.clone()),
            names_commits: true,
        })
    }

    /// Phase B.
    async fn land(&self, registered: &Registered) -> Result<BTreeMap<TableKey, Table>, Stop> {
        let mut landed = BTreeMap::new();
        for (table, draft) in &self.drafts {
            self.require_heard(registered).await?;
            let staged = self.staged.get(table).cloned();
            let staged = staged.ok_or_else(|| crate::Error::internal(format!("{table} was not staged")))?;
            let on = match draft.entry().branch == self.branch {
                true => draft.base().clone(),
                false => {
                    let fork = self.fork(registered, table, draft).await?;
                    self.require_heard(registered).await?;
                    fork
                }
            };
            match self.repository.repo.land(&on, staged, registered.operation.as_str()).await? {
                Landed::Yes(made) => {
                    landed.insert(table.clone(), *made);
                }
                Landed::Moved(error) => return Err(Stop::Undo(error.into())),
            }
        }
        if self.kind == WriterKind::BranchMerge {
            self.confirm(registered).await?;
        }
        Ok(landed)
    }

    /// The table's branch of this name, on which nothing was committed yet.
    async fn fork(&self, registered: &Registered, table: &TableKey, draft: &Draft) -> Result<Table, Stop> {
        let repo = &self.repository.repo;
        let found = match repo
            .fork(table, draft.entry(), &self.branch, self.repository.parts.host.clock.now())
            .await?
        {
            Forked::Ready(fork) => return Ok(*fork),
            Forked::InTheWay(found) => found,
        };
        let now = repo.snapshot(&self.branch).await?;
        if now.is_some_and(|now| now.state.entry(table).is_some_and(|entry| entry.branch == self.branch)) {
            return Err(crate::Error::moved(format!(
                "{table} was forked for branch {} meanwhile",
                self.branch
            ))
            .into());
        }
        Err(Stop::Undo(match self.other_at(&find(repo).await?, &registered.operation, table) {
            Some(other) => self.of_another(table, other).await?,
            None => Error::OrphanedFork { table: table.clone(), branch: self.branch.clone(), found },
        }))
    }

    /// A merge says that all of it is there, as the engines' merges do. *The record was settled or put aside between the look at it
    /// and the write*: it is there anew, and the marker of a recovery ends it once more.
    async fn confirm(&self, registered: &Registered) -> Result<(), Stop> {
        self.require_heard(registered).await?;
        let mut sidecar = match self.sidecar(&registered.operation) {
            Ok(sidecar) => sidecar,
            Err(error) => return Err(Stop::Undo(error)),
        };
        sidecar.pins.iter_mut().for_each(|pin| pin.confirmed = Some(pin.post_commit));
        let store = &self.repository.parts.store;
        let key = ControlObject::Sidecar(registered.operation.clone()).key();
        let leave = |error: crate::Error| Stop::Leave(error.into());
        let there = store.head(&key).await.map_err(leave)?;
        if there.is_none_or(|there| there.etag != registered.file) {
            return Err(leave(crate::Error::moved(format!("{key} is not as it was written"))));
        }
        store.put(&key, sidecar.to_json().into()).await.map(|_| ()).map_err(leave)
    }

    /// A writer that others may take for dead looks whether they have: the gate is open, and its record is there.
    async fn require_heard(&self, registered: &Registered) -> Result<(), Stop> {
        if registered.beat.is_heard() {
            return Ok(());
        }
        let Repository { parts, gate, .. } = &self.repository;
        let listing = parts.store.list(&recovery_dir()).await?;
        let key = ControlObject::Sidecar(registered.operation.clone()).key();
        let is_there = listing.iter().any(|object| object.key == key);
        match gate.passage(&listing).await? {
            Passage::Open if is_there => Ok(()),
            _ => Err(Stop::Leave(crate::Error::moved("others have taken this writer for dead").into())),
        }
    }

    /// Phase C. Every table has moved: from here on nothing is undone.
    async fn publish(
        &self,
        registered: &Registered,
        base: &repo::Snapshot,
        landed: &BTreeMap<TableKey, Table>,
    ) -> Result<Committed, Stop> {
        let leave = |error: crate::Error| Stop::Leave(error.into());
        let repo = &self.repository.repo;
        let commit = CommitIntent {
            merged_parent: self.merged.clone(),
            ..self.repository.intent(self.actor.as_deref())
        };
        let mut publish = Publish {
            commits: vec![commit.clone()],
            unsettled: Some(registered.operation.clone()),
            ..Publish::default()
        };
        for (table, draft) in &self.drafts {
            let Some(made) = landed.get(table) else { continue };
            let entry = repo.entry_at(made, made.head()).await.map_err(leave)?;
            publish.expected.insert(table.clone(), draft.expected());
            publish.changes.push(Change::Show { table: table.clone(), entry });
        }
        for (table, entry) in &self.brought {
            publish.add(table, dataset_path(table).map_err(leave)?, entry.clone(), Version::ABSENT);
        }
        let mut lost = crate::Error::internal("no attempt was made");
        for attempt in 0..ATTEMPTS {
            self.require_heard(registered).await.map_err(|stop| match stop {
                Stop::Undo(error) | Stop::Leave(error) => Stop::Leave(error),
            })?;
            match repo.publish(base, &publish, registered.operation.as_str()).await {
                Ok(Published::Committed(made)) => {
                    self.require_branch(&made).await?;
                    return Ok(self.committed(registered, commit.id, made.version.0, false));
                }
                Ok(Published::Refused(refusal)) => {
                    return self.refused(registered, &commit, crate::Error::moved(refusal.to_string())).await;
                }
                Ok(Published::Contended(error)) => lost = error,
                // It may be there: then the next attempt is refused, and what is shown tells.
                Err(error) if matches!(error.kind(), Kind::Unknown | Kind::Moved) => lost = error,
                Err(error) => return Err(leave(error)),
            }
            self.wait(attempt).await;
        }
        Err(leave(lost))
    }

    async fn require_branch(&self, made: &repo::Made) -> Result<(), Stop> {
        self.repository.require_branch(&self.branch, &self.identity, made).await.map_err(Stop::Leave)
    }

    /// A publish that must not be made: it was made already, by us or by a recovery, or this was undone.
    async fn refused(
        &self,
        registered: &Registered,
        commit: &CommitIntent,
        refusal: crate::Error,
    ) -> Result<Committed, Stop> {
        let now =
            self.repository.repo.snapshot(&self.branch).await.map_err(|error| Stop::Leave(error.into()))?;
        let Some(now) = now else { return Err(Stop::Leave(self.repository.gone(&self.branch))) };
        if let Some(ours) = now.state.commits().find(|known| known.id == commit.id) {
            if ours.manifest_version == now.version {
                self.require_branch(&now.made(self.repository.repo.store())).await?;
            }
            return Ok(self.committed(registered, commit.id.clone(), ours.manifest_version.0, false));
        }
        match now.state.marker(&registered.operation) {
            Some(marker) => self.settled(registered, marker).ok_or(Stop::Undo(refusal.into())),
            None => Err(Stop::Leave(refusal.into())),
        }
    }

    /// What a recovery has made of it; `None` if it is not shown.
    fn settled(&self, registered: &Registered, marker: &Marker) -> Option<Committed> {
        let (id, version) = (marker.graph_commit_id.clone(), marker.manifest_version.0);
        marker.verdict.shows().then(|| self.committed(registered, id, version, true))
    }

    fn committed(
        &self,
        registered: &Registered,
        id: String,
        manifest_version: u64,
        by_recovery: bool,
    ) -> Committed {
        let made = |(table, draft): (&TableKey, &Draft)| (table.to_string(), draft.expected().next().0);
        Committed {
            id,
            operation: registered.operation.clone(),
            manifest_version,
            tables: self.drafts.iter().map(made).collect(),
            by_recovery,
        }
    }

    /// Phase D. *Fails*: whoever looks next finds the record of a commit that is shown, and removes it.
    async fn unregister(&self, registered: Registered) {
        let Registered { operation, beat, _under_way, file: _ } = registered;
        let key = ControlObject::Sidecar(operation.clone()).key();
        match self.repository.parts.store.delete(&key).await {
            Ok(()) => beat.end().await,
            Err(error) => {
                tracing::warn!(%operation, %error, "the record of a commit that has ended stays behind")
            }
        }
    }

    /// Phase D after a recovery that was first: the record goes after the audit of it. *Fails*: the recovery does both.
    async fn end_after_recovery(&self, registered: Registered) {
        match self.end_own(&registered.operation).await {
            Ok(Ended::Left(why)) => {
                tracing::debug!(operation = %registered.operation, why, "a recovery ends what it has shown");
            }
            Ok(Ended::Undone | Ended::Settled(_)) => {}
            Err(error) => {
                tracing::warn!(operation = %registered.operation, %error, "a recovery has to end what it has shown");
            }
        }
        registered.beat.end().await;
    }

    async fn end_own(&self, operation: &OperationId) -> Result<Ended> {
        let Repository { repo, parts, .. } = &self.repository;
        let hands = OwnHands { now: parts.host.clock.now(), ids: parts.ids.clone() };
        Ok(end_own(repo, &self.sidecar(operation)?, &hands).await?)
    }

    /// Undoes what has moved, and says why it had to.
    async fn undo(&self, registered: Registered, why: Error) -> Result<Committed> {
        let operation = registered.operation.clone();
        match self.end_own(&operation).await {
            Ok(Ended::Undone) => {
                registered.beat.end().await;
                Err(why)
            }
            Ok(Ended::Settled(marker)) => {
                let committed = self.settled(&registered, &marker);
                registered.beat.end().await;
                committed.ok_or(why)
            }
            Ok(Ended::Left(left)) => {
                tracing::warn!(%operation, %why, %left, "a commit that could not go on is left to a recovery");
                Err(Error::PendingRecovery { sidecar: operation })
            }
            Err(error) => {
                tracing::warn!(%operation, %why, %error, "a commit that could not go on could not be undone");
                Err(Error::PendingRecovery { sidecar: operation })
            }
        }
    }
}

fn brought((table, entry): (&TableKey, &Entry)) -> Brought {
    Brought { table: table.clone(), branch: entry.branch.clone(), version: entry.version }
}
