//! Merges: what was done on one branch since both were one, done on the other, too.
//!
//! Every table that differs is changed by a commit on the target's own lineage, so nothing of the source is needed afterwards. All of
//! them are named in the crash record: a recovery that finds them all there can show the whole merge.

use super::branches::public;
use super::commit::{Commit, Committed};
use super::draft::Draft;
use super::error::{Error, MergeConflict, Result};
use super::keys::Keyed;
use super::repository::{Repository, named};
use super::snapshot::open;
use crate::model::lineage::latest_common;
use crate::model::manifest::{CommitIntent, Entry, GraphCommit, Publish};
use crate::model::sidecar::WriterKind;
use crate::model::{Branch, TableKey, Version};
use crate::repo::select::Selected;
use crate::repo::snapshot::MANIFEST;
use crate::repo::tables::{Table, dataset_path};
use crate::repo::{self, Published, branches};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use std::collections::{BTreeMap, HashMap};
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
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            match self.merge_once(source, target, actor).await {
                Err(error @ Error::Conflict { .. }) => lost = Some(error),
                ended => return ended,
            }
        }
        Err(lost.unwrap_or_else(|| crate::Error::internal("no attempt was made").into()))
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
        let mut outcome = MergeOutcome::AlreadyUpToDate;
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let (merged, newest) = self.merged(&source, &target, actor).await?;
            if merged != MergeOutcome::AlreadyUpToDate {
                outcome = merged;
            }
            match self.delete(&source, Some(&newest)).await {
                Err(error) if error.is_contention() => lost = Some(error),
                ended => return ended.map(|()| outcome),
            }
        }
        Err(lost.unwrap_or_else(|| crate::Error::internal("no attempt was made").into()))
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
        let Heads { source: merged, base, is_forward } = self.heads(&theirs, &ours).await?;
        if base.id == merged {
            return Ok((MergeOutcome::AlreadyUpToDate, merged));
        }
        let past = self.repo.snapshot_at(&base.branch, base.manifest_version).await?;
        let past = past.ok_or_else(|| {
            crate::Error::missing(format!("commit {}, where both parted, is gone", base.id))
        })?;
        // A merge may read whole tables, of both sides.
        let _room = self.manager.admission().rewrite(&self.parts.limits)?;
        let (drafts, brought) = self.changes(&past, &theirs, &ours).await?;
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
        let outcome = if is_forward { MergeOutcome::FastForward } else { MergeOutcome::Merged };
        Ok((outcome(committed), merged))
    }

    /// A branch knows its own commits and those before it. What both have merged from a third branch is known by that.
    async fn heads(&self, theirs: &repo::Snapshot, ours: &repo::Snapshot) -> Result<Heads> {
        let known =
            |id: &str| [theirs, ours].iter().any(|at| at.state.commits().any(|commit| commit.id == id));
        let merged = [theirs, ours].into_iter().flat_map(|at| at.state.commits());
        let others = match merged.filter_map(|commit| commit.merged_parent.as_deref()).all(known) {
            true => Vec::new(),
            false => {
                let listed = branches::list(self.repo.store(), MANIFEST).await?;
                self.repo.snapshots(branches::public(&listed)).await?.read
            }
        };
        latest(theirs, ours, &others)
    }

    /// What is to be done to each table of the target, and which it lacks; all conflicts of all tables together.
    async fn changes(
        &self,
        past: &repo::Snapshot,
        theirs: &repo::Snapshot,
        ours: &repo::Snapshot,
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
                let why = format!("commit {}, where both parted, has no table {table}", past.version);
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
            match sides.merged(shown).await? {
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
    let Commit { repository, branch, identity, actor, merged, brought, .. } = merge;
    let commit = CommitIntent { merged_parent: merged.clone(), ..repository.intent(actor.as_deref()) };
    let operation = repository.operation()?;
    let mut publish = Publish { commits: vec![commit.clone()], ..Publish::default() };
    for (table, entry) in brought {
        publish.add(table, dataset_path(table)?, entry.clone(), Version::ABSENT);
    }
    match repository.repo.publish(ours, &publish, operation.as_str()).await? {
        Published::Committed(made) => {
            repository.require_branch(branch, identity, &made).await?;
            let (id, manifest_version) = (commit.id, made.version.0);
            Ok(Committed { id, operation, manifest_version, tables: BTreeMap::new(), by_recovery: false })
        }
        Published::Refused(refusal) => Err(crate::Error::moved(refusal.to_string()).into()),
        Published::Contended(error) => Err(error.into()),
    }
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    (one.version, &one.branch) == (other.version, &other.branch)
}

/// The commits that a merge is about.
struct Heads {
    source: String,
    base: GraphCommit,
    /// The target has nothing that the source has not.
    is_forward: bool,
}

fn latest(theirs: &repo::Snapshot, ours: &repo::Snapshot, others: &[Arc<repo::Snapshot>]) -> Result<Heads> {
    let (Some(source), Some(target)) = (theirs.state.head(), ours.state.head()) else {
        return Err(Error::invalid("a branch without commits has nothing to merge"));
    };
    let others = others.iter().flat_map(|at| at.state.commits());
    let all: Vec<GraphCommit> =
        theirs.state.commits().chain(ours.state.commits()).chain(others).cloned().collect();
    let base = match latest_common(&all, &source.id, &target.id)[..] {
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
    Ok(Heads { source: source.id.clone(), base: base.clone(), is_forward })
}

/// One table: where both parted, and each side now.
struct Sides {
    base: Table,
    theirs: Table,
    ours: Table,
}

/// A row of one side: what it holds, told by a value that compares, and where to find it.
struct Row {
    content: OwnedRow,
    batch: usize,
    index: usize,
}

/// Rows of one side that the other may not have, by their keys.
struct Part {
    batches: Vec<Selected>,
    rows: HashMap<OwnedRow, Row>,
}

/// Keys as text.
type Keys = Vec<Vec<String>>;

impl Sides {
    /// The change of the target, or the keys of the rows that both have changed.
    async fn merged(&self, shown: &Entry) -> Result<Result<Draft, Keys>> {
        let Self { base, theirs, ours } = self;
        let table = &ours.key;
        if theirs.schema() != base.schema() || theirs.schema() != ours.schema() {
            return Err(Error::invalid(format!(
                "the columns of {table} differ between the branches: merge them by hand"
            )));
        }
        if theirs.has_blobs() {
            return Err(Error::invalid(format!("{table} holds blobs, which cannot be merged")));
        }
        let key = ours.key_columns();
        let mut draft = Draft::new(ours.clone(), shown.clone());
        if key.is_empty() {
            self.counted(&mut draft).await?;
            return Ok(Ok(draft));
        }
        let [was, is] = parts(base, theirs, &key).await?;
        let [was_there, is_here] = parts(base, ours, &key).await?;
        let mut conflicts = Vec::new();
        let (mut goes, mut comes) = (Vec::new(), Vec::new());
        for (id, before) in &was.rows {
            let now = is.rows.get(id);
            if now.is_some_and(|now| now.content == before.content) {
                continue;
            }
            // What the target has of it: as it was, unless it has changed it as well.
            let touched = was_there
                .rows
                .get(id)
                .is_some_and(|there| is_here.rows.get(id).is_none_or(|here| here.content != there.content));
            let here = is_here.rows.get(id);
            let same = here.map(|here| &here.content) == now.map(|now| &now.content);
            match (touched, same) {
                (true, true) => {}
                (true, false) => conflicts.push(text_of(&was, before, &key)?),
                (false, _) => {
                    goes.push(id.clone());
                    comes.extend(now);
                }
            }
        }
        for (id, new) in is.rows.iter().filter(|(id, _)| !was.rows.contains_key(*id)) {
            let here = is_here.rows.get(id).filter(|_| !was_there.rows.contains_key(id));
            match here {
                None => comes.push(new),
                Some(here) if here.content == new.content => {}
                Some(_) => conflicts.push(text_of(&is, new, &key)?),
            }
        }
        if !conflicts.is_empty() {
            conflicts.sort();
            return Ok(Err(conflicts));
        }
        draft.replace_keys(goes, is.taken(&comes)?).await?;
        Ok(Ok(draft))
    }

    /// Rows that cannot be told apart are counted: what the source has more of comes, what it has less of goes, unless the target has
    /// taken as many of these away by itself.
    async fn counted(&self, draft: &mut Draft) -> Result<()> {
        let (mut theirs, ours) =
            (counts(&self.base, &self.theirs).await?, counts(&self.base, &self.ours).await?);
        let gone_here = |row: &OwnedRow| ours.rows.get(row).map_or(0, |(count, _)| (-count).max(0));
        let mut goes: HashMap<OwnedRow, i64> = HashMap::new();
        let mut comes = Vec::new();
        for (row, (count, place)) in theirs.rows.drain() {
            if let (true, Some(place)) = (count > 0, place) {
                comes.extend(std::iter::repeat_n(place, count as usize));
            }
            let left = -count - gone_here(&row);
            if left > 0 {
                goes.insert(row, left);
            }
        }
        if !goes.is_empty() {
            let whole = whole_rows(&self.ours)?;
            for Selected { rows, addresses } in self.ours.select(None).await? {
                for (row, address) in converted(&whole, &rows)?.into_iter().zip(addresses) {
                    if let Some(left) = goes.get_mut(&row).filter(|left| **left > 0) {
                        *left -= 1;
                        draft.take_away(address);
                    }
                }
            }
        }
        let mut rows = Vec::new();
        for (batch, index) in comes {
            rows.push(theirs.batches[batch].slice(index, 1));
        }
        draft.add(rows)
    }
}

/// How many more of each row one version has than another, with a place of one that it has.
struct Counts {
    batches: Vec<RecordBatch>,
    rows: HashMap<OwnedRow, (i64, Option<(usize, usize)>)>,
}

async fn counts(base: &Table, now: &Table) -> Result<Counts> {
    let [of_base, of_now] = differing(base, now);
    let whole = whole_rows(base)?;
    let mut rows: HashMap<OwnedRow, (i64, Option<(usize, usize)>)> = HashMap::new();
    for found in base.select_fragments(&of_base).await? {
        for row in converted(&whole, &found.rows)? {
            rows.entry(row).or_default().0 -= 1;
        }
    }
    let mut batches = Vec::new();
    for (batch, found) in now.select_fragments(&of_now).await?.into_iter().enumerate() {
        for (index, row) in converted(&whole, &found.rows)?.into_iter().enumerate() {
            let (count, place) = rows.entry(row).or_default();
            (*count, *place) = (*count + 1, Some((batch, index)));
        }
        batches.push(found.rows);
    }
    Ok(Counts { batches, rows })
}

/// Compares whole rows.
fn whole_rows(table: &Table) -> Result<RowConverter> {
    let schema = table.schema();
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    RowConverter::new(fields.collect())
        .map_err(|error| Error::invalid(format!("rows of {} cannot be compared: {error}", table.key)))
}

fn converted(whole: &RowConverter, rows: &RecordBatch) -> Result<Vec<OwnedRow>> {
    let contents = whole.convert_columns(rows.columns());
    let contents = contents.map_err(|error| Error::invalid(format!("rows cannot be compared: {error}")))?;
    Ok(contents.iter().map(|row| row.owned()).collect())
}

/// Fragments that one version has and another has not, of each of both: rows in the others are the same.
fn differing(one: &Table, other: &Table) -> [Vec<u64>; 2] {
    let (of_one, of_other) = (one.fragment_files(), other.fragment_files());
    let missing = |from: &BTreeMap<u64, String>, of: &BTreeMap<u64, String>| {
        from.iter()
            .filter(|(_, files)| !of.values().any(|known| known == *files))
            .map(|(id, _)| *id)
            .collect()
    };
    [missing(&of_one, &of_other), missing(&of_other, &of_one)]
}

/// The rows of two versions that may differ.
async fn parts(one: &Table, other: &Table, key: &[String]) -> Result<[Part; 2]> {
    let [of_one, of_other] = differing(one, other);
    Ok([part(one, &of_one, key).await?, part(other, &of_other, key).await?])
}

async fn part(table: &Table, fragments: &[u64], key: &[String]) -> Result<Part> {
    let batches = table.select_fragments(fragments).await?;
    let schema = table.schema();
    let keyed = Keyed::by(&schema, key)?;
    let whole = whole_rows(table)?;
    let mut rows = HashMap::new();
    for (batch, found) in batches.iter().enumerate() {
        let contents = converted(&whole, &found.rows)?;
        for (index, (id, content)) in keyed.of(&found.rows)?.into_iter().zip(contents).enumerate() {
            let row = Row { content, batch, index };
            if rows.insert(id, row).is_some() {
                return Err(Error::invalid(format!(
                    "{} has rows with the same key: they cannot be merged",
                    table.key
                )));
            }
        }
    }
    Ok(Part { batches, rows })
}

impl Part {
    /// These rows of it, as batches.
    fn taken(&self, wanted: &[&Row]) -> Result<Vec<RecordBatch>> {
        let mut masks: Vec<Vec<bool>> =
            self.batches.iter().map(|found| vec![false; found.rows.num_rows()]).collect();
        wanted.iter().for_each(|row| masks[row.batch][row.index] = true);
        let kept = self.batches.iter().zip(masks);
        let mut taken = Vec::new();
        for (found, mask) in kept.filter(|(_, mask)| mask.contains(&true)) {
            taken.push(super::keys::kept_rows(&found.rows, &BooleanArray::from(mask))?);
        }
        Ok(taken)
    }
}

/// The key of a row as text, column by column.
fn text_of(part: &Part, row: &Row, key: &[String]) -> Result<Vec<String>> {
    let rows = &part.batches[row.batch].rows;
    let column = |name: &String| -> Result<String> {
        let column: Option<&ArrayRef> = rows.column_by_name(name);
        let column = column.ok_or_else(|| crate::Error::internal(format!("no column {name}")))?;
        array_value_to_string(column, row.index).map_err(|error| Error::invalid(error.to_string()))
    };
    key.iter().map(column).collect()
}
