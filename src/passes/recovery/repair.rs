//! What only a person may decide, each under a window: drift that nothing explains, a lock without an owner, a branch that
//! was created half-way, forks that nobody shows.

use super::act::{Acted, Handles, act};
use super::decide::drift::{Choice, Drift, chosen};
use super::decide::schema::decide_leftover;
use super::decide::standing::FILES_FIRST;
use super::decide::{Policy, decide};
use super::observation::TableRef;
use super::observe::drift::{
    Drifted, find_drift, half_created, only_history_is_lost, own_fork, without_record,
};
use super::observe::{Found, Grace, Intent, Quiet, Seen, component, find, find_all, group, leftover};
use crate::error::{Error, Result};
use crate::model::audit::Verdict;
use crate::model::sidecar::WriterKind;
use crate::model::{Branch, Permit, TableKey, Version};
use crate::passes::hint;
use crate::repo::branches::BranchRef;
use crate::repo::refs::Lineage;
use crate::repo::snapshot::MANIFEST;
use crate::repo::tables::dataset_path;
use crate::repo::{Repository, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A repair that could be made: what it would do, and why that is safe.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What would be done.
    pub what: String,
    /// Why nothing is lost that somebody was promised.
    pub why: String,
    work: Work,
}

#[derive(Debug, Clone)]
enum Work {
    Drift(Box<Drift>, Choice),
    Lock(Option<BranchRef>),
    Branch(Branch),
    Record {
        table: TableKey,
        branch: Branch,
        pin: Version,
    },
    /// Of a table, or of the manifest.
    Fork(Option<TableKey>, Branch),
}

/// Repairs that could be made, and what could not be looked at or is beyond repair.
#[derive(Debug, Default)]
pub struct Proposals {
    /// Each can be carried out.
    pub made: Vec<Proposal>,
    /// What, and why nothing can be proposed for it.
    pub lost: Vec<(String, String)>,
}

impl Proposals {
    fn lose(&mut self, at: &TableRef, why: String) {
        self.lost.push((format!("{} on {}", at.table, at.branch), why));
    }

    /// Branches that could not be read may show what is asked for.
    fn lose_branches(&mut self, unreadable: Vec<(Branch, Error)>) {
        let lost = unreadable.into_iter();
        self.lost.extend(lost.map(|(branch, why)| (format!("branch {branch}"), why.chain())));
    }
}

/// Tables ahead of their pins: all of them, or one. Those that a crash record names are left to recovery, unless it holds the
/// record.
///
/// # Errors
/// [`crate::Kind::Refused`] while a schema change holds the write lock.
pub async fn drift(repo: &Repository, only: Option<&TableKey>, choice: Choice) -> Result<Proposals> {
    let found = find(repo).await?;
    let snapshots = repo.snapshots(found.public_branches()).await?;
    let memory = Grace::default();
    let quiet = at_once(&memory);
    let settling = not_held(repo, &found, &quiet).await?;
    let is_meant = |at: &TableRef| only.is_none_or(|only| at.table == *only);
    let mut proposals = Proposals::default();
    for drifted in find_drift(repo, &found, &settling, &snapshots.read, &quiet).await? {
        match drifted {
            Drifted::Seen(Drift { at, .. }) | Drifted::Unreadable(at, _) | Drifted::Failed(at, _)
                if !is_meant(&at) => {}
            Drifted::Seen(Drift { at, lineage, .. }) if lineage.head < lineage.pin => {
                let why = format!("the graph shows version {}, the newest is {}", lineage.pin, lineage.head);
                proposals.lose(&at, format!("{why}: it is beyond a choice of versions"));
            }
            Drifted::Seen(drift) if drift.locked && drift.at.branch.is_main() => {
                return Err(Error::refused(format!(
                    "a schema change holds the graph's write lock, and publishing would break it if it is alive: {} first",
                    hint::command(&["repair", "lock", "--exclusive"])
                )));
            }
            Drifted::Seen(drift) => proposals.made.push(propose(drift, choice)),
            Drifted::Unreadable(at, why) => {
                proposals.lose(&at, format!("{why}: it is beyond a choice of versions"));
            }
            Drifted::Failed(at, error) => proposals.lose(&at, error.chain()),
        }
    }
    if only.is_none() {
        proposals.lose_branches(snapshots.unreadable);
    }
    if let Some(unjudged) = found.unjudged.first() {
        for proposal in &mut proposals.made {
            proposal.why +=
                &format!("; but {} cannot be read, and may explain them: settle it first", unjudged.key);
        }
    }
    Ok(proposals)
}

/// A look that waits for nothing: a person has decided that it is time.
fn at_once(memory: &Grace) -> Quiet<'_> {
    Quiet { memory, grace: Duration::ZERO, uptime: Duration::ZERO }
}

/// The intents that recovery settles by itself: their tables are left to it.
async fn not_held(repo: &Repository, found: &Found, quiet: &Quiet<'_>) -> Result<Vec<Intent>> {
    let mut settling = Vec::new();
    for intents in group(&found.intents) {
        let seen = component(repo, found, intents.clone(), quiet).await?;
        let decisions = decide(&seen.component, &Policy::default());
        if decisions.iter().any(|decision| decision.verdict != Verdict::Hold) {
            settling.extend(intents);
        }
    }
    Ok(settling)
}

fn propose(drift: Drift, choice: Choice) -> Proposal {
    let tail = crate::model::history::describe(drift.lineage.tail());
    let (at, pin, head) = (&drift.at, drift.lineage.pin, drift.lineage.head);
    let (what, why) = match choice {
        Choice::Pin => (
            format!(
                "restore {} on {} to version {pin}, which the graph shows, and hide {tail}",
                at.table, at.branch
            ),
            "no reader of the graph has seen those commits; their versions stay until cleanup".to_owned(),
        ),
        Choice::Head => (
            format!("show version {head} of {} on {} instead of {pin}, with {tail}", at.table, at.branch),
            "no version is removed; the rows of those commits become visible to readers of the graph"
                .to_owned(),
        ),
    };
    Proposal { what, why, work: Work::Drift(Box::new(drift), choice) }
}

/// The write lock of a schema change that left no record, or the files of one.
pub async fn lock(repo: &Repository) -> Result<Option<Proposal>> {
    let found = find_all(repo).await?;
    let lock = found.lock().cloned();
    if lock.is_none() && !repo.has_rest_of_schema_lock().await? {
        return Ok(None);
    }
    if settles_lock(repo, &found).await? {
        return Err(Error::invalid(
            "a schema change left more than its lock: `outrigger once --exclusive` settles it, and takes the lock with it",
        ));
    }
    let mut why =
        "it holds no data: it only stops writers. Safe if no schema change is running, which is your word"
            .to_owned();
    if !found.staged.is_empty() {
        why += "; the staged schema files stay for you to judge";
    }
    let what = "remove the branch __schema_apply_lock__ of the manifest".into();
    Ok(Some(Proposal { what, why, work: Work::Lock(lock) }))
}

/// Whether recovery takes the lock off by itself: not, if it holds what the schema change has left.
async fn settles_lock(repo: &Repository, found: &Found) -> Result<bool> {
    let is_schema = |intent: &Intent| intent.sidecar.kind == WriterKind::SchemaApply;
    if found.intents.iter().any(is_schema) {
        return Ok(not_held(repo, found, &at_once(&Grace::default())).await?.iter().any(is_schema));
    }
    let leftover = decide_leftover(&leftover(repo, found).await?, &Policy::default());
    Ok(leftover.is_some_and(|decision| decision.verdict != Verdict::Hold))
}

/// Branches whose creation died half-way.
pub async fn branches(repo: &Repository) -> Result<Proposals> {
    let found = find(repo).await?;
    let mut proposals = Proposals::default();
    for branch in half_created(repo, &found).await? {
        let snapshot = match repo.snapshot(&branch).await {
            Err(error) if error.is_local() => {
                proposals.lost.push((format!("branch {branch}"), error.chain()));
                continue;
            }
            snapshot => snapshot?,
        };
        if let Some(table) = snapshot.as_ref().and_then(own_fork) {
            let why = format!("{}: {FILES_FIRST}", only_history_is_lost(&branch, table));
            proposals.lost.push((format!("branch {branch}"), why));
            continue;
        }
        proposals.made.push(Proposal {
            what: format!("remove branch {branch} of the manifest"),
            why: "no table was ever written on it, and no engine can open it; create it anew afterwards"
                .into(),
            work: Work::Branch(branch),
        });
    }
    Ok(proposals)
}

/// Forks that the graph shows and that have lost their record: engines fail to check them out, and a cleanup of the line
/// that they were forked from does not know that they share its files.
pub async fn missing_records(repo: &Repository, only: Option<&TableKey>) -> Result<Proposals> {
    let found = find(repo).await?;
    let snapshots = repo.snapshots(found.public_branches()).await?;
    let mut proposals = Proposals::default();
    for (at, pin) in without_record(repo, &snapshots.read).await? {
        if only.is_some_and(|only| at.table != *only) {
            continue;
        }
        match repo.lost_record(&at.table, &at.branch, pin).await? {
            Some(lineage) => proposals.made.push(propose_record(&at.table, &at.branch, pin, &lineage)),
            None => proposals.lose(
                &at,
                format!(
                    "its files are gone with its record, and version {pin} is shown: restore them from a backup, or delete the branch with the engine"
                ),
            ),
        }
    }
    if only.is_none() {
        proposals.lose_branches(snapshots.unreadable);
    }
    Ok(proposals)
}

/// Forks of tables that no branch shows and no record of an operation names, and versions of branches that no record lists: of
/// branches that were deleted, and of writers that died while they made one. Whoever makes a fork or a branch of that name anew
/// finds them in the way.
pub async fn forks(repo: &Repository, only: Option<&TableKey>) -> Result<Proposals> {
    let found = find(repo).await?;
    let snapshots = repo.snapshots(found.public_branches()).await?;
    let mut proposals = Proposals::default();
    if !snapshots.unreadable.is_empty() {
        // Any of them may show a fork.
        proposals.lose_branches(snapshots.unreadable);
        return Ok(proposals);
    }
    if only.is_none() {
        for branch in repo.branches_with_versions(MANIFEST).await? {
            if !found.branches.contains_key(&branch) {
                proposals.made.push(propose_fork(None, branch));
            }
        }
    }
    let tables: BTreeSet<&TableKey> = snapshots.read.iter().flat_map(|at| at.state.registered()).collect();
    for table in tables.into_iter().filter(|table| only.is_none_or(|only| only == *table)) {
        let dataset = dataset_path(table)?;
        let listed = crate::repo::branches::list(repo.store(), &dataset).await?;
        let mut forks = repo.branches_with_versions(&dataset).await?;
        forks.extend(listed.into_keys());
        for fork in forks.into_iter().filter(|fork| !is_wanted(&found, &snapshots.read, table, fork)) {
            proposals.made.push(propose_fork(Some(table.clone()), fork));
        }
    }
    Ok(proposals)
}

/// Whether a branch shows a fork, or an operation that is not settled may land on it.
fn is_wanted(found: &Found, snapshots: &[Arc<Snapshot>], table: &TableKey, fork: &Branch) -> bool {
    let shown = |at: &Arc<Snapshot>| at.state.entry(table).is_some_and(|entry| entry.branch == *fork);
    let named = |intent: &Intent| intent.sidecar.tables().any(|at| at == (table, fork));
    snapshots.iter().any(shown) || found.intents.iter().any(named)
}

fn propose_fork(table: Option<TableKey>, fork: Branch) -> Proposal {
    let (what, why) = match &table {
        Some(table) => (
            format!("remove what lies on branch {fork} of {table}"),
            "no branch shows it, and no crash record names it: it is left of a branch that was deleted, or of a commit that came to nothing",
        ),
        None => (
            format!("remove what is left of branch {fork} of the manifest"),
            "no record lists it, so nobody can open it: it is left of a branch that was deleted, or whose creation died",
        ),
    };
    Proposal { what, why: why.to_owned(), work: Work::Fork(table, fork) }
}

/// Looks once more, then removes it.
async fn remove_fork(
    repo: &Repository,
    table: Option<&TableKey>,
    fork: &Branch,
    handles: &dyn Handles,
) -> Result<Acted> {
    let is_same =
        |known: &Proposal| matches!(&known.work, Work::Fork(of, at) if of.as_ref() == table && at == fork);
    if !forks(repo, table).await?.made.iter().any(is_same) {
        return Ok(Acted::LookAgain(format!("{fork} is wanted or gone now")));
    }
    let permit = permit(handles).await?;
    match table {
        Some(table) => repo.remove_fork(table, fork, permit).await?,
        None => repo.remove_manifest_branch(fork, permit).await?,
    }
    Ok(Acted::Settled)
}

fn propose_record(table: &TableKey, branch: &Branch, pin: Version, lineage: &Lineage) -> Proposal {
    let Lineage { parent, version, .. } = lineage;
    Proposal {
        what: format!(
            "write the record of branch {branch} of {table} anew: forked from version {version} of {parent}"
        ),
        why: format!(
            "its versions up to {pin}, which the graph shows, are all there, and its first one tells where it came from; without the record a cleanup of {parent} may remove files that the fork shows"
        ),
        work: Work::Record { table: table.clone(), branch: branch.clone(), pin },
    }
}

/// Looks once more, then writes the record; one that is there by now is left alone.
async fn recreate_record(
    repo: &Repository,
    (table, branch, pin): (&TableKey, &Branch, Version),
    handles: &dyn Handles,
) -> Result<Acted> {
    let Some(lineage) = repo.lost_record(table, branch, pin).await? else {
        let why = format!("branch {branch} of {table} has a record now, or nothing is left of it");
        return Ok(Acted::LookAgain(why));
    };
    let created_at = handles.now().as_micros().max(0) as u64 / 1_000_000;
    repo.recreate_record(table, branch, &lineage, created_at, permit(handles).await?).await?;
    Ok(Acted::Settled)
}

/// Carries a proposal out.
pub async fn carry_out(repo: &Repository, proposal: &Proposal, handles: &dyn Handles) -> Result<Acted> {
    match try_to_carry_out(repo, proposal, handles).await {
        Err(moved) if moved.kind() == crate::Kind::Moved => Ok(Acted::LookAgain(moved.chain())),
        ended => ended,
    }
}

async fn try_to_carry_out(repo: &Repository, proposal: &Proposal, handles: &dyn Handles) -> Result<Acted> {
    repo.require_writable(&Branch::main()).await?;
    match &proposal.work {
        Work::Lock(lock) => {
            repo.remove_schema_lock(lock.as_ref(), permit(handles).await?).await.map(|()| Acted::Settled)
        }
        Work::Branch(branch) => remove_branch(repo, branch, permit(handles).await?).await,
        Work::Fork(table, fork) => remove_fork(repo, table.as_ref(), fork, handles).await,
        Work::Record { table, branch, pin } => recreate_record(repo, (table, branch, *pin), handles).await,
        Work::Drift(drift, choice) => {
            let decision = chosen(drift, *choice);
            let snapshot = repo.snapshot(&decision.branch).await?;
            let snapshots: BTreeMap<_, _> =
                snapshot.into_iter().map(|at| (at.branch.clone(), Arc::new(at))).collect();
            let branches = crate::repo::branches::list(repo.store(), MANIFEST).await?;
            let seen = Seen { snapshots, branches, ..Seen::default() };
            act(repo, &seen, &decision, handles).await
        }
    }
}

async fn permit(handles: &dyn Handles) -> Result<Permit> {
    handles.permit().await?.ok_or_else(|| Error::moved("no window is open"))
}

/// Looks once more: a branch that has got its history meanwhile is whole.
async fn remove_branch(repo: &Repository, branch: &Branch, permit: Permit) -> Result<Acted> {
    let found: Found = find(repo).await?;
    if !half_created(repo, &found).await?.contains(branch) {
        return Ok(Acted::LookAgain(format!("branch {branch} is whole or gone now")));
    }
    if let Some(table) = repo.snapshot(branch).await?.as_ref().and_then(own_fork) {
        return Ok(Acted::LookAgain(only_history_is_lost(branch, table)));
    }
    repo.remove_manifest_branch(branch, permit).await.map(|()| Acted::Settled)
}
