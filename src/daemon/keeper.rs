//! One repository: look, decide how much of the pass is due, run it, say when to come back.

use super::Parts;
use super::acting::{Acting, Within};
use super::board::{OpenWindow, SharedStatus, Status};
use super::booking;
use super::due::{Extent, Facts, extent};
use super::told::Told;
use crate::config::{Gate, LeaseSettings, PassName, PassSettings, RepositorySettings};
use crate::error::{Error, Kind, Result};
use crate::host::chance::jittered;
use crate::host::{Host, Monotonic};
use crate::model::{Branch, Timestamp, Window};
use crate::passes::recovery::decide::Policy;
use crate::passes::recovery::observe::Grace;
use crate::passes::recovery::run::{self as recovery, Run};
use crate::passes::report::{ActionKind, ActionOutcome, ScopeReport};
use crate::repo::Repository;
use crate::runtime::backoff::{Backoff, BackoffPolicy};
use crate::runtime::gate::{Closing, Held, Keeper as GateKeeper, Watcher};
use crate::runtime::lease::{Lease, Taken};
use crate::runtime::queue::{Reason, Requeue};
use crate::runtime::watch::{News, Watch, claims_in, heard, oldest};
use crate::runtime::windows::{Open, Which, Windows};
use crate::store::{Key, Meta, Requests, Store};
use crate::telemetry::labels::ActivationOutcome;
use crate::telemetry::metrics::RepositoryMetrics;
use futures::FutureExt;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tracing::Instrument;

/// The steady clock stands still while the host sleeps. If the wall clock moved on by so many intervals more, it has slept; a
/// wall clock that was put forward costs a look at everything.
const PAUSE_INTERVALS: u32 = 4;

/// A gate that was closed in vain stays open for a while, and for longer from time to time: writers are not kept out again and
/// again.
const GATE_RESTS: BackoffPolicy =
    BackoffPolicy { first: Duration::from_secs(60), most: Duration::from_secs(10 * 60) };

/// Keeps one repository in order.
pub struct Keeper {
    settings: RepositorySettings,
    lease: LeaseSettings,
    parts: Parts,
    metrics: RepositoryMetrics,
    status: SharedStatus,
    state: tokio::sync::Mutex<State>,
}

/// What is remembered between looks. Losing it costs requests and starts waits anew, no more.
struct State {
    kept: Option<Kept>,
    /// What is due since no run has come to its end.
    wanted: Extent,
    /// Failures of whole looks.
    failures: Backoff<()>,
}

/// A repository that could be opened.
struct Kept {
    repo: Repository,
    lease: Arc<Lease>,
    windows: Windows,
    watch: Watch,
    grace: Arc<Grace>,
    counted: Requests,
    /// Both clocks at the last look.
    looked_at: (Timestamp, Monotonic),
    everything_at: Option<Monotonic>,
    told: Told,
    /// Claims that were old enough to be judged when claims were last looked at.
    judged: BTreeSet<Key>,
    /// The window under which the last run was made.
    ran_in: Option<Which>,
    /// The writers' gate of a native repository.
    gate: Arc<Watcher>,
    /// Not before then is it closed again.
    gate_rests: Monotonic,
    /// How often in a row it was closed in vain.
    gate_in_vain: u32,
}

impl Keeper {
    /// Asks nothing of the store yet.
    pub fn new(
        settings: RepositorySettings,
        lease: LeaseSettings,
        parts: Parts,
        metrics: RepositoryMetrics,
    ) -> Self {
        let failures = Backoff::new(BackoffPolicy::DEFAULT, parts.host.chance.clone());
        let state = tokio::sync::Mutex::new(State { kept: None, wanted: Extent::Nothing, failures });
        Self { settings, lease, parts, metrics, status: SharedStatus::default(), state }
    }

    /// What is known of it, now and later.
    pub fn status(&self) -> SharedStatus {
        self.status.clone()
    }

    /// One look, and what is due. Never fails: trouble is told, counted, and tried again later.
    pub async fn tick(&self, reason: Reason) -> Requeue {
        let span = tracing::info_span!("look", repository = %self.settings.name, ?reason);
        self.look_once(reason).instrument(span).await
    }

    async fn look_once(&self, reason: Reason) -> Requeue {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        if reason.asks_for_everything() {
            state.wanted = Extent::Everything;
        }
        let began = self.parts.host.clock.monotonic();
        let looked = match self.kept(&mut state.kept).await {
            Ok(kept) => self.look(kept, &mut state.wanted).await,
            Err(error) => Err(error),
        };
        let after = match looked {
            Ok(after) => {
                state.failures.succeeded(&());
                after
            }
            Err(error) => {
                if matches!(error.kind(), Kind::Refused | Kind::Missing | Kind::Corrupt | Kind::Invalid) {
                    self.let_go(&mut state.kept).await;
                }
                self.tell_failure(&error);
                let (now, took) =
                    (self.parts.host.clock.now(), self.parts.host.clock.monotonic().since(began));
                self.metrics.activation(PassName::Recovery, outcome_of(&error), took, now);
                self.after_failure(&mut state.failures)
            }
        };
        if let Some(kept) = &mut state.kept {
            self.settle_accounts(kept).await;
        }
        Requeue::After(after)
    }

    /// A look of ours panicked.
    pub fn panicked(&self, message: &str) -> Requeue {
        self.metrics.panic();
        self.tell_failure(&Error::internal(format!("a defect of this program: {message}")));
        // Nobody else holds it: the look is over.
        let state = self.state.try_lock();
        Requeue::After(
            state.map_or(self.settings.interval, |mut state| self.after_failure(&mut state.failures)),
        )
    }

    /// At least the interval, and longer from failure to failure.
    fn after_failure(&self, failures: &mut Backoff<()>) -> Duration {
        jittered(self.settings.interval, self.parts.host.chance.as_ref()).max(failures.failed(()))
    }

    /// Gives the lease up.
    pub async fn release(&self) {
        if let Some(kept) = &self.state.lock().await.kept {
            kept.lease.release().await;
            self.metrics.lease(false);
        }
    }

    async fn kept<'s>(&self, kept: &'s mut Option<Kept>) -> Result<&'s mut Kept> {
        if kept.is_none() {
            *kept = Some(self.open().await?);
        }
        kept.as_mut().ok_or_else(|| Error::internal("a repository was opened and is not there"))
    }

    async fn open(&self) -> Result<Kept> {
        let store = Store::open(&self.settings.uri, &self.settings.store, self.parts.store.clone()).await?;
        let opened = Repository::open(store.clone()).await;
        let opened = opened.and_then(|repo| repo.require_graph().map(|()| repo));
        // What an attempt that failed has cost is on nobody else's account.
        let repo = opened.inspect_err(|_| self.metrics.requests(store.requests()))?;
        let Parts { host: Host { clock, chance }, ulid, holder, .. } = self.parts.clone();
        let gate = Arc::new(Watcher::new(store.clone(), clock.clone(), ulid.clone()));
        let lease = Lease::new(store, clock.clone(), self.lease, holder, ulid);
        Ok(Kept {
            gate,
            gate_rests: Monotonic::default(),
            gate_in_vain: 0,
            repo,
            lease: Arc::new(lease),
            windows: Windows::new(self.settings.windows.clone()),
            watch: Watch::default(),
            grace: Arc::new(Grace::default()),
            counted: Requests::default(),
            looked_at: (clock.now(), clock.monotonic()),
            everything_at: None,
            told: Told::new(Backoff::new(BackoffPolicy::DEFAULT, chance)),
            judged: BTreeSet::new(),
            ran_in: None,
        })
    }

    /// Forgets what was known, and takes back what was shown of it.
    async fn let_go(&self, kept: &mut Option<Kept>) {
        let Some(mut kept) = kept.take() else { return };
        kept.lease.release().await;
        self.settle_accounts(&mut kept).await;
        booking::book(&self.metrics, &[]);
        self.metrics.oldest_pending(None);
        self.metrics.window(false);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        *status = Status { looked_at: status.looked_at, ..Status::default() };
    }

    async fn look(&self, kept: &mut Kept, wanted: &mut Extent) -> Result<Duration> {
        let (wall, now) = (self.parts.host.clock.now(), self.parts.host.clock.monotonic());
        let news = kept.watch.look(&kept.repo).await?;
        kept.lease.look(&news.listing).await;
        kept.windows.look(kept.repo.store(), &news.listing).await?;
        // One that its holder has abandoned is opened.
        kept.gate.passage(&news.listing).await?;
        let open = kept.windows.open(wall, kept.repo.store().now());
        let facts = self.facts(kept, &news, open.as_ref(), *wanted, (wall, now)).await;
        let due = extent(&facts);
        kept.looked_at = (wall, now);
        match self.recovery() {
            Some(pass) if due > Extent::Nothing => {
                *wanted = due;
                let ripe = self.ripe(kept, &news);
                self.run(kept, pass, due, open.as_ref(), None).await?;
                if self.wants_gate(kept, open.as_ref()) {
                    self.run_behind_gate(kept, pass).await?;
                }
                kept.judged = ripe;
                *wanted = Extent::Nothing;
            }
            Some(pass) if pass.schedule.is_none() && kept.told.is_success() => {
                self.metrics.nothing_to_do(PassName::Recovery, self.parts.host.clock.now());
            }
            _ => {}
        }
        kept.lease.rest().await;
        self.tell(kept, &news, open.as_ref()).await;
        Ok(self.come_back(kept, &news))
    }

    fn recovery(&self) -> Option<&PassSettings> {
        self.settings.enabled_passes().find(|(name, _)| *name == PassName::Recovery).map(|(_, pass)| pass)
    }

    async fn facts(
        &self,
        kept: &Kept,
        news: &News,
        open: Option<&Open>,
        wanted: Extent,
        (wall, now): (Timestamp, Monotonic),
    ) -> Facts {
        let ripe = self.ripe(kept, news);
        let slept = wall.since(kept.looked_at.0).saturating_sub(now.since(kept.looked_at.1));
        let has_turn = kept.told.waits_for_turn() && kept.lease.may_be_had().await;
        let is_new =
            |window: &Which| kept.ran_in.as_ref() != Some(window) && kept.told.waits_for(window.kind());
        Facts {
            wanted,
            left_over: has_turn || kept.told.has_rested(now),
            scheduled: self.recovery().is_some_and(|pass| pass.schedule.is_some()),
            since_everything: kept.everything_at.map(|at| now.since(at)),
            paused: slept > self.settings.interval * PAUSE_INTERVALS,
            control_changed: news.control_changed,
            published: news.published,
            ripe: !ripe.is_empty(),
            ripened: !ripe.is_subset(&kept.judged),
            told_claims: kept.told.has_claims(),
            appointed: kept.told.appointment().is_some_and(|at| at <= now),
            window_for_waiting: accepting(open).is_some_and(is_new) || self.wants_gate(kept, open),
        }
    }

    /// How long each claim is still its writer's business, by the store's clock; not at all where that tells no time.
    fn young_for(&self, kept: &Kept, news: &News, claim: &Meta) -> Duration {
        let (heard, grace) = heard(&news.listing, claim, self.settings.grace);
        let age = kept.repo.store().now().map(|now| now.since(heard));
        age.map_or(Duration::ZERO, |age| grace.saturating_sub(age))
    }

    fn ripe(&self, kept: &Kept, news: &News) -> BTreeSet<Key> {
        let claims = claims_in(&news.listing);
        claims
            .filter(|claim| self.young_for(kept, news, claim).is_zero())
            .map(|claim| claim.key.clone())
            .collect()
    }

    async fn run(
        &self,
        kept: &mut Kept,
        pass: &PassSettings,
        due: Extent,
        open: Option<&Open>,
        gate: Option<Arc<Held>>,
    ) -> Result<()> {
        let began = self.parts.host.clock.monotonic();
        let run = Arc::new(self.run_of(kept, pass, open, gate, began));
        let ended = tokio::select! {
            ended = self.passes(kept, &run, due) => ended,
            () = self.parts.host.clock.sleep(pass.timeout) => Err(Error::new(
                Kind::Unavailable,
                format!("recovery took longer than {} and was given up; it begins again", humantime::format_duration(pass.timeout)),
            )),
        };
        ended?;
        let now = self.parts.host.clock.monotonic();
        let outcome = kept.told.outcome();
        self.metrics.activation(PassName::Recovery, outcome, now.since(began), self.parts.host.clock.now());
        if due == Extent::Everything {
            kept.everything_at = Some(now);
        }
        kept.told.make_appointments(now);
        kept.ran_in = accepting(open).cloned();
        self.status.lock().unwrap_or_else(PoisonError::into_inner).outcome = Some(outcome);
        Ok(())
    }

    async fn passes(&self, kept: &mut Kept, run: &Arc<Run>, due: Extent) -> Result<()> {
        if due == Extent::Everything && kept.repo.snapshot(&Branch::main()).await?.is_none() {
            return Err(Error::missing(format!("the manifest of {} is gone", self.settings.uri)));
        }
        kept.told.of_claims(recovery::claims(&kept.repo, run).boxed().await?);
        if due == Extent::Everything {
            kept.told.of_the_rest(recovery::rest(&kept.repo, run).await);
        }
        Ok(())
    }

    fn has_gate(&self, kept: &Kept) -> bool {
        self.settings.gate == Gate::Auto && kept.repo.recognised().dialect.names_commits()
    }

    /// Whether writers are to be kept out: something waits for a window, none is open, and the gate has not been closed in vain
    /// a short while ago.
    fn wants_gate(&self, kept: &Kept, open: Option<&Open>) -> bool {
        self.has_gate(kept)
            && accepting(open).is_none()
            && kept.told.extent_waiting_for(Window::Gate) > Extent::Nothing
            && self.parts.host.clock.monotonic() >= kept.gate_rests
    }

    /// Closes the gate, does what waits for it, and opens it again. *Dies in it*: the gate's beat stands still, and a writer or the
    /// next look opens it.
    async fn run_behind_gate(&self, kept: &mut Kept, pass: &PassSettings) -> Result<()> {
        let rests = GATE_RESTS.ceiling(kept.gate_in_vain + 1);
        kept.gate_rests = self.parts.host.clock.monotonic().plus(rests);
        if !matches!(kept.lease.take().await?, Taken::Held) {
            return Ok(());
        }
        kept.gate_in_vain += 1;
        let keeper = GateKeeper::new(kept.gate.clone(), self.parts.holder.clone());
        let closing = keeper.close(self.settings.grace).await;
        self.metrics.action(ActionKind::Gate, outcome_of_closing(&closing));
        let held: Arc<Held> = match closing? {
            Closing::Held(held) => Arc::from(held),
            Closing::Not(why) => {
                let again = humantime::format_duration(rests);
                tracing::warn!(%why, %again, "the writers' gate could not be closed; it is tried again");
                return Ok(());
            }
        };
        tracing::info!("closed the writers' gate");
        let due = kept.told.extent_waiting_for(Window::Gate);
        let ran = self.run(kept, pass, due, None, Some(held.clone())).await;
        held.open().await;
        tracing::info!("opened the writers' gate");
        if ran.is_ok() && kept.told.extent_waiting_for(Window::Gate) == Extent::Nothing {
            (kept.gate_rests, kept.gate_in_vain) = (Monotonic::default(), 0);
        }
        ran
    }

    fn run_of(
        &self,
        kept: &Kept,
        pass: &PassSettings,
        open: Option<&Open>,
        gate: Option<Arc<Held>>,
        now: Monotonic,
    ) -> Run {
        let Parts { host: Host { clock, .. }, ulid, .. } = self.parts.clone();
        let window = gate.as_ref().map(|_| Window::Gate).or(accepting(open).map(Which::kind));
        let acting = Acting {
            gate,
            clock: clock.clone(),
            ulid,
            store: kept.repo.store().clone(),
            lease: kept.lease.clone(),
            window: open.map(|open| Within { which: open.which.clone(), until: now.plus(open.left) }),
            metrics: self.metrics.clone(),
        };
        let resting = kept.told.resting().clone();
        Run {
            policy: Policy {
                grace: self.settings.grace,
                idle_grace: self.settings.idle_grace,
                window,
                publish_neutral_drift: self.settings.publish_neutral_drift,
            },
            dry: false,
            concurrency: pass.concurrency.get(),
            handles: Arc::new(acting),
            grace: kept.grace.clone(),
            uptime: Arc::new(move || clock.monotonic().since(Monotonic::default())),
            // What is undone at the same look need not be protected first.
            protect: !self.has_gate(kept),
            resting: Arc::new(move |scope| {
                let left = resting.get(scope)?.since(now);
                Some(left).filter(|left| !left.is_zero())
            }),
            progress: Arc::new(|_, _| {}),
        }
    }

    /// When to look again: at the regular interval, or when something wants it earlier.
    fn come_back(&self, kept: &Kept, news: &News) -> Duration {
        let now = self.parts.host.clock.monotonic();
        let regular = jittered(self.settings.interval, self.parts.host.chance.as_ref());
        let appointment = kept.told.appointment().map(|at| at.since(now));
        let ripe = claims_in(&news.listing).map(|claim| self.young_for(kept, news, claim));
        let ripe = ripe.filter(|left| !left.is_zero()).min();
        let waits_for_gate =
            self.has_gate(kept) && kept.told.extent_waiting_for(Window::Gate) > Extent::Nothing;
        let gate = Some(kept.gate_rests.since(now)).filter(|left| waits_for_gate && !left.is_zero());
        [Some(regular), appointment, ripe, gate].into_iter().flatten().min().unwrap_or(regular)
    }

    async fn tell(&self, kept: &Kept, news: &News, open: Option<&Open>) {
        let without_address = |scope: &ScopeReport| {
            let reason = without_address(&scope.reason, &self.settings);
            ScopeReport { reason, ..scope.clone() }
        };
        let scopes: Vec<ScopeReport> = kept.told.scopes().map(without_address).collect();
        let oldest = oldest(&kept.told.without_settled(&news.listing), kept.repo.store().now());
        booking::book(&self.metrics, &scopes);
        self.metrics.oldest_pending(oldest);
        self.metrics.refused(false);
        self.metrics.window(open.is_some());
        let window =
            open.map(|open| OpenWindow { kind: open.which.kind(), seconds_left: open.left.as_secs() });
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        *status = Status {
            dialect: Some(kept.repo.recognised().dialect.as_str()),
            outcome: status.outcome,
            looked_at: Some(self.parts.host.clock.now()),
            error: None,
            window,
            leads: status.leads,
            oldest_pending_seconds: oldest.map(|age| age.as_secs()),
            scopes,
        };
    }

    fn tell_failure(&self, error: &Error) {
        let name = &self.settings.name;
        let outcome = outcome_of(error);
        self.metrics.refused(outcome == ActivationOutcome::Refused);
        let chain = without_address(&error.chain(), &self.settings);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.error.as_ref() != Some(&chain) {
            tracing::error!(repository = %name, error = %chain, "a look failed");
        }
        status.error = Some(chain);
        status.outcome = Some(outcome);
        status.looked_at = Some(self.parts.host.clock.now());
    }

    /// After each look, whatever came of it.
    async fn settle_accounts(&self, kept: &mut Kept) {
        let made = kept.repo.store().requests();
        self.metrics.requests(made - kept.counted);
        kept.counted = made;
        let leads = kept.lease.is_held().await;
        self.metrics.lease(leads);
        self.status.lock().unwrap_or_else(PoisonError::into_inner).leads = leads;
    }
}

/// The window in which something new may begin.
fn accepting(open: Option<&Open>) -> Option<&Which> {
    open.filter(|open| open.accepts_new_scopes).map(|open| &open.which)
}

/// An error's text without where the store lies: its root, its endpoint, and any other URL in it.
fn without_address(text: &str, settings: &RepositorySettings) -> String {
    let text = text.replace(&settings.uri.to_string(), settings.name.as_str());
    let hidden = |word: &str| match word.find("://") {
        Some(_) => "(an address)".to_owned(),
        None => word.to_owned(),
    };
    text.split(' ').map(hidden).collect::<Vec<_>>().join(" ")
}

fn outcome_of_closing(closing: &Result<Closing>) -> ActionOutcome {
    match closing {
        Ok(Closing::Held(_)) => ActionOutcome::Committed,
        Ok(Closing::Not(_)) => ActionOutcome::Conflict,
        Err(error) => ActionOutcome::of(error),
    }
}

fn outcome_of(error: &Error) -> ActivationOutcome {
    match error.kind() {
        Kind::Refused => ActivationOutcome::Refused,
        _ => ActivationOutcome::Failed,
    }
}
