//! What the last runs told, and when their scopes want to be looked at again.

use super::due::Extent;
use crate::host::Monotonic;
use crate::model::Window;
use crate::passes::report::{Exit, Outcome, ScopeReport, WaitReason};
use crate::runtime::backoff::Backoff;
use crate::store::Meta;
use crate::telemetry::labels::ActivationOutcome;
use std::collections::{BTreeMap, BTreeSet};

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

    /// How the last runs ended, the worst of their scopes.
    pub(super) fn outcome(&self) -> ActivationOutcome {
        match Exit::worst(self.scopes().map(|scope| scope.outcome.into())) {
            Exit::Converged => ActivationOutcome::Converged,
            Exit::Waits | Exit::Due => ActivationOutcome::Waiting,
            Exit::Held => ActivationOutcome::Held,
            Exit::Refused => ActivationOutcome::Refused,
            Exit::Failed => ActivationOutcome::Failed,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.outcome().is_success()
    }

    pub(super) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// What of a listing is not settled by now: it was made before the last run.
    pub(super) fn without_settled(&self, listing: &[Meta]) -> Vec<Meta> {
        let done = self.claims.iter().filter(|scope| scope.outcome == Outcome::Done);
        let settled: BTreeSet<&str> = done.flat_map(|scope| scope.scope.split(' ')).collect();
        let is_settled = |meta: &&Meta| {
            let name = meta.key.file_name();
            settled.contains(name.split_once('.').map_or(name, |(operation, _)| operation))
        };
        listing.iter().filter(|meta| !is_settled(meta)).cloned().collect()
    }

    pub(super) fn resting(&self) -> &BTreeMap<String, Monotonic> {
        &self.resting
    }

    pub(super) fn appointment(&self) -> Option<Monotonic> {
        self.appointment
    }

    /// Whether a scope that failed or lost a race has had its rest.
    pub(super) fn has_rested(&self, now: Monotonic) -> bool {
        self.resting.values().any(|until| *until <= now)
    }

    /// Whether another reconciler was in the way of something.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.scopes().filter_map(|scope| scope.waits).any(|wait| wait.reason == WaitReason::Turn)
    }

    /// Whether a window changes what may be done about a scope: also about one that would wait for longer without it.
    pub(super) fn waits_for(&self, window: Window) -> bool {
        self.scopes().filter_map(|scope| scope.waits).any(|wait| match wait.reason {
            WaitReason::Window | WaitReason::Grace => true,
            WaitReason::ManualWindow => window.covers_unguarded_acts(),
            WaitReason::Lock | WaitReason::Turn | WaitReason::Look => false,
        })
    }

    /// How much of the pass has something that waits for nothing but such a window.
    pub(super) fn extent_waiting_for(&self, window: Window) -> Extent {
        let waits = |scopes: &[ScopeReport]| scopes.iter().any(|scope| scope.waits_for(window));
        match (waits(&self.claims), waits(&self.rest)) {
            (_, true) => Extent::Everything,
            (true, false) => Extent::Claims,
            (false, false) => Extent::Nothing,
        }
    }

    /// When each scope wants to be looked at again: one that failed or lost a race after its backoff, one that waits for
    /// its grace at the end of it. When a turn comes, the lease shows.
    pub(super) fn make_appointments(&mut self, now: Monotonic) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit::Verdict;
    use crate::passes::report::Wait;
    use crate::runtime::backoff::BackoffPolicy;
    use std::sync::Arc;
    use std::time::Duration;

    fn told() -> Told {
        Told::new(Backoff::new(BackoffPolicy::DEFAULT, Arc::new(|| 0.5)))
    }

    fn scope(name: &str, outcome: Outcome, waits: Option<Wait>) -> ScopeReport {
        let (scope, reason) = (name.to_owned(), String::new());
        ScopeReport { scope, verdict: Verdict::RollForward, outcome, reason, waits, tables: Vec::new() }
    }

    fn after(seconds: f64) -> Option<Monotonic> {
        Some(Monotonic::at(Duration::from_secs_f64(seconds)))
    }

    #[test]
    fn a_scope_that_keeps_failing_rests_ever_longer_and_the_others_do_not() {
        let mut told = told();
        let grace = Wait { reason: WaitReason::Grace, left: Some(Duration::from_secs(60)) };
        for (failures, appointment) in [(1, 0.5), (2, 1.0), (3, 2.0)] {
            told.of_claims(vec![
                scope("bad", Outcome::Failed, None),
                scope("good", Outcome::Waits, Some(grace)),
            ]);
            told.make_appointments(Monotonic::default());
            assert_eq!(told.appointment(), after(appointment), "after {failures} failures");
            assert_eq!(told.resting().keys().collect::<Vec<_>>(), ["bad"]);
            assert!(!told.has_rested(Monotonic::default()));
            assert!(told.has_rested(after(appointment).unwrap()));
        }
        told.of_claims(vec![scope("good", Outcome::Waits, Some(grace))]);
        told.make_appointments(Monotonic::default());
        assert_eq!(told.appointment(), after(60.0));
        assert!(told.resting().is_empty());
        told.of_claims(vec![scope("bad", Outcome::Failed, None)]);
        told.make_appointments(Monotonic::default());
        assert_eq!(told.appointment(), after(0.5), "what was gone begins anew");
    }

    #[test]
    fn what_waits_for_a_window_or_a_person_makes_no_appointment() {
        let mut told = told();
        let window = Wait { reason: WaitReason::Window, left: None };
        told.of_claims(vec![scope("a", Outcome::Waits, Some(window)), scope("b", Outcome::Held, None)]);
        told.make_appointments(Monotonic::default());
        assert_eq!(told.appointment(), None);
        assert!(told.waits_for(Window::Schedule));
        assert_eq!(told.outcome(), ActivationOutcome::Held);
    }

    #[test]
    fn behind_the_gate_no_more_is_looked_at_than_waits_for_it() {
        let waits = |reason| vec![scope("a", Outcome::Waits, Some(Wait { reason, left: None }))];
        let mut told = told();
        told.of_claims(waits(WaitReason::Grace));
        assert_eq!(told.extent_waiting_for(Window::Gate), Extent::Nothing);
        told.of_claims(waits(WaitReason::ManualWindow));
        assert_eq!(told.extent_waiting_for(Window::Gate), Extent::Claims);
        assert_eq!(told.extent_waiting_for(Window::Schedule), Extent::Nothing);
        told.of_the_rest(waits(WaitReason::Window));
        assert_eq!(told.extent_waiting_for(Window::Gate), Extent::Everything);
    }

    #[test]
    fn what_waits_for_its_turn_makes_no_appointment() {
        let mut told = told();
        told.of_the_rest(vec![scope(
            "a",
            Outcome::Waits,
            Some(Wait { reason: WaitReason::Turn, left: None }),
        )]);
        told.make_appointments(Monotonic::default());
        assert_eq!(told.appointment(), None);
        assert!(told.waits_for_turn());
    }

    #[test]
    fn a_window_by_the_calendar_is_no_news_for_what_needs_a_person_to_open_one() {
        let mut told = told();
        let manual = Wait { reason: WaitReason::ManualWindow, left: None };
        told.of_claims(vec![scope("a", Outcome::Waits, Some(manual))]);
        assert!(!told.waits_for(Window::Schedule));
        assert!(told.waits_for(Window::Manual));
    }
}
