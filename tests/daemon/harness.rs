//! One repository's keeper on a clock that a test moves.

use crate::support::graph::{Graph, next_ulid};
use crate::support::repos::TestStore;
use async_trait::async_trait;
use outrigger::config::{self, Sources};
use outrigger::daemon::Parts;
use outrigger::daemon::board::Status;
use outrigger::daemon::keeper::Keeper;
use outrigger::host::{Clock, Host, ManualClock, Monotonic};
use outrigger::model::Timestamp;
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::runtime::queue::{Reason, Requeue};
use outrigger::runtime::windows;
use outrigger::store::{Fault, StoreParts};
use outrigger::telemetry::Metrics;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// As the configurations of these tests say.
pub const INTERVAL: Duration = Duration::from_secs(15);
pub const GRACE: Duration = Duration::from_secs(300);
pub const TTL: Duration = Duration::from_secs(30);

/// A keeper and all that it is made of.
pub struct Daemon {
    pub keeper: Keeper,
    pub clock: ManualClock,
    metrics: Arc<Metrics>,
}

/// A clock that starts at this host's time, as the files of a graph on disk have it.
pub fn clock() -> ManualClock {
    ManualClock::new(Timestamp(chrono::Utc::now()))
}

/// Keeps a graph, by the default settings.
pub fn keeping(graph: &Graph) -> Daemon {
    keeping_with(graph, clock(), "")
}

/// Keeps a graph on a given clock, with more keys of its `[[repositories]]` entry.
pub fn keeping_with(graph: &Graph, clock: ManualClock, more: &str) -> Daemon {
    keeping_under(graph, clock, more, None)
}

/// The same, through a store that may break.
pub fn keeping_under(graph: &Graph, clock: ManualClock, more: &str, fault: Option<Arc<dyn Fault>>) -> Daemon {
    keeping_place(&graph.place, clock, more, fault)
}

/// Keeps whatever lies in a place on disk.
pub fn keeping_place(
    place: &TestStore,
    clock: ManualClock,
    more: &str,
    fault: Option<Arc<dyn Fault>>,
) -> Daemon {
    let root = place.uri.to_string();
    let text = format!("[[repositories]]\nname = \"graph\"\nuri = {root:?}\n{more}\n");
    let sources =
        Sources { file: Some((PathBuf::from("test.toml"), text)), env: Vec::new(), flags: Vec::new() };
    let settings = config::load(&sources).unwrap_or_else(|faults| panic!("{faults}")).settings;
    let metrics = Metrics::new(&settings, clock.now()).unwrap();
    let parts = Parts {
        host: Host { clock: Arc::new(clock.clone()), chance: Arc::new(|| 0.5) },
        ulid: Arc::new(next_ulid),
        store: StoreParts { host: Host::with_clock(Readings(clock.clone())), fault, backend: None },
        holder: "a test".into(),
    };
    let keeper =
        Keeper::new(settings.repositories[0].clone(), settings.lease, parts, metrics.repository("graph"));
    Daemon { keeper, clock, metrics }
}

/// What the store reads of a test's clock: its pauses before another attempt are real and short.
#[derive(Debug)]
struct Readings(ManualClock);

#[async_trait]
impl Clock for Readings {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Monotonic {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Daemon {
    /// Moves the clock to this host's time if that is later: files have that, however long a test has taken.
    pub fn catch_up(&self) {
        let behind = chrono::Utc::now() - self.clock.now().0;
        self.clock.advance(behind.to_std().unwrap_or_default());
    }

    /// Opens a window by hand.
    pub async fn open_window(&self, graph: &Graph, length: Duration) {
        windows::open(&graph.place, length, "maintenance", next_ulid).await.unwrap();
        self.catch_up();
    }

    /// One look; when the next is wanted.
    pub async fn look(&self) -> Duration {
        self.look_because(Reason::Again).await
    }

    pub async fn look_because(&self, reason: Reason) -> Duration {
        match self.keeper.tick(reason).await {
            Requeue::After(after) => after,
            Requeue::OnChange => panic!("a keeper always comes back"),
        }
    }

    /// Looks whenever a look is wanted, for a time.
    pub async fn run_for(&self, time: Duration) {
        let end = self.clock.monotonic().plus(time);
        while self.clock.monotonic() < end {
            let after = self.look().await;
            self.clock.advance(after.max(Duration::from_secs(1)));
            // The beats of a lease are tasks of their own.
            tokio::task::yield_now().await;
        }
    }

    pub fn status(&self) -> Status {
        self.keeper.status().lock().unwrap().clone()
    }

    /// Verdict and outcome of the scope that names an operation or a file.
    pub fn of(&self, name: &str) -> Option<(Verdict, Outcome)> {
        let status = self.status();
        let scope = status.scopes.iter().find(|scope| scope.scope.contains(name))?;
        Some((scope.verdict, scope.outcome))
    }

    /// The value of a metric of this repository.
    pub fn metric(&self, start: &str) -> f64 {
        let text = self.metrics.export().unwrap();
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no metric {start} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Requests made so far, those that only read and those that write.
    pub fn requests(&self) -> (u64, u64) {
        let of = |operation: &str| {
            let start = format!("outrigger_store_requests_total{{operation=\"{operation}\"");
            self.metric(&start) as u64
        };
        (of("get") + of("head") + of("list"), of("put") + of("delete"))
    }
}
