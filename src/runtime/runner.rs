//! Turns the queue: starts what is ready, waits for what runs, keeps one run's trouble from the others.

use super::queue::{Plan, Requeue, Wake};
use crate::host::{Clock, Monotonic};
use async_trait::async_trait;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// What the runner needs of a key.
pub trait Key: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {}
impl<K: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static> Key for K {}

/// The work behind a key.
#[async_trait]
pub trait Activation<K: Key>: Send + Sync + 'static {
    /// Looks at the key and does what is to do.
    async fn run(&self, wake: Wake<K>) -> Requeue;

    /// A run of `key` panicked with `message`. Report it, and say when to try again; other keys are not affected.
    fn panicked(&self, key: &K, message: &str) -> Requeue;
}

/// Where wakes are left for a [`Runner`]. Cheap to clone; never blocks; holds at most one waiting wake per key.
pub struct Waker<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    plan: Mutex<Plan<K>>,
    changed: Notify,
}

impl<K: Key> Waker<K> {
    /// Asks for a run of the wake's key. Coalesces with wakes of the same key that still wait.
    pub fn wake(&self, wake: Wake<K>) {
        self.plan().wake(wake);
        self.shared.changed.notify_one();
    }

    /// Keys that are ready and wait for their turn.
    pub fn waiting(&self) -> usize {
        self.plan().waiting()
    }

    /// Keys that run at this moment.
    pub fn running(&self) -> usize {
        self.plan().running()
    }

    fn plan(&self) -> MutexGuard<'_, Plan<K>> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Waker<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K: Key> fmt::Debug for Waker<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waker {{ waiting: {}, running: {} }}", self.waiting(), self.running())
    }
}

/// Runs activations: one per key at a time, at most `concurrency` in all.
pub struct Runner<K: Key> {
    waker: Waker<K>,
    clock: Arc<dyn Clock>,
    activation: Arc<dyn Activation<K>>,
    concurrency: NonZeroUsize,
    tasks: JoinSet<Requeue>,
    keys: HashMap<Id, K>,
}

impl<K: Key> Runner<K> {
    /// A runner with nothing to do. Wake it through [`Runner::waker`].
    pub fn new(clock: Arc<dyn Clock>, concurrency: NonZeroUsize, activation: Arc<dyn Activation<K>>) -> Self {
        let shared = Shared { plan: Mutex::new(Plan::new()), changed: Notify::new() };
        let waker = Waker { shared: Arc::new(shared) };
        Self { waker, clock, activation, concurrency, tasks: JoinSet::new(), keys: HashMap::new() }
    }

    /// Where to leave wakes.
    pub fn waker(&self) -> Waker<K> {
        self.waker.clone()
    }

    /// Runs until `stop` is cancelled, then starts nothing more and waits for what is running.
    ///
    /// Dropping the future aborts what is running at its next await; a caller with little time wraps this in a timeout.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.start_ready();
            let (clock, waker, moment) = (&self.clock, &self.waker, self.next_moment());
            tokio::select! {
                () = stop.cancelled() => {}
                () = waker.shared.changed.notified() => {}
                () = sleep_until(clock.as_ref(), moment) => {}
                Some(ended) = self.tasks.join_next_with_id() => self.settle(ended),
            }
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.settle(ended);
        }
    }

    /// Starts ready keys until the limit is reached or none is left.
    fn start_ready(&mut self) {
        let mut plan = self.waker.plan();
        plan.come_due(self.clock.monotonic());
        while self.tasks.len() < self.concurrency.get() {
            let Some(wake) = plan.start() else { break };
            let (activation, key) = (self.activation.clone(), wake.key.clone());
            let task = self.tasks.spawn(async move { activation.run(wake).await });
            self.keys.insert(task.id(), key);
        }
    }

    /// Books the end of a run, however it ended.
    fn settle(&mut self, ended: Result<(Id, Requeue), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(key) = self.keys.remove(&id) else { return };
        let requeue = match ended {
            Ok((_, requeue)) => requeue,
            Err(error) => self.activation.panicked(&key, &panic_message(error)),
        };
        self.waker.plan().finish(key, requeue, self.clock.monotonic());
    }

    /// While all places are taken, no moment matters: the next event is the end of a run.
    fn next_moment(&self) -> Option<Monotonic> {
        (self.tasks.len() < self.concurrency.get()).then(|| self.waker.plan().next_moment()).flatten()
    }
}

impl<K: Key> fmt::Debug for Runner<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runner {{ {:?}, concurrency: {} }}", self.waker, self.concurrency)
    }
}

async fn sleep_until(clock: &dyn Clock, moment: Option<Monotonic>) {
    match moment {
        Some(moment) => clock.sleep(moment.since(clock.monotonic())).await,
        None => std::future::pending().await,
    }
}

/// What a panic said, or that a run was aborted.
fn panic_message(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "the run was aborted".to_owned() };
    let payload: &(dyn Any + Send) = payload.as_ref();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
