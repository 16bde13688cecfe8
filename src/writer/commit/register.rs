//! Phase A, the registration: beat, crash record, a look at who else is there; and phase D, its end.

use super::Commit;
use crate::model::manifest::Entry;
use crate::model::sidecar::{Brought, Pin, Sidecar};
use crate::model::table_path::table_path;
use crate::model::{OperationId, TableKey};
use crate::runtime::gate::Passage;
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Written};
use crate::writer::beat::Beat;
use crate::writer::error::{Error, Result};
use crate::writer::queue::UnderWay;
use crate::writer::repository::Repository;

/// A commit whose crash record is there.
pub(super) struct Registered {
    pub(super) operation: OperationId,
    /// Its state.
    pub(super) file: Option<ETag>,
    pub(super) beat: Beat,
    _under_way: UnderWay,
}

impl Commit {
    /// Phase A. *Dies in it*: a record of nothing at most.
    pub(super) async fn register(&self) -> Result<Registered> {
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
        let which = repo.which(&self.branch).await?.filter(|which| which.identity == self.identity);
        let closing = which.ok_or_else(|| self.repository.gone(&self.branch))?.closing;
        if !closing.is_empty() {
            repo.reopen_abandoned(&self.branch, &closing).await?;
            let branch = &self.branch;
            let why =
                format!("branch {branch} is being deleted; if whoever did that has died, delete it again");
            return Err(crate::Error::moved(why).into());
        }
        self.give_way(&registered.operation, &listing).await?;
        self.require_unmoved(&registered.operation).await
    }

    pub(super) fn sidecar(&self, operation: &OperationId) -> Result<Sidecar> {
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

    /// Phase D. *Fails*: whoever looks next finds the record of a commit that is shown, and removes it.
    pub(super) async fn unregister(&self, registered: Registered) {
        let Registered { operation, beat, _under_way, file: _ } = registered;
        let key = ControlObject::Sidecar(operation.clone()).key();
        match self.repository.parts.store.delete(&key).await {
            Ok(()) => beat.end().await,
            Err(error) => {
                tracing::warn!(%operation, %error, "the record of a commit that has ended stays behind")
            }
        }
    }
}

fn brought((table, entry): (&TableKey, &Entry)) -> Brought {
    Brought { table: table.clone(), branch: entry.branch.clone(), version: entry.version }
}
