//! Phase C: one publish shows all of it; or it is found out that it is shown, or never will be.

use super::{ATTEMPTS, Commit, Committed, Registered, Stop};
use crate::error::Kind;
use crate::model::TableKey;
use crate::model::manifest::{Change, CommitIntent, Marker};
use crate::repo::tables::Table;
use crate::repo::{self, Published};
use crate::writer::draft::Draft;
use std::collections::BTreeMap;

impl Commit {
    /// Phase C. Every table has moved: from here on nothing is undone.
    pub(super) async fn publish(
        &self,
        registered: &Registered,
        base: &repo::Snapshot,
        landed: &BTreeMap<TableKey, Table>,
    ) -> Result<Committed, Stop> {
        let repo = &self.repository.repo;
        let (commit, mut publish) = self.recorded().map_err(Stop::Leave)?;
        publish.unsettled = Some(registered.operation.clone());
        for (table, draft) in &self.drafts {
            let Some(made) = landed.get(table) else { continue };
            let entry = repo.entry_at(made, made.head()).await.map_err(Stop::leave)?;
            publish.expected.insert(table.clone(), draft.expected());
            publish.changes.push(Change::Show { table: table.clone(), entry });
        }
        let mut attempt = 1;
        loop {
            self.require_heard(registered).await.map_err(|stop| match stop {
                Stop::Undo(error) | Stop::Leave(error) => Stop::Leave(error),
            })?;
            let lost = match repo.publish(base, &publish, registered.operation.as_str()).await {
                Ok(Published::Committed(made)) => {
                    self.require_branch(&made).await?;
                    return Ok(self.committed(registered, commit.id, made.version.0, false));
                }
                Ok(Published::Refused(refusal)) => {
                    return self.refused(registered, &commit, crate::Error::moved(refusal.to_string())).await;
                }
                Ok(Published::Contended(error)) => error,
                // It may be there: then the next attempt is refused, and what is shown tells.
                Err(error) if matches!(error.kind(), Kind::Unknown | Kind::Moved) => error,
                Err(error) => return Err(Stop::leave(error)),
            };
            if attempt == ATTEMPTS {
                return Err(Stop::leave(lost));
            }
            self.wait(attempt).await;
            attempt += 1;
        }
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
        let now = self.repository.repo.snapshot(&self.branch).await.map_err(Stop::leave)?;
        let Some(now) = now else { return Err(Stop::Leave(self.repository.gone(&self.branch))) };
        if let Some(ours) = now.state.commit(&commit.id) {
            if ours.manifest_version == now.version {
                self.require_branch(&now.made(self.repository.repo.store())).await?;
            }
            return Ok(self.committed(registered, commit.id.clone(), ours.manifest_version.0, false));
        }
        match now.state.marker(&registered.operation) {
            Some(marker) => self.settled(registered, marker).ok_or(Stop::Undo(refusal.into())),
            None => Err(Stop::leave(refusal)),
        }
    }

    /// What a recovery has made of it; `None` if it is not shown.
    pub(super) fn settled(&self, registered: &Registered, marker: &Marker) -> Option<Committed> {
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
}
