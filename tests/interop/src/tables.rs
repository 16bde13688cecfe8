//! What Lance itself says about a graph: pins in `__manifest`, heads, transactions, branches. Reads only, no engine.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch, StringArray, UInt64Array};
use futures::TryStreamExt;
use lance::Dataset;
use lance::dataset::transaction::{Operation, Transaction};

use crate::layout;
use crate::root::Root;

/// What the manifest exposes of one table on one graph branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub version: u64,
    pub branch: Option<String>,
    pub rows: u64,
}

/// One row of `__manifest`.
#[derive(Debug, Clone)]
pub struct ManifestRow {
    pub kind: String,
    pub key: String,
    pub version: Option<u64>,
    pub branch: Option<String>,
    pub rows: Option<u64>,
}

/// One transaction of a table.
#[derive(Debug, Clone)]
pub struct Commit {
    pub version: u64,
    /// The operation's name, with what matters about it, such as `Restore{3}`.
    pub kind: String,
    pub read_version: Option<u64>,
}

impl Commit {
    pub fn is_restore(&self) -> bool {
        self.kind.starts_with("Restore")
    }
}

/// A dataset or one of its Lance branches at its head. `Err` is kept apart from "not there".
pub async fn open(root: &Root, path: &str, branch: Option<&str>) -> Result<Dataset> {
    let uri = root.dataset_uri(&layout::dataset_path(path, branch));
    Dataset::open(&uri).await.with_context(|| format!("open dataset {path} branch {branch:?}"))
}

/// Whether a dataset, or one of its branches, has any version.
pub async fn exists(root: &Root, path: &str, branch: Option<&str>) -> Result<bool> {
    let folder = format!("{}/_versions", layout::dataset_path(path, branch));
    Ok(!root.list(&folder).await?.is_empty())
}

pub async fn manifest_rows(root: &Root, branch: Option<&str>) -> Result<Vec<ManifestRow>> {
    let dataset = open(root, layout::MANIFEST, branch).await?;
    let mut rows = Vec::new();
    for batch in batches(&dataset).await? {
        read_manifest_batch(&batch, &mut rows)?;
    }
    Ok(rows)
}

/// The graph branch as readers see it: per table the greatest version, unless a tombstone is as great.
pub fn pins(rows: &[ManifestRow]) -> BTreeMap<String, Pin> {
    let mut pins: BTreeMap<String, Pin> = BTreeMap::new();
    let mut tombs: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let version = row.version.unwrap_or(0);
        match row.kind.as_str() {
            "table_version" if pins.get(&row.key).is_none_or(|pin| version > pin.version) => {
                let pin = Pin { version, branch: row.branch.clone(), rows: row.rows.unwrap_or(0) };
                pins.insert(row.key.clone(), pin);
            }
            "table_tombstone" => {
                let newest = tombs.entry(&row.key).or_default();
                *newest = version.max(*newest);
            }
            _ => {}
        }
    }
    pins.retain(|key, pin| tombs.get(key.as_str()).is_none_or(|tomb| *tomb < pin.version));
    pins
}

/// Names of all Lance branches of a dataset, by their records.
pub async fn branches(root: &Root, path: &str) -> Result<Vec<String>> {
    let names = root.list(&format!("{path}/_refs/branches")).await?;
    let stem =
        |name: &String| name.rsplit('/').next()?.strip_suffix(".json").map(|stem| stem.replace("%2F", "/"));
    Ok(names.iter().filter_map(stem).collect())
}

/// The transactions of the versions `above < v <= dataset` that are there, oldest first.
pub async fn commits(dataset: &Dataset, above: u64) -> Result<Vec<Commit>> {
    let mut commits = Vec::new();
    for version in above + 1..=dataset.version_id() {
        let commit = match dataset.read_transaction_by_version(version).await {
            Ok(Some(transaction)) => describe(version, &transaction),
            Ok(None) => Commit { version, kind: "unrecorded".to_owned(), read_version: None },
            Err(lance::Error::DatasetNotFound { .. } | lance::Error::NotFound { .. }) => continue,
            Err(error) => Commit { version, kind: format!("unreadable ({error})"), read_version: None },
        };
        commits.push(commit);
    }
    Ok(commits)
}

/// The kinds of all audit rows, by the operation that they record.
pub async fn audits(root: &Root) -> Result<BTreeMap<String, Vec<String>>> {
    let mut audits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !exists(root, layout::RECOVERIES, None).await? {
        return Ok(audits);
    }
    let dataset = open(root, layout::RECOVERIES, None).await?;
    for batch in batches(&dataset).await? {
        let (operation, kind) = (text_column(&batch, "operation_id")?, text_column(&batch, "recovery_kind")?);
        for row in 0..batch.num_rows() {
            audits.entry(operation.value(row).to_owned()).or_default().push(kind.value(row).to_owned());
        }
    }
    Ok(audits)
}

pub async fn row_count(root: &Root, path: &str) -> Result<Option<usize>> {
    if !exists(root, path, None).await? {
        return Ok(None);
    }
    Ok(Some(open(root, path, None).await?.count_rows(None).await?))
}

async fn batches(dataset: &Dataset) -> Result<Vec<RecordBatch>> {
    let stream = dataset.scan().try_into_stream().await?;
    Ok(stream.try_collect().await?)
}

fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    let column = batch.column_by_name(name).with_context(|| format!("no column {name}"))?;
    column.as_any().downcast_ref().with_context(|| format!("column {name} is not text"))
}

fn number_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a UInt64Array> {
    let column = batch.column_by_name(name).with_context(|| format!("no column {name}"))?;
    column.as_any().downcast_ref().with_context(|| format!("column {name} is not an unsigned number"))
}

fn read_manifest_batch(batch: &RecordBatch, rows: &mut Vec<ManifestRow>) -> Result<()> {
    let kind = text_column(batch, "object_type")?;
    let key = text_column(batch, "table_key")?;
    let branch = text_column(batch, "table_branch")?;
    let version = number_column(batch, "table_version")?;
    let count = number_column(batch, "row_count")?;
    let number_at = |column: &UInt64Array, row: usize| column.is_valid(row).then(|| column.value(row));
    for row in 0..batch.num_rows() {
        rows.push(ManifestRow {
            kind: kind.value(row).to_owned(),
            key: key.value(row).to_owned(),
            version: number_at(version, row),
            branch: branch.is_valid(row).then(|| branch.value(row).to_owned()),
            rows: number_at(count, row),
        });
    }
    Ok(())
}

fn describe(version: u64, transaction: &Transaction) -> Commit {
    let kind = match &transaction.operation {
        Operation::Restore { version } => format!("Restore{{{version}}}"),
        Operation::Update { inserted_rows_filter: Some(_), .. } => "Update{filter}".to_owned(),
        Operation::Delete { deleted_fragment_ids, updated_fragments, .. }
            if deleted_fragment_ids.is_empty() && updated_fragments.is_empty() =>
        {
            "Delete{empty}".to_owned()
        }
        other => other.name().to_owned(),
    };
    Commit { version, kind, read_version: Some(transaction.read_version) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, key: &str, version: u64) -> ManifestRow {
        ManifestRow {
            kind: kind.to_owned(),
            key: key.to_owned(),
            version: Some(version),
            branch: None,
            rows: Some(1),
        }
    }

    #[test]
    fn the_greatest_version_is_the_pin_unless_a_tombstone_is_as_great() {
        let rows = [
            row("table_version", "node:A", 10),
            row("table_version", "node:A", 9),
            row("table_version", "node:B", 4),
            row("table_tombstone", "node:B", 4),
            row("table_tombstone", "node:C", 4),
            row("table_version", "node:C", 5),
            row("graph_commit", "", 99),
        ];
        let versions: Vec<_> = pins(&rows).into_iter().map(|(key, pin)| (key, pin.version)).collect();
        assert_eq!(versions, [("node:A".to_owned(), 10), ("node:C".to_owned(), 5)]);
    }
}
