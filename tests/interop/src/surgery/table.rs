//! Surgery on one table.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchIterator, StringArray, new_null_array};
use arrow::datatypes::{DataType, Schema};
use lance::Dataset;
use lance::dataset::optimize::{CompactionOptions, compact_files};
use lance::dataset::{UpdateBuilder, WriteMode, WriteParams};
use lance::index::DatasetIndexExt;

use crate::layout;
use crate::root::Root;
use crate::tables;

/// Deletes the newest manifest and its transaction file. The data files stay, as they do after a crash.
pub async fn uncommit(root: &Root, table: &str, branch: Option<&str>) -> Result<()> {
    let path = layout::table_path(table);
    let folder = layout::dataset_path(&path, branch);
    let head = tables::open(root, &path, branch).await?;
    let transaction = head.read_transaction().await?.context("the head has no transaction")?;
    ensure!(head.version_id() > 1, "{table} has one version only");
    let record = format!("{folder}/_transactions/{}-{}.txn", transaction.read_version, transaction.uuid);
    if root.list(&format!("{folder}/_transactions")).await?.contains(&record) {
        root.delete(&record).await?;
    }
    root.delete(&layout::version_file(&path, branch, head.version_id())).await
}

/// Commits a restore of the version that lies `below` versions under the pin of the graph branch `branch`.
pub async fn restore(root: &Root, table: &str, branch: Option<&str>, below: u64) -> Result<()> {
    let rows = tables::manifest_rows(root, branch).await?;
    let pins = tables::pins(&rows);
    let pin = pins.get(table).with_context(|| format!("{table} has no pin"))?;
    let head = tables::open(root, &layout::table_path(table), branch).await?;
    let mut old = head.checkout_version(pin.version - below).await?;
    old.restore().await?;
    Ok(())
}

pub async fn append(root: &Root, table: &str, branch: Option<&str>, id: &str) -> Result<()> {
    let mut dataset = tables::open(root, &layout::table_path(table), branch).await?;
    let (schema, row) = one_row(&dataset, id)?;
    dataset.append(RecordBatchIterator::new([Ok(row)], schema), None).await?;
    Ok(())
}

pub async fn overwrite(root: &Root, table: &str, id: &str) -> Result<()> {
    let dataset = tables::open(root, &layout::table_path(table), None).await?;
    let (schema, row) = one_row(&dataset, id)?;
    let params = WriteParams { mode: WriteMode::Overwrite, ..WriteParams::default() };
    Dataset::write(RecordBatchIterator::new([Ok(row)], schema), Arc::new(dataset), Some(params)).await?;
    Ok(())
}

/// A row that a graph could have.
fn one_row(dataset: &Dataset, id: &str) -> Result<(Arc<Schema>, RecordBatch)> {
    let schema = Arc::new(Schema::from(dataset.schema()));
    let column = |name: &str, kind: &DataType| -> ArrayRef {
        match (name, kind) {
            ("id" | "name", DataType::Utf8) => Arc::new(StringArray::from(vec![id])),
            _ => new_null_array(kind, 1),
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    let row = RecordBatch::try_new(schema.clone(), columns)?;
    Ok((schema, row))
}

pub async fn clear(root: &Root, table: &str, column: &str) -> Result<()> {
    let dataset = tables::open(root, &layout::table_path(table), None).await?;
    let update = UpdateBuilder::new(Arc::new(dataset)).set(column, "NULL")?.build()?;
    update.execute().await?;
    Ok(())
}

pub async fn compact(root: &Root, table: &str) -> Result<()> {
    let mut dataset = tables::open(root, &layout::table_path(table), None).await?;
    let before = dataset.version_id();
    compact_files(&mut dataset, CompactionOptions::default(), None).await?;
    ensure!(dataset.version_id() > before, "{table} had nothing to compact");
    Ok(())
}

pub async fn delete(root: &Root, table: &str, condition: &str) -> Result<()> {
    let mut dataset = tables::open(root, &layout::table_path(table), None).await?;
    let before = dataset.version_id();
    dataset.delete(condition).await?;
    ensure!(dataset.version_id() > before, "the delete committed nothing");
    Ok(())
}

pub async fn drop_index(root: &Root, table: &str, branch: Option<&str>, index: &str) -> Result<()> {
    let mut dataset = tables::open(root, &layout::table_path(table), branch).await?;
    dataset.drop_index(index).await?;
    Ok(())
}
