//! The writers' gate of a native repository: writers stay out while something is undone.
//!
//! State n is the object `__recovery/gate.<n>`, only ever created, with a nonce; the highest number is the state, and none at all
//! is *open*. Whoever wants writers out creates *closing*, **then** lists their registrations (sidecars), and creates *exclusive*
//! once none is alive; a writer puts its registration, **then** reads the gate, and backs out unless it is open. So of a writer
//! and a closing that meet at least one sees the other.
//!
//! The gate saves writers from conflicts; it guards nothing. Every act carries a precondition that the store checks.
//!
//! | what may happen | what then |
//! |---|---|
//! | two close it at once | one creation of n + 1 lands; the other finds foreign bytes |
//! | the holder dies | its beat stands still; whoever has seen that for the TTL, a writer too, creates *open* |
//! | the holder was only slow | it looks for the highest number before every act, finds another, and stops |
//! | the holder takes too long | its own beat opens the gate when the time is up, whatever the holder is doing |
//! | a writer dies while it is awaited | its beat stands still for the TTL, and it counts as gone |
//! | a writer was only slow | before its next call it reads the gate again, and gives up unless it is open |
//! | an answer is lost | the store room reads back; if even that fails, the gate is not held |
//! | a clock is wrong | none of ours is read but the monotonic one; one of the store's that jumps ahead makes a beat look old, and its writer is fenced |

use super::states::{Of, Shown, States};
use crate::error::Result;
use crate::host::{Clock, Monotonic};
use crate::model::beat::{EVERY, TTL};
use crate::model::{OperationId, StoreTime};
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Meta, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

pub use super::states::Ids;

/// The longest that a gate stays closed. Half of it may be spent on waiting for writers.
pub const LONGEST: Duration = Duration::from_secs(30);

/// Between two looks for writers that are awaited.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Writers may begin.
    Open,
    /// Writers may end what they have begun.
    Closing,
    /// No writer is at work.
    Exclusive,
}

/// A state of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct At {
    position: Position,
}

/// Whether a writer may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Open,
    /// It may not; when to ask again.
    Closed {
        /// About when it is open again.
        retry_after: Duration,
    },
}

/// A writer's view of the gate. One that its holder has abandoned it opens.
#[derive(Debug)]
pub struct Watcher {
    states: States,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// What was shown last, and since when.
    shown: Option<(Shown, Monotonic)>,
    /// The newest state that was read and is open: it stays what it is.
    open: Option<u64>,
}

impl Watcher {
    /// The gate of the repository in `store`.
    pub fn new(store: Store, clock: Arc<dyn Clock>, ids: Ids) -> Self {
        Self { states: States { of: Of::Gate, store, clock, ids }, memory: Mutex::default() }
    }

    /// Whether the gate is open, as a listing of the control objects shows it. One that was seen to stand still for the TTL is
    /// opened: its holder is gone, or so slow that it will find the number changed before it does anything.
    pub async fn passage(&self, listing: &[Meta]) -> Result<Passage> {
        let shown = Of::Gate.shown(listing);
        let Some(number) = shown.highest else { return Ok(Passage::Open) };
        if self.memory().open == Some(number) {
            return Ok(Passage::Open);
        }
        // One that is gone or not understood is closed, until it has stood still for the TTL.
        let state = self.states.read::<At>(number).await?;
        if state.is_some_and(|state| state.what.position == Position::Open) {
            self.memory().open = Some(number);
            return Ok(Passage::Open);
        }
        let stood = self.stood_still(shown);
        if stood < TTL {
            return Ok(Passage::Closed { retry_after: (TTL - stood).min(Duration::from_secs(2)) });
        }
        tracing::warn!(number, "the writers' gate is closed and nobody holds it: opening it");
        // A number counts if it is the highest in a listing made afterwards: others may have closed the gate meanwhile.
        Ok(match self.states.take(number + 1, "a writer", At { position: Position::Open }).await? {
            Some(_) => Passage::Open,
            None => Passage::Closed { retry_after: Duration::from_secs(1) },
        })
    }

    /// For how long what is shown was seen so.
    fn stood_still(&self, shown: Shown) -> Duration {
        let now = self.states.clock.monotonic();
        let mut memory = self.memory();
        match &memory.shown {
            Some((known, since)) if shown.stands_still_since(known) => now.since(*since),
            _ => {
                memory.shown = Some((shown, now));
                Duration::ZERO
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A panic elsewhere cannot leave half of it: values are replaced whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever may close the gate: a reconciler.
#[derive(Debug, Clone)]
pub struct Keeper {
    watcher: Arc<Watcher>,
    holder: String,
}

/// What came of the wish to close it.
#[derive(Debug)]
pub enum Closing {
    /// No writer is at work, and none begins.
    Held(Box<Held>),
    /// It could not be had; says why. It is open again, or somebody else's.
    Not(String),
}

impl Keeper {
    /// `holder` is who closes it, for people.
    pub fn new(watcher: Arc<Watcher>, holder: String) -> Self {
        Self { watcher, holder }
    }

    /// Keeps writers out, waits until those that are at work have ended or stand still, and holds the gate.
    ///
    /// A registration without a beat is at work until it is `grace` old. *Dies in it*: the beat stands still, and anyone opens it.
    pub async fn close(&self, grace: Duration) -> Result<Closing> {
        let States { store, clock, .. } = &self.watcher.states;
        let began = clock.monotonic();
        let listing = store.list(&recovery_dir()).await?;
        if self.watcher.passage(&listing).await? != Passage::Open {
            return Ok(Closing::Not("somebody else holds the gate".into()));
        }
        let number = Of::Gate.shown(&listing).next();
        if self.take(number, Position::Closing).await?.is_none() {
            return Ok(Closing::Not("somebody else has just closed the gate".into()));
        }
        let closing = self.hold(number, began);
        let why_not = match self.drain(number, began, grace).await {
            Ok(None) => None,
            Ok(Some(why)) => Some(Ok(Closing::Not(why))),
            Err(error) => Some(Err(error)),
        };
        if let Some(why_not) = why_not {
            closing.open().await;
            return why_not;
        }
        // The beat goes on under the next number.
        drop(closing);
        if self.take(number + 1, Position::Exclusive).await?.is_none() {
            return Ok(Closing::Not("somebody else has moved the gate".into()));
        }
        Ok(Closing::Held(Box::new(self.hold(number + 1, began))))
    }

    /// The same for who does not come back: waits until a gate that somebody else has closed is open, or has stood still.
    pub async fn close_after_others(&self, grace: Duration) -> Result<Closing> {
        let States { store, clock, .. } = &self.watcher.states;
        let began = clock.monotonic();
        loop {
            let listing = store.list(&recovery_dir()).await?;
            match self.watcher.passage(&listing).await? {
                Passage::Closed { retry_after } if clock.monotonic().since(began) < LONGEST => {
                    clock.sleep(retry_after).await;
                }
                _ => return self.close(grace).await,
            }
        }
    }

    /// Waits until no writer is at work; why the gate cannot be had, if so.
    async fn drain(&self, number: u64, began: Monotonic, grace: Duration) -> Result<Option<String>> {
        let States { store, clock, .. } = &self.watcher.states;
        let mut seen = BTreeMap::new();
        loop {
            let listing = store.list(&recovery_dir()).await?;
            if Of::Gate.shown(&listing).highest != Some(number) {
                return Ok(Some("somebody else has moved the gate".into()));
            }
            let at_work = at_work(&listing, &mut seen, clock.monotonic(), store.now(), grace);
            let Some(waits_for) = at_work else { return Ok(None) };
            if clock.monotonic().since(began) >= LONGEST / 2 {
                return Ok(Some(format!("operation {waits_for} is at work, and does not end")));
            }
            clock.sleep(LOOK_EVERY).await;
        }
    }

    /// The next state as a listing made afterwards shows it; `None` if it is not ours.
    async fn take(&self, number: u64, position: Position) -> Result<Option<Shown>> {
        self.watcher.states.take(number, &self.holder, At { position }).await
    }

    /// Ends a state of ours. *Fails, or dies before it*: the beat stands still, and anyone opens it.
    async fn open_after(&self, number: u64) {
        let states = &self.watcher.states;
        match self.take(number + 1, Position::Open).await {
            // What does not count any more goes, whoever has made it.
            Ok(Some(shown)) => {
                states.forget(&shown.older).await;
                states.end_beat().await;
            }
            Ok(None) => tracing::info!("somebody else has moved the writers' gate already"),
            Err(error) => {
                tracing::warn!(%error, "could not open the writers' gate: it opens once its beat has stood still");
            }
        }
    }

    fn hold(&self, number: u64, began: Monotonic) -> Held {
        let until = began.plus(LONGEST);
        Held { keeper: self.clone(), number, until, beating: Mutex::new(self.beating(number, until)) }
    }

    /// Beats for a state of the gate until it is dropped. When the time is up it opens the gate.
    fn beating(&self, number: u64, until: Monotonic) -> JoinSet<()> {
        let mut task = JoinSet::new();
        let keeper = self.clone();
        task.spawn(async move {
            let states = &keeper.watcher.states;
            for count in 0_u64.. {
                let left = until.since(states.clock.monotonic());
                if left.is_zero() {
                    break;
                }
                states.beat(number, count).await;
                states.clock.sleep(EVERY.min(left)).await;
            }
            tracing::warn!(number, "the writers' gate was closed for as long as it may be: opening it");
            keeper.open_after(number).await;
        });
        task
    }
}

/// The gate as long as it is ours.
pub struct Held {
    keeper: Keeper,
    number: u64,
    until: Monotonic,
    beating: Mutex<JoinSet<()>>,
}

impl Held {
    /// Whether it is ours still, and its time is not up: asked before every act. One request: others may have closed and
    /// opened it since, and forgotten the number after ours.
    pub async fn is_still_held(&self) -> Result<bool> {
        let states = &self.keeper.watcher.states;
        let shown = states.shown().await?;
        Ok(shown.highest == Some(self.number) && states.clock.monotonic() < self.until)
    }

    /// Lets writers in. *Fails, or dies before it*: the beat stands still, and anyone opens it.
    pub async fn open(&self) {
        self.beating.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.keeper.open_after(self.number).await;
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held(gate {})", self.number)
    }
}

/// Registrations as they were last seen: their state, and since when by our own steady clock.
type Registrations = BTreeMap<OperationId, (Option<ETag>, Monotonic)>;

/// A writer that is at work: its beat has changed within the TTL, as seen here, and is younger than that by the store's clock.
fn at_work(
    listing: &[Meta],
    seen: &mut Registrations,
    now: Monotonic,
    store_now: Option<StoreTime>,
    grace: Duration,
) -> Option<OperationId> {
    let mut found = None;
    for registration in listing {
        let ControlObject::Sidecar(operation) = ControlObject::parse(&registration.key) else { continue };
        let beat = ControlObject::Beat(operation.clone()).key();
        let beat = listing.iter().find(|object| object.key == beat);
        let (object, patience) = beat.map_or((registration, grace), |beat| (beat, TTL));
        let known = seen.entry(operation.clone()).or_insert_with(|| (object.etag.clone(), now));
        if known.0 != object.etag {
            *known = (object.etag.clone(), now);
        }
        let age = store_now.map_or(Duration::ZERO, |store_now| store_now.since(object.last_modified));
        if now.since(known.1).max(age) < patience {
            found.get_or_insert(operation);
        }
    }
    found
}
