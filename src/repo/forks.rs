//! Forks: the Lance branch of a table on which a graph branch makes its first commit.

use super::Repository;
use super::branches;
use super::tables::{Table, dataset_path};
use crate::error::{Error, Result};
use crate::model::manifest::Entry;
use crate::model::{Branch, TableKey, Timestamp};

/// How making a fork ended.
#[derive(Debug)]
pub enum Forked {
    /// It is there, shows what it was made from, and nothing was committed on it.
    Ready(Box<Table>),
    /// Something else lies in its place; says what.
    InTheWay(String),
}

impl Repository {
    /// Makes the fork `branch` of a table from the version that `from` shows, or takes one that is there and is the same.
    ///
    /// *Two make it at once, or an answer is lost*: one of both exists, and is as good for either, for a commit on it lands only on
    /// the version that was seen.
    pub async fn fork(
        &self,
        key: &TableKey,
        from: &Entry,
        branch: &Branch,
        now: Timestamp,
    ) -> Result<Forked> {
        let dataset = dataset_path(key)?;
        if let Some(there) = self.forked(key, from, branch, &dataset).await? {
            return Ok(there);
        }
        self.clone_branch(&dataset, (&from.branch, from.version), branch, now).await?;
        let made = self.forked(key, from, branch, &dataset).await?;
        made.ok_or_else(|| Error::moved(format!("the fork of {key} for branch {branch} went away")))
    }

    /// What lies where the fork is to be, if anything does.
    async fn forked(
        &self,
        key: &TableKey,
        from: &Entry,
        branch: &Branch,
        dataset: &str,
    ) -> Result<Option<Forked>> {
        let record = branches::record(&self.store, dataset, branch).await?;
        let (record, fork) = match (record, self.table(key, branch).await?) {
            (None, None) => return Ok(None),
            (None, Some(left)) => {
                let of = "of a branch that was deleted, or of a fork whose making died";
                let found = format!("versions up to {} that no record names, {of}", left.head());
                return Ok(Some(Forked::InTheWay(found)));
            }
            (Some(_), None) => {
                return Ok(Some(Forked::InTheWay("a record of a fork without versions".to_owned())));
            }
            (Some(record), Some(fork)) => (record, fork),
        };
        let (parent, version) = record.origin()?;
        Ok(Some(match (&parent, version) == (&from.branch, from.version) {
            false => Forked::InTheWay(format!("a fork of version {version} on {parent}")),
            true if fork.head() == from.version => Forked::Ready(Box::new(fork)),
            true => Forked::InTheWay(format!(
                "a fork of the same version with commits up to {} that the branch does not show",
                fork.head()
            )),
        }))
    }
}
