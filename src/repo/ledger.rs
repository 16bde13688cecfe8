//! Rows of the history, appended exactly once.
//!
//! Lance appends never conflict, so "look whether it is there, then append" would write it twice under two recoverers. Here
//! the append lands only on the version at which the look was made; on refusal the look is repeated.
//!
//! What was read of a dataset is remembered: the next look reads only what was appended since. Appends of one
//! [`Repository`] to one dataset queue, so that they do not race each other.

use super::Repository;
use super::dataset::{Committed, Handle, commit_next};
use super::growth::{self, Growth};
use super::history::{ACTORS, COMMITS, RECOVERIES, Record, batches_of};
use super::rows::{COMMIT_COLUMNS, commit_rows, text_column};
use super::trouble::explain;
use crate::error::{Error, Result};
use crate::model::Branch;
use crate::model::manifest::{GraphCommit, head_of};
use crate::store::Key;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use lance::dataset::transaction::Transaction;
use lance::dataset::{InsertBuilder, WriteMode, WriteParams};
use lance_core::datatypes::Schema as LanceSchema;
use lance_file::version::LanceFileVersion;
use lance_table::format::Fragment;
use std::collections::HashSet;
use std::sync::Arc;

/// Looks before an append gives up against appenders of other processes.
const ATTEMPTS: usize = 8;

/// Name of a dataset of the history.
type Name = &'static str;

/// A dataset of the history, on a branch.
pub(super) type Place = (Name, Branch);

/// What was read of a dataset: enough to tell which rows are there, and on which commit the next one follows.
#[derive(Debug)]
pub(super) struct Ledger {
    name: Name,
    dataset: Handle,
    ids: HashSet<String>,
    head: Option<GraphCommit>,
}

impl Ledger {
    /// Columns of its rows.
    pub(super) fn schema(&self) -> &LanceSchema {
        self.dataset.schema()
    }

    /// Whether a row is there, by what it is known by.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// The commit that the next one follows.
    pub(super) fn head(&self) -> Option<&str> {
        self.head.as_ref().map(|head| head.id.as_str())
    }

    /// The column by which a row is known.
    fn id_column(&self) -> &'static str {
        if self.name == RECOVERIES { "operation_id" } else { "graph_commit_id" }
    }

    async fn read(&mut self, fragments: Vec<Fragment>) -> Result<()> {
        if fragments.is_empty() {
            return Ok(());
        }
        let id = [self.id_column()];
        let columns: &[&str] = if self.name == COMMITS { &COMMIT_COLUMNS } else { &id };
        for batch in batches_of(&self.dataset, Some(columns), Some(fragments)).await? {
            self.take(&batch)?;
        }
        Ok(())
    }

    async fn stage(&self, batch: RecordBatch) -> Result<Transaction> {
        let params = WriteParams { mode: WriteMode::Append, skip_auto_cleanup: true, ..Default::default() };
        let insert = InsertBuilder::new(Arc::new((*self.dataset).clone())).with_params(&params);
        let staged = insert.execute_uncommitted(vec![batch]).await;
        staged.map_err(|error| explain(error, format_args!("cannot write to {}", self.name)))
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        self.ids.extend(text_column(batch, self.id_column())?.into_iter().flatten());
        if self.name == COMMITS {
            let commits = commit_rows(batch)?;
            self.head = head_of(self.head.iter().chain(&commits)).cloned();
        }
        Ok(())
    }
}

impl Repository {
    /// Looks for the record, and appends it on exactly the version that was looked at.
    ///
    /// *Dies before*: the next finisher appends. *Dies after, or the answer is lost*: the next look finds the row. *Two
    /// finishers*: one append lands, the other looks again and finds it.
    pub(super) async fn append_once(&self, record: Record<'_>, operation: &str) -> Result<()> {
        let (name, branch) = record.place();
        let mut slot = self.ledgers.take((name, branch.clone())).await;
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let ledger = self.ledger(name, &branch, slot.take()).await?;
            let ledger = slot.insert(ledger);
            let Some(batch) = record.row_if_missing(ledger)? else { return Ok(()) };
            let staged = ledger.stage(batch.clone()).await?;
            match commit_next(&ledger.dataset, staged, operation).await? {
                Committed::Yes(dataset) => {
                    ledger.dataset = *dataset;
                    return ledger.take(&batch);
                }
                Committed::Conflict(error) | Committed::Unknown(error) => lost = Some(error),
            }
        }
        Err(lost.unwrap_or_else(|| Error::internal("no attempt was made")))
    }

    /// What a dataset holds now, reading only what is new since `known`.
    async fn ledger(&self, name: Name, branch: &Branch, known: Option<Ledger>) -> Result<Ledger> {
        if let Some(mut known) = known {
            match growth::since(&known.dataset, |_| false).await? {
                Growth::Same => return Ok(known),
                Growth::More(dataset, added) => {
                    known.dataset = *dataset;
                    known.read(added).await?;
                    return Ok(known);
                }
                Growth::Gone | Growth::Other => {}
            }
        }
        let dataset = match self.history_dataset(name, branch).await? {
            Some(dataset) => dataset,
            None => self.create_history(name, branch).await?,
        };
        let fragments = dataset.fragments().to_vec();
        let mut ledger = Ledger { name, dataset, ids: HashSet::new(), head: None };
        ledger.read(fragments).await?;
        Ok(ledger)
    }

    /// Creates an empty dataset on the main line; losing the race to another creator is fine.
    async fn create_history(&self, name: &str, branch: &Branch) -> Result<Handle> {
        let schema = match (name, branch.is_main()) {
            (RECOVERIES, true) => recoveries_schema(),
            (ACTORS, true) => actors_schema(),
            _ => {
                return Err(Error::missing(format!(
                    "{name} has no branch {branch}; `outrigger repair branch --exclusive` offers to remove it"
                )));
            }
        };
        let key = Key::parse(name).map_err(|bad| Error::internal(bad.to_string()))?;
        let params = WriteParams {
            mode: WriteMode::Create,
            enable_stable_row_ids: true,
            data_storage_version: Some(LanceFileVersion::V2_2),
            auto_cleanup: None,
            skip_auto_cleanup: true,
            session: Some(self.store.session()),
            ..Default::default()
        };
        let uri = self.store.uri().dataset(&key);
        let empty = RecordBatch::new_empty(Arc::new(schema));
        let made = InsertBuilder::new(uri.as_str()).with_params(&params).execute(vec![empty]).await;
        let found = self.history_dataset(name, branch).await?;
        found.ok_or_else(|| match made {
            Ok(_) => Error::moved(format!("{name} was removed as soon as it was created")),
            Err(error) => explain(error, format_args!("cannot create {name}")),
        })
    }
}

fn time_field() -> Field {
    Field::new("created_at", DataType::Timestamp(TimeUnit::Microsecond, None), false)
}

fn recoveries_schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        text("graph_commit_id", false),
        text("recovery_kind", false),
        text("recovery_for_actor", true),
        text("operation_id", false),
        text("sidecar_writer_kind", false),
        text("per_table_outcomes_json", false),
        time_field(),
    ])
}

fn actors_schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Schema::new(vec![text("graph_commit_id"), text("actor_id"), time_field()])
}
