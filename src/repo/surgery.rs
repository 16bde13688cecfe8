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
use crate::model::{Branch, Permit, TableKey};
use crate::store::{Key, Meta};

impl Repository {
    /// Removes the dataset of a table that no branch has ever registered. `false` if some branch has.
    pub async fn remove_unregistered_dataset(&self, table: &TableKey, _: Permit) -> Result<bool> {
        // The lock registers nothing: it is a branch only by its form, and half of one may be left.
        for branch in branches::public(&branches::list(&self.store, MANIFEST).await?) {
            let snapshot = self.snapshot(&branch).await?;
            let snapshot =
                snapshot.ok_or_else(|| Error::corrupt(format!("branch {branch} cannot be read")))?;
            if snapshot.state.is_registered(table) {
                return Ok(false);
            }
        }
        for file in versions_first(self.store.list(&key(&dataset_path(table)?)?).await?) {
            self.store.delete(&file.key).await?;
        }
        Ok(true)
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

    /// Whether files of a schema change's lock are left though its record is gone: the next schema change cannot make its
    /// own over them.
    pub async fn has_rest_of_schema_lock(&self) -> Result<bool> {
        let lock = branches::schema_lock();
        for dataset in [MANIFEST, COMMITS] {
            let tree = key(&branch_path(dataset, &lock))?;
            if !self.store.list(&tree).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a branch of the manifest on which no table was written.
    pub async fn remove_manifest_branch(&self, branch: &Branch, _: Permit) -> Result<()> {
        self.remove_branch(MANIFEST, branch).await
    }

    /// Removes a branch of a system dataset: its files, then its record. A branch that is not there is fine.
    ///
    /// Lance removes the record first. *Dies between*: it would leave files that nobody lists and over which no branch of
    /// that name can be made; this leaves a branch that is listed, and is removed again.
    async fn remove_branch(&self, dataset: &str, branch: &Branch) -> Result<()> {
        let Some(name) = branch.name() else { return Err(Error::internal("main is never removed")) };
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
        let nested = others.keys().filter(|other| other.starts_with(&format!("{name}/")));
        let nested: Vec<String> = nested.map(|other| format!("{dataset}/tree/{other}/")).collect();
        let tree = branch_path(dataset, branch);
        for file in versions_first(self.store.list(&key(&tree)?).await?) {
            let path = file.key.as_str();
            let dir =
                path.strip_prefix(&tree).and_then(|rest| rest.trim_start_matches('/').split('/').next());
            let is_own = dir.is_some_and(|dir| OWN.contains(&dir));
            if is_own && !nested.iter().any(|tree| path.starts_with(tree.as_str())) {
                self.store.delete(&file.key).await?;
            }
        }
        match branches::list(&self.store, dataset).await?.remove(branch) {
            Some(record) => self.store.delete(&record.key).await,
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
