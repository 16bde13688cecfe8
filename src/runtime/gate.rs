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
//! | the holder was only slow | it looks at the number before every act, finds another, and stops |
//! | a writer dies while it is awaited | its beat stands still for the TTL, and it counts as gone |
//! | a writer was only slow | before its next call it reads the gate again, and gives up unless it is open |
//! | an answer is lost | the store room reads back; if even that fails, the gate is not held |

use crate::error::{Error, Result};
use crate::host::{Clock, Monotonic};
use crate::model::Timestamp;
use crate::model::beat::TTL;
use crate::store::{ControlObject, ETag, Meta, Store, Written};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Version of the objects' format.
const FORMAT: u32 = 1;

/// A state's object is a few lines.
const MAX_BYTES: u64 = 64 << 10;

/// The longest that a gate stays closed.
pub const LONGEST: Duration = Duration::from_secs(30);

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
    beat: Option<ETag>,
}

impl Shown {
    fn in_listing(listing: &[Meta]) -> Self {
        let mut shown = Self::default();
        for meta in listing {
            match ControlObject::parse(&meta.key) {
                ControlObject::Gate(number) => shown.highest = shown.highest.max(Some(number)),
                ControlObject::GateBeat => shown.beat = meta.etag.clone(),
                _ => {}
            }
        }
        shown
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
    memory: Mutex<Option<(Shown, Monotonic)>>,
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
        if read(&self.store, number).await?.is_some_and(|state| state.position == Position::Open) {
            return Ok(Passage::Open);
        }
        let stood = self.stood_still(shown);
        if stood < TTL {
            return Ok(Passage::Closed { retry_after: (TTL - stood).min(Duration::from_secs(2)) });
        }
        tracing::warn!(number, "the writers' gate is closed and nobody holds it: opening it");
        let position = Position::Open;
        match create(&self.store, number + 1, position, "a writer", self.clock.now(), &self.ids).await? {
            Written::Committed { .. } => Ok(Passage::Open),
            Written::Conflict => Ok(Passage::Closed { retry_after: Duration::from_secs(1) }),
            Written::Unknown { error } => Err(error),
        }
    }

    /// For how long what is shown was seen so.
    fn stood_still(&self, shown: Shown) -> Duration {
        let now = self.clock.monotonic();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match &*memory {
            Some((known, since)) if *known == shown => now.since(*since),
            _ => {
                *memory = Some((shown, now));
                Duration::ZERO
            }
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({})", self.store.uri())
    }
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
