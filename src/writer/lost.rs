//! Merges of what cannot be read any more: both sides have merged the same branch, which is deleted since.
//!
//! What it held was the last that both had in common, so it would be the base of their merge. The base that can be read is older. What
//! is known of the lost one tell the merges that brought it: of a row that came with one, the content; of any other row, that it was
//! as the base before, or as the side that merged it had it.

use super::error::Result;
use super::merge::is_same;
use super::repository::Repository;
use super::snapshot::open;
use super::three_way::{Changed, changed_counts, changed_rows};
use crate::model::lineage::brought;
use crate::model::manifest::GraphCommit;
use crate::repo::{self, tables::Table};
use arrow::row::OwnedRow;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What both sides have of branches that are gone.
pub(super) struct Lost {
    /// One of the commits that cannot be read.
    pub(super) commit: String,
    /// Of the source, and of the target.
    sides: [Side; 2],
}

/// How lost commits came to one side.
struct Side {
    /// What was shown before each merge that brought some, and by it, oldest first.
    merges: Vec<[repo::Snapshot; 2]>,
    /// They are what was merged, not something that had merged them itself.
    is_exact: bool,
}

/// What a row may have held in the base, `None` for none, by its key: one, several, or empty if anything.
pub(super) type Bases = HashMap<OwnedRow, Vec<Option<OwnedRow>>>;

impl Lost {
    /// Reads how these commits came to both heads; `None` if there are none.
    pub(super) async fn read(
        repository: &Repository,
        history: &[GraphCommit],
        heads: [&str; 2],
        commits: &BTreeSet<&str>,
    ) -> Result<Option<Self>> {
        let Some(commit) = commits.first().map(|id| (*id).to_owned()) else { return Ok(None) };
        let [source, target] = heads.map(|head| brought(history, head, commits));
        let sides = [
            Side::read(repository, &source, commits).await?,
            Side::read(repository, &target, commits).await?,
        ];
        Ok(Some(Self { commit, sides }))
    }

    /// Of the rows of a table whose base may be another than in `base`, what it may be.
    pub(super) async fn bases(&self, repository: &Repository, base: &Table) -> Result<Bases> {
        let [source, target] = &self.sides;
        let came = [source.came(repository, base).await?, target.came(repository, base).await?];
        let keys: HashSet<&OwnedRow> = came.iter().flatten().flat_map(Came::keys).collect();
        let mut bases = Bases::new();
        for key in keys {
            // A row that came and is in no difference from the base is as the base has it.
            let back = || came.iter().flatten().find_map(|merge| Some(merge.by_it.get(key)?[1].clone()));
            let was = came.iter().flatten().find_map(|merge| merge.base(key)).or_else(back).flatten();
            let [of_source, of_target] = [&came[0], &came[1]].map(|merges| candidates(merges, key, &was));
            let candidates = match (source.is_exact, target.is_exact) {
                (true, true) => {
                    let both: Vec<_> =
                        of_source.iter().filter(|one| of_target.contains(one)).cloned().collect();
                    if both.is_empty() { [of_source, of_target].concat() } else { both }
                }
                (true, false) => of_source,
                (false, true) => of_target,
                (false, false) => Vec::new(),
            };
            bases.insert(key.clone(), candidates);
        }
        Ok(bases)
    }

    /// Of rows that cannot be told apart, how many more of each the lost base had than the one that can be read; `None` if that
    /// cannot be told.
    pub(super) async fn counts(
        &self,
        repository: &Repository,
        base: &Table,
    ) -> Result<HashMap<OwnedRow, Option<i64>>> {
        let [source, target] = &self.sides;
        let (of_source, of_target) =
            (source.counts(repository, base).await?, target.counts(repository, base).await?);
        let rows = of_source.keys().chain(of_target.keys());
        let count = |row: &OwnedRow| {
            let of = |side: &Side, counts: &HashMap<OwnedRow, Option<i64>>| {
                side.is_exact.then(|| counts.get(row).copied().unwrap_or(Some(0))).flatten()
            };
            match (of(source, &of_source), of(target, &of_target)) {
                (Some(one), Some(other)) => (one == other).then_some(one),
                (one, other) => one.or(other),
            }
        };
        Ok(rows.map(|row| (row.clone(), count(row))).collect())
    }
}

/// What one merge has done to a table's rows.
struct Came {
    /// Since the commit before it.
    by_it: Changed,
    /// Since the base.
    since_base: Changed,
}

impl Came {
    fn keys(&self) -> impl Iterator<Item = &OwnedRow> {
        self.by_it.keys().chain(self.since_base.keys())
    }

    /// What the base has of a row, if this merge tells.
    fn base(&self, key: &OwnedRow) -> Option<Option<OwnedRow>> {
        let [was, _] = self.since_base.get(key)?;
        Some(was.clone())
    }

    /// What a row was after it.
    fn after(&self, key: &OwnedRow, base: &Option<OwnedRow>) -> Option<OwnedRow> {
        self.since_base.get(key).map_or_else(|| base.clone(), |[_, after]| after.clone())
    }
}

/// What a row may have held in what the last of these merges brought.
fn candidates(merges: &[Came], key: &OwnedRow, base: &Option<OwnedRow>) -> Vec<Option<OwnedRow>> {
    let mut candidates = vec![base.clone()];
    for merge in merges {
        let after = merge.after(key, base);
        if merge.by_it.contains_key(key) {
            candidates.clear();
        }
        if !candidates.contains(&after) {
            candidates.push(after);
        }
    }
    candidates
}

impl Side {
    async fn read(
        repository: &Repository,
        merges: &[[&GraphCommit; 2]],
        commits: &BTreeSet<&str>,
    ) -> Result<Self> {
        let is_lost =
            |merge: &GraphCommit| merge.merged_parent.as_deref().is_some_and(|id| commits.contains(id));
        let mut side = Self { merges: Vec::new(), is_exact: merges.iter().all(|[_, merge]| is_lost(merge)) };
        for [before, merge] in merges {
            side.merges.push([shown_by(repository, before).await?, shown_by(repository, merge).await?]);
        }
        Ok(side)
    }

    /// A table before and after each merge that has changed it.
    async fn tables(&self, repository: &Repository, base: &Table) -> Result<Vec<[Table; 2]>> {
        let (repo, key) = (&repository.repo, &base.key);
        let mut tables = Vec::new();
        for [before, after] in &self.merges {
            // A table that came as a whole has the rows that main has.
            let (Some(before), Some(after)) = (before.state.entry(key), after.state.entry(key)) else {
                continue;
            };
            if !is_same(before, after) {
                tables.push([open(repo, key, before).await?, open(repo, key, after).await?]);
            }
        }
        Ok(tables)
    }

    async fn came(&self, repository: &Repository, base: &Table) -> Result<Vec<Came>> {
        let mut came = Vec::new();
        for [before, after] in self.tables(repository, base).await? {
            let by_it = changed_rows(&before, &after).await?;
            came.push(Came { by_it, since_base: changed_rows(base, &after).await? });
        }
        Ok(came)
    }

    /// As [`Lost::counts`], as far as this side tells. Of rows that a merge takes away, those that the side has taken away already are
    /// not seen.
    async fn counts(&self, repository: &Repository, base: &Table) -> Result<HashMap<OwnedRow, Option<i64>>> {
        let mut counts: HashMap<OwnedRow, Option<i64>> = HashMap::new();
        for [before, after] in self.tables(repository, base).await? {
            let (had, came) = (changed_counts(base, &before).await?, changed_counts(&before, &after).await?);
            had.keys().chain(came.keys()).for_each(|row| drop(counts.entry(row.clone()).or_insert(Some(0))));
            for (row, known) in &mut counts {
                let [had, came] = [&had, &came].map(|counts| counts.get(row).copied().unwrap_or(0));
                *known = known.filter(|known| came > 0 || had >= *known).map(|known| known + came);
            }
        }
        Ok(counts)
    }
}

async fn shown_by(repository: &Repository, commit: &GraphCommit) -> Result<repo::Snapshot> {
    let shown = repository.repo.snapshot_at(&commit.branch, commit.manifest_version).await?;
    Ok(shown.ok_or_else(|| {
        crate::Error::missing(format!(
            "both branches have merged another that is deleted since, and what commit {} has shown is cleaned up: which rows both have \
             from it cannot be told",
            commit.id
        ))
    })?)
}
