//! What the pass is handed by the daemon: time, ids, our turn (the lease) and the right to undo (a window).

use crate::error::Result;
use crate::host::{Clock, Monotonic};
use crate::model::{Permit, Timestamp, Window};
use crate::passes::recovery::act::{Handles, Turn};
use crate::passes::report::{ActionKind, ActionOutcome};
use crate::runtime::gate::Held;
use crate::runtime::lease::{Lease, Taken};
use crate::runtime::windows::Which;
use crate::store::Store;
use crate::telemetry::metrics::RepositoryMetrics;
use async_trait::async_trait;
use std::sync::Arc;

/// The handles of one activation.
pub(super) struct Acting {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ulid: Arc<dyn Fn() -> String + Send + Sync>,
    pub(super) store: Store,
    pub(super) lease: Arc<Lease>,
    pub(super) window: Option<Within>,
    /// The writers' gate, if it is held for this activation: it counts before any window.
    pub(super) gate: Option<Arc<Held>>,
    pub(super) metrics: RepositoryMetrics,
}

/// The window that was open at the start of the activation, and no other.
pub(super) struct Within {
    pub(super) which: Which,
    /// When it ends by our own monotonic clock: a wall clock that is set back meanwhile does not lengthen it.
    pub(super) until: Monotonic,
}

#[async_trait]
impl Handles for Acting {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn ulid(&self) -> String {
        (self.ulid)()
    }

    async fn turn(&self) -> Result<Turn> {
        let was_ours = self.lease.is_held().await;
        let taken = self.lease.take().await;
        if !was_ours {
            let outcome = match &taken {
                Ok(Taken::Held) => ActionOutcome::Committed,
                Ok(Taken::By(_)) => ActionOutcome::Conflict,
                Err(error) => ActionOutcome::of(error),
            };
            self.metrics.action(ActionKind::Lease, outcome);
        }
        Ok(match taken? {
            Taken::Held => Turn::Ours,
            Taken::By(other) => Turn::Of(other),
        })
    }

    /// A manual window is looked at in the store before each act: whoever has closed it is obeyed at once.
    async fn permit(&self) -> Result<Option<Permit>> {
        if let Some(held) = &self.gate {
            return Ok(held.is_still_held().await?.then(|| Permit::of(Window::Gate)));
        }
        let Some(Within { which, until }) = &self.window else { return Ok(None) };
        let open =
            self.clock.monotonic() < *until && which.is_still_open(&self.store, self.clock.now()).await?;
        Ok(open.then(|| Permit::of(which.kind())))
    }

    fn acted(&self, kind: ActionKind, outcome: ActionOutcome) {
        self.metrics.action(kind, outcome);
    }

    fn panicked(&self) {
        self.metrics.panic();
    }
}
