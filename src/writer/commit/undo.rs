//! What a writer ends itself when it cannot go on, or comes too late.

use super::{Commit, Committed, Registered};
use crate::model::OperationId;
use crate::passes::recovery::undo::{Ended, OwnHands, end_own};
use crate::writer::error::{Error, Result};
use crate::writer::repository::Repository;

impl Commit {
    /// Undoes what has moved, and says why it had to.
    pub(super) async fn undo(&self, registered: Registered, why: Error) -> Result<Committed> {
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

    /// Phase D after a recovery that was first: the record goes after the audit of it. *Fails*: the recovery does both.
    pub(super) async fn end_after_recovery(&self, registered: Registered) {
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
}
