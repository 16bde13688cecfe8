//! Which key runs next: one run per key at a time, wakes that coalesce, bounded concurrency.
//!
//! This file is the bookkeeping, free of tasks and time; [`super::runner`] turns it. The rules:
//!
//! * a wake for a key that is ready already adds no run; of the two reasons the stronger is kept;
//! * a wake for a key that is running waits its turn, and any number of such wakes make one more run;
//! * a wake for a key that waits for a later moment runs it now and drops that appointment;
//! * keys run in the order in which they became ready.

use crate::host::Monotonic;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// Why someone should look, from the weakest reason to the strongest. What is to do, the bucket says; a reason may only ask
/// that more of it be read than a regular look would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The moment has come for which the last run asked: after the regular interval, or earlier.
    Again,
    /// A window opened.
    Window,
    /// The schedule of a pass ran.
    Schedule,
    /// Someone asked for it.
    Request,
    /// The process started.
    Start,
}

impl Reason {
    /// Whether it is to be answered by a look at everything.
    pub fn asks_for_everything(self) -> bool {
        matches!(self, Self::Schedule | Self::Request | Self::Start)
    }
}

/// A hint to look at `key`. Two wakes are equal if their keys are.
#[derive(Debug, Clone)]
pub struct Wake<K> {
    /// What to look at.
    pub key: K,
    /// Why; ignored by `Eq` and `Hash`.
    pub reason: Reason,
}

impl<K: PartialEq> PartialEq for Wake<K> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Eq> Eq for Wake<K> {}

impl<K: Hash> Hash for Wake<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// When to look again, as a run says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// When this much time has passed, or earlier if something wakes the key.
    After(Duration),
    /// When something wakes the key.
    OnChange,
}

/// What is ready, running and waiting for a later moment.
#[derive(Debug)]
pub(super) struct Plan<K> {
    ready: VecDeque<Wake<K>>,
    running: HashSet<K>,
    later: HashMap<K, Monotonic>,
}

impl<K: Clone + Eq + Hash> Plan<K> {
    pub(super) fn new() -> Self {
        Self { ready: VecDeque::new(), running: HashSet::new(), later: HashMap::new() }
    }

    /// Makes `wake` ready, or adds its reason to a wake of its key that is.
    pub(super) fn wake(&mut self, wake: Wake<K>) {
        self.later.remove(&wake.key);
        match self.ready.iter_mut().find(|ready| **ready == wake) {
            Some(ready) => ready.reason = ready.reason.max(wake.reason),
            None => self.ready.push_back(wake),
        }
    }

    /// Takes the first ready key that is not running, and counts it as running.
    pub(super) fn start(&mut self) -> Option<Wake<K>> {
        let first = self.ready.iter().position(|wake| !self.running.contains(&wake.key))?;
        let wake = self.ready.remove(first)?;
        self.running.insert(wake.key.clone());
        Some(wake)
    }

    /// Ends the run of `key`. Its wish for later only counts if nothing has woken it meanwhile.
    pub(super) fn finish(&mut self, key: K, requeue: Requeue, now: Monotonic) {
        self.running.remove(&key);
        let woken = self.ready.iter().any(|wake| wake.key == key);
        if let (Requeue::After(delay), false) = (requeue, woken) {
            self.later.insert(key, now.plus(delay));
        }
    }

    /// Makes ready whatever waited for a moment that has come.
    pub(super) fn come_due(&mut self, now: Monotonic) {
        let mut due: Vec<(Monotonic, K)> =
            self.later.iter().filter(|(_, at)| **at <= now).map(|(key, at)| (*at, key.clone())).collect();
        due.sort_by_key(|(at, _)| *at);
        for (_, key) in due {
            self.wake(Wake { key, reason: Reason::Again });
        }
    }

    /// The next moment for which something waits.
    pub(super) fn next_moment(&self) -> Option<Monotonic> {
        self.later.values().min().copied()
    }

    pub(super) fn waiting(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(key: &'static str) -> Wake<&'static str> {
        Wake { key, reason: Reason::Again }
    }

    fn second(seconds: u64) -> Monotonic {
        Monotonic::at(Duration::from_secs(seconds))
    }

    fn started(plan: &mut Plan<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| plan.start()).map(|wake| wake.key).collect()
    }

    #[test]
    fn the_reason_is_no_part_of_a_wakes_identity() {
        let asked = Wake { key: "a", reason: Reason::Request };
        assert_eq!(asked, wake("a"));
        assert_ne!(wake("a"), wake("b"));
        assert_eq!(HashSet::from([asked, wake("a")]).len(), 1);
    }

    #[test]
    fn keys_run_in_the_order_in_which_they_woke() {
        let mut plan = Plan::new();
        for key in ["b", "a", "b", "c"] {
            plan.wake(wake(key));
        }
        assert_eq!(started(&mut plan), ["b", "a", "c"]);
    }

    #[test]
    fn of_wakes_that_coalesce_the_strongest_reason_is_kept() {
        use Reason::{Again, Request, Schedule, Window};
        for reasons in [[Request, Again], [Again, Request], [Schedule, Window], [Window, Schedule]] {
            let mut plan = Plan::new();
            for reason in reasons {
                plan.wake(Wake { key: "a", reason });
            }
            let kept = plan.start().expect("it is ready").reason;
            assert!(kept.asks_for_everything(), "{kept:?} of {reasons:?}");
            assert_eq!(plan.start(), None);
        }
    }

    #[test]
    fn any_number_of_wakes_during_a_run_make_one_more() {
        let mut plan = Plan::new();
        plan.wake(wake("a"));
        assert_eq!(started(&mut plan), ["a"]);
        plan.wake(wake("a"));
        plan.wake(wake("a"));
        assert!(started(&mut plan).is_empty(), "it is running");
        plan.finish("a", Requeue::OnChange, second(0));
        assert_eq!(started(&mut plan), ["a"]);
        plan.finish("a", Requeue::OnChange, second(0));
        assert!(started(&mut plan).is_empty());
    }

    #[test]
    fn a_busy_key_does_not_hold_up_those_behind_it() {
        let mut plan = Plan::new();
        plan.wake(wake("a"));
        started(&mut plan);
        plan.wake(wake("a"));
        plan.wake(wake("b"));
        assert_eq!(started(&mut plan), ["b"]);
    }

    #[test]
    fn what_waits_for_a_moment_comes_due_at_it() {
        let mut plan = Plan::new();
        plan.finish("late", Requeue::After(Duration::from_secs(20)), second(0));
        plan.finish("soon", Requeue::After(Duration::from_secs(10)), second(0));
        assert_eq!(plan.next_moment(), Some(second(10)));
        plan.come_due(second(9));
        assert!(started(&mut plan).is_empty());
        plan.come_due(second(30));
        assert_eq!(started(&mut plan), ["soon", "late"]);
        assert_eq!(plan.next_moment(), None);
    }

    #[test]
    fn a_wake_drops_the_later_appointment_of_its_key() {
        let mut plan = Plan::new();
        plan.finish("a", Requeue::After(Duration::from_secs(10)), second(0));
        plan.wake(wake("a"));
        assert_eq!((plan.next_moment(), started(&mut plan)), (None, vec!["a"]));
        plan.wake(wake("a"));
        plan.finish("a", Requeue::After(Duration::from_secs(10)), second(0));
        assert_eq!(plan.next_moment(), None, "it was woken while it ran");
    }
}
