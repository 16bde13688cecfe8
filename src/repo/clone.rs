//! A branch of a dataset, made from one of its versions: the first version of it, a shallow clone, and then the record that lists it.

use super::Repository;
use super::branches::{self, RECORD};
use super::dataset::open;
use super::trouble::{explain, kind_of};
use crate::error::{Error, Kind, Result};
use crate::model::table_path::branch_path;
use crate::model::{Branch, Timestamp, Version};
use crate::store::{Key, Written};
use lance::dataset::refs::{BranchContents, BranchIdentifier};
use lance::dataset::transaction::{Operation, Transaction};
use lance::dataset::{CommitBuilder, WriteDestination};
use std::collections::HashMap;

/// How making a branch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cloned {
    /// It is there, and we have made it.
    Made,
    /// Something lies there already, or somebody else was first.
    InTheWay,
}

impl Repository {
    /// Makes a branch of a dataset. What Lance's own call does, but through our store alone, and with a record that is only created.
    ///
    /// *Dies between*: versions that no record lists, which stand in the way of every other attempt. *The record cannot be written*:
    /// the version, which is ours, is removed again; not if the record may come later. *Two at once*: of two first versions one
    /// exists, and its maker alone writes the record. *Answer lost*: the store room reads back; of the first version Lance does, and
    /// one that cannot be told counts as in the way.
    pub(super) async fn clone_branch(
        &self,
        dataset: &str,
        from: (&Branch, Version),
        branch: &Branch,
        now: Timestamp,
    ) -> Result<Cloned> {
        let Some(name) = branch.name() else { return Err(Error::internal("main is no branch of anything")) };
        let (session, (parent, version)) = (self.fresh_session(), from);
        let (source, target) = (key(&branch_path(dataset, parent))?, key(&branch_path(dataset, branch))?);
        if open(&self.store, &session, &target, None).await?.is_some() {
            return Ok(Cloned::InTheWay);
        }
        let opened = open(&self.store, &session, &source, Some(version)).await?;
        let opened =
            opened.ok_or_else(|| Error::missing(format!("version {version} of {source} is gone")))?;
        let identifier = self.child_of(dataset, parent, version).await?;
        let clone = Operation::Clone {
            is_shallow: true,
            ref_name: parent.name().map(str::to_owned),
            ref_version: version.0,
            ref_path: self.store.dataset_uri(&source),
            branch_name: Some(name.to_owned()),
        };
        let address = self.store.dataset_uri(&target);
        let commit = CommitBuilder::new(WriteDestination::Uri(&address)).with_session(self.store.session());
        match commit.execute(Transaction::new(version.0, clone, None)).await {
            Ok(_) => {}
            Err(error) if matches!(kind_of(&error), Kind::Moved | Kind::Unknown) => {
                return Ok(Cloned::InTheWay);
            }
            Err(error) => {
                return Err(explain(error, format_args!("cannot make branch {branch} of {dataset}")));
            }
        }
        let contents = BranchContents {
            parent_branch: parent.name().map(str::to_owned),
            identifier,
            parent_version: version.0,
            create_at: now.as_micros().max(0) as u64 / 1_000_000,
            manifest_size: opened.manifest_location().size.unwrap_or_default() as usize,
            metadata: HashMap::new(),
        };
        let listed = self.create_record(dataset, name, &contents).await;
        if listed.as_ref().is_err_and(|error| error.kind() != Kind::Unknown) {
            self.forget_half_made(dataset, branch).await;
        }
        listed
    }

    /// Removes the first version that we have made and could not list.
    async fn forget_half_made(&self, dataset: &str, branch: &Branch) {
        let left = async {
            let listed = branches::list(&self.store, dataset).await?;
            match listed.contains_key(branch) {
                true => Ok(()),
                false => self.remove_own_files(dataset, branch, &branches::names(&listed)).await,
            }
        };
        if let Err(error) = left.await {
            tracing::warn!(%branch, dataset, error = %error.chain(), "what was made of a branch is left behind");
        }
    }

    /// Writes the record of a branch; one that is there stands.
    pub(super) async fn create_record(
        &self,
        dataset: &str,
        name: &str,
        contents: &BranchContents,
    ) -> Result<Cloned> {
        let bytes = serde_json::to_vec_pretty(contents)
            .map_err(|error| Error::internal("a branch record does not serialise").caused_by(error))?;
        let file = Key::branch_file(&key(dataset)?, name, RECORD);
        match self.store.create(&file, bytes.into()).await? {
            Written::Committed { .. } => Ok(Cloned::Made),
            Written::Conflict => Ok(Cloned::InTheWay),
            Written::Unknown { error } => Err(error),
        }
    }

    /// A new identity below that of the parent.
    async fn child_of(&self, dataset: &str, parent: &Branch, version: Version) -> Result<BranchIdentifier> {
        let known = match parent.is_main() {
            true => BranchIdentifier::main(),
            false => {
                let record = branches::record(&self.store, dataset, parent).await?;
                let record = record
                    .ok_or_else(|| Error::missing(format!("branch {parent} of {dataset} has no record")))?;
                BranchIdentifier { version_mapping: record.identifier.0 }
            }
        };
        Ok(BranchIdentifier::new(&known, version.0))
    }
}

fn key(path: &str) -> Result<Key> {
    Key::parse(path).map_err(|bad| Error::corrupt(bad.to_string()))
}
