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
use crate::model::lineage::latest_common;
use crate::model::manifest::{Entry, GraphCommit};
use crate::model::sidecar::WriterKind;
use crate::model::{Branch, TableKey};
use crate::repo::snapshot::MANIFEST;
use crate::repo::{self, Published, branches};
use std::collections::{BTreeMap, BTreeSet};

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
        let history = self.history(&theirs, &ours).await?;
        let Heads { source: merged, target: head, base, is_forward } = heads(&theirs, &ours, &history)?;
        if base.id == merged {
            return Ok((MergeOutcome::AlreadyUpToDate, merged));
        }
        let past = self.repo.snapshot_at(&base.branch, base.manifest_version).await?;
        let past = past.ok_or_else(|| {
            crate::Error::missing(format!("commit {}, where both parted, is gone", base.id))
        })?;
        // A merge may read whole tables, of both sides.
        let _room = self.manager.admission().rewrite(&self.parts.limits)?;
        let lost = Lost::read(self, &history, [&merged, &head], &base.id).await?;
        let (drafts, brought) = self.changes(&past, &theirs, &ours, lost.as_ref()).await?;
        let mut commit = Commit {
            repository: self.clone(),
            branch: target.clone(),
            identity,
            actor: actor.map(str::to_owned),
            drafts,
            kind: WriterKind::BranchMerge,
            merged: Some(merged.clone()),
            brought,
            staged: BTreeMap::new(),
        };
        let committed = match commit.drafts.is_empty() {
            true => record_merge(&commit, &ours).await?,
            false => {
                let ended = commit.run().await?;
                ended.ok_or_else(|| crate::Error::internal("a merge of rows changed none"))?
            }
        };
        // Others may have committed to other tables of the target meanwhile.
        let is_forward = is_forward && committed.manifest_version == ours.version.next().0;
        let outcome = if is_forward { MergeOutcome::FastForward } else { MergeOutcome::Merged };
        Ok((outcome(committed), merged))
    }

    /// The commits that two branches know, their own and those before; and, where they have merged others, what the other branches
    /// know.
    async fn history(&self, theirs: &repo::Snapshot, ours: &repo::Snapshot) -> Result<Vec<GraphCommit>> {
        let of_both = || theirs.state.commits().chain(ours.state.commits());
        let known: BTreeSet<&str> = of_both().map(|commit| commit.id.as_str()).collect();
        let mut history: Vec<GraphCommit> = of_both().cloned().collect();
        if !of_both().filter_map(|commit| commit.merged_parent.as_deref()).all(|id| known.contains(id)) {
            let listed = branches::list(self.repo.store(), MANIFEST).await?;
            let others = self.repo.snapshots(branches::public(&listed)).await?.read;
            history.extend(others.iter().flat_map(|at| at.state.commits()).cloned());
        }
        Ok(history)
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
async fn record_merge(merge: &Commit, ours: &repo::Snapshot) -> Result<Committed> {
    let Commit { repository, branch, identity, .. } = merge;
    let operation = repository.operation()?;
    let (commit, publish) = merge.recorded()?;
    match repository.repo.publish_exactly(ours, &publish, operation.as_str()).await? {
        Published::Committed(made) => {
            repository.require_branch(branch, identity, &made).await?;
            let (id, manifest_version) = (commit.id, made.version.0);
            Ok(Committed { id, operation, manifest_version, tables: BTreeMap::new(), by_recovery: false })
        }
        Published::Refused(refusal) => Err(crate::Error::moved(refusal.to_string()).into()),
        Published::Contended(error) => Err(error.into()),
    }
}

/// Whether both show the same version of a table.
pub(super) fn is_same(one: &Entry, other: &Entry) -> bool {
    (one.version, &one.branch) == (other.version, &other.branch)
}

/// The commits that a merge is about.
struct Heads {
    source: String,
    target: String,
    base: GraphCommit,
    /// The target has nothing that the source has not.
    is_forward: bool,
}

fn heads(theirs: &repo::Snapshot, ours: &repo::Snapshot, history: &[GraphCommit]) -> Result<Heads> {
    let (Some(source), Some(target)) = (theirs.state.head(), ours.state.head()) else {
        return Err(Error::invalid("a branch without commits has nothing to merge"));
    };
    let base = match latest_common(history, &source.id, &target.id)[..] {
        [base] => base,
        [] => return Err(Error::invalid("both branches have no commit in common")),
        [one, other, ..] => {
            return Err(Error::invalid(format!(
                "both branches were merged into each other at once, from commits {} and {}: what was done since cannot be told; make a \
                 branch of one of both and do on it what the other has",
                one.id, other.id
            )));
        }
    };
    let is_forward = base.id == target.id;
    Ok(Heads { source: source.id.clone(), target: target.id.clone(), base: base.clone(), is_forward })
}
