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
//! `register` has A and D, `land` B, `publish` C; `undo` is what is done instead, `others` who goes first.
//!
//! A writer that cannot go on before all tables have moved undoes what it has moved itself. Once all have, it only ever tries to
//! publish: from then on a recovery may do that as well, and whoever is first is right.
//!
//! *A clock is wrong*: no step depends on one. *The writer sleeps, and wakes after a recovery has settled its record*: a commit of
//! its lands only on the version that it has seen; its publish is refused by the marker of the recovery.

mod land;
mod others;
mod publish;
mod register;
mod undo;

use super::draft::Draft;
use super::error::{Error, Result};
use super::repository::Repository;
use super::snapshot::open;
use crate::error::Kind;
use crate::host::chance::halved;
use crate::model::manifest::{CommitIntent, Entry, Publish};
use crate::model::sidecar::WriterKind;
use crate::model::{Branch, BranchIdentity, OperationId, TableKey, Version};
use crate::repo::{self, staged::Staged, tables::dataset_path};
use crate::runtime::gate::Passage;
use crate::store::ControlObject;
use crate::store::layout::recovery_dir;
use futures::TryStreamExt;
use futures::stream::FuturesOrdered;
use register::Registered;
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

/// Why a registered commit does not go on.
enum Stop {
    /// What it has moved is to be undone, for this.
    Undo(Error),
    /// It may be shown, or others are about to settle it: nothing more is done.
    Leave(Error),
}

impl Stop {
    fn leave(error: crate::Error) -> Self {
        Self::Leave(error.into())
    }
}

impl From<crate::Error> for Stop {
    /// After an answer that was lost, or a connection that broke, the commit may be there, and may come later: a record has to
    /// explain it then.
    fn from(error: crate::Error) -> Self {
        match error.kind() {
            Kind::Unknown | Kind::Unavailable => Self::Leave(error.into()),
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
        let rewrites = self.drafts.values().filter(|draft| draft.replaces_all()).count();
        let actor = self.actor.as_deref().unwrap_or(NOBODY);
        let _room = manager.admission().commit(&parts.limits, actor, bytes, rewrites)?;
        let _turns = manager.turns(&self.drafts.keys().cloned().collect(), &self.branch).await;
        let mut attempt = 1;
        loop {
            match self.attempt().await {
                Err(error) if error.is_contention() && attempt < ATTEMPTS => self.wait(attempt).await,
                ended => return ended.map(Some),
            }
            attempt += 1;
        }
    }

    /// After an attempt that was lost, counted from 1.
    async fn wait(&self, attempt: u32) {
        let host = &self.repository.parts.host;
        let (first, longest) = WAITS;
        let wait = first.saturating_mul(1 << (attempt - 1).min(16)).min(longest);
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

    /// The commit of the history, and a publish that records it and shows the tables that it brings.
    pub(super) fn recorded(&self) -> Result<(CommitIntent, Publish)> {
        let commit = CommitIntent {
            merged_parent: self.merged.clone(),
            ..self.repository.intent(self.actor.as_deref())
        };
        let mut publish = Publish { commits: vec![commit.clone()], ..Publish::default() };
        for (table, entry) in &self.brought {
            publish.add(table, dataset_path(table)?, entry.clone(), Version::ABSENT);
        }
        Ok((commit, publish))
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
            _ => Err(Stop::leave(crate::Error::moved("others have taken this writer for dead"))),
        }
    }
}
