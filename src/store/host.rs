//! What the store room needs of its host: a wall clock, a steady clock, sleep and chance. All come from here, so that tests
//! and simulations decide them.

use crate::model::Timestamp;
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Handles to time and chance, cheap to clone.
#[derive(Clone)]
pub struct Host {
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
    sleep: Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
    chance: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Host {
    /// The real ones. Steady clock and sleep are tokio's, so they obey its paused time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the store room meets real time and chance"
    )]
    pub fn real() -> Self {
        let start = tokio::time::Instant::now();
        Self {
            wall: Arc::new(|| Timestamp(chrono::Utc::now())),
            uptime: Arc::new(move || tokio::time::Instant::now().duration_since(start)),
            sleep: Arc::new(|delay| Box::pin(tokio::time::sleep(delay))),
            chance: Arc::new(rand::random::<f64>),
        }
    }

    /// The same host with another wall clock.
    pub fn with_wall(mut self, wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.wall = Arc::new(wall);
        self
    }

    /// The same host with another steady clock: time since any fixed moment.
    pub fn with_uptime(mut self, uptime: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.uptime = Arc::new(uptime);
        self
    }

    /// The same host with another way to sleep.
    pub fn with_sleep(
        mut self,
        sleep: impl Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.sleep = Arc::new(sleep);
        self
    }

    /// The same host with another source of chance: numbers in [0, 1).
    pub fn with_chance(mut self, chance: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.chance = Arc::new(chance);
        self
    }

    /// The wall clock.
    pub(super) fn wall(&self) -> Timestamp {
        (self.wall)()
    }

    /// Time since a fixed moment; never runs backwards.
    pub(super) fn uptime(&self) -> Duration {
        (self.uptime)()
    }

    /// Waits.
    pub(super) async fn sleep(&self, delay: Duration) {
        (self.sleep)(delay).await;
    }

    /// A delay somewhere between half of the given one and all of it, so that clients do not march in step.
    pub(super) fn jittered(&self, delay: Duration) -> Duration {
        delay.mul_f64(0.5 + 0.5 * (self.chance)().clamp(0.0, 1.0))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}
