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

use crate::error::{Error, Result};
use crate::host::{Clock, Monotonic};
use crate::model::beat::{EVERY, TTL};
use crate::model::{OperationId, StoreTime, Timestamp};
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Meta, Store, Written};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Version of the objects' format.
const FORMAT: u32 = 1;

/// A state's object is a few lines.
const MAX_BYTES: u64 = 64 << 10;

/// The longest that a gate stays closed. Half of it may be spent on waiting for writers.
pub const LONGEST: Duration = Duration::from_secs(30);

/// Between two looks for writers that are awaited.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Fresh unique ids.
pub type Ids = Arc<dyn Fn() -> String + Send + Sync>;

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

/// What a state's object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    format: u32,
    nonce: String,
    holder: String,
    position: Position,
    at: Timestamp,
}

/// What one listing of the control objects shows of the gate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shown {
    highest: Option<u64>,
    older: Vec<u64>,
    beat: Option<ETag>,
}

impl Shown {
    fn in_listing(listing: &[Meta]) -> Self {
        let mut shown = Self::default();
        for meta in listing {
            match ControlObject::parse(&meta.key) {
                ControlObject::Gate(number) => shown.older.push(number),
                ControlObject::GateBeat => shown.beat = meta.etag.clone(),
                _ => {}
            }
        }
        shown.older.sort_unstable();
        shown.highest = shown.older.pop();
        shown
    }

    async fn now(store: &Store) -> Result<Self> {
        Ok(Self::in_listing(&store.list(&recovery_dir()).await?))
    }

    /// Whether nobody has done anything in between. States that were forgotten are nobody's doing.
    fn stands_still_since(&self, earlier: &Self) -> bool {
        (self.highest, &self.beat) == (earlier.highest, &earlier.beat)
    }
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
pub struct Watcher {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Ids,
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
        Self { store, clock, ids, memory: Mutex::default() }
    }

    /// Whether the gate is open, as a listing of the control objects shows it. One that was seen to stand still for the TTL is
    /// opened: its holder is gone, or so slow that it will find the number changed before it does anything.
    pub async fn passage(&self, listing: &[Meta]) -> Result<Passage> {
        let shown = Shown::in_listing(listing);
        let Some(number) = shown.highest else { return Ok(Passage::Open) };
        if self.memory().open == Some(number) {
            return Ok(Passage::Open);
        }
        if read(&self.store, number).await?.is_some_and(|state| state.position == Position::Open) {
            self.memory().open = Some(number);
            return Ok(Passage::Open);
        }
        let stood = self.stood_still(shown);
        if stood < TTL {
            return Ok(Passage::Closed { retry_after: (TTL - stood).min(Duration::from_secs(2)) });
        }
        tracing::warn!(number, "the writers' gate is closed and nobody holds it: opening it");
        let position = Position::Open;
        match create(&self.store, number + 1, position, "a writer", self.clock.now(), &self.ids).await? {
            // A number counts if it is the highest in a listing made afterwards: others may have closed the gate meanwhile.
            Written::Committed { .. } if Shown::now(&self.store).await?.highest == Some(number + 1) => {
                Ok(Passage::Open)
            }
            Written::Committed { .. } | Written::Conflict => {
                Ok(Passage::Closed { retry_after: Duration::from_secs(1) })
            }
            Written::Unknown { error } => Err(error),
        }
    }

    /// For how long what is shown was seen so.
    fn stood_still(&self, shown: Shown) -> Duration {
        let now = self.clock.monotonic();
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

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({})", self.store.uri())
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
        let Watcher { store, clock, .. } = &*self.watcher;
        let began = clock.monotonic();
        let listing = store.list(&recovery_dir()).await?;
        if self.watcher.passage(&listing).await? != Passage::Open {
            return Ok(Closing::Not("somebody else holds the gate".into()));
        }
        let number = Shown::in_listing(&listing).highest.unwrap_or(0) + 1;
        if !self.create(number, Position::Closing).await? {
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
        if !self.create(number + 1, Position::Exclusive).await? {
            return Ok(Closing::Not("somebody else has moved the gate".into()));
        }
        Ok(Closing::Held(Box::new(self.hold(number + 1, began))))
    }

    /// The same for who does not come back: waits until a gate that somebody else has closed is open, or has stood still.
    pub async fn close_after_others(&self, grace: Duration) -> Result<Closing> {
        let Watcher { store, clock, .. } = &*self.watcher;
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
        let Watcher { store, clock, .. } = &*self.watcher;
        let mut seen = BTreeMap::new();
        loop {
            let listing = store.list(&recovery_dir()).await?;
            if Shown::in_listing(&listing).highest != Some(number) {
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

    /// Whether the next state is ours: created by us, and the highest in a listing made afterwards.
    async fn create(&self, number: u64, position: Position) -> Result<bool> {
        Ok(self.created(number, position).await?.is_some())
    }

    /// The next state as a listing made afterwards shows it; `None` if it is not ours.
    async fn created(&self, number: u64, position: Position) -> Result<Option<Shown>> {
        let Watcher { store, clock, ids, .. } = &*self.watcher;
        match create(store, number, position, &self.holder, clock.now(), ids).await? {
            Written::Committed { .. } => {}
            Written::Conflict => return Ok(None),
            Written::Unknown { error } => return Err(error),
        }
        let shown = Shown::now(store).await?;
        Ok(Some(shown).filter(|shown| shown.highest == Some(number)))
    }

    /// Ends a state of ours. *Fails, or dies before it*: the beat stands still, and anyone opens it.
    async fn open_after(&self, number: u64) {
        match self.created(number + 1, Position::Open).await {
            Ok(Some(shown)) => self.forget(&shown).await,
            Ok(None) => tracing::info!("somebody else has moved the writers' gate already"),
            Err(error) => {
                tracing::warn!(%error, "could not open the writers' gate: it opens once its beat has stood still");
            }
        }
    }

    /// Removes what does not count any more, whoever has made it. What stays is removed by the next who opens the gate.
    async fn forget(&self, shown: &Shown) {
        let stale = shown.older.iter().map(|number| ControlObject::Gate(*number));
        for object in stale.chain([ControlObject::GateBeat]) {
            if let Err(error) = self.watcher.store.delete(&object.key()).await {
                tracing::debug!(%error, "an old state of the gate stays behind");
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
            let Watcher { store, clock, .. } = &*keeper.watcher;
            for count in 0_u64.. {
                let left = until.since(clock.monotonic());
                if left.is_zero() {
                    break;
                }
                let beat = serde_json::json!({ "format": FORMAT, "gate": number, "count": count });
                if let Err(error) = store.put(&ControlObject::GateBeat.key(), beat.to_string().into()).await {
                    tracing::warn!(%error, "a beat of the gate was lost");
                }
                clock.sleep(EVERY.min(left)).await;
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
        let Watcher { store, clock, .. } = &*self.keeper.watcher;
        let shown = Shown::now(store).await?;
        Ok(shown.highest == Some(self.number) && clock.monotonic() < self.until)
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

/// A state; `None` if it is gone or not understood: closed, until it has stood still for the TTL.
async fn read(store: &Store, number: u64) -> Result<Option<State>> {
    let object = store.get_limited(&ControlObject::Gate(number).key(), MAX_BYTES).await?;
    let state = object.and_then(|object| serde_json::from_slice::<State>(&object.bytes).ok());
    Ok(state.filter(|state| state.format == FORMAT))
}

async fn create(
    store: &Store,
    number: u64,
    position: Position,
    holder: &str,
    at: Timestamp,
    ids: &Ids,
) -> Result<Written> {
    let state = State { format: FORMAT, nonce: ids(), holder: holder.to_owned(), position, at };
    let bytes = serde_json::to_vec_pretty(&state)
        .map_err(|error| Error::internal("a gate does not serialise").caused_by(error))?;
    store.create(&ControlObject::Gate(number).key(), bytes.into()).await
}
