//! What is known of every repository: for `/status`, for readiness, and for requests to look now.

use crate::config::RepositoryName;
use crate::model::{Timestamp, Window};
use crate::passes::report::ScopeReport;
use crate::runtime::queue::{Reason, Wake};
use crate::runtime::runner::Waker;
use crate::telemetry::http;
use crate::telemetry::labels::ActivationOutcome;
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When to come back if too many requests wait: a look takes a fraction of this.
const BUSY_RETRY: Duration = Duration::from_secs(5);

/// When a successor may be there.
const SUCCESSOR_RETRY: Duration = Duration::from_secs(15);

/// What is known of one repository. Free of secrets and addresses.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// Its format, once it was recognised.
    pub dialect: Option<&'static str>,
    /// How the last run of the pass ended; none has yet if absent.
    pub outcome: Option<ActivationOutcome>,
    /// When it was last looked at, whatever came of it.
    pub looked_at: Option<Timestamp>,
    /// Why the last look failed.
    pub error: Option<String>,
    /// The window that is open.
    pub window: Option<OpenWindow>,
    /// Whether this process holds the leader lease.
    pub leads: bool,
    /// Age of the oldest crash record, in seconds.
    pub oldest_pending_seconds: Option<u64>,
    /// What the last run of the pass told.
    pub scopes: Vec<ScopeReport>,
}

/// An open window, as shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenWindow {
    /// Its kind.
    pub kind: Window,
    /// How long it stays open, in seconds.
    pub seconds_left: u64,
}

/// One repository's status, written by its keeper and read here.
pub type SharedStatus = Arc<Mutex<Status>>;

/// Every repository's status.
pub struct Board {
    waker: Waker<RepositoryName>,
    statuses: BTreeMap<RepositoryName, SharedStatus>,
    max_waiting: NonZeroUsize,
    ending: AtomicBool,
}

impl Board {
    pub(super) fn new(
        waker: Waker<RepositoryName>,
        statuses: BTreeMap<RepositoryName, SharedStatus>,
        max_waiting: NonZeroUsize,
    ) -> Self {
        Self { waker, statuses, max_waiting, ending: AtomicBool::new(false) }
    }

    /// From now on nothing is accepted, and nobody is told that we are ready.
    pub(super) fn shut_down(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

fn read(status: &SharedStatus) -> Status {
    status.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl http::Daemon for Board {
    fn status(&self) -> serde_json::Value {
        let repositories: BTreeMap<String, Status> =
            self.statuses.iter().map(|(name, status)| (name.to_string(), read(status))).collect();
        serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": self.ready(),
            "running": self.waker.running(),
            "waiting": self.waker.waiting(),
            "repositories": repositories,
        })
    }

    fn ready(&self) -> bool {
        !self.is_ending() && self.statuses.values().all(|status| read(status).looked_at.is_some())
    }

    fn reconcile(&self, repository: Option<&str>) -> Result<http::Accepted, http::Rejected> {
        if self.is_ending() {
            return Err(http::Rejected::ShuttingDown { retry_after: SUCCESSOR_RETRY });
        }
        let wanted: Vec<&RepositoryName> = match repository {
            None => self.statuses.keys().collect(),
            Some(wanted) => self.statuses.keys().filter(|name| name.as_str() == wanted).collect(),
        };
        if wanted.is_empty() {
            return Err(http::Rejected::NoSuchRepository);
        }
        if self.waker.waiting() >= self.max_waiting.get() {
            return Err(http::Rejected::Busy { retry_after: BUSY_RETRY });
        }
        for name in &wanted {
            self.waker.wake(Wake { key: (*name).clone(), reason: Reason::Request });
        }
        Ok(http::Accepted { repositories: wanted.into_iter().map(ToString::to_string).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemClock;
    use crate::runtime::queue::Requeue;
    use crate::runtime::runner::{Activation, Runner};
    use crate::telemetry::http::Daemon;

    struct Nothing;

    #[async_trait::async_trait]
    impl Activation<RepositoryName> for Nothing {
        async fn run(&self, _: Wake<RepositoryName>) -> Requeue {
            Requeue::OnChange
        }

        fn panicked(&self, _: &RepositoryName, _: &str) -> Requeue {
            Requeue::OnChange
        }
    }

    /// Three repositories, of which at most two may wait; nobody runs them.
    fn board() -> Board {
        let runner = Runner::new(Arc::new(SystemClock::new()), NonZeroUsize::MIN, Arc::new(Nothing));
        let statuses =
            ["a", "b", "c"].map(|name| (RepositoryName::parse(name).unwrap(), SharedStatus::default()));
        Board::new(runner.waker(), statuses.into(), NonZeroUsize::new(2).unwrap())
    }

    #[test]
    fn requests_are_accepted_until_enough_wait() {
        let board = board();
        let accepted = |name: &str| Ok(http::Accepted { repositories: vec![name.to_owned()] });
        assert_eq!(board.reconcile(Some("a")), accepted("a"));
        assert_eq!(board.reconcile(Some("nobody")), Err(http::Rejected::NoSuchRepository));
        assert_eq!(board.reconcile(Some("a")), accepted("a"), "it waits already");
        assert_eq!(board.reconcile(Some("b")), accepted("b"));
        assert_eq!(board.reconcile(Some("c")), Err(http::Rejected::Busy { retry_after: BUSY_RETRY }));
        assert_eq!(board.waker.waiting(), 2);
    }

    #[test]
    fn nothing_is_accepted_and_nobody_is_told_ready_while_shutting_down() {
        let board = board();
        for status in board.statuses.values() {
            status.lock().unwrap().looked_at = Timestamp::from_micros(0);
        }
        assert!(board.ready());
        board.shut_down();
        assert!(!board.ready());
        let shutting_down = http::Rejected::ShuttingDown { retry_after: SUCCESSOR_RETRY };
        assert_eq!(board.reconcile(None), Err(shutting_down));
        assert_eq!(board.waker.waiting(), 0);
    }
}
