//! Merges: what was done on one branch since both were one, done on the other, too.
//!
//! Every table that differs is changed by a commit on the target's own lineage, so nothing of the source is needed afterwards. All of
//! them are named in the crash record: a recovery that finds them all there can show the whole merge.

use super::branches::public;
use super::commit::{Commit, Committed};
use super::draft::Draft;
use super::error::{Error, MergeConflict, Result};
use super::lost::Lost;
use super::repository::{Repository, named};
use super::snapshot::open;
use super::three_way::Sides;
use crate::model::lineage::{Common, ancestors, latest_common};
use crate::model::manifest::{Entry, GraphCommit, Publish};
use crate::model::sidecar::WriterKind;
use crate::model::{Branch, TableKey, Version};
use crate::repo::snapshot::MANIFEST;
use crate::repo::{self, Published, branches};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a merge is worked out anew when somebody commits to the target meanwhile.
const ATTEMPTS: usize = 5;

/// How a merge ended.
///
/// ```
/// use outrigger::writer::MergeOutcome;
///
/// fn is_news(outcome: &MergeOutcome) -> bool {
///     !matches!(outcome, MergeOutcome::AlreadyUpToDate)
/// }
/// # assert!(!is_news(&MergeOutcome::AlreadyUpToDate));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// The target has all that the source has.
    AlreadyUpToDate,
    /// Nothing had happened on the target since: it shows what the source shows.
    FastForward(Committed),
    /// Both had moved, in different rows.
    Merged(Committed),
}

impl Repository {
    /// Does on `target` what was done on `source` since both were one. Rows are told apart by the key of their table; of a table
    /// without a key they are counted, so what both have appended is there from both.
    ///
    /// # Errors
    /// [`Error::MergeConflicts`] with the keys of all rows that both have changed in different ways; [`Error::Conflict`] if others
    /// keep committing to the target.
    ///
    /// ```
    /// # use outrigger::writer::{MergeOutcome, balances, example};
    /// # example(async |bank| {
    /// bank.create_branch("trial", "main").await?;
    /// let mut tx = bank.begin("trial").await?;
    /// tx.upsert("accounts", balances(&[("ann", 1), ("cid", 2)])).await?;
    /// tx.commit().await?;
    /// assert!(matches!(bank.merge("trial", "main", None).await?, MergeOutcome::FastForward(_)));
    /// assert_eq!(bank.snapshot("main").await?.count("accounts")?, 3);
    /// assert_eq!(bank.merge("trial", "main", None).await?, MergeOutcome::AlreadyUpToDate);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn merge(&self, source: &str, target: &str, actor: Option<&str>) -> Result<MergeOutcome> {
        self.require_writable()?;
        let (source, target) = (named(source)?, named(target)?);
        apart(&source, &target)?;
        Ok(self.merged(&source, &target, actor).await?.0)
    }

    /// Merges, and tells which commit of the source was its newest.
    async fn merged(
        &self,
        source: &Branch,
        target: &Branch,
        actor: Option<&str>,
    ) -> Result<(MergeOutcome, String)> {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            match self.merge_once(source, target, actor).await {
                Err(Error::Conflict { .. }) if left > 0 => {}
                Err(error) if error.is_contention() && left > 0 => {}
                ended => return ended,
            }
        }
    }

    /// The same, and removes the source once all of it is merged: what others commit to it meanwhile is merged as well.
    ///
    /// # Errors
    /// As of [`Repository::merge`] and [`Repository::delete_branch`]; after an error of the latter the merge is made.
    ///
    /// ```
    /// # use outrigger::writer::{entries, example};
    /// # example(async |bank| {
    /// bank.create_branch("trial", "main").await?;
    /// let mut tx = bank.begin("trial").await?;
    /// tx.append("journal", entries(&["tried"])).await?;
    /// tx.commit().await?;
    /// bank.merge_and_delete("trial", "main", Some("ann")).await?;
    /// assert_eq!(bank.branches().await?, ["main"]);
    /// assert_eq!(bank.snapshot("main").await?.count("journal")?, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn merge_and_delete(
        &self,
        source: &str,
        target: &str,
        actor: Option<&str>,
    ) -> Result<MergeOutcome> {
        self.require_writable()?;
        let (source, target) = (public(source)?, named(target)?);
        apart(&source, &target)?;
        self.repo.require_no_children(&source).await?;
        let (mut outcome, mut left) = (MergeOutcome::AlreadyUpToDate, ATTEMPTS);
        loop {
            left -= 1;
            let (merged, newest) = self.merged(&source, &target, actor).await?;
            if merged != MergeOutcome::AlreadyUpToDate {
                outcome = merged;
            }
            match self.delete(&source, Some(&newest)).await {
                Err(error) if error.is_contention() && left > 0 => {}
                ended => return ended.map(|()| outcome),
            }
        }
    }

    async fn merge_once(
        &self,
        source: &Branch,
        target: &Branch,
        actor: Option<&str>,
    ) -> Result<(MergeOutcome, String)> {
        let identity = self.repo.which(target).await?.ok_or_else(|| self.gone(target))?.identity;
        let theirs = self.repo.snapshot(source).await?.ok_or_else(|| self.gone(source))?;
        let ours = self.repo.snapshot(target).await?.ok_or_else(|| self.gone(target))?;
        ours.writable()?;
        let heads = theirs.state.head().zip(ours.state.head());
        let (merged, head) =
            heads.ok_or_else(|| Error::invalid("a branch without commits has nothing to merge"))?;
        let mut history = History::of(&theirs, &ours);
        let mut common = history.common(&merged.id, &head.id);
        if !common.lost.is_empty() {
            // One of both has merged a third.
            let listed = branches::list(self.repo.store(), MANIFEST).await?;
            history.shown.extend(self.repo.snapshots(branches::public(&listed)).await?.read);
            common = history.common(&merged.id, &head.id);
        }
        let base = base_of(&common)?;
        if base.id == merged.id {
            return Ok((MergeOutcome::AlreadyUpToDate, merged.id.clone()));
        }
        let past = self.repo.snapshot_at(&base.branch, base.manifest_version).await?;
        let past = past.ok_or_else(|| {
            crate::Error::missing(format!("commit {}, where both parted, is gone", base.id))
        })?;
        // A merge may read whole tables, of both sides.
        let _room = self.manager.admission().rewrite(&self.parts.limits)?;
        let lost = Lost::read(self, &history, [&merged.id, &head.id], &common.lost).await?;
        let (drafts, brought) = self.changes(&past, &theirs, &ours, lost.as_ref()).await?;
        let mut commit = Commit {
            repository: self.clone(),
            branch: target.clone(),
            identity,
            actor: actor.map(str::to_owned),
            drafts,
            kind: WriterKind::BranchMerge,
            merged: Some(merged.id.clone()),
            brought,
            staged: BTreeMap::new(),
        };
        let known = ancestors(&history.commits, &merged.id).into_iter();
        let news: Vec<GraphCommit> =
            known.filter(|commit| ours.state.known(&commit.id).is_none()).cloned().collect();
        let mut before = ours.version;
        let committed = match commit.drafts.is_empty() {
            true => record_merge(&commit, &ours, news).await?,
            false => {
                if !news.is_empty() {
                    before = record_history(&commit, &ours, news).await?;
                }
                let ended = commit.run().await?;
                ended.ok_or_else(|| crate::Error::internal("a merge of rows changed none"))?
            }
        };
        // Others may have committed to other tables of the target meanwhile.
        let is_next = before <= ours.version.next() && committed.manifest_version == before.next().0;
        let is_forward = base.id == head.id && is_next;
        let outcome = if is_forward { MergeOutcome::FastForward } else { MergeOutcome::Merged };
        Ok((outcome(committed), merged.id.clone()))
    }

    /// What is to be done to each table of the target, and which it lacks; all conflicts of all tables together.
    async fn changes(
        &self,
        past: &repo::Snapshot,
        theirs: &repo::Snapshot,
        ours: &repo::Snapshot,
        lost: Option<&Lost>,
    ) -> Result<(BTreeMap<TableKey, Draft>, BTreeMap<TableKey, Entry>)> {
        let (mut drafts, mut brought, mut conflicts) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (table, entry) in theirs.state.entries() {
            let Some(shown) = ours.state.entry(table) else {
                if !entry.branch.is_main() {
                    let (source, target) = (&theirs.branch, &ours.branch);
                    let why = format!("{target} has no table {table}, and {source} has written to it");
                    return Err(Error::invalid(format!(
                        "{why}: merge main into {target} first, which brings it"
                    )));
                }
                brought.insert(table.clone(), entry.clone());
                continue;
            };
            if is_same(shown, entry) {
                continue;
            }
            let Some(before) = past.state.entry(table) else {
                let why = format!("version {}, where both parted, has no table {table}", past.version);
                return Err(Error::invalid(format!("{why}: what was done to it cannot be told")));
            };
            if is_same(before, entry) {
                continue;
            }
            let sides = Sides {
                base: open(&self.repo, table, before).await?,
                theirs: open(&self.repo, table, entry).await?,
                ours: open(&self.repo, table, shown).await?,
            };
            match sides.merged(self, shown, lost).await? {
                Ok(draft) if draft.is_empty() => {}
                Ok(draft) => drop(drafts.insert(table.clone(), draft)),
                Err(keys) => conflicts.push(MergeConflict { table: table.clone(), keys }),
            }
        }
        if conflicts.is_empty() { Ok((drafts, brought)) } else { Err(Error::MergeConflicts(conflicts)) }
    }
}

fn apart(source: &Branch, target: &Branch) -> Result<()> {
    match source == target {
        true => Err(Error::invalid(format!("branch {source} cannot be merged into itself"))),
        false => Ok(()),
    }
}

/// A merge in which no row of a table that both have differs is one publish, which needs no crash record.
async fn record_merge(merge: &Commit, ours: &repo::Snapshot, history: Vec<GraphCommit>) -> Result<Committed> {
    let operation = merge.repository.operation()?;
    let (commit, publish) = merge.recorded()?;
    let publish = Publish { history, ..publish };
    let published = merge.repository.repo.publish_exactly(ours, &publish, operation.as_str()).await?;
    let manifest_version = required(merge, published).await?.0;
    Ok(Committed { id: commit.id, operation, manifest_version, tables: BTreeMap::new(), by_recovery: false })
}

/// What leads to the merge goes before it: a recovery that shows the merge knows nothing of it.
///
/// *Dies after it*: the target knows commits that nothing leads to; the next merge finds them there.
async fn record_history(merge: &Commit, ours: &repo::Snapshot, history: Vec<GraphCommit>) -> Result<Version> {
    let operation = merge.repository.operation()?;
    let publish = Publish { history, ..Publish::default() };
    required(merge, merge.repository.repo.publish(ours, &publish, operation.as_str()).await?).await
}

/// The version of the manifest that was made, on the branch that is merged into.
async fn required(merge: &Commit, published: Published) -> Result<Version> {
    let Commit { repository, branch, identity, .. } = merge;
    match published {
        Published::Committed(made) => {
            repository.require_branch(branch, identity, &made).await?;
            Ok(made.version)
        }
        Published::Refused(refusal) => Err(crate::Error::moved(refusal.to_string()).into()),
        Published::Contended(error) => Err(error.into()),
    }
}

/// Whether both show the same version of a table.
fn is_same(one: &Entry, other: &Entry) -> bool {
    (one.version, &one.branch) == (other.version, &other.branch)
}

/// What led to two branches.
pub(super) struct History {
    pub(super) commits: Vec<GraphCommit>,
    /// Branches that are there, as far as they were looked at.
    shown: Vec<Arc<repo::Snapshot>>,
}

impl History {
    fn of(theirs: &repo::Snapshot, ours: &repo::Snapshot) -> Self {
        Self {
            commits: theirs.state.history().chain(ours.state.history()).cloned().collect(),
            shown: [theirs, ours].map(|shown| Arc::new(shown.clone())).into(),
        }
    }

    /// Whether a commit is in the manifest of a branch that is there.
    pub(super) fn is_readable(&self, commit: &GraphCommit) -> bool {
        self.shown.iter().any(|shown| shown.state.commit(&commit.id).is_some())
    }

    pub(super) fn common<'h>(&'h self, one: &'h str, other: &'h str) -> Common<'h> {
        latest_common(&self.commits, one, other, |commit| self.is_readable(commit))
    }
}

/// Where two branches parted.
fn base_of<'h>(common: &Common<'h>) -> Result<&'h GraphCommit> {
    if let [one, other, ..] = common.latest[..] {
        return Err(Error::invalid(format!(
            "both branches were merged into each other at once, from commits {} and {}: what was done since cannot be told; make a \
             branch of one of both and do on it what the other has",
            one.id, other.id
        )));
    }
    match common.readable[..] {
        [base] => Ok(base),
        [] => Err(Error::invalid("both branches have no commit in common")),
        [one, other, ..] => Err(Error::invalid(format!(
            "the latest that both branches have is on one that is deleted, and had commits {} and {} of others: what was done since \
             cannot be told; make a branch of one of both and do on it what the other has",
            one.id, other.id
        ))),
    }
}
