//! How long to leave a scope alone after a failure: exponential backoff with full jitter.
//!
//! Full jitter (a delay drawn evenly from zero to the ceiling of this step) spreads many scopes that failed together
//! better than a fixed delay with a little noise, which would bring them all back at once.

use crate::host::Chance;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

/// The shape of a backoff: the first ceiling, and the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// The most that the first failure may cost.
    pub first: Duration,
    /// The most that any failure may cost.
    pub most: Duration,
}

impl BackoffPolicy {
    /// One second at first, five minutes at most: nine failures in a row reach it.
    pub const DEFAULT: Self = Self { first: Duration::from_secs(1), most: Duration::from_secs(300) };

    /// The longest delay after `failures` failures in a row (at least one); doubles with each.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    /// The delay after `failures` failures in a row: `unit` (from `0.0..1.0`) of the ceiling.
    pub fn delay(&self, failures: u32, unit: f64) -> Duration {
        self.ceiling(failures).mul_f64(unit.clamp(0.0, 1.0))
    }
}

/// Counts failures in a row per scope. One scope's trouble does not slow another.
pub struct Backoff<K> {
    policy: BackoffPolicy,
    chance: Arc<dyn Chance>,
    failures: HashMap<K, u32>,
}

impl<K: Eq + Hash> Backoff<K> {
    /// Nothing has failed yet.
    pub fn new(policy: BackoffPolicy, chance: Arc<dyn Chance>) -> Self {
        Self { policy, chance, failures: HashMap::new() }
    }

    /// Counts a failure of `scope` and says how long to leave it alone.
    pub fn failed(&mut self, scope: K) -> Duration {
        let failures = self.failures.entry(scope).or_insert(0);
        *failures = failures.saturating_add(1);
        self.policy.delay(*failures, self.chance.unit())
    }

    /// Forgets the failures of `scope`.
    pub fn succeeded(&mut self, scope: &K) {
        self.failures.remove(scope);
    }

    /// Forgets scopes that are gone, so that memory follows what exists.
    pub fn retain(&mut self, exists: impl Fn(&K) -> bool) {
        self.failures.retain(|scope, _| exists(scope));
    }

    /// Failures in a row of `scope`.
    pub fn failures(&self, scope: &K) -> u32 {
        self.failures.get(scope).copied().unwrap_or(0)
    }
}

impl<K: fmt::Debug> fmt::Debug for Backoff<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff").field("policy", &self.policy).field("failures", &self.failures).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BackoffPolicy = BackoffPolicy::DEFAULT;

    fn backoff(unit: f64) -> Backoff<&'static str> {
        Backoff::new(POLICY, Arc::new(move || unit))
    }

    #[test]
    fn each_failure_doubles_the_ceiling_up_to_the_most() {
        let ceilings: Vec<u64> = (1..=10).map(|n| POLICY.ceiling(n).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(POLICY.ceiling(u32::MAX), POLICY.most);
    }

    #[test]
    fn the_delay_is_drawn_from_nothing_to_the_ceiling() {
        assert_eq!(POLICY.delay(3, 0.0), Duration::ZERO);
        assert_eq!(POLICY.delay(3, 0.5), Duration::from_secs(2));
        assert!(POLICY.delay(3, 0.999) < POLICY.ceiling(3));
        assert_eq!(POLICY.delay(3, f64::INFINITY), POLICY.ceiling(3));
    }

    #[test]
    fn one_scopes_failures_do_not_slow_another() {
        let mut backoff = backoff(0.5);
        for _ in 0..5 {
            backoff.failed("a");
        }
        assert_eq!(backoff.failed("b"), Duration::from_millis(500));
        assert_eq!(backoff.failed("a"), Duration::from_secs(16));
    }

    #[test]
    fn success_and_disappearance_forget_the_failures() {
        let mut backoff = backoff(0.5);
        for scope in ["a", "b", "c"] {
            backoff.failed(scope);
        }
        backoff.succeeded(&"a");
        backoff.retain(|scope| *scope != "b");
        assert_eq!([backoff.failures(&"a"), backoff.failures(&"b"), backoff.failures(&"c")], [0, 0, 1]);
    }
}
