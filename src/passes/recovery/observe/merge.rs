//! What a confirmed merge would have shown besides its pins.
//!
//! The engine's sidecar names only the tables that it rewrites. Tables that it takes over as they are (a pointer switch) are
//! published with them; rolling forward the pins alone would record a merge that lost those tables.

use super::super::observation::{MergeSeen, PointerSwitch};
use super::Found;
use crate::error::Result;
use crate::model::lineage::merge_base;
use crate::model::manifest::{Entry, GraphCommit, head_of};
use crate::model::sidecar::{Sidecar, WriterKind};
use crate::model::{Branch, TableKey};
use crate::repo::{Dialect, Repository, Snapshot};
use std::collections::BTreeMap;

/// `None` unless the claim is a merge whose pins are all confirmed, or of a format that confirms nothing: then it tells
/// whether what an engine has shown of it is all of it.
pub(super) async fn observe(
    repo: &Repository,
    found: &Found,
    target: &Snapshot,
    sidecar: &Sidecar,
) -> Result<Option<MergeSeen>> {
    // It names every table that it changes.
    if sidecar.kind == WriterKind::BranchMerge && sidecar.names_commits {
        return Ok(Some(MergeSeen::Completable(Vec::new())));
    }
    let confirms = sidecar.format >= 2;
    let unconfirmed = confirms && sidecar.pins.iter().any(|pin| pin.confirmed.is_none());
    if sidecar.kind != WriterKind::BranchMerge || unconfirmed {
        return Ok(None);
    }
    match rest_of(repo, found, target, sidecar).await {
        // A part of the history is missing: the merge base that the rest tells may be another.
        Err(error) if error.is_local() => Ok(Some(MergeSeen::Unknown(error.chain()))),
        seen => seen.map(Some),
    }
}

async fn rest_of(
    repo: &Repository,
    found: &Found,
    target: &Snapshot,
    sidecar: &Sidecar,
) -> Result<MergeSeen> {
    let not = |why: String| Ok(MergeSeen::NotCompletable(why));
    let Some(source_id) = &sidecar.merge_source else {
        return not("the sidecar names no source commit".into());
    };
    let commits = all_commits(repo, found, target).await?;
    let own = commits.get(&sidecar.branch).cloned().unwrap_or_default();
    let everything: Vec<GraphCommit> = commits.into_values().flatten().collect();
    let (Some(source), Some(target_id)) =
        (everything.iter().find(|commit| commit.id == *source_id), before_merge(&own, source_id))
    else {
        return not(format!("commit {source_id} is in no branch's history"));
    };
    let Some(base) = merge_base(&everything, source_id, target_id) else {
        return not("source and target have no common commit".into());
    };
    let (Some(source), Some(base)) = (entries_at(repo, source).await?, entries_at(repo, base).await?) else {
        return not("the merged commit or the merge base can no longer be read".into());
    };
    complete(repo, target, sidecar, &source, &base).await
}

/// The target's commit that the merge was made on: its head, or the parent of the commit that records the merge. An engine's
/// recovery records it with the pins alone; taken as the head, that commit would make the source its own merge base and hide
/// what is missing.
fn before_merge<'a>(own: &'a [GraphCommit], source: &str) -> Option<&'a str> {
    match own.iter().find(|commit| commit.merged_parent.as_deref() == Some(source)) {
        Some(recorded) => recorded.parent.as_deref(),
        None => head_of(own).map(|head| head.id.as_str()),
    }
}

type Entries = BTreeMap<TableKey, Entry>;

async fn entries_at(repo: &Repository, commit: &GraphCommit) -> Result<Option<Entries>> {
    let snapshot = repo.snapshot_at(&commit.branch, commit.manifest_version).await?;
    Ok(snapshot
        .map(|snapshot| snapshot.state.entries().map(|(key, entry)| (key.clone(), entry.clone())).collect()))
}

/// The history of every branch: inherited rows come with each.
async fn all_commits(
    repo: &Repository,
    found: &Found,
    target: &Snapshot,
) -> Result<BTreeMap<Branch, Vec<GraphCommit>>> {
    let mut commits = BTreeMap::new();
    for branch in found.public_branches() {
        let rows = if target.recognised.dialect == Dialect::GraphV3 {
            repo.commit_rows(&branch).await?.unwrap_or_default()
        } else {
            repo.snapshot(&branch).await?.map(|at| at.state.commits().cloned().collect()).unwrap_or_default()
        };
        commits.insert(branch, rows);
    }
    Ok(commits)
}

async fn complete(
    repo: &Repository,
    target: &Snapshot,
    sidecar: &Sidecar,
    source: &Entries,
    base: &Entries,
) -> Result<MergeSeen> {
    let same = |a: Option<&Entry>, b: Option<&Entry>| match (a, b) {
        (Some(a), Some(b)) => a.version == b.version && a.branch == b.branch,
        (None, None) => true,
        _ => false,
    };
    let mut switches = Vec::new();
    for (table, wanted) in source {
        let pinned = sidecar.pins.iter().any(|pin| pin.table == *table);
        if pinned || same(Some(wanted), base.get(table)) {
            continue;
        }
        let shown = target.state.entry(table);
        let has_it =
            shown.is_some_and(|shown| shown.branch == wanted.branch && shown.version >= wanted.version);
        if has_it || shows_fork_of(repo, target, table, shown, wanted).await? {
            continue;
        }
        let Some(shown) = shown.filter(|shown| same(Some(shown), base.get(table))) else {
            return Ok(MergeSeen::NotCompletable(format!(
                "{table} moved on branch {} since the merge",
                target.branch
            )));
        };
        match takeover(repo, target, table, wanted).await? {
            Some(branch) => switches.push(PointerSwitch {
                table: table.clone(),
                from: shown.version,
                to: wanted.version,
                branch,
            }),
            None => {
                return Ok(MergeSeen::NotCompletable(format!(
                    "{table} has no fork on branch {}",
                    target.branch
                )));
            }
        }
    }
    Ok(MergeSeen::Completable(switches))
}

/// Whether the target shows its own fork of exactly the wanted version, or what was written on it since: the merge was
/// published.
async fn shows_fork_of(
    repo: &Repository,
    target: &Snapshot,
    table: &TableKey,
    shown: Option<&Entry>,
    wanted: &Entry,
) -> Result<bool> {
    let own = |shown: &&Entry| shown.branch == target.branch && shown.version >= wanted.version;
    let own = shown.filter(own).is_some() && !target.branch.is_main();
    Ok(own && takeover(repo, target, table, wanted).await? == Some(target.branch.clone()))
}

/// The Lance branch on which the target would show the source's version: main's own, or a fork that the merge made of it.
async fn takeover(
    repo: &Repository,
    target: &Snapshot,
    table: &TableKey,
    wanted: &Entry,
) -> Result<Option<Branch>> {
    if wanted.branch.is_main() {
        return Ok(Some(Branch::main()));
    }
    if target.branch.is_main() {
        return Ok(None);
    }
    let record = repo.table_branch(table, &target.branch).await?;
    let origin = record.map(|record| record.origin()).transpose()?;
    Ok((origin == Some((wanted.branch.clone(), wanted.version))).then(|| target.branch.clone()))
}
