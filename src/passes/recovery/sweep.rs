//! What no sidecar explains: half-created branches, drift, shown versions that are gone, staged contract files, a lock without
//! an owner.

use super::act::{Acted, Turn, act};
use super::decide::drift::decide_drift;
use super::decide::schema::decide_leftover;
use super::decide::standing::FILES_FIRST;
use super::decide::{Decision, Timing};
use super::observe::{Found, Quiet, Seen, drift, find_all, is_explained_since, leftover, lineages};
use super::run::Run;
use super::{retire, tell};
use crate::error::{Error, Result};
use crate::model::Branch;
use crate::model::audit::Verdict;
use crate::model::sidecar::{Sidecar, WriterKind};
use crate::passes::report::{Outcome, ScopeReport};
use crate::repo::branches::{self, BranchRef};
use crate::repo::snapshot::MANIFEST;
use crate::repo::{Repository, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The part of the pass that is about what no claim explains: two requests for each table of each branch.
pub(super) async fn sweep(repo: &Repository, run: &Run) -> Result<Vec<ScopeReport>> {
    let found = find_all(repo).await?;
    repo.retain(|branch| found.branches.contains_key(branch));
    let half = drift::half_created(repo, &found).await?;
    let mut scopes = Vec::new();
    for branch in &half {
        scopes.push(match repo.snapshot(branch).await {
            Ok(snapshot) => tell::half_created(branch, snapshot.as_ref().and_then(drift::own_fork)),
            Err(error) if error.is_local() => {
                let why =
                    format!("it has no commit history and cannot be read: {}; {FILES_FIRST}", error.chain());
                tell::held(format!("branch {branch}"), why)
            }
            Err(error) => tell::failed(format!("branch {branch}"), &error),
        });
    }
    let snapshots = usable_snapshots(repo, &found, &half, &mut scopes).await?;
    let quiet = Quiet { memory: &run.grace, grace: run.policy.grace, uptime: (run.uptime)() };
    let drifted = match drift::find_drift(repo, &found, &found.intents, &snapshots, &quiet).await {
        Ok(drifted) => drifted,
        Err(error) => {
            scopes.push(tell::failed("drift".into(), &error));
            Vec::new()
        }
    };
    for drifted in drifted {
        let name = |at: &super::observation::TableRef| format!("drift {} on {}", at.table, at.branch);
        match drifted {
            drift::Drifted::Unreadable(at, why) => scopes.push(tell::held(name(&at), why)),
            drift::Drifted::Failed(at, error) => scopes.push(tell::failed(name(&at), &error)),
            drift::Drifted::Seen(drift) => {
                let mut decision = decide_drift(&drift, &run.policy);
                if decision.verdict == Verdict::Hold && !found.unjudged.is_empty() {
                    decision.reason +=
                        "; a record that cannot be read may explain them: settle that one first";
                }
                scopes.push(carry_out(repo, run, name(&drift.at), &decision, &found).await);
            }
        }
    }
    scopes.extend(lost_records(repo, &snapshots).await);
    // A branch that could not be read may show what a record is about.
    if snapshots.len() == found.public_branches().count()
        && let Err(error) = retire::retire(repo, run, &found, &snapshots).await
    {
        scopes.push(tell::failed("closed fence records".into(), &error));
    }
    if let Err(error) = retire::retire_beats(repo, run, &found).await {
        scopes.push(tell::failed("beats".into(), &error));
    }
    // Without main nothing can be judged, and what is there may be of a format that is never written.
    if snapshots.iter().any(|at| at.branch.is_main()) {
        match leftover(repo, &found).await.map(|left| decide_leftover(&left, &run.policy)) {
            Ok(None) => {}
            Ok(Some(decision)) => {
                scopes.push(carry_out(repo, run, "schema".into(), &decision, &found).await);
            }
            Err(error) => scopes.push(tell::failed("schema".into(), &error)),
        }
    }
    Ok(scopes)
}

/// Forks that are shown and have lost their record. A branch that was deleted since has no record either.
async fn lost_records(repo: &Repository, snapshots: &[Arc<Snapshot>]) -> Vec<ScopeReport> {
    let told = async || {
        let lost = drift::without_record(repo, snapshots).await?;
        if lost.is_empty() {
            return Ok(Vec::new());
        }
        let there = branches::list(repo.store(), MANIFEST).await?;
        let lost = lost.into_iter().filter(|(at, _)| there.contains_key(&at.branch));
        Ok::<_, Error>(lost.map(|(at, pin)| tell::without_record(&at, pin)).collect())
    };
    told().await.unwrap_or_else(|error| vec![tell::failed("records of forks".into(), &error)])
}

/// The snapshots of all public branches that can be read and may be written; the others are told.
async fn usable_snapshots(
    repo: &Repository,
    found: &Found,
    half: &[Branch],
    scopes: &mut Vec<ScopeReport>,
) -> Result<Vec<Arc<Snapshot>>> {
    let whole = found.public_branches().filter(|branch| !half.contains(branch));
    let all = repo.snapshots(whole).await?;
    let mut held =
        |branch: &Branch, why: &Error| scopes.push(tell::held(format!("branch {branch}"), why.chain()));
    if !all.unreadable.is_empty() {
        // The record of a branch goes before its files: one that is deleted during the look is nobody's trouble.
        let now = branches::list(repo.store(), MANIFEST).await?;
        let is_there = |branch: &Branch| {
            let state = |listed: &BTreeMap<Branch, BranchRef>| listed.get(branch).map(|one| one.etag.clone());
            state(&now) == state(&found.branches)
        };
        all.unreadable
            .iter()
            .filter(|(branch, _)| is_there(branch))
            .for_each(|(branch, why)| held(branch, why));
    }
    let mut usable = all.read;
    usable.retain(|snapshot| match snapshot.writable() {
        Ok(()) => true,
        Err(why) => {
            held(&snapshot.branch, &why);
            false
        }
    });
    Ok(usable)
}

/// Carries out a decision that is about no claim, if it is time.
async fn carry_out(
    repo: &Repository,
    run: &Run,
    scope: String,
    decision: &Decision,
    found: &Found,
) -> ScopeReport {
    if let Some(left) = (run.resting)(&scope) {
        return tell::resting(scope, left);
    }
    if decision.timing != Timing::Now || run.dry {
        return ScopeReport { scope, ..tell::planned(decision) };
    }
    match acted(repo, run, decision, found).await {
        Ok(report) => ScopeReport { scope, ..report },
        Err(error) => ScopeReport { scope, ..tell::ended(decision, Outcome::Failed, Some(&error.chain())) },
    }
}

async fn acted(repo: &Repository, run: &Run, decision: &Decision, found: &Found) -> Result<ScopeReport> {
    if let Turn::Of(other) = run.handles.turn().await? {
        return Ok(tell::of_another(decision, &other));
    }
    let explains = |sidecar: &Sidecar| match decision.schema {
        Some(_) => sidecar.kind == WriterKind::SchemaApply,
        None => decision.tables.iter().any(|plan| lineages(sidecar).any(|at| at == plan.at)),
    };
    if is_explained_since(repo, found, explains).await? {
        return Ok(tell::ended(decision, Outcome::Waits, Some("its writer has begun since")));
    }
    // Publishing for one table moves the manifest under the next: each is carried out on the newest.
    let fresh = repo.snapshot(&decision.branch).await?.map(|at| (at.branch.clone(), Arc::new(at)));
    let (lock, branches) = (found.lock().cloned(), found.branches.clone());
    let seen = Seen { snapshots: fresh.into_iter().collect(), lock, branches, ..Seen::default() };
    Ok(match act(repo, &seen, decision, run.handles.as_ref()).await? {
        Acted::Settled => tell::ended(decision, Outcome::Done, None),
        Acted::LookAgain(why) => tell::ended(decision, Outcome::Waits, Some(&why)),
    })
}
