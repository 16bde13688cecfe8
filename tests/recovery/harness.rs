//! Runs the pass on a test's graph as a one-shot command would, through a store of its own.

use crate::support::graph::line::compact;
use crate::support::graph::{ACTORS, COMMITS, Graph, MAIN, MANIFEST, PERSON, RECOVERIES, next_ulid};
use crate::support::repos::faulty;
use async_trait::async_trait;
use outrigger::error::Result;
use outrigger::model::audit::Verdict;
use outrigger::model::{Permit, Timestamp, Window};
use outrigger::passes::recovery::act::{Handles, Turn};
use outrigger::passes::recovery::decide::Policy;
use outrigger::passes::recovery::observe::Grace;
use outrigger::passes::recovery::run::{Run, run};
use outrigger::passes::report::{ActionKind, ActionOutcome, Exit, Outcome, PassReport, ScopeReport};
use outrigger::repo::Repository;
use outrigger::store::{Fault, Requests, Store, StoreParts};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A recoverer in the making: `once --exclusive --grace 0s` unless told otherwise.
pub struct Recoverer<'g> {
    graph: &'g Graph,
    parts: StoreParts,
    policy: Policy,
    dry: bool,
    grace: Arc<Grace>,
    uptime: Duration,
    concurrency: usize,
    hands: Arc<Watched>,
}

/// What a run said, what it cost, and what it did, in order.
#[derive(Debug)]
pub struct Told {
    pub report: PassReport,
    pub requests: Requests,
    acts: Vec<(ActionKind, ActionOutcome)>,
}

impl Graph {
    /// Whoever recovers this graph.
    pub fn recoverer(&self) -> Recoverer<'_> {
        let window = Some(Window::Exclusive);
        Recoverer {
            graph: self,
            parts: StoreParts::real(),
            policy: Policy { grace: Duration::ZERO, idle_grace: Duration::ZERO, window, ..Policy::default() },
            dry: false,
            grace: Arc::new(Grace::default()),
            uptime: Duration::ZERO,
            concurrency: 4,
            hands: Arc::new(Watched::permitted(usize::MAX)),
        }
    }

    /// `once --exclusive --grace 0s`
    pub async fn recover(&self) -> Told {
        self.recoverer().run().await.unwrap()
    }

    /// `once --grace 0s`, beside writers that may be alive.
    pub async fn recover_beside_writers(&self) -> Told {
        self.recoverer().without_window().run().await.unwrap()
    }

    /// `plan --exclusive --grace 0s`
    pub async fn plan(&self) -> Told {
        self.recoverer().dry().run().await.unwrap()
    }

    /// Runs the pass, expects one scope with this ending, and expects that nothing is left to do.
    pub async fn recovers_by(&self, verdict: Verdict) -> ScopeReport {
        let told = self.recover().await;
        let scope = told.only().clone();
        assert_eq!((scope.verdict, scope.outcome), (verdict, Outcome::Done), "{scope:?}");
        self.is_settled().await;
        scope
    }

    /// The same graph with a little history, whose system tables are compacted.
    pub async fn with_compacted_history(self) -> Self {
        for id in ["c1", "c2", "c3"] {
            self.table(PERSON).append(&[id]).await;
            self.publish_heads(&[PERSON]).await;
        }
        self.sidecar("Load").of(&[PERSON]).write().await;
        self.table(PERSON).append(&["c4"]).await;
        self.recovers_by(Verdict::RollForward).await;
        let history: &[&str] = match self.has_inline_lineage() {
            true => &[MANIFEST, RECOVERIES],
            false => &[MANIFEST, RECOVERIES, COMMITS, ACTORS],
        };
        for dataset in history {
            compact(&mut self.open(dataset, MAIN).await).await;
        }
        self
    }

    /// A second run finds nothing and changes nothing.
    pub async fn is_settled(&self) {
        let before = self.picture().await;
        let again = self.recover().await;
        assert_eq!(again.report.scopes, [], "a second run has nothing to do");
        assert!(before == self.picture().await, "a second run changes nothing");
    }
}

#[allow(dead_code, reason = "one word for each way to run, whether or not a test needs it today")]
impl Recoverer<'_> {
    pub fn without_window(mut self) -> Self {
        self.policy.window = None;
        self
    }

    pub fn in_window(mut self, window: Window) -> Self {
        self.policy.window = Some(window);
        self
    }

    pub fn dry(mut self) -> Self {
        self.dry = true;
        self
    }

    /// Its store may break.
    pub fn under(mut self, fault: Arc<dyn Fault>) -> Self {
        self.parts = StoreParts { host: self.parts.host, ..faulty(fault) };
        self
    }

    /// Its store has these parts.
    pub fn with(mut self, parts: StoreParts) -> Self {
        self.parts = parts;
        self
    }

    /// Works on so many scopes at once.
    pub fn at_once(mut self, scopes: usize) -> Self {
        self.concurrency = scopes;
        self
    }

    /// Its window, which it has seen open, closes after so many permits.
    pub fn permitted(mut self, times: usize) -> Self {
        self.hands = Arc::new(Watched::permitted(times));
        self
    }

    /// Its policy asks a person before drift is shown.
    pub fn asking(mut self) -> Self {
        self.policy.publish_neutral_drift = false;
        self
    }

    pub fn waiting(mut self, grace: Duration) -> Self {
        self.policy.grace = grace;
        self.policy.idle_grace = grace;
        self
    }

    /// Remembers the waits of an earlier look, some time later.
    pub fn remembering(mut self, grace: Arc<Grace>, uptime: Duration) -> Self {
        (self.grace, self.uptime) = (grace, uptime);
        self
    }

    pub async fn open(&self) -> Result<Repository> {
        let place = &self.graph.place;
        let store = Store::open(&place.uri, &place.settings, place.with(self.parts.clone())).await?;
        Repository::open(store).await
    }

    pub async fn run(self) -> Result<Told> {
        let repo = self.open().await?;
        self.run_on(repo).await
    }

    pub async fn run_on(self, repo: Repository) -> Result<Told> {
        let opening = repo.store().requests();
        let uptime = self.uptime;
        let run_with = Arc::new(Run {
            policy: self.policy,
            dry: self.dry,
            concurrency: self.concurrency,
            handles: self.hands.clone(),
            grace: self.grace,
            uptime: Arc::new(move || uptime),
            protect: false,
            resting: Arc::new(|_| None),
            progress: Arc::new(|_, _| {}),
        });
        let report = run(&repo, &run_with).await?;
        let acts = self.hands.acts.lock().unwrap().clone();
        Ok(Told { report, requests: repo.store().requests() - opening, acts })
    }
}

/// Real time, fresh ids, a window that stays open.
pub struct Hands;

#[async_trait]
impl Handles for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now())
    }

    fn ulid(&self) -> String {
        next_ulid()
    }

    async fn turn(&self) -> Result<Turn> {
        Ok(Turn::Ours)
    }

    async fn permit(&self) -> Result<Option<Permit>> {
        Ok(Some(Permit::of(Window::Exclusive)))
    }

    fn acted(&self, _: ActionKind, _: ActionOutcome) {}

    fn panicked(&self) {}
}

/// The same, watched, in a window that closes after so many permits.
struct Watched {
    permits: AtomicUsize,
    acts: Mutex<Vec<(ActionKind, ActionOutcome)>>,
}

impl Watched {
    fn permitted(times: usize) -> Self {
        Self { permits: AtomicUsize::new(times), acts: Mutex::default() }
    }
}

#[async_trait]
impl Handles for Watched {
    fn now(&self) -> Timestamp {
        Hands.now()
    }

    fn ulid(&self) -> String {
        Hands.ulid()
    }

    async fn turn(&self) -> Result<Turn> {
        Hands.turn().await
    }

    async fn permit(&self) -> Result<Option<Permit>> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.permits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Hands.permit().await,
            Err(_) => Ok(None),
        }
    }

    fn acted(&self, kind: ActionKind, outcome: ActionOutcome) {
        self.acts.lock().unwrap().push((kind, outcome));
    }

    fn panicked(&self) {}
}

impl Told {
    /// The one scope there is.
    pub fn only(&self) -> &ScopeReport {
        assert_eq!(self.report.scopes.len(), 1, "{:#?}", self.report.scopes);
        &self.report.scopes[0]
    }

    /// The scope that names an operation or a file.
    pub fn of(&self, name: &str) -> &ScopeReport {
        let mut named = self.report.scopes.iter().filter(|scope| scope.scope.contains(name));
        let found = named.next().unwrap_or_else(|| panic!("no scope {name}: {:#?}", self.report.scopes));
        assert!(named.next().is_none(), "{name} twice: {:#?}", self.report.scopes);
        found
    }

    /// Verdict and outcome of an operation.
    pub fn ended(&self, name: &str) -> (Verdict, Outcome) {
        let scope = self.of(name);
        (scope.verdict, scope.outcome)
    }

    /// How each act of a kind ended.
    pub fn acts(&self, kind: ActionKind) -> Vec<ActionOutcome> {
        self.acts.iter().filter(|(of, _)| *of == kind).map(|(_, ended)| *ended).collect()
    }

    /// The exit code of the command.
    pub fn exit(&self) -> Exit {
        self.report.exit()
    }
}
