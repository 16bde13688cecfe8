//! What the last runs told, and when their scopes want to be looked at again.

use crate::model::Window;
use crate::passes::report::{Outcome, ScopeReport, WaitReason};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock::Monotonic;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The two parts of the pass are told apart: they are not always run together.
pub(super) struct Told {
    claims: Vec<ScopeReport>,
    rest: Vec<ScopeReport>,
    backoff: Backoff<String>,
    /// By scope: not before.
    resting: BTreeMap<String, Monotonic>,
    /// The earliest moment at which a scope wants to be looked at.
    appointment: Option<Monotonic>,
}

impl Told {
    pub(super) fn new(backoff: Backoff<String>) -> Self {
        Self { claims: Vec::new(), rest: Vec::new(), backoff, resting: BTreeMap::new(), appointment: None }
    }

    pub(super) fn of_claims(&mut self, scopes: Vec<ScopeReport>) {
        log_news(&scopes, &self.claims);
        self.claims = scopes;
    }

    pub(super) fn of_the_rest(&mut self, scopes: Vec<ScopeReport>) {
        log_news(&scopes, &self.rest);
        self.rest = scopes;
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &ScopeReport> {
        self.claims.iter().chain(&self.rest)
    }

    pub(super) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    pub(super) fn resting(&self) -> &BTreeMap<String, Monotonic> {
        &self.resting
    }

    pub(super) fn appointment(&self) -> Option<Monotonic> {
        self.appointment
    }

    /// Whether a window changes what may be done about a scope: also about one that would wait for longer without it.
    pub(super) fn waits_for(&self, window: Window) -> bool {
        self.scopes().filter_map(|scope| scope.waits).any(|wait| match wait.reason {
            WaitReason::Window | WaitReason::Grace => true,
            WaitReason::ManualWindow => window.covers_unguarded_acts(),
            WaitReason::Lock | WaitReason::Turn | WaitReason::Look => false,
        })
    }

    /// When each scope wants to be looked at again: one that failed or lost a race after its backoff, one that waits for
    /// its grace at the end of it.
    pub(super) fn make_appointments(&mut self, now: Monotonic, interval: Duration) {
        let Self { claims, rest, backoff, resting, appointment } = self;
        let scopes: Vec<&ScopeReport> = claims.iter().chain(rest.iter()).collect();
        let names: BTreeSet<&str> = scopes.iter().map(|scope| scope.scope.as_str()).collect();
        backoff.retain(|scope| names.contains(scope.as_str()));
        resting.retain(|scope, until| names.contains(scope.as_str()) && *until > now);
        *appointment = None;
        for scope in scopes {
            let again = match (scope.outcome, scope.waits.map(|wait| (wait.reason, wait.left))) {
                (Outcome::Failed, _) | (_, Some((WaitReason::Look, None))) => {
                    let delay = backoff.failed(scope.scope.clone());
                    resting.insert(scope.scope.clone(), now.plus(delay));
                    Some(delay)
                }
                (_, Some((WaitReason::Turn, _))) => Some(interval),
                (_, Some((_, left))) => left,
                (_, None) => {
                    backoff.succeeded(&scope.scope);
                    None
                }
            };
            let at = again.map(|again| now.plus(again));
            *appointment = [*appointment, at].into_iter().flatten().min();
        }
    }
}

/// Tells what is new, once: a scope that waits says so at the first look, not at every one.
fn log_news(scopes: &[ScopeReport], before: &[ScopeReport]) {
    let known: BTreeSet<_> = before.iter().map(|scope| (&scope.scope, scope.outcome)).collect();
    for scope in scopes.iter().filter(|scope| !known.contains(&(&scope.scope, scope.outcome))) {
        let (verdict, reason) = (scope.verdict.as_str(), &scope.reason);
        match scope.outcome {
            Outcome::Failed => tracing::error!(scope = %scope.scope, verdict, %reason, "failed"),
            Outcome::Held => tracing::warn!(scope = %scope.scope, verdict, %reason, "held for a person"),
            Outcome::Done => tracing::info!(scope = %scope.scope, verdict, %reason, "settled"),
            Outcome::Due | Outcome::Waits => {
                tracing::info!(scope = %scope.scope, verdict, %reason, "waits");
            }
        }
    }
}
