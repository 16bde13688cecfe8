//! Branches of a native repository: made and removed, the manifest's record being the authority.
//!
//! A branch is listed by one object, `__manifest/_refs/branches/<name>.json`. Everything else of it is made before that object, and
//! removed after it: what lies there without it is nobody's.

use super::Repository;
use super::branches::{self, BranchRecord, BranchRef};
use super::clone::Cloned;
use super::snapshot::{MANIFEST, Snapshot};
use super::tables::dataset_path;
use crate::error::{Error, Result};
use crate::model::{Branch, TableKey, Timestamp};
use crate::store::Removed;
use std::collections::BTreeMap;

impl Repository {
    /// Makes a branch of what a snapshot shows. No table is touched: its first commit to one forks that.
    ///
    /// *Dies between its first version and its record*: versions without a record, which stand in the way of
    /// a branch of that name until `repair fork` removes them. *The record cannot be written*: what was made is removed again.
    /// *Two make it at once*: of two first versions one exists, and its maker alone goes on. *Files of a branch that was deleted lie
    /// there*: its versions might be newer than the one that is made, so nothing is made over them.
    pub async fn create_branch(&self, from: &Snapshot, branch: &Branch, now: Timestamp) -> Result<()> {
        if branches::list(&self.store, MANIFEST).await?.contains_key(branch) {
            return Err(Error::invalid(format!("branch {branch} exists already")));
        }
        if self.branches_with_versions(MANIFEST).await?.contains(branch) {
            return Err(Error::invalid(format!(
                "files of an earlier branch {branch} are left in {MANIFEST}: `outrigger repair fork --exclusive` offers to remove them"
            )));
        }
        match self.clone_branch(MANIFEST, (&from.branch, from.version), branch, now).await {
            Ok(Cloned::Made) => Ok(()),
            Ok(Cloned::InTheWay) => {
                Err(Error::invalid(format!("branch {branch} was made by somebody else just now")))
            }
            Err(error) => {
                self.forget_half_made(branch).await;
                Err(error)
            }
        }
    }

    /// Removes what a failed creation has left, unless it is a branch after all.
    async fn forget_half_made(&self, branch: &Branch) {
        let left = async {
            let listed = branches::list(&self.store, MANIFEST).await?;
            if !listed.contains_key(branch) {
                self.remove_own_files(MANIFEST, branch, &names(&listed)).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = left.await {
            tracing::warn!(%branch, error = %error.chain(), "what was made of a branch is left behind");
        }
    }

    /// Removes a branch: its record, which is what it is listed by, then what was made of it. `forks` are the tables that it shows
    /// forks of.
    ///
    /// *Dies after the record*: files that nobody lists. *A writer is at work on it*: whoever writes its crash record after this
    /// finds the branch gone; whoever had written it before takes back what it publishes, or leaves files that nobody lists.
    /// *Made anew meanwhile*: another record, which is left alone, and its files with it.
    pub async fn delete_branch(&self, branch: &Branch, forks: &[TableKey]) -> Result<()> {
        let mut others = branches::list(&self.store, MANIFEST).await?;
        let listed = others.remove(branch);
        let listed = listed.ok_or_else(|| Error::missing(format!("there is no branch {branch}")))?;
        self.require_no_children(branch).await?;
        let etag = listed.etag.ok_or_else(|| Error::internal(format!("{} has no state", listed.key)))?;
        if self.store.delete_if(&listed.key, &etag).await? == Removed::Changed {
            return Err(Error::moved(format!("branch {branch} was made anew meanwhile")));
        }
        self.retain(|known| known != branch);
        let told = |place: &str, ended: Result<()>| {
            if let Err(error) = ended {
                tracing::warn!(%branch, place, error = %error.chain(), "files of a branch that was deleted are left behind");
            }
        };
        told(MANIFEST, self.remove_own_files(MANIFEST, branch, &names(&others)).await);
        for table in forks {
            let dataset = dataset_path(table)?;
            told(&dataset, self.remove_branch(&dataset, branch).await);
        }
        Ok(())
    }

    /// Branches that were made from another need its versions.
    async fn require_no_children(&self, branch: &Branch) -> Result<()> {
        for (other, listed) in branches::list(&self.store, MANIFEST).await? {
            let record: Option<BranchRecord> = branches::read(&self.store, &listed).await?;
            if record.is_some_and(|record| record.parent_branch.as_deref() == branch.name()) {
                return Err(Error::invalid(format!(
                    "branch {other} was made from {branch}: delete that one first"
                )));
            }
        }
        Ok(())
    }
}

fn names(listed: &BTreeMap<Branch, BranchRef>) -> Vec<String> {
    listed.keys().filter_map(|branch| branch.name().map(str::to_owned)).collect()
}
