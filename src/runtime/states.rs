//! Numbered states: objects below `__recovery/` that are only ever created, of which the highest number counts, with a beat beside
//! them. The lease and the writers' gate are such.

use crate::error::{Error, Result};
use crate::host::Clock;
use crate::model::Timestamp;
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Meta, Store, Written};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Version of the objects' format.
const FORMAT: u32 = 1;

/// A state's object is a few lines.
const MAX_BYTES: u64 = 64 << 10;

/// Fresh unique ids.
pub type Ids = Arc<dyn Fn() -> String + Send + Sync>;

/// Whose states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Lease,
    Gate,
}

impl Of {
    pub(super) fn object(self, number: u64) -> ControlObject {
        match self {
            Self::Lease => ControlObject::Lease(number),
            Self::Gate => ControlObject::Gate(number),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Gate => "gate",
        }
    }

    fn beat(self) -> ControlObject {
        match self {
            Self::Lease => ControlObject::LeaseBeat,
            Self::Gate => ControlObject::GateBeat,
        }
    }

    /// What a listing of the control objects shows of them.
    pub(super) fn shown(self, listing: &[Meta]) -> Shown {
        let mut shown = Shown::default();
        for meta in listing {
            match (self, ControlObject::parse(&meta.key)) {
                (Self::Lease, ControlObject::Lease(number)) | (Self::Gate, ControlObject::Gate(number)) => {
                    shown.older.push(number);
                }
                (_, object) if object == self.beat() => shown.beat = meta.etag.clone(),
                _ => {}
            }
        }
        shown.older.sort_unstable();
        shown.highest = shown.older.pop();
        shown
    }
}

/// What one listing shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shown {
    pub(super) highest: Option<u64>,
    /// Numbers that do not count any more.
    pub(super) older: Vec<u64>,
    pub(super) beat: Option<ETag>,
}

impl Shown {
    /// Whether nobody has done anything in between. States that were forgotten are nobody's doing.
    pub(super) fn stands_still_since(&self, earlier: &Self) -> bool {
        (self.highest, &self.beat) == (earlier.highest, &earlier.beat)
    }

    /// The number that comes after all that are shown; the first is 1.
    pub(super) fn next(&self) -> u64 {
        self.highest.unwrap_or(0) + 1
    }
}

/// What a state's object says; `what` is the state itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State<W> {
    format: u32,
    /// Unique to the attempt: equal bytes are our bytes, when an answer got lost.
    nonce: String,
    /// Who has made it, for people.
    pub(super) holder: String,
    #[serde(flatten)]
    pub(super) what: W,
    at: Timestamp,
}

/// The states of one repository.
#[derive(Clone)]
pub(super) struct States {
    pub(super) of: Of,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Ids,
}

impl States {
    pub(super) async fn shown(&self) -> Result<Shown> {
        Ok(self.of.shown(&self.store.list(&recovery_dir()).await?))
    }

    /// A state; `None` if it is gone or not understood.
    pub(super) async fn read<W: DeserializeOwned>(&self, number: u64) -> Result<Option<State<W>>> {
        let object = self.store.get_limited(&self.of.object(number).key(), MAX_BYTES).await?;
        let state = object.and_then(|object| serde_json::from_slice::<State<W>>(&object.bytes).ok());
        Ok(state.filter(|state| state.format == FORMAT))
    }

    /// Makes a state, if none of that number is there.
    pub(super) async fn create<W: Serialize>(&self, number: u64, holder: &str, what: W) -> Result<Written> {
        let (nonce, at) = ((self.ids)(), self.clock.now());
        let state = State { format: FORMAT, nonce, holder: holder.to_owned(), what, at };
        let bytes = serde_json::to_vec_pretty(&state)
            .map_err(|error| Error::internal("a state does not serialise").caused_by(error))?;
        self.store.create(&self.of.object(number).key(), bytes.into()).await
    }

    /// The same, and what a listing made afterwards shows. `None` if it does not count: somebody else has made that number, or a
    /// higher one.
    pub(super) async fn take<W: Serialize>(
        &self,
        number: u64,
        holder: &str,
        what: W,
    ) -> Result<Option<Shown>> {
        match self.create(number, holder, what).await? {
            Written::Committed { .. } => {}
            Written::Conflict => return Ok(None),
            Written::Unknown { error } => return Err(error),
        }
        Ok(Some(self.shown().await?).filter(|shown| shown.highest == Some(number)))
    }

    /// Puts the beat anew: each count is another object.
    pub(super) async fn beat(&self, number: u64, count: u64) {
        let beat = serde_json::json!({ "format": FORMAT, (self.of.name()): number, "count": count });
        if let Err(error) = self.store.put(&self.of.beat().key(), beat.to_string().into()).await {
            tracing::warn!(of = ?self.of, %error, "a beat was lost");
        }
    }

    /// Removes states that do not count any more. One that stays is removed by the next who takes a state.
    pub(super) async fn forget(&self, numbers: &[u64]) {
        for number in numbers {
            self.remove(self.of.object(*number)).await;
        }
    }

    /// Removes the beat.
    pub(super) async fn end_beat(&self) {
        self.remove(self.of.beat()).await;
    }

    async fn remove(&self, object: ControlObject) {
        let key = object.key();
        if let Err(error) = self.store.delete(&key).await {
            tracing::debug!(%key, %error, "what does not count any more stays behind");
        }
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.of, self.store.uri())
    }
}
