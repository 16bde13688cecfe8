//! The pass's report: what is said of each scope, and what to do where a person is asked.

use super::decide::standing::{FILES_FIRST, GOES_ON};
use super::decide::{Decision, Timing, table_moves};
use super::observation::TableRef;
use super::observe::Unjudged;
use super::observe::drift::only_history_is_lost;
use crate::error::Error;
use crate::model::audit::Verdict;
use crate::model::{Branch, TableKey, Version};
use crate::passes::hint;
use crate::passes::report::{Outcome, ScopeReport, TableReport, Wait, WaitReason};
use std::time::Duration;

/// How a person opens a window, and what opens one for a daemon.
const OPENS_ONE: &str = "`outrigger window open --for 10m` or `outrigger once --exclusive` while no writer is active; a daemon's \
     setting `windows.schedules` says when that is";

/// The same where a schedule is not enough.
const BY_HAND: &str = "`outrigger window open --for 10m` or `outrigger once --exclusive` while no writer is active; no schedule covers it";

/// The same where writers know a gate.
const CLOSES_GATE: &str =
    "`outrigger once --gate`, or a daemon with `gate = \"auto\"`, keeps writers out for it";

/// A scope of several operations is called by all of them.
pub(super) fn name<'a>(operations: impl Iterator<Item = &'a str>) -> String {
    operations.collect::<Vec<_>>().join(" ")
}

/// What a decision comes to before anything is done.
pub(super) fn planned(decision: &Decision) -> ScopeReport {
    let wait = |reason, left| Some(Wait { reason, left });
    let (outcome, waits) = match &decision.timing {
        Timing::Now => (Outcome::Due, None),
        Timing::Person => (Outcome::Held, None),
        Timing::Grace { left } => (Outcome::Waits, wait(WaitReason::Grace, *left)),
        Timing::Window => (Outcome::Waits, wait(WaitReason::Window, None)),
        Timing::ManualWindow => (Outcome::Waits, wait(WaitReason::ManualWindow, None)),
        Timing::Lock => (Outcome::Waits, wait(WaitReason::Lock, None)),
    };
    let more = match outcome {
        Outcome::Held => advice(decision),
        _ => waits.map(|wait| waits_for(&wait)),
    };
    // The grace is not all that an undoing waits for.
    let needs_window =
        decision.verdict == Verdict::RollBack && matches!(decision.timing, Timing::Grace { .. });
    let more = more.map(|more| match needs_window {
        true => format!("{more}; then for a window, if none is open: {OPENS_ONE}"),
        false => more,
    });
    ScopeReport { waits, ..said(decision, outcome, more.as_deref()) }
}

/// What a person can do about a held operation, where its reason does not say it.
fn advice(decision: &Decision) -> Option<String> {
    let operation =
        decision.operations.first().filter(|_| !decision.reason.contains("`outrigger "))?.as_str();
    let show = hint::command(&["sidecars", "show", operation]);
    if [FILES_FIRST, GOES_ON].iter().any(|said| decision.reason.contains(said)) {
        return Some(format!("{show} prints its record"));
    }
    let aside = hint::command(&["sidecars", "quarantine", operation]);
    Some(format!("look at it with {show}; {aside} puts the record aside"))
}

/// How carrying a decision out ended; `more` says why it was not to the end.
pub(super) fn ended(decision: &Decision, outcome: Outcome, more: Option<&str>) -> ScopeReport {
    let looks_again = (outcome == Outcome::Waits).then_some(Wait { reason: WaitReason::Look, left: None });
    let more = more.map(|more| match looks_again {
        Some(_) => format!("{more}; the next run looks again"),
        None => more.to_owned(),
    });
    ScopeReport { waits: looks_again, ..said(decision, outcome, more.as_deref()) }
}

/// A decision that is another reconciler's to carry out, if anything is due.
pub(super) fn of_another(decision: &Decision, other: &str) -> ScopeReport {
    if decision.timing != Timing::Now {
        return planned(decision);
    }
    let waits = Some(Wait { reason: WaitReason::Turn, left: None });
    ScopeReport { waits, ..said(decision, Outcome::Waits, Some(&format!("it is the turn of {other}"))) }
}

fn said(decision: &Decision, outcome: Outcome, more: Option<&str>) -> ScopeReport {
    let more = more.map(|more| format!("; {more}")).unwrap_or_default();
    let moved = table_moves(decision).into_iter();
    ScopeReport {
        scope: name(decision.operations.iter().map(|operation| operation.as_str())),
        verdict: decision.verdict,
        outcome,
        reason: format!("{}{more}", decision.reason),
        waits: None,
        tables: moved.map(|(key, branch, from, to)| TableReport { key, branch, from, to }).collect(),
    }
}

/// What to do about a window, in the words of a repository whose writers know a gate.
pub(super) fn by_gate(mut scopes: Vec<ScopeReport>) -> Vec<ScopeReport> {
    for scope in &mut scopes {
        scope.reason = scope.reason.replace(OPENS_ONE, CLOSES_GATE);
    }
    scopes
}

fn waits_for(wait: &Wait) -> String {
    match (wait.reason, wait.left) {
        (WaitReason::Grace, Some(left)) => {
            let left = humantime::format_duration(Duration::from_secs(left.as_secs().max(1)));
            format!("waits {left} more, if nothing moves")
        }
        (WaitReason::Grace, None) => "waits for its grace, the store gives no time".into(),
        (WaitReason::Window, _) => format!("waits for a window: {OPENS_ONE}"),
        (WaitReason::ManualWindow, _) => format!("waits for a window that a person opens: {BY_HAND}"),
        (WaitReason::Lock, _) => {
            "waits for a schema change that holds the graph's write lock (if it is dead: `outrigger repair lock --exclusive`)".into()
        }
        (WaitReason::Turn | WaitReason::Look, _) => "the next run looks again".into(),
    }
}

/// A scope that is left for a person.
pub(super) fn held(scope: String, reason: String) -> ScopeReport {
    ScopeReport { verdict: Verdict::Hold, ..unjudged_yet(scope, Outcome::Held, reason) }
}

/// A scope that ended by an error before it could be judged.
pub(super) fn failed(scope: String, error: &Error) -> ScopeReport {
    unjudged_yet(scope, Outcome::Failed, error.chain())
}

/// A scope that failed before and is left alone for a while.
pub(super) fn resting(scope: String, left: Duration) -> ScopeReport {
    let reason = "the last attempt failed; it is made again soon".to_owned();
    let waits = Some(Wait { reason: WaitReason::Look, left: Some(left) });
    ScopeReport { waits, ..unjudged_yet(scope, Outcome::Waits, reason) }
}

/// A scope under which something moves whenever it is looked at.
pub(super) fn keeps_moving(scope: String, moved: Option<String>) -> ScopeReport {
    let moved = moved.unwrap_or_else(|| "its tables keep moving".into());
    let waits = Some(Wait { reason: WaitReason::Look, left: None });
    ScopeReport { waits, ..unjudged_yet(scope, Outcome::Waits, format!("{moved}; the next run looks again")) }
}

/// A sidecar that cannot be judged.
pub(super) fn unjudged(unjudged: &Unjudged) -> ScopeReport {
    let aside = hint::command(&["sidecars", "quarantine", unjudged.key.file_name()]);
    let advice = match unjudged.blocks_writers {
        true => format!("; it blocks every engine writer: look at it, then {aside}"),
        false => format!("; look at it, then {aside} ends it: what it was about is left as it is"),
    };
    held(unjudged.key.to_string(), format!("{}{advice}", unjudged.reason))
}

/// A branch without its commit history: one whose creation died half-way, or that shows a fork of `table` all the same.
pub(super) fn half_created(branch: &Branch, table: Option<&TableKey>) -> ScopeReport {
    let reason = match table {
        None => "it has no commit history: its creation died half-way, and no engine can open it; `outrigger repair branch --exclusive` offers to remove it".into(),
        Some(table) => format!(
            "{}, and no engine can open it: restore the branch's part of _graph_commits.lance from a backup",
            only_history_is_lost(branch, table)
        ),
    };
    held(format!("branch {branch}"), reason)
}

/// A fork that is shown and has lost its record.
pub(super) fn without_record(at: &TableRef, pin: Version) -> ScopeReport {
    let TableRef { table, branch } = at;
    let anew = hint::command(&["repair", "missing-ref", "--exclusive", "--table", table.as_str()]);
    let reason = format!(
        "the graph shows version {pin} of this fork, and its record is lost: a cleanup of the line that it was forked from \
         may remove its files; {anew} writes it anew"
    );
    held(format!("record of {table} on {branch}"), reason)
}

fn unjudged_yet(scope: String, outcome: Outcome, reason: String) -> ScopeReport {
    ScopeReport { scope, verdict: Verdict::Unknown, outcome, reason, waits: None, tables: Vec::new() }
}
