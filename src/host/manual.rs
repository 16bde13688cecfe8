//! A clock that stands still until someone moves it: a day of schedules and delays in a test that takes no time.

use super::{Clock, Monotonic};
use crate::model::Timestamp;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often [`ManualClock::until_asleep`] lets other tasks run before it gives up.
const PATIENCE: usize = 10_000;

/// A clock moved by hand. Clones share the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    wall: Timestamp,
    monotonic: Monotonic,
    sleepers: Vec<(Monotonic, oneshot::Sender<()>)>,
}

impl ManualClock {
    /// A clock whose wall reads `wall` and whose monotonic reading is zero.
    pub fn new(wall: Timestamp) -> Self {
        let state = State { wall, monotonic: Monotonic::default(), sleepers: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Moves both clocks forward and wakes whoever has slept long enough.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.wall = state.wall.plus(by);
        state.monotonic = state.monotonic.plus(by);
        let now = state.monotonic;
        let (due, waiting) =
            std::mem::take(&mut state.sleepers).into_iter().partition(|(until, _)| *until <= now);
        state.sleepers = waiting;
        for (_, wake) in due {
            // Nobody listens when the sleep was cancelled.
            let _ = wake.send(());
        }
    }

    /// Sets the wall clock alone, forward or back, as an administrator or a time server would.
    pub fn set_wall(&self, wall: Timestamp) {
        self.lock().wall = wall;
    }

    /// How many tasks sleep on this clock.
    pub fn sleepers(&self) -> usize {
        let mut state = self.lock();
        state.sleepers.retain(|(_, wake)| !wake.is_closed());
        state.sleepers.len()
    }

    /// Lets other tasks run until at least `count` of them sleep on this clock.
    ///
    /// # Panics
    /// If that does not come about within 10,000 turns: the test would otherwise hang.
    pub async fn until_asleep(&self, count: usize) {
        for _ in 0..PATIENCE {
            if self.sleepers() >= count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("only {} of {count} tasks went to sleep", self.sleepers());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().wall
    }

    fn monotonic(&self) -> Monotonic {
        self.lock().monotonic
    }

    async fn sleep(&self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        {
            let mut state = self.lock();
            let until = state.monotonic.plus(duration);
            state.sleepers.push((until, wake));
        }
        // The sender lives in the clock that we borrow, so it is only dropped after it was used.
        let _ = woken.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000).unwrap())
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = clock();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(10)).await }
        });
        clock.until_asleep(1).await;
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
    }

    #[test]
    fn the_wall_may_jump_without_moving_the_monotonic_clock() {
        let clock = clock();
        let before = clock.monotonic();
        clock.set_wall(Timestamp::from_micros(0).unwrap());
        assert_eq!(clock.monotonic(), before);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_micros(1_000_000).unwrap());
    }
}
