//! When a verdict may be carried out. Waiting is never what makes an act safe: it makes it unlikely to be in vain.

use super::super::observation::{Component, Origin};
use super::schema::SchemaWork;
use super::{Decision, Judgement};
use crate::model::Window;
use crate::model::audit::Verdict;
use crate::model::beat::TTL;
use crate::model::sidecar::WriterKind;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a claim's evidence must have stood still.
    pub grace: Duration,
    /// Without a window, how long a sidecar whose tables never moved must have stood still.
    pub idle_grace: Duration,
    /// The window that is open, if one is.
    pub window: Option<Window>,
    /// Whether drift that shows the same rows is published without asking.
    pub publish_neutral_drift: bool,
}

impl Policy {
    /// Default of [`Policy::grace`]: an engine's commit takes seconds, a merge with index builds may take minutes.
    pub const GRACE: Duration = Duration::from_secs(5 * 60);
    /// Default of [`Policy::idle_grace`].
    pub const IDLE_GRACE: Duration = Duration::from_secs(60 * 60);
}

impl Policy {
    /// The same for writers that beat: whoever has missed three is gone, whatever it had begun.
    fn beside(&self, beating: bool) -> Self {
        let most = if beating { TTL } else { Duration::MAX };
        Self { grace: self.grace.min(most), idle_grace: self.idle_grace.min(most), ..self.clone() }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { grace: Self::GRACE, idle_grace: Self::IDLE_GRACE, window: None, publish_neutral_drift: true }
    }
}

/// When.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "when", rename_all = "snake_case")]
pub enum Timing {
    /// The conditions are met.
    Now,
    /// The evidence has not stood still for long enough.
    Grace {
        /// How much longer, if nothing moves; `None` if the store gave no time to start from.
        #[serde(with = "seconds")]
        left: Option<Duration>,
    },
    /// It needs a window.
    Window,
    /// It needs a window in which even acts without a store-side condition are covered: by hand, never by the calendar.
    ManualWindow,
    /// A schema change holds the graph's write lock; publishing on main would break it if it is alive.
    Lock,
    /// It needs a person.
    Person,
}

mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(left: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match left {
            Some(left) => serializer.serialize_u64(left.as_secs()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

/// Puts a judgement about these claims under the policy.
pub fn timed(component: &Component, claims: &[usize], judgement: Judgement, policy: &Policy) -> Decision {
    let members = || claims.iter().map(|index| &component.claims[*index]);
    let quiet = members().map(|claim| claim.quiet_for).min().flatten();
    let policy = &policy.beside(members().all(|claim| claim.beats));
    let schema_change = members().any(|claim| claim.sidecar.kind == WriterKind::SchemaApply);
    let orphan = judgement.verdict == Verdict::DiscardOrphan;
    let branch =
        members().next().filter(|_| !orphan).map(|claim| claim.sidecar.branch.clone()).unwrap_or_default();
    let publishes = judgement.verdict != Verdict::Finish;
    let waits_for_lock = component.locked && branch.is_main() && !schema_change && publishes;
    let timing = match when(&judgement, quiet, schema_change, policy) {
        Timing::Person => Timing::Person,
        _ if waits_for_lock => Timing::Lock,
        timing => timing,
    };
    let leaves_tables =
        matches!(judgement.verdict, Verdict::NothingToDo | Verdict::AlreadyUndone | Verdict::RolledBackSince);
    let has_tables = members().any(|claim| !claim.sidecar.pins.is_empty());
    let from_record = members().all(|claim| claim.origin != Origin::Sidecar);
    let undoes = judgement.verdict == Verdict::RollBack;
    Decision {
        branch,
        operations: members().map(|claim| claim.operation().clone()).collect(),
        verdict: judgement.verdict,
        timing,
        reason: judgement.reason,
        tables: judgement.tables,
        schema: judgement.schema,
        needs_fence: (undoes || (leaves_tables && has_tables)) && !from_record,
    }
}

fn when(judgement: &Judgement, quiet: Option<Duration>, schema_change: bool, policy: &Policy) -> Timing {
    let after = |grace: Duration| after(quiet, grace);
    match judgement.verdict {
        Verdict::Hold | Verdict::Unknown => Timing::Person,
        Verdict::Finish if judgement.schema.as_ref().is_some_and(SchemaWork::is_unguarded) => {
            in_window(Timing::Now, policy, Window::covers_unguarded_acts, Timing::ManualWindow)
        }
        Verdict::Finish => Timing::Now,
        Verdict::RollBack if schema_change => {
            in_window(after(policy.grace), policy, Window::covers_unguarded_acts, Timing::ManualWindow)
        }
        Verdict::RollBack => in_window(after(policy.grace), policy, |_| true, Timing::Window),
        Verdict::RollForward if judgement.schema.as_ref().is_some_and(SchemaWork::is_unguarded) => {
            in_window(after(policy.grace), policy, Window::covers_unguarded_acts, Timing::ManualWindow)
        }
        Verdict::NothingToDo if !judgement.ordinary_grace && policy.window.is_none() => {
            after(policy.grace.max(policy.idle_grace))
        }
        _ => after(policy.grace),
    }
}

fn after(quiet: Option<Duration>, grace: Duration) -> Timing {
    match quiet {
        Some(quiet) if quiet >= grace => Timing::Now,
        _ if grace.is_zero() => Timing::Now,
        Some(quiet) => Timing::Grace { left: Some(grace - quiet) },
        None => Timing::Grace { left: None },
    }
}

/// Drift whose rows are as the graph shows them: after its grace.
pub(super) fn drift_timing(quiet: Option<Duration>, policy: &Policy) -> Timing {
    after(quiet, policy.grace)
}

/// Acts without a store-side condition: after their grace, in a window that a person opened.
pub(super) fn manual_timing(quiet: Option<Duration>, policy: &Policy) -> Timing {
    in_window(after(quiet, policy.grace), policy, Window::covers_unguarded_acts, Timing::ManualWindow)
}

/// Drift that is undone: after its grace, in a window.
pub(super) fn window_timing(quiet: Option<Duration>, policy: &Policy) -> Timing {
    in_window(after(quiet, policy.grace), policy, |_| true, Timing::Window)
}

/// The grace first: a writer that is still at work neither waits for a window nor asks for one.
fn in_window(after_grace: Timing, policy: &Policy, covers: fn(Window) -> bool, wanted: Timing) -> Timing {
    let covered = policy.window.is_some_and(covers);
    if covered || after_grace != Timing::Now { after_grace } else { wanted }
}
