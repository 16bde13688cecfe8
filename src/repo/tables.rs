//! One table's lineage: what recovery needs to see of it, and the fenced restore.

use super::Repository;
use super::branches::{self, BranchRecord};
use super::dataset::{Committed, Handle, Made, commit_next, entry_of, next_version_key, open, version_of};
use super::trouble::{explain, kind_of};
use crate::error::{Error, Kind, Result};
use crate::model::history::{Step, StepKind};
use crate::model::manifest::Entry;
use crate::model::table_path::{branch_path, table_path};
use crate::model::{Branch, Permit, TableKey, Version};
use crate::store::{Key, Store};
use lance::dataset::transaction::{Operation, Transaction};
use lance::session::Session;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An open lineage at its newest version. Handles are made for one look: nothing of them is cached beyond it, for Lance
/// caches transactions by version number, which a branch created anew uses again.
#[derive(Debug, Clone)]
pub struct Table {
    /// The table.
    pub key: TableKey,
    /// The Lance branch.
    pub branch: Branch,
    dataset: Handle,
    session: Arc<Session>,
    path: Key,
}

/// Root-relative path of a table's dataset, derived from its key.
pub fn dataset_path(table: &TableKey) -> Result<String> {
    table_path(table).ok_or_else(|| {
        Error::corrupt(format!(
            "{table} is no key of a table: it is neither node:Type, edge:Type nor a plain name"
        ))
    })
}

fn lineage_path(table: &TableKey, branch: &Branch) -> Result<Key> {
    let path = branch_path(&dataset_path(table)?, branch);
    Key::parse(&path).map_err(|bad| Error::corrupt(bad.to_string()))
}

fn columns_of(dataset: &Handle) -> BTreeSet<String> {
    dataset.schema().fields.iter().map(|field| field.name.clone()).collect()
}

impl Repository {
    /// Opens a lineage at its newest version; `None` if the dataset or the branch has no versions.
    pub async fn table(&self, key: &TableKey, branch: &Branch) -> Result<Option<Table>> {
        let path = lineage_path(key, branch)?;
        let session = self.fresh_session();
        let dataset = open(&self.store, &session, &path, None).await?;
        Ok(dataset.map(|dataset| Table { key: key.clone(), branch: branch.clone(), dataset, session, path }))
    }

    /// Opens the version of a table that an entry shows; `None` if it is gone.
    pub async fn table_at(&self, key: &TableKey, entry: &Entry) -> Result<Option<Table>> {
        let (path, session) = (lineage_path(key, &entry.branch)?, self.fresh_session());
        let dataset = open(&self.store, &session, &path, Some(entry.version)).await?;
        Ok(dataset.map(|dataset| Table {
            key: key.clone(),
            branch: entry.branch.clone(),
            dataset,
            session,
            path,
        }))
    }

    /// The record of a table's branch, `None` if it is not listed.
    pub async fn table_branch(&self, key: &TableKey, branch: &Branch) -> Result<Option<BranchRecord>> {
        branches::record(&self.store, &dataset_path(key)?, branch).await
    }

    /// Whether a table's dataset exists on the main line.
    pub async fn dataset_exists(&self, key: &TableKey) -> Result<bool> {
        Ok(self.table(key, &Branch::main()).await?.is_some())
    }

    /// What the manifest would record of a version of a lineage.
    pub async fn entry_at(&self, table: &Table, version: Version) -> Result<Entry> {
        if version == table.head() {
            return entry_of(&table.dataset, &table.branch).await;
        }
        let at = open(&self.store, &table.session, &table.path, Some(version)).await?;
        let at = at.ok_or_else(|| Error::missing(format!("version {version} of {} is gone", table.key)))?;
        entry_of(&at, &table.branch).await
    }

    /// Names of the columns of the version that the graph shows.
    pub async fn shown_columns(&self, key: &TableKey, entry: &Entry) -> Result<BTreeSet<String>> {
        let path = lineage_path(key, &entry.branch)?;
        let shown = open(&self.store, &self.fresh_session(), &path, Some(entry.version)).await?;
        let shown =
            shown.ok_or_else(|| Error::missing(format!("version {} of {key} is gone", entry.version)))?;
        Ok(columns_of(&shown))
    }

    /// Whether the head has the same rows as a version that the graph shows: same schema, fragments, deletions, row ids.
    pub async fn same_content(&self, table: &Table, pin: Version, pin_branch: &Branch) -> Result<bool> {
        let path = lineage_path(&table.key, pin_branch)?;
        let Some(shown) = open(&self.store, &table.session, &path, Some(pin)).await? else {
            return Ok(false);
        };
        let (head, pin) = (table.dataset.manifest(), shown.manifest());
        Ok(head.schema == pin.schema && head.fragments == pin.fragments)
    }
}

impl Table {
    /// The version that this handle shows: H, unless an older one was opened.
    pub fn head(&self) -> Version {
        version_of(&self.dataset)
    }

    /// Whether no version follows the one that this handle shows: one request.
    pub async fn is_newest(&self, store: &Store) -> Result<bool> {
        let next = next_version_key(&self.dataset, self.path.as_str())?;
        Ok(store.head(&next).await?.is_none())
    }

    pub(super) fn dataset(&self) -> &Handle {
        &self.dataset
    }

    /// The same lineage at another version.
    pub(super) fn at_version(&self, dataset: Handle) -> Self {
        Self { dataset, ..self.clone() }
    }

    /// The head as it is stored, right after it was made.
    pub fn made(&self, store: &Store) -> Made {
        self.dataset.made(store)
    }

    /// Names of the columns at the head.
    pub fn columns(&self) -> BTreeSet<String> {
        columns_of(&self.dataset)
    }

    /// Transactions in (`floor`, H], ascending. A version whose manifest or transaction is gone is left out; one that is
    /// there but cannot be understood is [`StepKind::Other`].
    pub async fn steps_above(&self, floor: Version) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for version in floor.0 + 1..=self.head().0 {
            if let Some(step) = self.step(Version(version)).await? {
                steps.push(step);
            }
        }
        Ok(steps)
    }

    async fn step(&self, version: Version) -> Result<Option<Step>> {
        let read = if version == self.head() {
            self.dataset.read_transaction().await
        } else {
            self.dataset.read_transaction_by_version(version.0).await
        };
        match read {
            Ok(transaction) => Ok(transaction.map(|transaction| step(version, &transaction))),
            Err(error) if kind_of(&error) == Kind::Missing => Ok(None),
            Err(error) => Err(explain(error, format_args!("cannot read version {version} of {}", self.key))),
        }
    }

    /// Makes the content of `target` the newest version, on exactly the head that this handle shows.
    ///
    /// *Dies before*: nothing. *Dies after, or the answer is lost*: the tail ends with a restore of ours, which every later
    /// look recognises as *already undone*. *A writer commits first*: refused, and nothing of the writer's is hidden. *A
    /// writer commits later*: Lance refuses whatever it staged on an older version, except an overwrite, which the fence
    /// record catches.
    pub async fn restore(&self, target: Version, operation: &str, _: Permit) -> Result<Restored> {
        let transaction = Transaction::new(self.head().0, Operation::Restore { version: target.0 }, None);
        match commit_next(&self.dataset, transaction, operation).await? {
            Committed::Yes(made) => Ok(Restored::Yes(Box::new(Self { dataset: *made, ..self.clone() }))),
            Committed::Conflict(error) => Ok(Restored::Moved(error)),
            Committed::Unknown(error) => Err(error),
        }
    }
}

/// How a fenced restore ended.
#[derive(Debug)]
pub enum Restored {
    /// The handle shows the restored version.
    Yes(Box<Table>),
    /// Somebody committed first. Look again.
    Moved(Error),
}

/// Sorts a Lance transaction.
fn step(version: Version, transaction: &Transaction) -> Step {
    let properties = transaction.transaction_properties.as_ref();
    Step {
        version,
        read_version: Version(transaction.read_version),
        kind: kind(&transaction.operation),
        operation: properties
            .and_then(|properties| properties.get(super::dataset::OPERATION_PROPERTY).cloned()),
        transaction: transaction.uuid.clone(),
    }
}

fn kind(operation: &Operation) -> StepKind {
    match operation {
        Operation::Append { .. } => StepKind::Append,
        Operation::Update { .. } => StepKind::Update,
        Operation::Delete { updated_fragments, deleted_fragment_ids, .. } => {
            if updated_fragments.is_empty() && deleted_fragment_ids.is_empty() {
                StepKind::EmptyDelete
            } else {
                StepKind::Delete
            }
        }
        Operation::Overwrite { .. } => StepKind::Overwrite,
        Operation::CreateIndex { .. } => StepKind::CreateIndex,
        Operation::Rewrite { .. } => StepKind::Rewrite,
        Operation::ReserveFragments { .. } => StepKind::ReserveFragments,
        // Settings of the table; schema and field metadata may say how rows are read.
        Operation::UpdateConfig { schema_metadata_updates: None, field_metadata_updates, .. }
            if field_metadata_updates.is_empty() =>
        {
            StepKind::UpdateConfig
        }
        Operation::Restore { version } => StepKind::Restore(Version(*version)),
        other => StepKind::Other(other.to_string()),
    }
}
