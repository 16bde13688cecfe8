//! A native writer's own operation that cannot go on, ended by the writer itself: as a roll back, but for the window.

use super::act::{Acted, Handles, Turn, act};
use super::decide::own::{Own, own};
use super::observe::{Grace, Quiet, component, find};
use crate::error::{Error, Kind, Result};
use crate::model::manifest::Marker;
use crate::model::{Branch, OperationId, Permit, Timestamp, Window};
use crate::passes::report::{ActionKind, ActionOutcome};
use crate::repo::Repository;
use crate::store::ControlObject;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks anew when something moves under it.
const LOOKS: usize = 6;

/// How an operation stands after its writer has tried to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Nothing of it is shown, and its sidecar is gone.
    Undone,
    /// A recovery has settled it: its marker tells how.
    Settled(Box<Marker>),
    /// Its sidecar is left to a recovery; says why.
    Left(String),
}

/// Ends an operation that was written for `branch`.
///
/// *Dies at any point*: the sidecar is there until the end, and what was restored is *already undone* for whoever looks. *A
/// recovery does the same*: of two restores one lands, of two markers one.
pub async fn end_own(
    repo: &Repository,
    operation: &OperationId,
    branch: &Branch,
    handles: &dyn Handles,
) -> Result<Ended> {
    let mut moved = String::new();
    for _ in 0..LOOKS {
        let found = find(repo).await?;
        let own_intent = found.intents.iter().find(|intent| intent.sidecar.operation == *operation).cloned();
        let Some(intent) = own_intent else { return settled(repo, operation, branch).await };
        let grace = Grace::default();
        let quiet = Quiet { memory: &grace, grace: Duration::ZERO, uptime: Duration::ZERO };
        let seen = match component(repo, &found, vec![intent], &quiet).await {
            Err(error) if error.kind() == Kind::Moved => {
                moved = error.chain();
                continue;
            }
            seen => seen?,
        };
        let Some(claim) = seen.component.claims.first() else {
            return Err(Error::internal("an intent was looked at and is no claim"));
        };
        match own(&seen.component, claim) {
            Own::Untouched => {
                repo.store().delete(&ControlObject::Sidecar(operation.clone()).key()).await?;
                return Ok(Ended::Undone);
            }
            Own::Leave(why) => return Ok(Ended::Left(why)),
            Own::Settle(decision) => match act(repo, &seen, &decision, handles).await? {
                Acted::Settled => match &claim.marker {
                    Some(marker) => return Ok(Ended::Settled(Box::new(marker.clone()))),
                    None => return Ok(Ended::Undone),
                },
                Acted::LookAgain(why) => moved = why,
            },
        }
    }
    Ok(Ended::Left(moved))
}

/// Without its sidecar: a recovery has ended it.
async fn settled(repo: &Repository, operation: &OperationId, branch: &Branch) -> Result<Ended> {
    for at in [branch.clone(), Branch::main()] {
        let found = repo.snapshot(&at).await?.and_then(|at| at.state.marker(operation).cloned());
        if let Some(marker) = found {
            return Ok(Ended::Settled(Box::new(marker)));
        }
    }
    Ok(Ended::Undone)
}

/// What a writer acts with on its own operation: it waits for nobody's turn, and nobody's promise is needed.
pub struct OwnHands {
    /// This host's clock, read now.
    pub now: Timestamp,
    /// Fresh ULIDs.
    pub ids: Arc<dyn Fn() -> String + Send + Sync>,
}

#[async_trait]
impl Handles for OwnHands {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn ulid(&self) -> String {
        (self.ids)()
    }

    async fn turn(&self) -> Result<Turn> {
        Ok(Turn::Ours)
    }

    async fn permit(&self) -> Result<Option<Permit>> {
        Ok(Some(Permit::of(Window::Own)))
    }

    fn acted(&self, _: ActionKind, _: ActionOutcome) {}

    fn panicked(&self) {}
}
