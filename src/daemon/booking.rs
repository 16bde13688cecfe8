//! A report, as metrics.

use crate::passes::report::{Outcome, ScopeReport};
use crate::telemetry::metrics::RepositoryMetrics;
use std::collections::BTreeMap;

/// Sets the gauges that follow from what the last run told.
pub(super) fn book(metrics: &RepositoryMetrics, scopes: &[ScopeReport]) {
    let mut pending = BTreeMap::new();
    let mut waiting = BTreeMap::new();
    for scope in scopes.iter().filter(|scope| scope.outcome != Outcome::Done) {
        *pending.entry(scope.verdict).or_insert(0) += 1;
        if let Some(wait) = scope.waits {
            *waiting.entry(wait.reason).or_insert(0) += 1;
        }
    }
    metrics.pending(&pending);
    metrics.waiting(&waiting);
    metrics.held(scopes.iter().filter(|scope| scope.outcome == Outcome::Held).count());
}
