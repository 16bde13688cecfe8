//! A writer's commits on one lineage of one table. Every commit is staged on the version that the writer has read, and
//! committed when the test says so: at once, or late.

use super::rows::{table_batch, with_column};
use super::{Graph, path_of};
use arrow::array::RecordBatch;
use lance::Dataset;
use lance::dataset::optimize::{CompactionOptions, compact_files};
use lance::dataset::transaction::{Operation, Transaction};
use lance::dataset::{
    CommitBuilder, DeleteBuilder, InsertBuilder, MergeInsertBuilder, WhenMatched, WhenNotMatched, WriteMode,
    WriteParams,
};
use lance::index::DatasetIndexExt;
use lance_file::version::LanceFileVersion;
use lance_index::IndexType;
use lance_index::scalar::ScalarIndexParams;
use lance_select::RowAddrTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

/// One table on one branch, as its writer sees it.
pub struct Line<'g> {
    graph: &'g Graph,
    pub table: String,
    pub branch: String,
}

impl Graph {
    /// A table on the main line.
    pub fn table(&self, table: &str) -> Line<'_> {
        self.table_on(table, super::MAIN)
    }

    /// A table on a branch of its own.
    pub fn table_on(&self, table: &str, branch: &str) -> Line<'_> {
        Line { graph: self, table: table.to_owned(), branch: branch.to_owned() }
    }
}

/// A commit that its writer has prepared and not yet made.
pub struct Staged {
    base: Arc<Dataset>,
    transaction: Transaction,
    affected: Option<RowAddrTreeMap>,
}

impl Staged {
    pub fn of_parts(base: Arc<Dataset>, transaction: Transaction, affected: Option<RowAddrTreeMap>) -> Self {
        Self { base, transaction, affected }
    }

    /// Makes the commit; Lance rebases it or refuses.
    pub async fn commit(self) -> lance::Result<u64> {
        let mut commit = CommitBuilder::new(self.base).with_skip_auto_cleanup(true);
        if let Some(rows) = self.affected {
            commit = commit.with_affected_rows(rows);
        }
        Ok(commit.execute(self.transaction).await?.manifest().version)
    }

    /// Marks the commit as an operation's, as native writers do.
    pub fn of(mut self, operation: &str) -> Self {
        let property = ("outrigger.operation".to_owned(), operation.to_owned());
        self.transaction.transaction_properties = Some(Arc::new(HashMap::from([property])));
        self
    }
}

impl Line<'_> {
    pub async fn open(&self) -> Dataset {
        self.graph.open(&path_of(&self.table), &self.branch).await
    }

    /// H.
    pub async fn head(&self) -> u64 {
        self.open().await.manifest().version
    }

    /// New rows.
    pub async fn append(&self, ids: &[&str]) -> u64 {
        self.stage_append(ids).await.commit().await.unwrap()
    }

    pub async fn stage_append(&self, ids: &[&str]) -> Staged {
        self.stage_write(ids, WriteMode::Append).await
    }

    /// Every row replaced.
    pub async fn overwrite(&self, ids: &[&str]) -> u64 {
        self.stage_overwrite(ids).await.commit().await.unwrap()
    }

    pub async fn stage_overwrite(&self, ids: &[&str]) -> Staged {
        self.stage_write(ids, WriteMode::Overwrite).await
    }

    /// Every row replaced by rows with one more column.
    pub async fn overwrite_with(&self, ids: &[&str], column: &str) -> u64 {
        let rows = with_column(&table_batch(&self.table, ids, 40), column);
        self.stage_rows(rows, WriteMode::Overwrite).await.commit().await.unwrap()
    }

    async fn stage_write(&self, ids: &[&str], mode: WriteMode) -> Staged {
        self.stage_rows(table_batch(&self.table, ids, 40), mode).await
    }

    async fn stage_rows(&self, rows: RecordBatch, mode: WriteMode) -> Staged {
        let base = Arc::new(self.open().await);
        let params = WriteParams {
            mode,
            enable_stable_row_ids: true,
            data_storage_version: Some(LanceFileVersion::V2_2),
            skip_auto_cleanup: true,
            ..WriteParams::default()
        };
        let insert = InsertBuilder::new(base.clone()).with_params(&params);
        let transaction = insert.execute_uncommitted(vec![rows]).await.unwrap();
        Staged { base, transaction, affected: None }
    }

    /// Rows changed or added by id.
    pub async fn upsert(&self, ids: &[&str]) -> u64 {
        self.stage_upsert(ids).await.commit().await.unwrap()
    }

    pub async fn stage_upsert(&self, ids: &[&str]) -> Staged {
        let base = Arc::new(self.open().await);
        let mut job = MergeInsertBuilder::try_new(base.clone(), vec!["id".to_owned()]).unwrap();
        job.when_matched(WhenMatched::UpdateAll).when_not_matched(WhenNotMatched::InsertAll);
        let job = job.conflict_retries(0).skip_auto_cleanup(true).try_build().unwrap();
        let rows = table_batch(&self.table, ids, 50);
        let staged = job.execute_uncommitted_batches(vec![rows]).await.unwrap();
        Staged { base, transaction: staged.transaction, affected: staged.affected_rows }
    }

    /// Rows deleted by id; no such row leaves a version with the same content.
    pub async fn delete(&self, id: &str) -> u64 {
        self.stage_delete(id).await.commit().await.unwrap()
    }

    pub async fn stage_delete(&self, id: &str) -> Staged {
        let base = Arc::new(self.open().await);
        let staged =
            DeleteBuilder::new(base.clone(), format!("id = '{id}'")).execute_uncommitted().await.unwrap();
        Staged { base, transaction: staged.transaction, affected: staged.affected_rows }
    }

    /// A BTREE index on the id.
    pub async fn index(&self) -> u64 {
        self.stage_index().await.commit().await.unwrap()
    }

    pub async fn stage_index(&self) -> Staged {
        let mut dataset = self.open().await;
        let base = Arc::new(dataset.clone());
        let params = ScalarIndexParams::default();
        let mut builder = dataset.create_index_builder(&["id"], IndexType::BTree, &params).replace(true);
        let index = builder.execute_uncommitted().await.unwrap();
        let old = base.load_indices().await.unwrap();
        let removed = old.iter().filter(|known| known.name == index.name).cloned().collect();
        let operation = Operation::CreateIndex { new_indices: vec![index], removed_indices: removed };
        let transaction = Transaction::new(base.manifest().version, operation, None);
        Staged { base, transaction, affected: None }
    }

    /// Files compacted; the same rows.
    pub async fn compact(&self) -> u64 {
        compact(&mut self.open().await).await
    }

    /// The content of an older version made the newest, as an engine's own roll back does.
    pub async fn restore(&self, version: u64) -> u64 {
        let mut old = self.open().await.checkout_version(version).await.unwrap();
        old.restore().await.unwrap();
        old.manifest().version
    }

    /// A setting of the table.
    pub async fn configure(&self, key: &str, value: &str) -> u64 {
        let mut dataset = self.open().await;
        dataset.update_config([(key, value)]).await.unwrap();
        dataset.manifest().version
    }
}

/// Compacts any dataset.
pub async fn compact(dataset: &mut Dataset) -> u64 {
    compact_files(dataset, CompactionOptions::default(), None).await.unwrap();
    dataset.manifest().version
}
