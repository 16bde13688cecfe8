//! The beat of a commit that is under way: a small object that changes every two seconds, so that a recovery need not wait for
//! long to tell a slow writer from a dead one.
//!
//! It is there before the crash record is, and goes after it. Nothing depends on it for safety.

use crate::error::Result;
use crate::host::{Clock, Monotonic};
use crate::model::OperationId;
use crate::model::beat::{EVERY, TTL};
use crate::store::{ControlObject, Store};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Beats until it is dropped.
#[derive(Debug)]
pub(super) struct Beat {
    store: Store,
    clock: Arc<dyn Clock>,
    operation: OperationId,
    last: Arc<Mutex<Monotonic>>,
    beating: JoinSet<()>,
}

impl Beat {
    /// Beats once, and goes on beside the caller.
    pub(super) async fn start(store: Store, clock: Arc<dyn Clock>, operation: OperationId) -> Result<Self> {
        let began = clock.monotonic();
        beat(&store, &operation, 0).await?;
        let last = Arc::new(Mutex::new(began));
        let mut beating = JoinSet::new();
        beating.spawn(go_on(store.clone(), clock.clone(), operation.clone(), last.clone()));
        Ok(Self { store, clock, operation, last, beating })
    }

    /// Whether it has been heard of late: if not, others may take this writer for dead.
    pub(super) fn is_heard(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.monotonic().since(last) < TTL / 2
    }

    /// Ends it, once the crash record is gone. One that stays behind stands still, and is nobody's.
    pub(super) async fn end(self) {
        let Self { store, operation, mut beating, .. } = self;
        // A beat that is under way would come after the deletion.
        beating.shutdown().await;
        if let Err(error) = store.delete(&ControlObject::Beat(operation.clone()).key()).await {
            tracing::warn!(%operation, %error, "the beat of a commit that has ended stays behind");
        }
    }
}

async fn go_on(store: Store, clock: Arc<dyn Clock>, operation: OperationId, last: Arc<Mutex<Monotonic>>) {
    for count in 1_u64.. {
        clock.sleep(EVERY).await;
        // Others count from when the store has taken it, which is later.
        let began = clock.monotonic();
        match beat(&store, &operation, count).await {
            Ok(()) => *last.lock().unwrap_or_else(PoisonError::into_inner) = began,
            Err(error) => tracing::warn!(%operation, %error, "a beat was lost"),
        }
    }
}

async fn beat(store: &Store, operation: &OperationId, count: u64) -> Result<()> {
    let beat = serde_json::json!({ "format": 1, "operation": operation, "count": count });
    store.put(&ControlObject::Beat(operation.clone()).key(), beat.to_string().into()).await.map(|_| ())
}
