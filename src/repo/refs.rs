//! Lance's references on tables: tags that keep a version from being cleaned up, and the record of a fork that lost it.

use super::Repository;
use super::branches;
use super::clone::Cloned;
use super::dataset::{Handle, open, version_of};
use super::tables::dataset_path;
use super::trouble::{explain, kind_of};
use crate::error::{Error, Kind, Result};
use crate::model::table_path::branch_path;
use crate::model::{Branch, Permit, TableKey, Version};
use crate::store::Key;
use lance::dataset::refs::{BranchContents, BranchIdentifier};
use lance::dataset::transaction::Operation;
use std::collections::HashMap;

/// Where a fork came from, as its own first transaction tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The branch it was forked from.
    pub parent: Branch,
    /// The version it was forked at.
    pub version: Version,
    /// Size of that version's manifest in bytes, which the record repeats.
    manifest_size: usize,
}

impl Repository {
    /// Puts a tag on a version of a table's main line; moves it if it is on another. Every cleanup that honours tags, the
    /// engines' too, keeps the version.
    pub async fn tag(&self, table: &TableKey, tag: &str, version: Version) -> Result<()> {
        let Some(at) = self.main_line(table).await? else { return Ok(()) };
        let failed = |error| explain(error, format_args!("cannot tag version {version} of {table}"));
        match at.tags().create(tag, version.0).await {
            Ok(()) => Ok(()),
            Err(lance::Error::RefConflict { .. }) => match at.tags().get_version(tag).await {
                Ok(there) if there == version.0 => Ok(()),
                _ => at.tags().update(tag, version.0).await.map_err(failed),
            },
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes a tag off a table's main line; one that is not there is fine.
    pub async fn untag(&self, table: &TableKey, tag: &str) -> Result<()> {
        let Some(at) = self.main_line(table).await? else { return Ok(()) };
        match at.tags().delete(tag).await {
            Err(error) if kind_of(&error) != Kind::Missing => {
                Err(explain(error, format_args!("cannot take the tag {tag} off {table}")))
            }
            _ => Ok(()),
        }
    }

    async fn main_line(&self, table: &TableKey) -> Result<Option<Handle>> {
        open(&self.store, &self.fresh_session(), &parsed(&dataset_path(table)?)?, None).await
    }

    /// Where a fork without a record came from; `None` if its record is there, or if nothing of it is left that reaches
    /// up to `pin`.
    pub async fn lost_record(
        &self,
        table: &TableKey,
        branch: &Branch,
        pin: Version,
    ) -> Result<Option<Lineage>> {
        let dataset = dataset_path(table)?;
        if branches::record(&self.store, &dataset, branch).await?.is_some() {
            return Ok(None);
        }
        let (path, session) = (parsed(&branch_path(&dataset, branch))?, self.fresh_session());
        if open(&self.store, &session, &path, Some(pin)).await?.is_none() {
            return Ok(None);
        }
        let Some(newest) = open(&self.store, &session, &path, None).await? else { return Ok(None) };
        let versions = newest.versions().await;
        let versions =
            versions.map_err(|error| explain(error, format_args!("cannot list versions of {path}")))?;
        let oldest = versions.iter().map(|version| version.version).min().unwrap_or_default();
        let Some(oldest) = open(&self.store, &session, &path, Some(Version(oldest))).await? else {
            return Ok(None);
        };
        let transaction = oldest.read_transaction().await;
        let transaction = transaction
            .map_err(|error| explain(error, format_args!("cannot read the first version of {path}")))?;
        let Some(Operation::Clone { ref_name, ref_version, .. }) = transaction.map(|read| read.operation)
        else {
            return Ok(None);
        };
        let parent = Branch::parse(ref_name.as_deref()).map_err(|bad| Error::corrupt(bad.to_string()))?;
        let size = oldest.manifest_location().size.unwrap_or_default();
        debug_assert_eq!(version_of(&oldest), Version(ref_version));
        Ok(Some(Lineage { parent, version: Version(ref_version), manifest_size: size as usize }))
    }

    /// Writes the record of a fork anew. Its identity is the one that a fork of it remembers; else a new one, for the old
    /// one is lost.
    ///
    /// *Somebody else has written it meanwhile*: theirs stands, and this is an error of kind [`Kind::Moved`].
    pub async fn recreate_record(
        &self,
        table: &TableKey,
        branch: &Branch,
        lineage: &Lineage,
        created_at: u64,
        _: Permit,
    ) -> Result<()> {
        let Some(name) = branch.name() else { return Err(Error::internal("main has no record")) };
        let contents = BranchContents {
            parent_branch: lineage.parent.name().map(str::to_owned),
            identifier: self.identity(table, name, lineage).await?,
            parent_version: lineage.version.0,
            create_at: created_at,
            manifest_size: lineage.manifest_size,
            metadata: HashMap::new(),
        };
        match self.create_record(&dataset_path(table)?, name, &contents).await? {
            Cloned::Made => Ok(()),
            Cloned::InTheWay => Err(Error::moved(format!("branch {branch} of {table} has a record now"))),
        }
    }

    async fn identity(&self, table: &TableKey, name: &str, lineage: &Lineage) -> Result<BranchIdentifier> {
        let gone = || Error::moved(format!("{table} has no main line any more"));
        let main = self.main_line(table).await?.ok_or_else(gone)?;
        let failed = |error| explain(error, format_args!("cannot read the branches of {table}"));
        let known = main.list_branches().await.map_err(failed)?;
        let child = known.values().find(|record| record.parent_branch.as_deref() == Some(name));
        if let Some((_, own)) = child.and_then(|child| child.identifier.version_mapping.split_last()) {
            return Ok(BranchIdentifier { version_mapping: own.to_vec() });
        }
        let parent = match lineage.parent.name() {
            None => BranchIdentifier::main(),
            Some(parent) => {
                let record = known.get(parent).ok_or_else(|| {
                    Error::missing(format!(
                        "branch {parent} of {table} has lost its record, too: it comes first"
                    ))
                })?;
                record.identifier.clone()
            }
        };
        Ok(BranchIdentifier::new(&parent, lineage.version.0))
    }
}

fn parsed(path: &str) -> Result<Key> {
    Key::parse(path).map_err(|bad| Error::corrupt(bad.to_string()))
}
