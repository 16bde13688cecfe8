//! Merges from branches that are gone: of what they brought nothing is known but the merge itself.
//!
//! Where both sides of a merge have such ones since they parted, both may have merged the same branch. Then what it brought is no change
//! of one side alone, though the base lacks it: a row that the target has taken away since would come back. Where one side has, the other
//! may have been merged into that branch: of that only rows without a key that came to both sides tell.

use super::error::Result;
use super::merge::is_same;
use super::repository::Repository;
use super::snapshot::open;
use super::three_way::changed_keys;
use crate::model::TableKey;
use crate::model::lineage::lost_merges;
use crate::model::manifest::GraphCommit;
use crate::repo;
use arrow::row::OwnedRow;
use std::collections::HashSet;

/// Merges of either side of which the merged branch is gone.
pub(super) struct Lost {
    /// One of the commits that nobody knows any more.
    pub(super) commit: String,
    /// Of the source, and of the target: what was shown before each merge, and by it. Only if both have some.
    sides: [Vec<[repo::Snapshot; 2]>; 2],
}

impl Lost {
    /// Reads them; `None` if neither side has one since `base`.
    pub(super) async fn read(
        repository: &Repository,
        history: &[GraphCommit],
        heads: [&str; 2],
        base: &str,
    ) -> Result<Option<Self>> {
        let [of_source, of_target] = heads.map(|head| lost_merges(history, head, base));
        let first = of_source.first().or(of_target.first());
        let Some(commit) = first.and_then(|merge| merge.merged_parent.clone()) else {
            return Ok(None);
        };
        let mut sides = [Vec::new(), Vec::new()];
        if of_source.is_empty() || of_target.is_empty() {
            return Ok(Some(Self { commit, sides }));
        }
        for (side, merges) in sides.iter_mut().zip([of_source, of_target]) {
            for merge in merges {
                let before = history.iter().find(|commit| Some(&commit.id) == merge.parent.as_ref());
                let before = before.ok_or_else(|| gone(merge))?;
                side.push([shown_by(repository, before).await?, shown_by(repository, merge).await?]);
            }
        }
        Ok(Some(Self { commit, sides }))
    }

    /// Keys of the rows of a table that both sides may have from the same merged branch.
    pub(super) async fn keys(&self, repository: &Repository, table: &TableKey) -> Result<HashSet<OwnedRow>> {
        let [of_source, of_target] = &self.sides;
        let of_source = came(repository, of_source, table).await?;
        let of_target = came(repository, of_target, table).await?;
        Ok(of_source.intersection(&of_target).cloned().collect())
    }
}

async fn came(
    repository: &Repository,
    merges: &[[repo::Snapshot; 2]],
    table: &TableKey,
) -> Result<HashSet<OwnedRow>> {
    let mut keys = HashSet::new();
    for [before, after] in merges {
        // A table that came as a whole has the rows that main has.
        let (Some(before), Some(after)) = (before.state.entry(table), after.state.entry(table)) else {
            continue;
        };
        if !is_same(before, after) {
            let before = open(&repository.repo, table, before).await?;
            keys.extend(changed_keys(&before, &open(&repository.repo, table, after).await?).await?);
        }
    }
    Ok(keys)
}

async fn shown_by(repository: &Repository, commit: &GraphCommit) -> Result<repo::Snapshot> {
    let shown = repository.repo.snapshot_at(&commit.branch, commit.manifest_version).await?;
    Ok(shown.ok_or_else(|| gone(commit))?)
}

fn gone(commit: &GraphCommit) -> crate::Error {
    crate::Error::missing(format!(
        "both branches have merged others that are deleted since, and what commit {} has shown is gone: which rows both have from them \
         cannot be told",
        commit.id
    ))
}
