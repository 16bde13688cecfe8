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

use super::states::{Ids, Of, Shown, State, States};
use crate::config::LeaseSettings;
use crate::error::Result;
use crate::host::{Clock, Monotonic};
use crate::store::{ControlObject, Meta, Store, Written};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Beats in one TTL: two may be lost before anyone takes the holder for dead.
const BEATS_PER_TTL: u32 = 3;

/// A state of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Holding {
    held: bool,
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
#[derive(Debug)]
pub struct Lease {
    states: States,
    settings: LeaseSettings,
    holder: String,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    shown: Shown,
    /// When what is shown was first seen so.
    since: Monotonic,
    state: Option<(u64, Option<State<Holding>>)>,
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
        ids: Ids,
    ) -> Self {
        let states = States { of: Of::Lease, store, clock, ids };
        Self { states, settings, holder, memory: Mutex::default() }
    }

    /// Learns from a listing of the control objects who leads, and how long its beat has stood still.
    pub async fn look(&self, listing: &[Meta]) {
        self.memory.lock().await.see(Of::Lease.shown(listing), self.states.clock.monotonic());
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
                state.as_ref().is_none_or(|state| state.what.held)
            }
            // There is none, or it was not read yet.
            _ => false,
        };
        memory.ours.is_some() || !is_held || self.has_stood_still(&memory)
    }

    /// Takes the lease unless somebody else holds it, and notes that there is work.
    pub async fn take(&self) -> Result<Taken> {
        let mut memory = self.memory.lock().await;
        let now = self.states.clock.monotonic();
        if let Some(ours) = &mut memory.ours {
            ours.worked_at = now;
            return Ok(Taken::Held);
        }
        if let Some(other) = self.other_holder(&mut memory).await? {
            return Ok(Taken::By(other));
        }
        let number = memory.shown.next();
        let Some(shown) = self.states.take(number, &self.holder, Holding { held: true }).await? else {
            return Ok(Taken::By("another reconciler, just now".into()));
        };
        self.states.forget(&shown.older).await;
        tracing::info!(number, "took the leader lease");
        memory.see(shown, now);
        memory.ours = Some(Ours { number, worked_at: now, _beating: self.beating(number) });
        Ok(Taken::Held)
    }

    /// Gives the lease up if nothing has been done under it for long enough.
    pub async fn rest(&self) {
        let idle = {
            let memory = self.memory.lock().await;
            let now = self.states.clock.monotonic();
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
        if is_gone(&self.states.store, number).await {
            tracing::info!("the leader lease has gone");
            return;
        }
        match self.states.create(number + 1, &self.holder, Holding { held: false }).await {
            Ok(Written::Committed { .. }) => {
                self.states.forget(&[number]).await;
                self.states.end_beat().await;
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
        memory.see(self.states.shown().await?, self.states.clock.monotonic());
        let holder = self.holder(memory).await?;
        Ok(holder.filter(|_| !self.has_stood_still(memory)))
    }

    /// Who holds what was shown last, however long ago it has beaten.
    async fn holder(&self, memory: &mut Memory) -> Result<Option<String>> {
        let Some(highest) = memory.shown.highest else { return Ok(None) };
        if memory.state.as_ref().is_none_or(|(number, _)| *number != highest) {
            memory.state = Some((highest, self.states.read(highest).await?));
        }
        Ok(match &memory.state {
            Some((_, Some(state))) => state.what.held.then(|| state.holder.clone()),
            // Gone or not understood: held, until it has stood still for the TTL.
            _ => Some("an unreadable lease".to_owned()),
        })
    }

    fn has_stood_still(&self, memory: &Memory) -> bool {
        self.states.clock.monotonic().since(memory.since) >= self.settings.ttl
    }

    /// Beats until it is dropped, which ends the task, or its lease has gone. A beat that fails is made up for by the next.
    fn beating(&self, number: u64) -> JoinSet<()> {
        let (states, pause) = (self.states.clone(), self.settings.ttl / BEATS_PER_TTL);
        let mut task = JoinSet::new();
        task.spawn(async move {
            for count in 0_u64.. {
                if is_gone(&states.store, number).await {
                    return;
                }
                states.beat(number, count).await;
                states.clock.sleep(pause).await;
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
        if !shown.stands_still_since(&self.shown) {
            self.since = now;
        }
        self.shown = shown;
    }
}
