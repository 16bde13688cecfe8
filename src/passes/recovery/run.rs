//! One activation of the pass on one repository: find, group, then observe, decide and act for each component apart.

use super::act::{Acted, Handles, Turn, act};
use super::decide::{Policy, Timing, decide};
use super::observe::{Found, Grace, Intent, Quiet, company, component, find, group};
use super::sweep::sweep;
use super::{protect, tell};
use crate::error::{Error, Kind, Result};
use crate::passes::report::{Outcome, PassReport, ScopeReport};
use crate::repo::Repository;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::Instrument;

/// How often a component is looked at anew within one activation when something moves under it. A look that settled
/// something starts the count again, at most once for each operation that there was.
const LOOKS: usize = 4;

/// How long a scope is still to be left alone, by its name.
pub type Resting = Arc<dyn Fn(&str) -> Option<Duration> + Send + Sync>;

/// What an activation is run with.
///
/// Dropping the future of [`run`] stops everything at its next request: a crash like any other, and the next run finishes.
pub struct Run {
    /// What the operator allows.
    pub policy: Policy,
    /// Stop before acting.
    pub dry: bool,
    /// Components worked on at once.
    pub concurrency: usize,
    /// Time, ids, and leave to act.
    pub handles: Arc<dyn Handles>,
    /// The waits seen so far.
    pub grace: Arc<Grace>,
    /// Reading of the monotonic clock.
    pub uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Whether to tag what an undoing that waits for a window will need. Who tags must be there later to untag.
    pub protect: bool,
    /// Scopes that failed a short while ago.
    pub resting: Resting,
    /// Told after each component: how many are done, and of how many.
    pub progress: Arc<dyn Fn(usize, usize) + Send + Sync>,
}

/// Runs the pass once. Only a store that does not even list is an error; everything else is told by scope.
pub async fn run(repo: &Repository, run: &Arc<Run>) -> Result<PassReport> {
    let mut scopes = claims(repo, run).boxed().await?;
    scopes.extend(rest(repo, run).await);
    Ok(PassReport { pass: "recovery".into(), scopes })
}

/// The part of the pass that is about what no claim explains, in a task of its own.
pub async fn rest(repo: &Repository, run: &Arc<Run>) -> Vec<ScopeReport> {
    let (repo, run, handles) = (repo.clone(), run.clone(), run.handles.clone());
    let knows_gate = repo.recognised().dialect.names_commits();
    let sweeping = async move { sweep(&repo, &run).await }.boxed();
    let scopes = in_its_own_task("drift and leftovers".into(), handles, sweeping).await;
    if knows_gate { tell::by_gate(scopes) } else { scopes }
}

/// The part of the pass that is about sidecars and armed fence records.
pub async fn claims(repo: &Repository, run: &Arc<Run>) -> Result<Vec<ScopeReport>> {
    repo.require_graph()?;
    let found = Arc::new(find(repo).await?);
    let pending: BTreeSet<_> = found.intents.iter().map(|intent| intent.sidecar.operation.clone()).collect();
    run.grace.retain(|operation| pending.contains(operation));
    let mut scopes: Vec<ScopeReport> = found.unjudged.iter().map(tell::unjudged).collect();
    let groups = group(&found.intents);
    let all = groups.len();
    // Whichever is ready first makes room for the next; they are told in order.
    let mut work = futures::stream::iter(groups.into_iter().enumerate())
        .map(|(nth, intents)| {
            isolated(repo.clone(), found.clone(), intents, run.clone()).map(move |told| (nth, told))
        })
        .buffer_unordered(run.concurrency.max(1));
    let mut told = BTreeMap::new();
    while let Some((nth, more)) = work.next().await {
        told.insert(nth, more);
        (run.progress)(told.len(), all);
    }
    scopes.extend(told.into_values().flatten());
    if !run.dry {
        scopes.extend(protect::release(repo, run, &found).await);
    }
    let knows_gate = repo.recognised().dialect.names_commits();
    Ok(if knows_gate { tell::by_gate(scopes) } else { scopes })
}

async fn isolated(
    repo: Repository,
    found: Arc<Found>,
    intents: Vec<Intent>,
    run: Arc<Run>,
) -> Vec<ScopeReport> {
    let scope = tell::name(intents.iter().map(|intent| intent.sidecar.operation.as_str()));
    if let Some(left) = (run.resting)(&scope) {
        return vec![tell::resting(scope, left)];
    }
    let handles = run.handles.clone();
    in_its_own_task(scope, handles, async move { settle(&repo, found, intents, &run).await }.boxed()).await
}

/// A panic or an error in a scope stays its own; the task ends with this future.
async fn in_its_own_task(
    scope: String,
    handles: Arc<dyn Handles>,
    work: BoxFuture<'static, Result<Vec<ScopeReport>>>,
) -> Vec<ScopeReport> {
    let mut task = JoinSet::new();
    task.spawn(work.in_current_span());
    match task.join_next().await {
        Some(Ok(Ok(reports))) => reports,
        Some(Ok(Err(error))) => vec![tell::failed(scope, &error)],
        Some(Err(stopped)) => {
            handles.panicked();
            vec![tell::failed(scope, &Error::internal("this scope's task stopped").caused_by(stopped))]
        }
        None => Vec::new(),
    }
}

async fn settle(
    repo: &Repository,
    mut found: Arc<Found>,
    mut intents: Vec<Intent>,
    run: &Run,
) -> Result<Vec<ScopeReport>> {
    let mut reports = Vec::new();
    let mut moved = None;
    let mut lost = 0;
    let mut settling = intents.len();
    let mut policy = run.policy.clone();
    while lost < LOOKS && !intents.is_empty() {
        lost += 1;
        let quiet = Quiet { memory: &run.grace, grace: run.policy.grace, uptime: (run.uptime)() };
        let seen = match component(repo, &found, intents.clone(), &quiet).await {
            Err(error) if error.kind() == Kind::Moved => {
                moved = Some(error.chain());
                (found, intents) = look_anew(find(repo).await?, &intents);
                continue;
            }
            seen => seen?,
        };
        let decisions = decide(&seen.component, &policy);
        if run.dry {
            return Ok(decisions.iter().map(tell::planned).collect());
        }
        if decisions.iter().any(|decision| decision.timing == Timing::Now) {
            if let Turn::Of(other) = run.handles.turn().await? {
                reports.extend(decisions.iter().map(|decision| tell::of_another(decision, &other)));
                return Ok(reports);
            }
            if let Some(now) = company(repo, &found, &intents).await? {
                moved = Some("its record has changed, or another writer has begun on its tables".into());
                (found, intents) = look_anew(now, &intents);
                continue;
            }
        }
        let mut again = false;
        let mut waiting = Vec::new();
        for decision in decisions {
            if decision.timing != Timing::Now {
                protect::protect(repo, run, &seen, &decision).await;
                waiting.push(tell::planned(&decision));
                continue;
            }
            let settled = |intent: &Intent| decision.operations.contains(&intent.sidecar.operation);
            match act(repo, &seen, &decision, run.handles.as_ref()).await? {
                Acted::Settled => {
                    tracing::debug!(operations = ?decision.operations, "settled");
                    reports.push(tell::ended(&decision, Outcome::Done, None));
                    let pending = intents.len();
                    intents.retain(|intent| !settled(intent));
                    if intents.len() < pending && settling > 0 {
                        (lost, settling) = (0, settling - 1);
                    }
                }
                Acted::LookAgain(why) => {
                    tracing::info!(operations = ?decision.operations, %why, "something moved: looking again");
                    moved = Some(why);
                    again = true;
                    // What is left waits for the next window, and is judged so.
                    if policy.window.is_some() && run.handles.permit().await?.is_none() {
                        policy.window = None;
                    }
                }
            }
            // A publish changes what the others are judged against.
            again |= !intents.is_empty();
            if again {
                break;
            }
        }
        if !again {
            reports.extend(waiting);
            return Ok(reports);
        }
        (found, intents) = look_anew(find(repo).await?, &intents);
    }
    if intents.is_empty() {
        return Ok(reports);
    }
    let scope = tell::name(intents.iter().map(|intent| intent.sidecar.operation.as_str()));
    reports.push(tell::keeps_moving(scope, moved));
    Ok(reports)
}

/// Everything anew: a branch may have gone as well as a sidecar, and who has come to share their tables is judged with them.
fn look_anew(found: Found, intents: &[Intent]) -> (Arc<Found>, Vec<Intent>) {
    let wanted: BTreeSet<_> = intents.iter().map(|intent| &intent.sidecar.operation).collect();
    let groups = group(&found.intents).into_iter();
    let still = groups.filter(|group| group.iter().any(|intent| wanted.contains(&intent.sidecar.operation)));
    let still = still.flatten().collect();
    (Arc::new(found), still)
}
