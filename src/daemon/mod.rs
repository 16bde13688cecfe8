//! The daemon: many repositories, each looked at again and again.
//!
//! | file | for |
//! |---|---|
//! | [`keeper`] | one repository: look, decide how much of the pass is due, run it, say when to come back |
//! | [`due`] | that decision, pure |
//! | `acting` | what the pass is handed here: time, ids, our turn (the lease), the right to undo (a window) |
//! | [`board`] | what is known of every repository: `/status`, readiness, and requests to look now |
//! | `told` | what the last runs told, and when to look again |
//! | `booking` | a report, as metrics |
//!
//! *Level-triggered*: a wake carries a reason and no facts. Each look reads the bucket and would do the same after a restart;
//! nothing but waits, backoffs, caches and wishes for a look at everything lives in memory.
//!
//! *Stopping*: nothing new is begun or accepted, what runs gets [`PATIENCE`] and is then dropped at its next request, which is
//! a crash like any other; leases are given up.

mod acting;
pub mod board;
mod booking;
pub mod due;
pub mod keeper;
mod told;

use crate::config::{RepositoryName, Settings};
use crate::error::Result;
use crate::host::Host;
use crate::runtime::queue::{Reason, Requeue, Wake};
use crate::runtime::runner::{Activation, Runner, Waker};
use crate::runtime::wake::wake_on_schedule;
use crate::store::StoreParts;
use crate::telemetry::http::Server;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::tokens::Tokens;
use async_trait::async_trait;
use board::Board;
use keeper::Keeper;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What runs when the word to stop comes gets so long; with the rest of the farewell this stays below ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(6);

/// All leases together get so long to be given up.
const LEASES_PATIENCE: Duration = Duration::from_secs(2);

/// What the daemon is made of besides its settings: everything that a test or simulation may want to decide.
#[derive(Clone)]
pub struct Parts {
    /// Time and chance.
    pub host: Host,
    /// Fresh ids.
    pub ulid: Arc<dyn Fn() -> String + Send + Sync>,
    /// What every store is made of.
    pub store: StoreParts,
    /// Who we are, for people who read the lease.
    pub holder: String,
}

/// A daemon that is wired and bound, and does not run yet.
pub struct Daemon {
    settings: Settings,
    parts: Parts,
    board: Arc<Board>,
    keepers: Arc<Keepers>,
    runner: Runner<RepositoryName>,
    server: Server,
}

impl Daemon {
    /// Wires everything and binds the HTTP address. Asks no store anything.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a token that cannot be read or an address that cannot be had.
    pub async fn bind(settings: Settings, parts: Parts) -> Result<Self> {
        let metrics = Metrics::new(&settings, parts.host.clock.now())?;
        let keepers = settings.repositories.iter().map(|repository| {
            let metrics = metrics.repository(repository.name.to_string());
            (repository.name.clone(), Keeper::new(repository.clone(), settings.lease, parts.clone(), metrics))
        });
        let keepers = Arc::new(Keepers(keepers.collect()));
        let runner = Runner::new(parts.host.clock.clone(), settings.concurrency, keepers.clone());
        let statuses = keepers.0.iter().map(|(name, keeper)| (name.clone(), keeper.status()));
        let board = Arc::new(Board::new(runner.waker(), statuses.collect(), settings.http.max_waiting));
        let server =
            Server::bind(settings.http.listen, board.clone(), metrics, Tokens::read(&settings)?).await?;
        Ok(Self { settings, parts, board, keepers, runner, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Runs until `stop` is cancelled, and ends within ten seconds of it.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let Self { settings, parts, board, keepers, runner, server } = self;
        let waker = runner.waker();
        wake_all(&waker, &settings);
        let schedules = wake_by_schedule(&settings, &parts, waker).await?;
        let closing = CancellationToken::new();
        let serving = tokio::spawn(server.run(parts.host.clock.clone(), closing.clone()));
        let patience = async {
            stop.cancelled().await;
            // Who asks while the last looks end is told so.
            board.shut_down();
            parts.host.clock.sleep(PATIENCE).await;
        };
        tokio::select! {
            () = runner.run(stop.clone()) => {}
            () = patience => tracing::warn!("what still runs is dropped: the next start finishes it"),
        }
        board.shut_down();
        closing.cancel();
        schedules.stop().await;
        tokio::select! {
            () = keepers.release() => {}
            () = parts.host.clock.sleep(LEASES_PATIENCE) => tracing::warn!("not every lease was given up: others wait until it has run out"),
        }
        serving.await.unwrap_or_else(|stopped| {
            Err(crate::Error::internal("the HTTP server's task stopped").caused_by(stopped))
        })
    }
}

fn wake_all(waker: &Waker<RepositoryName>, settings: &Settings) {
    for repository in &settings.repositories {
        waker.wake(Wake { key: repository.name.clone(), reason: Reason::Start });
    }
}

/// Wakes a repository when a pass of its own schedule is due, or a window by the calendar opens.
async fn wake_by_schedule(
    settings: &Settings,
    parts: &Parts,
    waker: Waker<RepositoryName>,
) -> Result<ScheduledWakes> {
    let mut schedules = Vec::new();
    for repository in &settings.repositories {
        let wake = |reason| Wake { key: repository.name.clone(), reason };
        let passes = repository.enabled_passes().filter_map(|(_, pass)| pass.schedule.clone());
        schedules.extend(passes.map(|schedule| (wake(Reason::Schedule), schedule)));
        let windows = repository.windows.iter().map(|window| window.schedule.clone());
        schedules.extend(windows.map(|schedule| (wake(Reason::Window), schedule)));
    }
    // All may be due at once, and none may be lost: a pass may run once a day.
    let (sender, mut receiver) = tokio::sync::mpsc::channel(schedules.len().max(1));
    let alarms = wake_on_schedule(schedules, parts.host.clock.clone(), sender).await?;
    let mut passing_on = tokio::task::JoinSet::new();
    passing_on.spawn(async move {
        while let Some(wake) = receiver.recv().await {
            waker.wake(wake);
        }
    });
    Ok(ScheduledWakes { alarms, _passing_on: passing_on })
}

struct ScheduledWakes {
    alarms: crate::runtime::wake::ScheduleWaker,
    _passing_on: tokio::task::JoinSet<()>,
}

impl ScheduledWakes {
    async fn stop(self) {
        self.alarms.stop().await;
    }
}

/// The work behind the queue's keys.
struct Keepers(BTreeMap<RepositoryName, Keeper>);

impl Keepers {
    async fn release(&self) {
        futures::future::join_all(self.0.values().map(Keeper::release)).await;
    }
}

#[async_trait]
impl Activation<RepositoryName> for Keepers {
    async fn run(&self, wake: Wake<RepositoryName>) -> Requeue {
        match self.0.get(&wake.key) {
            Some(keeper) => keeper.tick(wake.reason).await,
            None => Requeue::OnChange,
        }
    }

    fn panicked(&self, key: &RepositoryName, message: &str) -> Requeue {
        self.0.get(key).map_or(Requeue::OnChange, |keeper| keeper.panicked(message))
    }
}
