//! Others at the same tables: who goes first, and what it means that a table is ahead of what is shown.

use super::Commit;
use crate::model::beat::TTL;
use crate::model::sidecar::{MAX_SIDECAR_BYTES, Sidecar};
use crate::model::{Branch, OperationId, TableKey};
use crate::passes::recovery::observe::{Found, find};
use crate::store::{ControlObject, Meta};
use crate::writer::draft::Draft;
use crate::writer::error::{Error, Result};
use crate::writer::repository::Repository;
use futures::{FutureExt, StreamExt};

/// Records read at once.
const CONCURRENCY: usize = 16;

impl Commit {
    /// Lets those go first that have begun earlier with the same tables and are alive: who meets them half-way would have to undo
    /// what it has moved. A courtesy, by the clocks in the ids; what is right is decided where the commits land.
    pub(super) async fn give_way(&self, own: &OperationId, listing: &[Meta]) -> Result<()> {
        let Repository { parts, manager, .. } = &self.repository;
        let is_older = |other: &OperationId| other < own && !manager.is_under_way(other);
        let named = listing.iter().filter_map(|object| match ControlObject::parse(&object.key) {
            ControlObject::Sidecar(other) => Some(other),
            _ => None,
        });
        let older: Vec<OperationId> = named.filter(is_older).collect();
        let reads = futures::stream::iter(older).map(|other| {
            let store = parts.store.clone();
            async move {
                let key = ControlObject::Sidecar(other.clone()).key();
                let found = store.get_limited(&key, MAX_SIDECAR_BYTES).await?;
                let sidecar = found.and_then(|object| Sidecar::parse(other.as_str(), &object.bytes).ok());
                Ok::<_, crate::Error>(sidecar)
            }
            .boxed()
        });
        let mut reads = reads.buffered(CONCURRENCY);
        while let Some(read) = reads.next().await {
            let Some(sidecar) = read? else { continue };
            let is_shared = |(table, branch): &(&TableKey, &Branch)| {
                **branch == self.branch && self.drafts.contains_key(*table)
            };
            if let Some((table, _)) = sidecar.tables().find(is_shared)
                && let Error::Other(at_work) = self.of_another(table, sidecar.operation.clone()).await?
            {
                return Err(at_work.into());
            }
        }
        Ok(())
    }

    /// Refuses to begin on a table that is ahead of what is shown: somebody is at work on it, or was.
    pub(super) async fn require_unmoved(&self, own: &OperationId) -> Result<()> {
        for (table, draft) in &self.drafts {
            let is_own = draft.entry().branch == self.branch;
            if is_own && !draft.base().is_newest(&self.repository.parts.store).await? {
                return Err(self.in_the_way(own, table, draft).await?);
            }
        }
        Ok(())
    }

    /// Why a table is ahead of what is shown: whose record explains it, and whether that writer is alive.
    async fn in_the_way(&self, own: &OperationId, table: &TableKey, draft: &Draft) -> Result<Error> {
        let repo = &self.repository.repo;
        let found = find(repo).await?;
        if let Some(other) = self.other_at(&found, own, table) {
            return Ok(self.of_another(table, other).await?);
        }
        // Whoever has made them has published them since, or they are nobody's: a record goes after the publish.
        let now = repo.snapshot(&self.branch).await?;
        let shown = now.as_ref().and_then(|now| now.state.entry(table)).map(|entry| entry.version);
        let branch = &self.branch;
        if shown != Some(draft.expected()) {
            return Ok(crate::Error::moved(format!("{table} was committed to on branch {branch}")).into());
        }
        Ok(match self.ended_at(&found, table, draft).await? {
            Some(sidecar) => Error::PendingRecovery { sidecar },
            None => Error::Drift { table: table.clone(), branch: branch.clone(), shown: draft.expected() },
        })
    }

    /// Another operation that is under way at a table.
    pub(super) fn other_at(&self, found: &Found, own: &OperationId, table: &TableKey) -> Option<OperationId> {
        let sidecars = found.intents.iter().map(|intent| &intent.sidecar);
        let mut others = sidecars.filter(|sidecar| sidecar.operation != *own);
        let is_there = |sidecar: &&Sidecar| sidecar.tables().any(|at| at == (table, &self.branch));
        others.find(is_there).map(|sidecar| sidecar.operation.clone())
    }

    /// The operation above what is shown that a recovery has ended before its writer was: a fence record tells of it.
    async fn ended_at(&self, found: &Found, table: &TableKey, draft: &Draft) -> Result<Option<OperationId>> {
        let ahead = self.repository.repo.table(table, &self.branch).await?;
        let Some(ahead) = ahead else { return Ok(None) };
        let steps = ahead.steps_above(draft.expected()).await?;
        let mut named = steps.iter().filter_map(|step| OperationId::parse(step.operation.as_deref()?).ok());
        Ok(named.find(|operation| found.closed_fences.contains_key(operation)))
    }

    /// What another operation in the way means: if its writer is alive, that it will be out of the way soon.
    pub(super) async fn of_another(&self, table: &TableKey, sidecar: OperationId) -> crate::Result<Error> {
        let store = &self.repository.parts.store;
        let beat = store.head(&ControlObject::Beat(sidecar.clone()).key()).await?;
        let heard = beat.zip(store.now()).is_some_and(|(beat, now)| now.since(beat.last_modified) < TTL);
        // The record goes before the beat: without both it has ended since.
        let at_work = heard || store.head(&ControlObject::Sidecar(sidecar.clone()).key()).await?.is_none();
        Ok(match at_work {
            true => crate::Error::moved(format!("operation {sidecar} is at work on {table}")).into(),
            false => Error::PendingRecovery { sidecar },
        })
    }
}
