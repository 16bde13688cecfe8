//! Removals that no store checks for us. Only under a window that a person opened: each re-reads what makes it right just
//! before, and takes away nothing but what it names.

use super::Repository;
use super::branches::{self, BranchRef};
use super::history::COMMITS;
use super::snapshot::MANIFEST;
use super::tables::dataset_path;
use super::trouble::{explain, kind_of};
use crate::error::{Error, Kind, Result};
use crate::model::table_path::branch_path;
use crate::model::{Branch, Permit, StoreTime, TableKey};
use crate::store::{Key, Meta};
use futures::TryStreamExt;
use std::collections::BTreeSet;

impl Repository {
    /// Removes the dataset of a table that no branch has ever registered, or what of it was stored no later than
    /// `made_before`. `false` if some branch has.
    pub async fn remove_unregistered_dataset(
        &self,
        table: &TableKey,
        made_before: Option<StoreTime>,
        _: Permit,
    ) -> Result<bool> {
        // The lock registers nothing: it is a branch only by its form, and half of one may be left.
        for branch in branches::public(&branches::list(&self.store, MANIFEST).await?) {
            let snapshot = self.snapshot(&branch).await?;
            let snapshot =
                snapshot.ok_or_else(|| Error::corrupt(format!("branch {branch} cannot be read")))?;
            if snapshot.state.is_registered(table) {
                return Ok(false);
            }
        }
        let mut files = self.store.list(&key(&dataset_path(table)?)?).await?;
        files.retain(|file| made_before.is_none_or(|last| file.last_modified <= last));
        for file in versions_first(files) {
            self.store.delete(&file.key).await?;
        }
        Ok(true)
    }

    /// Whether any file that was stored no later than `made_before` lies where a table's dataset would.
    pub async fn has_files(&self, table: &TableKey, made_before: Option<StoreTime>) -> Result<bool> {
        let files = self.store.list_stream(&key(&dataset_path(table)?)?);
        let is_meant = |file: &Meta| made_before.is_none_or(|last| file.last_modified <= last);
        let mut files = std::pin::pin!(files.try_filter(|file| std::future::ready(is_meant(file))));
        Ok(files.try_next().await?.is_some())
    }

    /// Removes the branch that a schema change holds as the graph's write lock, if it is still the one that was judged, or
    /// what is left of one whose record is gone. Nothing there is fine.
    ///
    /// The manifest's record goes last: while anything is left, the lock is still seen.
    pub async fn remove_schema_lock(&self, judged: Option<&BranchRef>, _: Permit) -> Result<()> {
        let lock = branches::schema_lock();
        let found = branches::list(&self.store, MANIFEST).await?.remove(&lock);
        if found.is_some() && found.as_ref() != judged {
            return Err(Error::moved("another schema change holds the lock now"));
        }
        self.remove_branch(COMMITS, &lock).await?;
        self.remove_branch(MANIFEST, &lock).await
    }

    /// The files of a branch's own lineage.
    pub(super) async fn own_files(&self, dataset: &str, branch: &Branch) -> Result<Vec<Meta>> {
        let tree = branch_path(dataset, branch);
        let mut files = self.store.list(&key(&tree)?).await?;
        files.retain(|file| {
            let below = file.key.as_str().strip_prefix(&tree).map(|rest| rest.trim_start_matches('/'));
            below.and_then(|rest| rest.split('/').next()).is_some_and(|dir| OWN.contains(&dir))
        });
        Ok(files)
    }

    /// Whether files of a schema change's lock are left though its record is gone: the next schema change cannot make its
    /// own over them.
    pub async fn has_rest_of_schema_lock(&self) -> Result<bool> {
        let lock = branches::schema_lock();
        for dataset in [MANIFEST, COMMITS] {
            if !self.own_files(dataset, &lock).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a branch of the manifest on which no table was written.
    pub async fn remove_manifest_branch(&self, branch: &Branch, _: Permit) -> Result<()> {
        self.remove_branch(MANIFEST, branch).await
    }

    /// Removes the files of a branch's own lineage, and none of these others, whose names may begin like its.
    pub(super) async fn remove_own_files(
        &self,
        dataset: &str,
        branch: &Branch,
        others: &[String],
    ) -> Result<()> {
        let tree = format!("{}/", branch_path(dataset, branch));
        let others = others.iter().map(|other| format!("{dataset}/tree/{other}/"));
        let nested: Vec<String> =
            others.filter(|other| *other != tree && other.starts_with(tree.as_str())).collect();
        for file in versions_first(self.own_files(dataset, branch).await?) {
            if !nested.iter().any(|tree| file.key.as_str().starts_with(tree.as_str())) {
                self.store.delete(&file.key).await?;
            }
        }
        Ok(())
    }

    /// Branches of which versions are left, whether a record lists them or not.
    pub async fn branches_with_versions(&self, dataset: &str) -> Result<BTreeSet<Branch>> {
        let trees = format!("{dataset}/tree/");
        let files = self.store.list(&key(trees.trim_end_matches('/'))?).await?;
        let named = files.iter().filter_map(|file| {
            let (name, _) = file.key.as_str().strip_prefix(&trees)?.split_once("/_versions/")?;
            Branch::parse(Some(name)).ok()
        });
        Ok(named.collect())
    }

    /// Removes a fork of a table, or what is left of one.
    pub async fn remove_fork(&self, table: &TableKey, fork: &Branch, _: Permit) -> Result<()> {
        self.remove_branch(&dataset_path(table)?, fork).await
    }

    /// Removes a branch of a dataset: its files, then its record. A branch that is not there is fine; of one that was
    /// made anew meanwhile the record stays.
    ///
    /// Lance removes the record first. *Dies between*: it would leave files that nobody lists and over which no branch of
    /// that name can be made; this leaves a branch that is listed, and is removed again.
    pub(super) async fn remove_branch(&self, dataset: &str, branch: &Branch) -> Result<()> {
        let Some(name) = branch.name() else { return Err(Error::internal("main is never removed")) };
        let judged = branches::list(&self.store, dataset).await?.remove(branch);
        let session = self.fresh_session();
        let Some(main) = super::dataset::open(&self.store, &session, &key(dataset)?, None).await? else {
            return Ok(());
        };
        let failed = |error| explain(error, format_args!("cannot remove branch {branch} of {dataset}"));
        let others = match main.list_branches().await {
            Err(error) if kind_of(&error) == Kind::Missing => {
                return Err(Error::moved(format!("a branch of {dataset} was removed during the look")));
            }
            listed => listed.map_err(failed)?,
        };
        let tags = main.tags().list().await.map_err(failed)?;
        let child = others.iter().find(|(_, record)| record.parent_branch.as_deref() == Some(name));
        if let Some((child, _)) = child {
            return Err(Error::refused(format!("branch {child} of {dataset} was made from {branch}")));
        }
        if let Some((tag, _)) = tags.iter().find(|(_, tag)| tag.branch.as_deref() == Some(name)) {
            return Err(Error::refused(format!("tag {tag} of {dataset} lies on {branch}")));
        }
        let others: Vec<String> = others.into_keys().collect();
        self.remove_own_files(dataset, branch, &others).await?;
        match branches::list(&self.store, dataset).await?.remove(branch) {
            Some(record) if Some(&record) == judged.as_ref() => self.store.delete(&record.key).await,
            Some(_) => Err(Error::moved(format!("branch {branch} of {dataset} was made anew meanwhile"))),
            None => Ok(()),
        }
    }
}

/// The directories of a lineage. A branch whose name begins like another's lies in the other's tree, and may just be made,
/// its record not yet written; Lance's own removal would take it along.
const OWN: [&str; 5] = ["_versions", "data", "_indices", "_deletions", "_transactions"];

fn key(path: &str) -> Result<Key> {
    Key::parse(path).map_err(|bad| Error::internal(bad.to_string()))
}

/// A dataset without versions is no dataset, whatever else is left of it.
fn versions_first(mut files: Vec<Meta>) -> Vec<Meta> {
    files.sort_by_key(|file| !file.key.as_str().contains("/_versions/"));
    files
}
