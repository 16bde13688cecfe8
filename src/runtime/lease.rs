//! The leader lease: reconcilers of one repository take turns, so that they do not do the same work twice.
//!
//! It saves work; it guards nothing. Every act carries a precondition that the store checks, so two reconcilers that both
//! believe they lead may waste requests and may not do harm.
//!
//! State n is the object `__recovery/lease.<n>`, only ever created, with a nonce; the highest number is the state. It is
//! taken before the first act, kept alive by a beat (`lease.beat`, a plain write with a counter), and given up after a
//! time without work, so that an idle daemon writes nothing.
//!
//! | what may happen | what then |
//! |---|---|
//! | two take it at once | one creation of n + 1 lands; the other finds foreign bytes |
//! | a slow one creates a number that is no longer the highest | a listing made afterwards shows it, and it does not count |
//! | the holder dies | its beat stands still; who has watched that for the TTL on its own monotonic clock takes over |
//! | a look is older than the TTL when the lease is wanted | a listing made then shows whether the holder has beaten since |
//! | the holder was only slow | it finds a higher number at its next look and steps back |
//! | an answer is lost | the store room reads back; if even that fails, the lease is not held |
//! | a clock is wrong | none is read but the monotonic one |

use crate::config::LeaseSettings;
use crate::error::{Error, Result};
use crate::host::{Clock, Monotonic};
use crate::model::Timestamp;
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Meta, Store, Written};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Version of the objects' format.
const FORMAT: u32 = 1;

/// A state's object is a few lines.
const MAX_BYTES: u64 = 64 << 10;

/// Beats in one TTL: two may be lost before anyone takes the holder for dead.
const BEATS_PER_TTL: u32 = 3;

/// What a state's object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    format: u32,
    nonce: String,
    holder: String,
    held: bool,
    at: Timestamp,
}

/// What one listing of the control objects shows of the lease.
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
                ControlObject::Lease(number) => shown.older.push(number),
                ControlObject::LeaseBeat => shown.beat = meta.etag.clone(),
                _ => {}
            }
        }
        shown.older.sort_unstable();
        shown.highest = shown.older.pop();
        shown
    }
}

/// Whether we may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The lease is ours.
    Held,
    /// Somebody else holds it: by name, as it wrote it down.
    By(String),
}

/// This process's part in one repository's lease.
pub struct Lease {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: LeaseSettings,
    holder: String,
    ulid: Arc<dyn Fn() -> String + Send + Sync>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    shown: Shown,
    /// When what is shown was first seen so.
    since: Monotonic,
    state: Option<(u64, Option<State>)>,
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    number: u64,
    worked_at: Monotonic,
    _beating: JoinSet<()>,
}

impl Lease {
    /// The lease of the repository in `store`; `holder` is who we are, for people.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        settings: LeaseSettings,
        holder: String,
        ulid: Arc<dyn Fn() -> String + Send + Sync>,
    ) -> Self {
        Self { store, clock, settings, holder, ulid, memory: Mutex::default() }
    }

    /// Learns from a listing of the control objects who leads, and how long its beat has stood still.
    pub async fn look(&self, listing: &[Meta]) {
        self.memory.lock().await.see(Shown::in_listing(listing), self.clock.monotonic());
    }

    /// Whether the lease is ours, as far as we know.
    pub async fn is_held(&self) -> bool {
        self.memory.lock().await.ours.is_some()
    }

    /// Whether it may be ours for the asking, as far as the last look shows: it is, nobody holds it, or its beat has stood
    /// still for long enough.
    pub async fn may_be_had(&self) -> bool {
        let memory = self.memory.lock().await;
        let is_held = match (&memory.state, memory.shown.highest) {
            (Some((number, state)), Some(highest)) if *number == highest => {
                state.as_ref().is_none_or(|state| state.held)
            }
            // There is none, or it was not read yet.
            _ => false,
        };
        memory.ours.is_some() || !is_held || self.has_stood_still(&memory)
    }

    /// Takes the lease unless somebody else holds it, and notes that there is work.
    pub async fn take(&self) -> Result<Taken> {
        let mut memory = self.memory.lock().await;
        let now = self.clock.monotonic();
        if let Some(ours) = &mut memory.ours {
            ours.worked_at = now;
            return Ok(Taken::Held);
        }
        if let Some(other) = self.other_holder(&mut memory).await? {
            return Ok(Taken::By(other));
        }
        let number = memory.shown.highest.map_or(1, |highest| highest + 1);
        match self.create(number, true).await? {
            Written::Committed { .. } => {}
            Written::Conflict => return Ok(Taken::By("another reconciler, just now".into())),
            Written::Unknown { error } => return Err(error),
        }
        let shown = self.shown().await?;
        if shown.highest != Some(number) {
            return Ok(Taken::By("another reconciler, just now".into()));
        }
        self.forget(&shown.older).await;
        tracing::info!(number, "took the leader lease");
        memory.see(shown, now);
        memory.ours = Some(Ours { number, worked_at: now, _beating: self.beating(number) });
        Ok(Taken::Held)
    }

    /// Gives the lease up if nothing has been done under it for long enough.
    pub async fn rest(&self) {
        let idle = {
            let memory = self.memory.lock().await;
            let now = self.clock.monotonic();
            memory.ours.as_ref().is_some_and(|ours| now.since(ours.worked_at) >= self.settings.release_after)
        };
        if idle {
            self.release().await;
        }
    }

    /// Gives the lease up. *Dies before it, or it fails*: the beat stands still, and others wait for the TTL. *The whole
    /// repository has gone*: its folder is not made anew for a note that nobody reads.
    pub async fn release(&self) {
        let mut memory = self.memory.lock().await;
        let Some(Ours { number, _beating: beating, .. }) = memory.ours.take() else { return };
        drop(beating);
        if is_gone(&self.store, number).await {
            tracing::info!("the leader lease has gone");
            return;
        }
        match self.create(number + 1, false).await {
            Ok(Written::Committed { .. }) => {
                self.forget(&[number]).await;
                if let Err(error) = self.store.delete(&ControlObject::LeaseBeat.key()).await {
                    tracing::debug!(%error, "the lease's beat stays behind");
                }
                tracing::info!("gave up the leader lease");
            }
            Ok(Written::Conflict) => tracing::info!("the leader lease is somebody else's already"),
            Ok(Written::Unknown { error }) | Err(error) => {
                tracing::warn!(%error, "could not give up the leader lease: others wait until it has run out");
            }
        }
    }

    /// Who else holds it now; nobody, if it was given up or its beat has stood still for the TTL.
    async fn other_holder(&self, memory: &mut Memory) -> Result<Option<String>> {
        let holder = self.holder(memory).await?;
        if holder.is_none() || !self.has_stood_still(memory) {
            return Ok(holder);
        }
        // The last look may be as old as this run is long: whoever has beaten since is alive.
        memory.see(self.shown().await?, self.clock.monotonic());
        let holder = self.holder(memory).await?;
        Ok(holder.filter(|_| !self.has_stood_still(memory)))
    }

    /// Who holds what was shown last, however long ago it has beaten.
    async fn holder(&self, memory: &mut Memory) -> Result<Option<String>> {
        let Some(highest) = memory.shown.highest else { return Ok(None) };
        if memory.state.as_ref().is_none_or(|(number, _)| *number != highest) {
            memory.state = Some((highest, self.read(highest).await?));
        }
        Ok(match &memory.state {
            Some((_, Some(state))) => state.held.then(|| state.holder.clone()),
            _ => Some("an unreadable lease".to_owned()),
        })
    }

    fn has_stood_still(&self, memory: &Memory) -> bool {
        self.clock.monotonic().since(memory.since) >= self.settings.ttl
    }

    async fn shown(&self) -> Result<Shown> {
        Ok(Shown::in_listing(&self.store.list(&recovery_dir()).await?))
    }

    /// A state that is gone or not understood is `None`: held, until it has stood still for the TTL.
    async fn read(&self, number: u64) -> Result<Option<State>> {
        let object = self.store.get_limited(&ControlObject::Lease(number).key(), MAX_BYTES).await?;
        let state = object.and_then(|object| serde_json::from_slice::<State>(&object.bytes).ok());
        Ok(state.filter(|state| state.format == FORMAT))
    }

    async fn create(&self, number: u64, held: bool) -> Result<Written> {
        let state = State {
            format: FORMAT,
            nonce: (self.ulid)(),
            holder: self.holder.clone(),
            held,
            at: self.clock.now(),
        };
        let bytes = serde_json::to_vec_pretty(&state)
            .map_err(|error| Error::internal("a lease does not serialise").caused_by(error))?;
        self.store.create(&ControlObject::Lease(number).key(), bytes.into()).await
    }

    /// Removes states that no longer count. One that stays is removed by the next holder.
    async fn forget(&self, numbers: &[u64]) {
        for number in numbers {
            if let Err(error) = self.store.delete(&ControlObject::Lease(*number).key()).await {
                tracing::debug!(%error, number, "an old lease stays behind");
            }
        }
    }

    /// Beats until it is dropped, which ends the task, or its lease has gone. A beat that fails is made up for by the next.
    fn beating(&self, number: u64) -> JoinSet<()> {
        let (store, clock, nonce) = (self.store.clone(), self.clock.clone(), (self.ulid)());
        let pause = self.settings.ttl / BEATS_PER_TTL;
        let mut task = JoinSet::new();
        task.spawn(async move {
            for count in 0_u64.. {
                if is_gone(&store, number).await {
                    return;
                }
                let beat =
                    serde_json::json!({ "format": FORMAT, "nonce": nonce, "lease": number, "count": count });
                if let Err(error) = store.put(&ControlObject::LeaseBeat.key(), beat.to_string().into()).await
                {
                    tracing::warn!(%error, "a beat of the leader lease was lost");
                }
                clock.sleep(pause).await;
            }
        });
        task
    }
}

/// Whether a state of the lease is no longer there: a later one counts, or the repository itself has gone. Not, if it cannot
/// be told.
async fn is_gone(store: &Store, number: u64) -> bool {
    matches!(store.head(&ControlObject::Lease(number).key()).await, Ok(None))
}

impl Memory {
    fn see(&mut self, shown: Shown, now: Monotonic) {
        if self.ours.as_ref().is_some_and(|ours| shown.highest != Some(ours.number)) {
            tracing::info!(
                "the leader lease is not ours any more: another reconciler has it, or it has gone"
            );
            self.ours = None;
        }
        if (shown.highest, &shown.beat) != (self.shown.highest, &self.shown.beat) {
            self.since = now;
        }
        self.shown = shown;
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.store.uri())
    }
}
