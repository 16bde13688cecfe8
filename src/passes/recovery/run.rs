//! One activation of the pass on one repository: find, group, then observe, decide and act for each component apart.

use super::act::{Acted, Handles, act};
use super::decide::drift::decide_drift;
use super::decide::schema::decide_leftover;
use super::decide::{Decision, Policy, Timing, decide, table_moves};
use super::observation::Component;
use super::observe::{Found, Grace, Intent, Quiet, Seen, Unjudged, component, drift, find, group, leftover};
use crate::error::{Error, Result};
use crate::model::audit::Verdict;
use crate::passes::report::{Outcome, PassReport, ScopeReport, TableReport};
use crate::repo::{Repository, Snapshot};
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often a component is looked at anew within one activation when something moves under it. Looks that settled
/// something do not count: of those there are as many as operations at most.
const LOOKS: usize = 4;

/// What an activation is run with.
pub struct Run {
    /// What the operator allows.
    pub policy: Policy,
    /// Stop before acting.
    pub dry: bool,
    /// Components worked on at once.
    pub concurrency: usize,
    /// Time, ids and the window.
    pub handles: Arc<dyn Handles>,
    /// The waits seen so far.
    pub grace: Arc<Grace>,
    /// Reading of the monotonic clock.
    pub uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// Runs the pass once. Only a store that does not even list is an error; everything else is told by scope.
pub async fn run(repo: &Repository, run: &Arc<Run>) -> Result<PassReport> {
    repo.require_graph()?;
    let found = Arc::new(find(repo).await?);
    let pending: BTreeSet<_> = found.intents.iter().map(|intent| intent.sidecar.operation.clone()).collect();
    run.grace.retain(|operation| pending.contains(operation));
    let mut scopes: Vec<ScopeReport> = found.unjudged.iter().map(held).collect();
    let mut work = futures::stream::iter(group(&found.intents))
        .map(|intents| isolated(repo.clone(), found.clone(), intents, run.clone()))
        .buffered(run.concurrency.max(1));
    while let Some(more) = work.next().await {
        scopes.extend(more);
    }
    // What was settled above is told even if the rest cannot be looked at.
    let rest = unclaimed(repo, run).await;
    scopes.extend(rest.unwrap_or_else(|error| vec![failed_scope("drift and leftovers".into(), &error)]));
    Ok(PassReport { pass: "recovery".into(), scopes })
}

/// What no sidecar explains: half-created branches, drift, staged contract files, a lock.
async fn unclaimed(repo: &Repository, run: &Run) -> Result<Vec<ScopeReport>> {
    let found = find(repo).await?;
    let mut scopes = Vec::new();
    let half = drift::half_created(repo, &found).await?;
    for branch in &half {
        let reason = "it has no commit history: its creation died half-way, and no engine can open it; see `outrigger repair branch`";
        scopes.push(held_scope(format!("branch {branch}"), reason.into()));
    }
    let mut snapshots = Vec::new();
    for branch in found.public_branches().filter(|branch| !half.contains(branch)) {
        match repo.snapshot(&branch).await {
            Ok(Some(snapshot)) if snapshot.writable().is_ok() => snapshots.push(Arc::new(snapshot)),
            Ok(Some(snapshot)) => {
                let why = snapshot.writable().err().map(|error| error.chain()).unwrap_or_default();
                scopes.push(held_scope(format!("branch {branch}"), why));
            }
            Ok(None) => {}
            Err(error) if error.kind() == crate::Kind::Corrupt => {
                scopes.push(held_scope(format!("branch {branch}"), error.chain()));
            }
            Err(error) => return Err(error),
        }
    }
    let quiet = Quiet { memory: &run.grace, grace: run.policy.grace, uptime: (run.uptime)() };
    for drifted in drift::find_drift(repo, &found, &snapshots, &quiet).await? {
        let (name, decision) = match drifted {
            drift::Drifted::Unreadable(at, why) => {
                scopes.push(held_scope(format!("drift {} on {}", at.table, at.branch), why));
                continue;
            }
            drift::Drifted::Seen(drift) => {
                let name = format!("drift {} on {}", drift.at.table, drift.at.branch);
                (name, decide_drift(&drift, &run.policy))
            }
        };
        scopes.push(carry_out(repo, run, name, &decision, &snapshots).await);
    }
    if let Some(decision) = decide_leftover(&leftover(repo, &found).await?, &run.policy) {
        scopes.push(carry_out(repo, run, "schema".into(), &decision, &snapshots).await);
    }
    Ok(scopes)
}

fn failed_scope(scope: String, error: &Error) -> ScopeReport {
    let reason = error.chain();
    ScopeReport { scope, verdict: Verdict::Hold, outcome: Outcome::Failed, reason, tables: Vec::new() }
}

fn held_scope(scope: String, reason: String) -> ScopeReport {
    ScopeReport { scope, verdict: Verdict::Hold, outcome: Outcome::Held, reason, tables: Vec::new() }
}

/// Carries out a decision that is about no claim, if it is time.
async fn carry_out(
    repo: &Repository,
    run: &Run,
    scope: String,
    decision: &Decision,
    snapshots: &[Arc<Snapshot>],
) -> ScopeReport {
    let mut outcome = planned(decision);
    let mut more = None;
    if outcome == Outcome::Due && !run.dry {
        // Publishing for one table moves the manifest under the next: each is carried out on the newest.
        let fresh = repo.snapshot(&decision.branch).await.ok().flatten().map(Arc::new);
        let known = snapshots.iter().find(|at| at.branch == decision.branch).cloned();
        let at = fresh.or(known).map(|at| (at.branch.clone(), at));
        let seen = Seen {
            component: Component::default(),
            snapshots: at.into_iter().collect(),
            intents: Vec::new(),
        };
        outcome = match act(repo, &seen, decision, run.handles.as_ref()).await {
            Ok(Acted::Settled) => Outcome::Done,
            Ok(Acted::LookAgain(why)) => {
                more = Some(format!("{why}; the next run looks again"));
                Outcome::Waits
            }
            Err(error) => {
                more = Some(error.chain());
                Outcome::Failed
            }
        };
    }
    ScopeReport { scope, ..report(decision, outcome, more.as_deref()) }
}

fn held(unjudged: &Unjudged) -> ScopeReport {
    let advice = if unjudged.blocks_writers {
        let name = unjudged.key.file_name();
        format!("; it blocks every engine writer: look at it, then `outrigger sidecars quarantine {name}`")
    } else {
        String::new()
    };
    ScopeReport {
        scope: unjudged.key.to_string(),
        verdict: Verdict::Hold,
        outcome: Outcome::Held,
        reason: format!("{}{advice}", unjudged.reason),
        tables: Vec::new(),
    }
}

/// Runs one component in a task of its own: a panic or an error in it stays its own.
async fn isolated(
    repo: Repository,
    found: Arc<Found>,
    intents: Vec<Intent>,
    run: Arc<Run>,
) -> Vec<ScopeReport> {
    let scope = name(intents.iter().map(|intent| intent.sidecar.operation.as_str()));
    let task = tokio::spawn(async move { settle(&repo, &found, intents, &run).await });
    let failed = |error: Error| vec![failed_scope(scope, &error)];
    match task.await {
        Ok(Ok(reports)) => reports,
        Ok(Err(error)) => failed(error),
        Err(stopped) => failed(Error::internal("this scope's task stopped").caused_by(stopped)),
    }
}

fn name<'a>(operations: impl Iterator<Item = &'a str>) -> String {
    operations.collect::<Vec<_>>().join(" ")
}

async fn settle(
    repo: &Repository,
    found: &Found,
    intents: Vec<Intent>,
    run: &Run,
) -> Result<Vec<ScopeReport>> {
    let mut reports = Vec::new();
    let mut intents = intents;
    let mut moved = None;
    let mut lost = 0;
    while lost < LOOKS {
        lost += 1;
        let quiet = Quiet { memory: &run.grace, grace: run.policy.grace, uptime: (run.uptime)() };
        let seen = component(repo, found, intents.clone(), &quiet).await?;
        let decisions = decide(&seen.component, &run.policy);
        if run.dry {
            return Ok(decisions.iter().map(|decision| report(decision, planned(decision), None)).collect());
        }
        let mut again = false;
        let mut waiting = Vec::new();
        for decision in decisions {
            if decision.timing != Timing::Now {
                waiting.push(report(&decision, planned(&decision), None));
                continue;
            }
            let settled = |intent: &Intent| decision.operations.contains(&intent.sidecar.operation);
            match act(repo, &seen, &decision, run.handles.as_ref()).await? {
                Acted::Settled => {
                    tracing::info!(verdict = decision.verdict.as_str(), operations = ?decision.operations, reason = %decision.reason, "settled");
                    reports.push(report(&decision, Outcome::Done, None));
                    let pending = intents.len();
                    intents.retain(|intent| !settled(intent));
                    if intents.len() < pending {
                        lost = 0;
                    }
                }
                Acted::LookAgain(why) => {
                    tracing::info!(operations = ?decision.operations, %why, "something moved: looking again");
                    moved = Some(why);
                    again = true;
                }
            }
            // A publish changes what the others are judged against.
            again |= !intents.is_empty();
            if again {
                break;
            }
        }
        if !again || intents.is_empty() {
            reports.extend(waiting);
            return Ok(reports);
        }
        intents = refreshed(repo, intents).await?;
        if intents.is_empty() {
            return Ok(reports);
        }
    }
    let reason = moved.unwrap_or_else(|| "its tables keep moving".into());
    reports.push(ScopeReport {
        scope: name(intents.iter().map(|intent| intent.sidecar.operation.as_str())),
        verdict: Verdict::Hold,
        outcome: Outcome::Waits,
        reason: format!("{reason}; the next run looks again"),
        tables: Vec::new(),
    });
    Ok(reports)
}

/// The intents that are still there, with their files as they are now.
async fn refreshed(repo: &Repository, intents: Vec<Intent>) -> Result<Vec<Intent>> {
    let found = find(repo).await?;
    let wanted: BTreeSet<_> = intents.iter().map(|intent| intent.sidecar.operation.clone()).collect();
    Ok(found.intents.into_iter().filter(|intent| wanted.contains(&intent.sidecar.operation)).collect())
}

fn planned(decision: &Decision) -> Outcome {
    match decision.timing {
        Timing::Now => Outcome::Due,
        Timing::Person => Outcome::Held,
        _ => Outcome::Waits,
    }
}

fn report(decision: &Decision, outcome: Outcome, more: Option<&str>) -> ScopeReport {
    let waits = match (&outcome, &decision.timing) {
        (Outcome::Waits, Timing::Grace { left: Some(left) }) => {
            format!("; waits {} more, if nothing moves", humantime::format_duration(Duration::from_secs(left.as_secs())))
        }
        (Outcome::Waits, Timing::Grace { left: None }) => "; waits for its grace, the store gives no time".into(),
        (Outcome::Waits, Timing::Window) => {
            "; waits for a window: run `outrigger once --exclusive` while no writer is active".into()
        }
        (Outcome::Waits, Timing::ManualWindow) => {
            "; waits for a window that a person opens: `outrigger once --exclusive` while no writer is active".into()
        }
        (Outcome::Waits, Timing::Lock) => {
            "; waits for a schema change that holds the graph's write lock (if it is dead: `outrigger repair lock`)".into()
        }
        _ => String::new(),
    };
    let more = more.map(|more| format!("; {more}")).unwrap_or_default();
    ScopeReport {
        scope: name(decision.operations.iter().map(|operation| operation.as_str())),
        verdict: decision.verdict,
        outcome,
        reason: format!("{}{waits}{more}", decision.reason),
        tables: table_moves(decision)
            .into_iter()
            .map(|(key, branch, from, to)| TableReport { key, branch, from, to })
            .collect(),
    }
}
