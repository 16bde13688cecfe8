//! Merges of what cannot be read any more: both sides have merged the same branch, which is deleted since.
//!
//! What it held was the last that both had in common, so it would be the base of their merge. The base that can be read is older. What
//! is known of the lost one tell the merges that brought it: of a row that came with one, the content; of any other row, that it was
//! as the base before, or as the side that merged it had it.

use super::error::Result;
use super::merge::History;
use super::repository::Repository;
use super::snapshot::open;
use super::three_way::{Changed, changed_counts, changed_rows};
use crate::model::TableKey;
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
    /// The merges that brought some, oldest first.
    merges: Vec<Merge>,
    /// They are what was merged, not something that had merged them itself.
    is_exact: bool,
}

struct Merge {
    base: Base<repo::Snapshot>,
    /// What was shown before it, and by it.
    shown: [repo::Snapshot; 2],
}

/// What both sides of a merge had in common.
enum Base<T> {
    /// This.
    Read(T),
    /// What the merge before had brought.
    Previous,
    /// Something else that is gone.
    Unknown,
}

impl<T> Base<T> {
    fn read(&self) -> Option<&T> {
        match self {
            Self::Read(base) => Some(base),
            Self::Previous | Self::Unknown => None,
        }
    }

    /// The same, of what it makes of this; unknown if that is nothing.
    async fn then<N>(&self, with: impl AsyncFnOnce(&T) -> Result<Option<N>>) -> Result<Base<N>> {
        Ok(match self {
            Self::Read(base) => with(base).await?.map_or(Base::Unknown, Base::Read),
            Self::Previous => Base::Previous,
            Self::Unknown => Base::Unknown,
        })
    }
}

/// What a row may have held in the base, `None` for none, by its key: one, several, or empty if anything.
pub(super) type Bases = HashMap<OwnedRow, Vec<Option<OwnedRow>>>;

impl Lost {
    /// Reads how these commits came to both heads; `None` if there are none.
    pub(super) async fn read(
        repository: &Repository,
        history: &History,
        heads: [&str; 2],
        commits: &BTreeSet<&str>,
    ) -> Result<Option<Self>> {
        let Some(commit) = commits.first().map(|id| (*id).to_owned()) else { return Ok(None) };
        let mut sides = heads.map(|_| Side { merges: Vec::new(), is_exact: true });
        for (side, head) in sides.iter_mut().zip(heads) {
            let mut previous = None;
            for [before, merge] in brought(&history.commits, head, commits) {
                let Some(merged) = merge.merged_parent.as_deref() else { continue };
                let base = match history.common(&before.id, merged).latest[..] {
                    [base] if history.is_readable(base) => Base::Read(shown_by(repository, base).await?),
                    [base] if previous == Some(base.id.as_str()) => Base::Previous,
                    _ => Base::Unknown,
                };
                previous = Some(merged);
                let shown = [shown_by(repository, before).await?, shown_by(repository, merge).await?];
                side.merges.push(Merge { base, shown });
                side.is_exact &= commits.contains(merged);
            }
        }
        Ok(Some(Self { commit, sides }))
    }

    /// Of the rows of a table whose base may be another than in `base`, what it may be.
    pub(super) async fn bases(&self, repository: &Repository, base: &Table) -> Result<Bases> {
        let [source, target] = &self.sides;
        let came = [source.came(repository, base).await?, target.came(repository, base).await?];
        let keys: HashSet<&OwnedRow> = came.iter().flatten().flat_map(Came::keys).collect();
        let mut bases = Bases::new();
        for key in keys {
            let was = came.iter().flatten().find_map(|merge| merge.base(key)).flatten();
            let [of_source, of_target] = [&came[0], &came[1]].map(|merges| candidates(merges, key, &was));
            let of_source = of_source.filter(|_| source.is_exact);
            let of_target = of_target.filter(|_| target.is_exact);
            let candidates = match (of_source, of_target) {
                (Some(one), Some(other)) => {
                    let both: Vec<_> = one.iter().filter(|held| other.contains(held)).cloned().collect();
                    if both.is_empty() { [one, other].concat() } else { both }
                }
                (one, other) => one.or(other).unwrap_or_default(),
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
    /// From the base that can be read to the merge's own.
    base: Base<Changed>,
    /// From the base that can be read to what was shown by it.
    after: Changed,
    /// By it.
    by_it: Changed,
}

impl Came {
    fn keys(&self) -> impl Iterator<Item = &OwnedRow> {
        let own = self.base.read().into_iter().flat_map(Changed::keys);
        own.chain(self.after.keys()).chain(self.by_it.keys())
    }

    /// What the base that can be read has of a row, if this merge tells.
    fn base(&self, key: &OwnedRow) -> Option<Option<OwnedRow>> {
        let known = self.after.get(key).or_else(|| self.base.read()?.get(key)).map(|[was, _]| was);
        // A row that came and is no other than in the base.
        let came = || self.by_it.get(key).map(|[_, after]| after);
        known.or_else(came).cloned()
    }
}

/// What a row may have held in what the last of these merges brought; `None` if anything.
fn candidates(merges: &[Came], key: &OwnedRow, base: &Option<OwnedRow>) -> Option<Vec<Option<OwnedRow>>> {
    let value = |changed: &Changed| changed.get(key).map_or_else(|| base.clone(), |[_, now]| now.clone());
    let mut candidates = Some(vec![base.clone()]);
    for merge in merges {
        match &merge.base {
            Base::Read(base) => candidates = Some(vec![value(base)]),
            Base::Previous => {}
            Base::Unknown => candidates = None,
        }
        let after = value(&merge.after);
        match &mut candidates {
            _ if merge.by_it.contains_key(key) => candidates = Some(vec![after]),
            Some(known) if !known.contains(&after) => known.push(after),
            _ => {}
        }
    }
    candidates
}

impl Side {
    /// A table in the base of each merge, before it, and after it.
    async fn tables(
        &self,
        repository: &Repository,
        key: &TableKey,
    ) -> Result<Vec<(Base<Table>, [Table; 2])>> {
        let mut tables = Vec::new();
        for Merge { base, shown: [before, after] } in &self.merges {
            let table = async |shown: &repo::Snapshot| match shown.state.entry(key) {
                Some(entry) => open(&repository.repo, key, entry).await.map(Some),
                None => Ok(None),
            };
            let base = base.then(table).await?;
            // A table that came as a whole has the rows that main has.
            if let (Some(before), Some(after)) = (table(before).await?, table(after).await?) {
                tables.push((base, [before, after]));
            }
        }
        Ok(tables)
    }

    async fn came(&self, repository: &Repository, base: &Table) -> Result<Vec<Came>> {
        let mut came = Vec::new();
        for (own, [before, after]) in self.tables(repository, &base.key).await? {
            let own = own.then(async |own| changed_rows(base, own).await.map(Some)).await?;
            let by_it = changed_rows(&before, &after).await?;
            came.push(Came { base: own, after: changed_rows(base, &after).await?, by_it });
        }
        Ok(came)
    }

    /// As [`Lost::counts`], as far as this side tells. Of rows that a merge takes away, those that the side has taken away already are
    /// not seen.
    async fn counts(&self, repository: &Repository, base: &Table) -> Result<HashMap<OwnedRow, Option<i64>>> {
        let mut counts: HashMap<OwnedRow, Option<i64>> = HashMap::new();
        for (own, [before, after]) in self.tables(repository, &base.key).await? {
            let own = own.then(async |own| changed_counts(base, own).await.map(Some)).await?;
            let (had, came) = (changed_counts(base, &before).await?, changed_counts(&before, &after).await?);
            for row in own.read().into_iter().flat_map(HashMap::keys).chain(had.keys()).chain(came.keys()) {
                counts.entry(row.clone()).or_insert(Some(0));
            }
            for (row, known) in &mut counts {
                let of = |counts: &HashMap<OwnedRow, i64>| counts.get(row).copied().unwrap_or(0);
                let (had, came) = (of(&had), of(&came));
                let base = match &own {
                    Base::Read(own) => Some(of(own)),
                    Base::Previous => *known,
                    Base::Unknown => None,
                };
                *known = base.filter(|base| came > 0 || had >= *base).map(|base| base + came);
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
