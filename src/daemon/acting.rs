//! What the pass is handed by the daemon: time, ids, our turn (the lease) and the right to undo (a window).

use crate::error::Result;
use crate::host::{Clock, Monotonic};
use crate::model::{Permit, Timestamp};
use crate::passes::recovery::act::{Handles, Turn};
use crate::passes::report::{ActionKind, ActionOutcome};
use crate::runtime::lease::{Lease, Taken};
use crate::runtime::windows::{Open, Windows};
use crate::store::Store;
use crate::telemetry::metrics::RepositoryMetrics;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};

/// Windows that are looked at while acts go on.
pub(super) type SharedWindows = Arc<Mutex<Windows>>;

/// The handles of one activation.
pub(super) struct Acting {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ulid: Arc<dyn Fn() -> String + Send + Sync>,
    pub(super) store: Store,
    pub(super) lease: Arc<Lease>,
    pub(super) windows: SharedWindows,
    /// When the window that was open at the start of the activation ends by our own monotonic clock: a wall clock that
    /// is set back meanwhile does not lengthen it.
    pub(super) until: Option<Monotonic>,
    pub(super) metrics: RepositoryMetrics,
}

/// The window that is open now, as far as was seen.
pub(super) fn open_window(windows: &SharedWindows, clock: &dyn Clock, store: &Store) -> Option<Open> {
    windows.lock().unwrap_or_else(PoisonError::into_inner).open(clock.now(), store.now())
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
        if self.until.is_none_or(|until| self.clock.monotonic() >= until) {
            return Ok(None);
        }
        let open = open_window(&self.windows, self.clock.as_ref(), &self.store);
        if let Some(object) = open.and_then(|open| open.object)
            && self.store.head(&object).await?.is_none()
        {
            self.windows.lock().unwrap_or_else(PoisonError::into_inner).forget(&object);
        }
        let open = open_window(&self.windows, self.clock.as_ref(), &self.store);
        Ok(open.map(|open| Permit::of(open.window)))
    }

    fn acted(&self, kind: ActionKind, outcome: ActionOutcome) {
        self.metrics.action(kind, outcome);
    }

    fn panicked(&self) {
        self.metrics.panic();
    }
}
