//! How much may be at work at once: commits and bytes for each actor, whole-table rewrites for all of them.
//!
//! Whoever is admitted holds a guard; the room that it takes is given back when the guard goes, whether by an end, a
//! cancellation or a panic. Nobody waits here: who is not admitted is told when to try again.

use super::error::{Error, Limit, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a rejected caller is told to wait: about one commit's time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limits.
///
/// ```
/// let limits = outrigger::writer::Limits::default();
/// assert_eq!((limits.in_flight, limits.bytes, limits.rewrites), (16, 4 << 30, 4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Commits of one actor under way.
    pub in_flight: usize,
    /// Bytes of rows in one actor's commits under way. One commit alone is let in whatever its size.
    pub bytes: u64,
    /// Tables that are rewritten as a whole, by overwrites, merges and maintenance together.
    pub rewrites: usize,
}

impl Limits {
    /// Environment variables that set them, in the order of the fields.
    ///
    /// ```
    /// use outrigger::writer::Limits;
    ///
    /// let [in_flight, bytes, rewrites] = Limits::VARIABLES;
    /// assert_eq!(rewrites, "OUTRIGGER_REWRITES");
    /// # let _ = (in_flight, bytes);
    /// ```
    pub const VARIABLES: [&str; 3] =
        ["OUTRIGGER_WRITER_IN_FLIGHT", "OUTRIGGER_WRITER_BYTES", "OUTRIGGER_REWRITES"];

    /// The defaults, or what the environment says. `variable` looks one up.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a value that is no whole number above zero.
    ///
    /// ```
    /// use outrigger::writer::Limits;
    ///
    /// let limits = Limits::from_environment(|name| (name == Limits::VARIABLES[0]).then(|| "4".into()))?;
    /// assert_eq!((limits.in_flight, limits.rewrites), (4, 4));
    /// # Ok::<_, outrigger::Error>(())
    /// ```
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> crate::Result<Self> {
        let read = |name: &str, default: u64| match variable(name).filter(|text| !text.is_empty()) {
            None => Ok(default),
            Some(text) => text.trim().parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                crate::Error::invalid(format!("{name} takes a whole number above zero, not {text:?}"))
            }),
        };
        let default = Self::default();
        let [in_flight, bytes, rewrites] = Self::VARIABLES;
        let count = |name, default: usize| {
            read(name, default as u64).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
        };
        Ok(Self {
            in_flight: count(in_flight, default.in_flight)?,
            bytes: read(bytes, default.bytes)?,
            rewrites: count(rewrites, default.rewrites)?,
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 16, bytes: 4 << 30, rewrites: 4 }
    }
}

/// Who is at work. Clones share it.
///
/// ```
/// use outrigger::writer::{Admission, Limits};
///
/// let (admission, limits) = (Admission::default(), Limits { in_flight: 1, ..Limits::default() });
/// let _first = admission.commit(&limits, "ann", 0, 0)?;
/// assert!(admission.clone().commit(&limits, "ann", 0, 0).is_err());
/// # Ok::<_, outrigger::writer::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Admission(Arc<Mutex<AtWork>>);

#[derive(Debug, Default)]
struct AtWork {
    actors: HashMap<String, Share>,
    rewrites: usize,
}

#[derive(Debug, Default)]
struct Share {
    in_flight: usize,
    bytes: u64,
}

/// Room that is taken, until it is dropped.
///
/// ```
/// use outrigger::writer::{Admission, Limits};
///
/// let admission = Admission::default();
/// let admitted = admission.commit(&Limits::default(), "ann", 100, 0)?;
/// assert_eq!(admission.actors(), 1);
/// drop(admitted);
/// assert_eq!(admission.actors(), 0, "whoever is idle is forgotten");
/// # Ok::<_, outrigger::writer::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the room is given back when this is dropped"]
pub struct Admitted {
    at_work: Arc<Mutex<AtWork>>,
    actor: Option<String>,
    bytes: u64,
    rewrites: usize,
}

impl Admission {
    /// Takes room for one commit of an actor: all of it, or none.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the limit that would be passed.
    ///
    /// ```
    /// use outrigger::writer::{Admission, Limits};
    ///
    /// let (admission, limits) = (Admission::default(), Limits { in_flight: 1, ..Limits::default() });
    /// let first = admission.commit(&limits, "ann", 100, 0)?;
    /// assert!(admission.commit(&limits, "ann", 100, 0).is_err());
    /// assert!(admission.commit(&limits, "bob", 100, 0).is_ok(), "actors do not stand in each other's way");
    /// drop(first);
    /// assert!(admission.commit(&limits, "ann", 100, 0).is_ok());
    /// # Ok::<_, outrigger::writer::Error>(())
    /// ```
    pub fn commit(&self, limits: &Limits, actor: &str, bytes: u64, rewrites: usize) -> Result<Admitted> {
        let mut at_work = self.lock();
        let share = at_work.actors.get(actor);
        let (in_flight, known) = share.map_or((0, 0), |share| (share.in_flight, share.bytes));
        if in_flight >= limits.in_flight {
            return Err(rejected(Limit::InFlight(limits.in_flight)));
        }
        if in_flight > 0 && known.saturating_add(bytes) > limits.bytes {
            return Err(rejected(Limit::Bytes(limits.bytes)));
        }
        check_rewrites(&at_work, limits, rewrites)?;
        let share = at_work.actors.entry(actor.to_owned()).or_default();
        (share.in_flight, share.bytes) = (in_flight + 1, known.saturating_add(bytes));
        at_work.rewrites += rewrites;
        Ok(Admitted { at_work: self.0.clone(), actor: Some(actor.to_owned()), bytes, rewrites })
    }

    /// Takes room for a rewrite that is no commit of an actor: maintenance.
    ///
    /// # Errors
    /// [`Error::Rejected`] if the pool is empty.
    ///
    /// ```
    /// use outrigger::writer::{Admission, Limits};
    ///
    /// let (admission, limits) = (Admission::default(), Limits { rewrites: 1, ..Limits::default() });
    /// let compaction = admission.rewrite(&limits)?;
    /// assert!(admission.commit(&limits, "ann", 0, 1).is_err(), "an overwrite waits for it");
    /// drop(compaction);
    /// assert!(admission.commit(&limits, "ann", 0, 1).is_ok());
    /// # Ok::<_, outrigger::writer::Error>(())
    /// ```
    pub fn rewrite(&self, limits: &Limits) -> Result<Admitted> {
        let mut at_work = self.lock();
        check_rewrites(&at_work, limits, 1)?;
        at_work.rewrites += 1;
        Ok(Admitted { at_work: self.0.clone(), actor: None, bytes: 0, rewrites: 1 })
    }

    /// How many actors are known: those that are at work.
    ///
    /// ```
    /// use outrigger::writer::{Admission, Limits};
    ///
    /// let (admission, limits) = (Admission::default(), Limits::default());
    /// let both = [admission.commit(&limits, "ann", 0, 0)?, admission.commit(&limits, "bob", 0, 0)?];
    /// assert_eq!(admission.actors(), 2);
    /// drop(both);
    /// assert_eq!(admission.actors(), 0);
    /// # Ok::<_, outrigger::writer::Error>(())
    /// ```
    pub fn actors(&self) -> usize {
        self.lock().actors.len()
    }

    fn lock(&self) -> MutexGuard<'_, AtWork> {
        lock(&self.0)
    }
}

/// A commit that rewrites more tables than the pool holds is let in alone.
fn check_rewrites(at_work: &AtWork, limits: &Limits, rewrites: usize) -> Result<()> {
    let passes = rewrites == 0 || at_work.rewrites == 0 || at_work.rewrites + rewrites <= limits.rewrites;
    if passes { Ok(()) } else { Err(rejected(Limit::Rewrites(limits.rewrites))) }
}

fn rejected(limit: Limit) -> Error {
    Error::Rejected { limit, retry_after: RETRY_AFTER }
}

fn lock(at_work: &Mutex<AtWork>) -> MutexGuard<'_, AtWork> {
    // Numbers are changed together under the lock: a panic elsewhere leaves them whole.
    at_work.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut at_work = lock(&self.at_work);
        at_work.rewrites -= self.rewrites;
        let Some(actor) = &self.actor else { return };
        if let Some(share) = at_work.actors.get_mut(actor) {
            share.in_flight -= 1;
            share.bytes -= self.bytes;
            if share.in_flight == 0 {
                at_work.actors.remove(actor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn of_thirty_two_at_once_sixteen_are_admitted() {
        let (admission, limits) = (Admission::default(), Limits::default());
        let (together, held, admitted) = (Barrier::new(32), Barrier::new(32), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    together.wait();
                    let guard = admission.commit(&limits, "ann", 1, 0);
                    admitted.fetch_add(usize::from(guard.is_ok()), Ordering::Relaxed);
                    held.wait();
                    drop(guard);
                });
            }
        });
        assert_eq!(admitted.into_inner(), 16);
        assert_eq!(admission.actors(), 0, "who is idle is forgotten");
    }

    #[test]
    fn a_rejection_takes_no_room() {
        let (admission, limits) = (Admission::default(), Limits { bytes: 100, ..Limits::default() });
        let first = admission.commit(&limits, "ann", 60, 0).unwrap();
        for _ in 0..3 {
            let error = admission.commit(&limits, "ann", 60, 0).unwrap_err();
            assert!(matches!(error, Error::Rejected { limit: Limit::Bytes(100), .. }), "{error}");
        }
        let second = admission.commit(&limits, "ann", 40, 0).unwrap();
        drop((first, second));
        let _alone =
            admission.commit(&limits, "ann", 1000, 0).expect("one alone is let in whatever its size");
    }

    #[test]
    fn a_panic_gives_the_room_back() {
        let (admission, limits) = (Admission::default(), Limits { in_flight: 1, ..Limits::default() });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = admission.commit(&limits, "ann", 1, 1);
            panic!("a defect");
        }));
        assert!(result.is_err());
        let _again = admission.commit(&limits, "ann", 1, 4).unwrap();
    }

    #[test]
    fn limits_come_from_the_environment_and_are_checked() {
        let given = |name: &str| (name == "OUTRIGGER_WRITER_BYTES").then(|| "1024".to_owned());
        assert_eq!(Limits::from_environment(given).unwrap(), Limits { bytes: 1024, ..Limits::default() });
        for wrong in ["0", "-1", "many", "1.5"] {
            let error = Limits::from_environment(|_| Some(wrong.to_owned())).unwrap_err();
            assert!(error.to_string().contains("OUTRIGGER_WRITER_IN_FLIGHT"), "{error}");
        }
    }
}
