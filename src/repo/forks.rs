//! Forks: the Lance branch of a table on which a graph branch makes its first commit.

use super::Repository;
use super::branches;
use super::dataset::{open_unfenced, version_of};
use super::tables::{Table, dataset_path};
use super::trouble::{explain, kind_of};
use crate::error::{Error, Kind, Result};
use crate::model::manifest::Entry;
use crate::model::table_path::branch_path;
use crate::model::{Branch, TableKey};
use crate::store::Key;

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
    /// Lance writes the fork's first version, then its record. *Dies between*: versions that no record names, which stand in the
    /// way of every other attempt. *Answer lost, or two make it at once*: one of both exists, and is as good for either, for a
    /// commit on it lands only on the version that was seen.
    pub async fn fork(&self, key: &TableKey, from: &Entry, branch: &Branch) -> Result<Forked> {
        let Some(name) = branch.name() else { return Err(Error::internal("main is no fork")) };
        let dataset = dataset_path(key)?;
        let source = branch_path(&dataset, &from.branch);
        let source = Key::parse(&source).map_err(|bad| Error::corrupt(bad.to_string()))?;
        let session = self.fresh_session();
        let Some(mut source) = open_unfenced(&self.store, &session, &source, Some(from.version)).await?
        else {
            return Err(Error::missing(format!(
                "version {} of {key} on {} is gone",
                from.version, from.branch
            )));
        };
        debug_assert_eq!(version_of(&source), from.version);
        let at = (from.branch.name(), Some(from.version.0));
        match source.create_branch(name, at, None).await {
            Ok(_) => {}
            Err(error) if matches!(kind_of(&error), Kind::Moved | Kind::Unknown | Kind::Unavailable) => {
                tracing::debug!(table = %key, %branch, %error, "making a fork was not answered plainly");
            }
            Err(error) => return Err(explain(error, format_args!("cannot fork {key} for branch {branch}"))),
        }
        self.forked(key, from, branch, &dataset).await
    }

    /// What lies where the fork is to be.
    async fn forked(&self, key: &TableKey, from: &Entry, branch: &Branch, dataset: &str) -> Result<Forked> {
        let Some(record) = branches::record(&self.store, dataset, branch).await? else {
            return match self.table(key, branch).await? {
                Some(left) => Ok(Forked::InTheWay(format!(
                    "versions up to {} that no record names: of a branch that was deleted, or of a fork whose making died",
                    left.head()
                ))),
                None => Err(Error::unknown(format!("the fork of {key} for branch {branch} is not there"))),
            };
        };
        let (parent, version) = record.origin()?;
        if (&parent, version) != (&from.branch, from.version) {
            return Ok(Forked::InTheWay(format!("a fork of version {version} on {parent}")));
        }
        match self.table(key, branch).await? {
            Some(fork) if fork.head() == from.version => Ok(Forked::Ready(Box::new(fork))),
            Some(fork) => Ok(Forked::InTheWay(format!(
                "a fork of the same version with commits up to {} that the branch does not show",
                fork.head()
            ))),
            None => Ok(Forked::InTheWay("a record of a fork without versions".to_owned())),
        }
    }
}
