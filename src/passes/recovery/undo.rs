//! A native writer's own operation that cannot go on, ended by the writer itself: as a roll back, but for the window.

use super::act::{Acted, Handles, Turn, act};
use super::decide::own::{Own, own, own_late};
use super::observe::{Grace, Intent, Quiet, component, find};
use crate::error::{Error, Kind, Result};
use crate::model::manifest::Marker;
use crate::model::sidecar::Sidecar;
use crate::model::{Permit, Timestamp, Window};
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

/// Ends an operation: what this sidecar says, which its writer has written.
///
/// *Dies at any point*: the sidecar is there until the end, and what was restored is *already undone* for whoever looks. *A
/// recovery does the same*: of two restores one lands, of two markers one. *A recovery has ended it before*, as one that had not
/// moved a table: what was moved since is undone as well.
pub async fn end_own(repo: &Repository, sidecar: &Sidecar, handles: &dyn Handles) -> Result<Ended> {
    let mut moved = String::new();
    for _ in 0..LOOKS {
        match look(repo, sidecar, handles).await {
            Ok(Looked::Ended(ended)) => return Ok(ended),
            Ok(Looked::Moved(why)) => moved = why,
            Err(error) if error.kind() == Kind::Moved => moved = error.chain(),
            Err(error) => return Err(error),
        }
    }
    Ok(Ended::Left(moved))
}

enum Looked {
    Ended(Ended),
    Moved(String),
}

async fn look(repo: &Repository, sidecar: &Sidecar, handles: &dyn Handles) -> Result<Looked> {
    let operation = &sidecar.operation;
    let found = find(repo).await?;
    let pending = found.intents.iter().find(|intent| intent.sidecar.operation == *operation).cloned();
    let is_pending = pending.is_some();
    let intent = pending.unwrap_or_else(|| Intent::remembered(sidecar.clone()));
    let grace = Grace::default();
    let quiet = Quiet { memory: &grace, grace: Duration::ZERO, uptime: Duration::ZERO };
    let seen = component(repo, &found, vec![intent], &quiet).await?;
    let Some(claim) = seen.component.claims.first() else {
        return Err(Error::internal("an intent was looked at and is no claim"));
    };
    let settled = || match &claim.marker {
        Some(marker) => Ended::Settled(Box::new(marker.clone())),
        None => Ended::Undone,
    };
    let is_shown = claim.marker.as_ref().is_some_and(|marker| marker.verdict.shows());
    let right = match is_pending {
        true => own(&seen.component, claim),
        false if is_shown => return Ok(Looked::Ended(settled())),
        false => own_late(&seen.component, claim),
    };
    match right {
        Own::Untouched if is_pending => {
            repo.store().delete(&ControlObject::Sidecar(operation.clone()).key()).await?;
            Ok(Looked::Ended(Ended::Undone))
        }
        Own::Untouched => Ok(Looked::Ended(settled())),
        Own::Leave(why) => Ok(Looked::Ended(Ended::Left(why))),
        Own::Settle(decision) => Ok(match act(repo, &seen, &decision, handles).await? {
            // A recovery had ended it while its writer was still at work, and had not come to the end itself.
            Acted::Settled if is_pending && claim.marker.is_some() && !is_shown => {
                Looked::Moved("what was moved after a recovery had ended it is looked for".into())
            }
            Acted::Settled => Looked::Ended(settled()),
            Acted::LookAgain(why) => Looked::Moved(why),
        }),
    }
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
