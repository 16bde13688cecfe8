//! Counts what happens. Every series exists from the start, at zero, so that the first event shows as a change.

use super::families::{self as family, Family};
use super::labels::{ActivationOutcome, Label, RequestOutcome, StoreOperation};
use crate::config::{PassName, Settings};
use crate::model::Timestamp;
use crate::model::audit::Verdict;
use crate::passes::report::{ActionKind, ActionOutcome, WaitReason};
use crate::store::Requests;
use crate::{Error, Result};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds in seconds: an idle look takes tens of milliseconds, a backlog minutes.
const ACTIVATION_BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0];

/// Every counter of this process.
pub struct Metrics {
    registry: Registry,
    activations: IntCounterVec,
    activation_seconds: HistogramVec,
    last_success: GaugeVec,
    panics: IntCounterVec,
    pending: GaugeVec,
    waiting: GaugeVec,
    held: GaugeVec,
    oldest_pending: GaugeVec,
    refused: GaugeVec,
    actions: IntCounterVec,
    publish_conflicts: IntCounterVec,
    store_requests: IntCounterVec,
    lease_held: GaugeVec,
    window_open: GaugeVec,
    reconcile_requests: IntCounterVec,
}

impl Metrics {
    /// Zeroed metrics for the repositories and enabled passes of `settings`, in a process that began at `started`.
    pub fn new(settings: &Settings, started: Timestamp) -> Result<Arc<Self>> {
        let metrics =
            Self::register().map_err(|error| Error::internal("cannot set up metrics").caused_by(error))?;
        metrics.zero(settings);
        metrics.gauge_once(&family::START_TIME, &[], seconds_since_1970(started))?;
        metrics.gauge_once(&family::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0)?;
        Ok(Arc::new(metrics))
    }

    /// What happens in one repository. The name must be one of the configured ones: it becomes a label.
    pub fn repository(self: &Arc<Self>, name: impl Into<String>) -> RepositoryMetrics {
        RepositoryMetrics { metrics: self.clone(), name: name.into() }
    }

    /// Counts a request to reconcile.
    pub fn reconcile_request(&self, outcome: RequestOutcome) {
        self.reconcile_requests.with_label_values(&[outcome.word()]).inc();
    }

    /// All metrics in Prometheus's text format.
    pub fn export(&self) -> Result<String> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.map_err(|error| Error::internal("cannot write metrics").caused_by(error))
    }

    fn register() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |family: &Family| {
            let vec = IntCounterVec::new(Opts::new(family.name, family.help), family.labels)?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let gauge = |family: &Family| {
            let vec = GaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let seconds = family::ACTIVATION_SECONDS;
        let buckets = HistogramOpts::new(seconds.name, seconds.help).buckets(ACTIVATION_BUCKETS.to_vec());
        let activation_seconds = HistogramVec::new(buckets, seconds.labels)?;
        registry.register(Box::new(activation_seconds.clone()))?;
        Ok(Self {
            activations: counter(&family::ACTIVATIONS)?,
            activation_seconds,
            last_success: gauge(&family::LAST_SUCCESS)?,
            panics: counter(&family::PANICS)?,
            pending: gauge(&family::SCOPES_PENDING)?,
            waiting: gauge(&family::SCOPES_WAITING)?,
            held: gauge(&family::SCOPES_HELD)?,
            oldest_pending: gauge(&family::OLDEST_PENDING)?,
            refused: gauge(&family::REFUSED)?,
            actions: counter(&family::ACTIONS)?,
            publish_conflicts: counter(&family::PUBLISH_CONFLICTS)?,
            store_requests: counter(&family::STORE_REQUESTS)?,
            lease_held: gauge(&family::LEASE_HELD)?,
            window_open: gauge(&family::WINDOW_OPEN)?,
            reconcile_requests: counter(&family::RECONCILE_REQUESTS)?,
            registry,
        })
    }

    /// Makes every series that can ever appear.
    fn zero(&self, settings: &Settings) {
        for outcome in RequestOutcome::all() {
            self.reconcile_requests.with_label_values(&[outcome.word()]);
        }
        for repository in &settings.repositories {
            let name = repository.name.as_str();
            for (pass, _) in repository.enabled_passes() {
                self.zero_pass(name, pass);
            }
            self.zero_repository(name);
        }
    }

    fn zero_pass(&self, name: &str, pass: PassName) {
        self.last_success.with_label_values(&[name, pass.word()]);
        for outcome in ActivationOutcome::all() {
            self.activations.with_label_values(&[name, pass.word(), outcome.word()]);
            self.activation_seconds.with_label_values(&[pass.word(), outcome.word()]);
        }
    }

    fn zero_repository(&self, name: &str) {
        for gauge in [&self.held, &self.oldest_pending, &self.refused, &self.lease_held, &self.window_open] {
            gauge.with_label_values(&[name]);
        }
        self.panics.with_label_values(&[name]);
        self.publish_conflicts.with_label_values(&[name]);
        for verdict in Verdict::all() {
            self.pending.with_label_values(&[name, verdict.word()]);
        }
        for reason in WaitReason::all() {
            self.waiting.with_label_values(&[name, reason.word()]);
        }
        for operation in StoreOperation::all() {
            self.store_requests.with_label_values(&[name, operation.word()]);
        }
        for kind in ActionKind::all() {
            for outcome in ActionOutcome::all() {
                self.actions.with_label_values(&[name, kind.word(), outcome.word()]);
            }
        }
    }

    fn gauge_once(&self, family: &Family, labels: &[&str], value: f64) -> Result<()> {
        let broken = |error| Error::internal("cannot set up metrics").caused_by(error);
        let gauge = GaugeVec::new(Opts::new(family.name, family.help), family.labels).map_err(broken)?;
        gauge.with_label_values(labels).set(value);
        self.registry.register(Box::new(gauge)).map_err(broken)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts what happens in one repository.
#[derive(Debug, Clone)]
pub struct RepositoryMetrics {
    metrics: Arc<Metrics>,
    name: String,
}

impl RepositoryMetrics {
    /// A run of a pass ended at `at`, `took` after it began.
    pub fn activation(&self, pass: PassName, outcome: ActivationOutcome, took: Duration, at: Timestamp) {
        let (pass, word) = (pass.word(), outcome.word());
        self.metrics.activations.with_label_values(&[self.name.as_str(), pass, word]).inc();
        self.metrics.activation_seconds.with_label_values(&[pass, word]).observe(took.as_secs_f64());
        if outcome.is_success() {
            self.metrics
                .last_success
                .with_label_values(&[self.name.as_str(), pass])
                .set(seconds_since_1970(at));
        }
    }

    /// A look has found that there is nothing for the pass to do, which is its work done, too.
    pub fn nothing_to_do(&self, pass: PassName, at: Timestamp) {
        let last = self.metrics.last_success.with_label_values(&[self.name.as_str(), pass.word()]);
        last.set(seconds_since_1970(at));
    }

    /// A run ended by a panic.
    pub fn panic(&self) {
        self.metrics.panics.with_label_values(&[&self.name]).inc();
    }

    /// How many scopes are not settled, by verdict. Verdicts that are not named count as zero.
    pub fn pending(&self, counts: &BTreeMap<Verdict, usize>) {
        set_all(&self.metrics.pending, &self.name, counts);
    }

    /// How many scopes wait, by what for. Reasons that are not named count as zero.
    pub fn waiting(&self, counts: &BTreeMap<WaitReason, usize>) {
        set_all(&self.metrics.waiting, &self.name, counts);
    }

    /// How many findings wait for a person.
    pub fn held(&self, count: usize) {
        self.set(&self.metrics.held, count as f64);
    }

    /// The age of the oldest sidecar that is not settled, if there is one.
    pub fn oldest_pending(&self, age: Option<Duration>) {
        self.set(&self.metrics.oldest_pending, age.unwrap_or_default().as_secs_f64());
    }

    /// Whether the repository's format is refused.
    pub fn refused(&self, is_refused: bool) {
        self.set(&self.metrics.refused, f64::from(u8::from(is_refused)));
    }

    /// A change ended. A publish that lost also counts as a publish conflict.
    pub fn action(&self, kind: ActionKind, outcome: ActionOutcome) {
        let labels = [self.name.as_str(), kind.word(), outcome.word()];
        self.metrics.actions.with_label_values(&labels).inc();
        if (kind, outcome) == (ActionKind::Publish, ActionOutcome::Conflict) {
            self.metrics.publish_conflicts.with_label_values(&[&self.name]).inc();
        }
    }

    /// Requests made since the last call.
    pub fn requests(&self, made: Requests) {
        let Requests { get, head, list, put, delete } = made;
        for (operation, count) in StoreOperation::all().iter().zip([get, head, list, put, delete]) {
            self.metrics
                .store_requests
                .with_label_values(&[self.name.as_str(), operation.word()])
                .inc_by(count);
        }
    }

    /// Whether this process holds the leader lease.
    pub fn lease(&self, is_held: bool) {
        self.set(&self.metrics.lease_held, f64::from(u8::from(is_held)));
    }

    /// Whether a window is open.
    pub fn window(&self, is_open: bool) {
        self.set(&self.metrics.window_open, f64::from(u8::from(is_open)));
    }

    fn set(&self, gauge: &GaugeVec, value: f64) {
        gauge.with_label_values(&[&self.name]).set(value);
    }
}

fn set_all<L: Label + Ord>(gauge: &GaugeVec, name: &str, counts: &BTreeMap<L, usize>) {
    for label in L::all() {
        let count = counts.get(label).copied().unwrap_or(0);
        gauge.with_label_values(&[name, label.word()]).set(count as f64);
    }
}

fn seconds_since_1970(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}
