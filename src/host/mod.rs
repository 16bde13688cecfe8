//! What comes from this host and not from a store: time, sleep and chance. All of it is handed in from the composition root,
//! so that tests and simulations decide it.
//!
//! | file | for |
//! |---|---|
//! | [`clock`] | wall clock, monotonic clock and sleep, behind one trait |
//! | [`manual`] | a clock that stands still until a test moves it |
//! | [`chance`] | random numbers, and the jitter made of them |
pub mod chance;
pub mod clock;
pub mod manual;

pub use chance::Chance;
pub use clock::{Clock, Monotonic, SystemClock};
pub use manual::ManualClock;

use std::fmt;
use std::sync::Arc;

/// Handles to time and chance, cheap to clone.
#[derive(Clone)]
pub struct Host {
    /// Time and sleep.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter.
    pub chance: Arc<dyn Chance>,
}

impl Host {
    /// The real ones.
    pub fn real() -> Self {
        Self::with_clock(SystemClock::new())
    }

    /// Real chance, and this clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), chance: Arc::new(chance::SystemChance) }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("clock", &self.clock).finish_non_exhaustive()
    }
}
