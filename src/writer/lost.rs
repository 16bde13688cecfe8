//! Merges of what cannot be read any more: both sides have merged the same branch, which is deleted since.
//!
//! What it held was the last that both had in common, so it would be the base of their merge. What is known of it are the rows that
//! came with it: to each side, by the merge that brought it.

use super::error::Result;
use super::merge::is_same;
use super::repository::Repository;
use super::snapshot::open;
use super::three_way::changed_rows;
use crate::model::TableKey;
use crate::model::lineage::brought;
use crate::model::manifest::GraphCommit;
use crate::repo;
use arrow::row::OwnedRow;
use std::collections::{BTreeSet, HashMap};

/// What both sides have of branches that are gone.
pub(super) struct Lost {
    /// One of the commits that cannot be read.
    pub(super) commit: String,
    /// Of the source, and of the target: what was shown before each merge that brought some, and by it.
    sides: [Vec<[repo::Snapshot; 2]>; 2],
}

/// A row as it came to both sides.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Came {
    /// Alike: with this content, or it was taken away.
    Alike(Option<OwnedRow>),
    /// To one side only, or not alike: what both had of it in common is not known.
    Unlike,
}

impl Lost {
    /// Reads how these commits came to both heads; `None` if there are none.
    pub(super) async fn read(
        repository: &Repository,
        history: &[GraphCommit],
        heads: [&str; 2],
        commits: &BTreeSet<&str>,
    ) -> Result<Option<Self>> {
        let Some(commit) = commits.first().map(|id| (*id).to_owned()) else { return Ok(None) };
        let mut sides = [Vec::new(), Vec::new()];
        for (side, head) in sides.iter_mut().zip(heads) {
            for [before, merge] in brought(history, head, commits) {
                side.push([shown_by(repository, before).await?, shown_by(repository, merge).await?]);
            }
        }
        Ok(Some(Self { commit, sides }))
    }

    /// The rows of a table that came to either side, by their keys.
    pub(super) async fn rows(
        &self,
        repository: &Repository,
        table: &TableKey,
    ) -> Result<HashMap<OwnedRow, Came>> {
        let [of_source, of_target] = &self.sides;
        let of_source = came(repository, of_source, table).await?;
        let of_target = came(repository, of_target, table).await?;
        let keys = of_source.keys().chain(of_target.keys());
        let both = |key: &OwnedRow| match (of_source.get(key), of_target.get(key)) {
            (Some(one), Some(other)) if one == other => Came::Alike(one.clone()),
            _ => Came::Unlike,
        };
        Ok(keys.map(|key| (key.clone(), both(key))).collect())
    }
}

async fn came(
    repository: &Repository,
    merges: &[[repo::Snapshot; 2]],
    table: &TableKey,
) -> Result<HashMap<OwnedRow, Option<OwnedRow>>> {
    let mut rows = HashMap::new();
    for [before, after] in merges {
        // A table that came as a whole has the rows that main has.
        let (Some(before), Some(after)) = (before.state.entry(table), after.state.entry(table)) else {
            continue;
        };
        if !is_same(before, after) {
            let before = open(&repository.repo, table, before).await?;
            rows.extend(changed_rows(&before, &open(&repository.repo, table, after).await?).await?);
        }
    }
    Ok(rows)
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
