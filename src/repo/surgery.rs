//! Removals that no store checks for us. Only under a window that a person opened: each re-reads what makes it right just
//! before, and takes away nothing but what it names.

use super::Repository;
use super::branches::{self, BranchRef};
use super::history::COMMITS;
use super::snapshot::MANIFEST;
use super::tables::dataset_path;
use super::trouble::{explain, kind_of};
use crate::error::{Error, Kind, Result};
use crate::model::{Branch, Permit, TableKey};
use crate::store::Key;

impl Repository {
    /// Removes the dataset of a table that no branch has ever registered. `false` if some branch has.
    pub async fn remove_unregistered_dataset(&self, table: &TableKey, _: Permit) -> Result<bool> {
        let branches = branches::list(&self.store, MANIFEST).await?;
        for branch in std::iter::once(Branch::main()).chain(branches.into_keys()) {
            let snapshot = self.snapshot(&branch).await?;
            let snapshot =
                snapshot.ok_or_else(|| Error::corrupt(format!("branch {branch} cannot be read")))?;
            if snapshot.state.is_registered(table) {
                return Ok(false);
            }
        }
        let dir = Key::parse(&dataset_path(table)?).map_err(|bad| Error::internal(bad.to_string()))?;
        // Versions first: a dataset without versions is no dataset, whatever else is left of it.
        let mut files = self.store.list(&dir).await?;
        files.sort_by_key(|file| !file.key.as_str().contains("/_versions/"));
        for file in files {
            self.store.delete(&file.key).await?;
        }
        Ok(true)
    }

    /// Removes the branch that a schema change holds as the graph's write lock, if it is still the one that was judged.
    /// One that is gone is fine.
    pub async fn remove_schema_lock(&self, judged: &BranchRef, _: Permit) -> Result<()> {
        let lock = judged.branch.clone();
        match branches::list(&self.store, MANIFEST).await?.remove(&lock) {
            Some(found) if found != *judged => {
                return Err(Error::moved("another schema change holds the lock now"));
            }
            _ => {}
        }
        self.remove_branch(MANIFEST, &lock).await?;
        self.remove_branch(COMMITS, &lock).await
    }

    /// Removes a branch of the manifest on which no table was written.
    pub async fn remove_manifest_branch(&self, branch: &Branch, _: Permit) -> Result<()> {
        self.remove_branch(MANIFEST, branch).await
    }

    /// Removes a branch of a system dataset: its record, then its files. A branch that is not there is fine.
    async fn remove_branch(&self, dataset: &str, branch: &Branch) -> Result<()> {
        let Some(name) = branch.name() else { return Err(Error::internal("main is never removed")) };
        let key = Key::parse(dataset).map_err(|bad| Error::internal(bad.to_string()))?;
        let Some(mut main) = super::dataset::open(&self.store, &self.fresh_session(), &key, None).await?
        else {
            return Ok(());
        };
        match main.force_delete_branch(name).await {
            Ok(()) => Ok(()),
            Err(error) if kind_of(&error) == Kind::Missing => Ok(()),
            Err(error) => Err(explain(error, format_args!("cannot remove branch {branch} of {dataset}"))),
        }
    }
}
