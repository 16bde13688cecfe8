//! The only place that reads this host's clocks and the only one that sleeps.
//!
//! Two readings are kept apart by type. [`Timestamp`] is the wall clock: good for records and schedules, free to jump.
//! [`Monotonic`] only moves forward: good for grace periods, leases and delays. Neither guards an action; they decide
//! when to try.

use crate::model::Timestamp;
use async_trait::async_trait;
use std::fmt;
use std::time::{Duration, Instant};

/// A reading of a clock that never goes back: time since an arbitrary moment of this process.
///
/// Readings of two clocks must not be compared. On Linux the time that a host spends suspended does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The reading that lies `since_start` after the clock's start.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Time passed since `earlier`; zero if `earlier` is later than this.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The reading `later` from this one; saturates.
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// Where time comes from. One clock is built at the composition root and handed to whoever needs it.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// The clock that never goes back.
    fn monotonic(&self) -> Monotonic;

    /// Returns once [`Clock::monotonic`] has moved by `duration`. Dropping the future cancels the wait.
    async fn sleep(&self, duration: Duration);
}

/// This host's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic readings count from now.
    #[expect(clippy::disallowed_methods, reason = "the room that reads the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[expect(clippy::disallowed_methods, reason = "the room that reads the clock and sleeps")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_counts_backwards() {
        let (early, late) = (Monotonic::at(Duration::from_secs(5)), Monotonic::at(Duration::from_secs(9)));
        assert_eq!(late.since(early), Duration::from_secs(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::from_secs(4)), late);
        assert_eq!(late.plus(Duration::MAX), Monotonic::at(Duration::MAX));
    }

    #[tokio::test]
    async fn the_system_clock_sleeps_at_least_as_long_as_asked() {
        let clock = SystemClock::new();
        let before = clock.monotonic();
        clock.sleep(Duration::from_millis(5)).await;
        assert!(clock.monotonic().since(before) >= Duration::from_millis(5));
    }
}
