//! Phase B: each table, in sorted order, moves to the version after the one that is shown.

use super::{Commit, Registered, Stop};
use crate::model::TableKey;
use crate::model::sidecar::WriterKind;
use crate::passes::recovery::observe::find;
use crate::repo::forks::Forked;
use crate::repo::staged::Landed;
use crate::repo::tables::Table;
use crate::store::ControlObject;
use crate::writer::draft::Draft;
use crate::writer::error::Error;
use std::collections::BTreeMap;

impl Commit {
    /// Phase B.
    pub(super) async fn land(&self, registered: &Registered) -> Result<BTreeMap<TableKey, Table>, Stop> {
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
        // The records first: whoever has made it shows it before its record goes.
        let others = find(repo).await?;
        let now = repo.snapshot(&self.branch).await?;
        if now.is_some_and(|now| now.state.entry(table).is_some_and(|entry| entry.branch == self.branch)) {
            return Err(crate::Error::moved(format!(
                "{table} was forked for branch {} meanwhile",
                self.branch
            ))
            .into());
        }
        Err(Stop::Undo(match self.other_at(&others, &registered.operation, table) {
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
        let there = store.head(&key).await.map_err(Stop::leave)?;
        if there.is_none_or(|there| there.etag != registered.file) {
            return Err(Stop::leave(crate::Error::moved(format!("{key} is not as it was written"))));
        }
        store.put(&key, sidecar.to_json().into()).await.map(|_| ()).map_err(Stop::leave)
    }
}
