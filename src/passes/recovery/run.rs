//! One activation of the pass on one repository: find, group, then observe, decide and act for each component apart.

use super::act::{Acted, Handles, act};
use super::decide::{Decision, Policy, Timing, decide, table_moves};
use super::observe::{Found, Grace, Intent, Quiet, Unjudged, component, find, group};
use crate::error::{Error, Result};
use crate::model::audit::Verdict;
use crate::passes::report::{Outcome, PassReport, ScopeReport, TableReport};
use crate::repo::Repository;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often a component is looked at anew within one activation when something moves under it.
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
    Ok(PassReport { pass: "recovery".into(), scopes })
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
    let failed = |error: Error| {
        vec![ScopeReport {
            scope,
            verdict: Verdict::Hold,
            outcome: Outcome::Failed,
            reason: error.chain(),
            tables: Vec::new(),
        }]
    };
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
    for _ in 0..LOOKS {
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
                    intents.retain(|intent| !settled(intent));
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
            "; waits for a window: run `outrigger once --exclusive` while no writer is active, or `outrigger window open`".into()
        }
        (Outcome::Waits, Timing::ManualWindow) => {
            "; waits for a window that a person opens: `outrigger once --exclusive` while no writer is active".into()
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
