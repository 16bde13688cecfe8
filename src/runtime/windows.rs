//! Which window is open: by the calendar, or because a person opened one.
//!
//! A manual window is an object, `__recovery/window.<ULID>`, that is only ever created and deleted. It is open until the
//! *store's* clock passes the time at which the store took it plus its length: a restart, a second reconciler or a wrong
//! clock of ours never lengthens it. On a local disk the store's clock is the host's; a window that seems to come from the
//! future is closed, and one that was seen over stays so if that clock is set back.
//!
//! Whoever begins under a window goes on under that one alone: once it is closed or over, the next look finds another.

use super::schedule::{WindowSchedule, WindowSpan};
use crate::error::{Error, Result};
use crate::model::{OperationId, StoreTime, Timestamp, Window};
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, Key, Meta, Store, Written};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Version of the object's format.
const FORMAT: u32 = 1;

/// A window's object is a few lines.
const MAX_BYTES: u64 = 64 << 10;

/// Stores tell whole seconds in one place and fractions in another; further ahead than this is the future.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// The longest manual window: whoever needs more opens another.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest: less would be over before anything began.
pub const SHORTEST: Duration = Duration::from_secs(10);

/// A window that a person opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManualWindow {
    /// Names its object.
    pub id: OperationId,
    /// When the store took it.
    pub opened: StoreTime,
    /// How long it stays open, in seconds.
    #[serde(rename = "seconds", serialize_with = "whole_seconds")]
    pub length: Duration,
    /// Why, in its opener's words.
    pub reason: String,
}

fn whole_seconds<S: serde::Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(length.as_secs())
}

/// The object's content.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    format: u32,
    nonce: String,
    seconds: u64,
    reason: String,
}

impl ManualWindow {
    /// Time left at a moment of the store's clock; `None` if it is over, or from the future.
    pub fn left(&self, now: StoreTime) -> Option<Duration> {
        if self.opened.since(now) > CLOCK_GRAIN {
            return None;
        }
        Some(self.opened.plus(self.length).since(now)).filter(|left| !left.is_zero())
    }

    fn is_over(&self, now: StoreTime) -> bool {
        self.opened.plus(self.length) <= now
    }

    fn key(&self) -> Key {
        ControlObject::Window(self.id.clone()).key()
    }
}

/// Opens a window. `ulid` gives a fresh id and a nonce.
///
/// *Answer lost*: the store room reads back. *Dies after it*: the window is open, as asked.
pub async fn open(
    store: &Store,
    length: Duration,
    reason: &str,
    ulid: impl Fn() -> String,
) -> Result<ManualWindow> {
    if !(SHORTEST..=LONGEST).contains(&length) {
        let (shortest, longest) = (humantime::format_duration(SHORTEST), humantime::format_duration(LONGEST));
        return Err(Error::invalid(format!("a window is open for {shortest} to {longest}")));
    }
    let id = OperationId::parse(&ulid()).map_err(|_| Error::internal("a fresh ULID is no id"))?;
    let key = ControlObject::Window(id).key();
    let body = Body { format: FORMAT, nonce: ulid(), seconds: length.as_secs(), reason: reason.to_owned() };
    let bytes = serde_json::to_vec_pretty(&body)
        .map_err(|error| Error::internal("a window does not serialise").caused_by(error))?;
    match store.create(&key, bytes.into()).await? {
        Written::Committed { .. } => {}
        Written::Conflict => return Err(Error::internal(format!("{key} exists already"))),
        Written::Unknown { error } => return Err(error),
    }
    let meta = store.head(&key).await?;
    let meta = meta.ok_or_else(|| Error::moved(format!("{key} was closed at once by somebody else")))?;
    read(store, &meta)
        .await?
        .ok_or_else(|| Error::moved(format!("{key} was closed at once by somebody else")))
}

/// Every manual window, over or not, oldest first.
pub async fn list(store: &Store) -> Result<Vec<ManualWindow>> {
    Ok(Windows::manual(store).await?.manual.into_values().flatten().collect())
}

/// Closes every manual window, and forgets those that are over. Closing twice is closing once.
pub async fn close(store: &Store) -> Result<Vec<ManualWindow>> {
    let windows = list(store).await?;
    for window in &windows {
        store.delete(&window.key()).await?;
    }
    Ok(windows)
}

/// Reads a window's object; `None` if it is gone or not understood, which is told.
async fn read(store: &Store, meta: &Meta) -> Result<Option<ManualWindow>> {
    let ControlObject::Window(id) = ControlObject::parse(&meta.key) else { return Ok(None) };
    let Some(object) = store.get_limited(&meta.key, MAX_BYTES).await? else { return Ok(None) };
    match serde_json::from_slice::<Body>(&object.bytes) {
        Ok(Body { format: FORMAT, seconds, reason, .. }) => {
            let length = Duration::from_secs(seconds).min(LONGEST);
            Ok(Some(ManualWindow { id, opened: meta.last_modified, length, reason }))
        }
        Ok(Body { format, .. }) => {
            tracing::warn!(window = %meta.key, format, "a window of a newer format counts as closed");
            Ok(None)
        }
        Err(error) => {
            tracing::warn!(window = %meta.key, %error, "an unreadable window counts as closed");
            Ok(None)
        }
    }
}

/// An open window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Which one.
    pub which: Which,
    /// How long it stays open.
    pub left: Duration,
    /// Whether something new may begin: not in its last tenth, where it would likely be caught by the end.
    pub accepts_new_scopes: bool,
}

/// One window, the same whenever it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// One that a person opened.
    Manual(ManualWindow),
    /// One opening by the calendar.
    Calendar(WindowSpan),
}

impl Which {
    /// Its kind.
    pub fn kind(&self) -> Window {
        match self {
            Self::Manual(_) => Window::Manual,
            Self::Calendar(_) => Window::Schedule,
        }
    }

    /// Whether it is still open. A manual one is looked up in the store: whoever has closed it is obeyed at once.
    pub async fn is_still_open(&self, store: &Store, wall: Timestamp) -> Result<bool> {
        match self {
            Self::Manual(window) => {
                let is_there = store.head(&window.key()).await?.is_some();
                Ok(is_there && store.now().is_some_and(|now| window.left(now).is_some()))
            }
            Self::Calendar(span) => Ok(span.opened <= wall && wall < span.closes),
        }
    }
}

/// The windows of one repository.
#[derive(Debug)]
pub struct Windows {
    schedules: Vec<WindowSchedule>,
    /// By key; `None` for one that is not understood, or was seen over.
    manual: BTreeMap<Key, Option<ManualWindow>>,
}

impl Windows {
    /// Windows by the calendar; manual ones are found by [`Windows::look`].
    pub fn new(schedules: Vec<WindowSchedule>) -> Self {
        Self { schedules, manual: BTreeMap::new() }
    }

    /// The manual ones alone, for who does not watch.
    pub async fn manual(store: &Store) -> Result<Self> {
        let mut windows = Self::new(Vec::new());
        windows.look(store, &store.list(&recovery_dir()).await?).await?;
        Ok(windows)
    }

    /// Learns of manual windows from a listing of the control objects: one read for each new one.
    pub async fn look(&mut self, store: &Store, listing: &[Meta]) -> Result<()> {
        let is_window = |meta: &&Meta| matches!(ControlObject::parse(&meta.key), ControlObject::Window(_));
        let listed: Vec<&Meta> = listing.iter().filter(is_window).collect();
        self.manual.retain(|key, _| listed.iter().any(|meta| meta.key == *key));
        for meta in listed {
            if !self.manual.contains_key(&meta.key) {
                let window = read(store, meta).await?;
                self.manual.insert(meta.key.clone(), window);
            }
        }
        Ok(())
    }

    /// The open window that allows most: one in which something may begin before one that is about to end, a manual one before
    /// one by the calendar, then the one that stays open longest.
    pub fn open(&mut self, wall: Timestamp, store: Option<StoreTime>) -> Option<Open> {
        if let Some(now) = store {
            for window in self.manual.values_mut() {
                window.take_if(|window| window.is_over(now));
            }
        }
        let manual = self.manual.values().flatten().filter_map(|window| {
            let left = window.left(store?)?;
            let accepts_new_scopes = left > window.length / 10;
            Some(Open { which: Which::Manual(window.clone()), left, accepts_new_scopes })
        });
        let by_calendar = self.schedules.iter().filter_map(|schedule| {
            let span = schedule.is_open(wall)?;
            let (left, accepts_new_scopes) = (span.remaining(wall), span.accepts_new_scopes(wall));
            Some(Open { which: Which::Calendar(span), left, accepts_new_scopes })
        });
        let most =
            |open: &Open| (open.accepts_new_scopes, open.which.kind().covers_unguarded_acts(), open.left);
        manual.chain(by_calendar).max_by_key(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> StoreTime {
        StoreTime::from_micros(1_768_003_200_000_000 + seconds * 1_000_000).unwrap()
    }

    fn wall(seconds: i64) -> Timestamp {
        Timestamp(at(seconds).0)
    }

    fn manual(opened: i64, length: Duration) -> (Key, Option<ManualWindow>) {
        let id = ulid::Ulid::from_parts(opened.unsigned_abs(), length.as_millis()).to_string();
        let id = OperationId::parse(&id).unwrap();
        let window = ManualWindow { id, opened: at(opened), length, reason: "maintenance".into() };
        (window.key(), Some(window))
    }

    fn windows(schedules: Vec<WindowSchedule>, manual_ones: Vec<(Key, Option<ManualWindow>)>) -> Windows {
        Windows { schedules, manual: manual_ones.into_iter().collect() }
    }

    #[test]
    fn a_manual_window_ends_by_the_stores_clock_alone() {
        let mut windows = windows(Vec::new(), vec![manual(0, HOUR)]);
        assert!(windows.open(wall(10), None).is_none(), "the store has told no time yet");
        let mut left = |now: i64| windows.open(wall(99 * 3600), Some(at(now))).map(|open| open.left);
        assert_eq!(left(0), Some(HOUR));
        assert_eq!(left(3599), Some(Duration::from_secs(1)));
        assert_eq!(left(3600), None);
        assert_eq!(left(3599), None, "what was seen over stays over");
    }

    #[test]
    fn a_window_from_the_future_is_closed() {
        let mut windows = windows(Vec::new(), vec![manual(0, HOUR)]);
        assert!(windows.open(wall(0), Some(at(-1))).is_some(), "a second is the grain of the clocks");
        assert!(windows.open(wall(0), Some(at(-60))).is_none());
    }

    #[test]
    fn nothing_new_begins_in_the_last_tenth() {
        let mut windows = windows(Vec::new(), vec![manual(0, HOUR)]);
        let mut accepts = |now: i64| windows.open(wall(0), Some(at(now))).unwrap().accepts_new_scopes;
        assert!(accepts(3239));
        assert!(!accepts(3240));
    }

    #[test]
    fn a_manual_window_counts_before_one_by_the_calendar_until_nothing_may_begin_in_it() {
        let nightly = super::super::schedule::Schedule::parse("0 0 * * *", "UTC").unwrap();
        let nightly = WindowSchedule { schedule: nightly, length: HOUR };
        let mut both = windows(vec![nightly.clone()], vec![manual(0, HOUR / 2)]);
        let mut kind = |now: i64| both.open(wall(now), Some(at(now))).map(|open| open.which.kind());
        assert_eq!(kind(60), Some(Window::Manual));
        assert_eq!(kind(1619), Some(Window::Manual));
        assert_eq!(kind(1620), Some(Window::Schedule), "the last tenth of half an hour");
        assert_eq!(kind(1860), Some(Window::Schedule));
        assert_eq!(kind(3660), None);
    }

    #[test]
    fn a_fresh_window_counts_before_a_long_one_in_its_last_tenth() {
        let mut both = windows(Vec::new(), vec![manual(0, 24 * HOUR), manual(22 * 3600, HOUR / 6)]);
        let open = both.open(wall(0), Some(at(22 * 3600))).unwrap();
        assert_eq!((open.left, open.accepts_new_scopes), (HOUR / 6, true));
        let open = both.open(wall(0), Some(at(23 * 3600))).unwrap();
        assert_eq!((open.left, open.accepts_new_scopes), (HOUR, false));
    }
}
