//! Schemas and batches: of the manifest, of the history, of the tables.

use arrow::array::{
    Array, ArrayRef, Int32Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use outrigger::model::manifest::ManifestRow;
use std::sync::Arc;

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn micros(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), false)
}

/// The nine columns of `__manifest`, with the key that makes publishes collide row by row.
pub fn manifest_schema() -> SchemaRef {
    let key = [("lance-schema:unenforced-primary-key".to_owned(), "true".to_owned())];
    Arc::new(Schema::new(vec![
        text("object_id", false).with_metadata(key.into()),
        text("object_type", false),
        text("location", true),
        text("metadata", true),
        Field::new("base_objects", DataType::new_list(DataType::Utf8, true), true),
        text("table_key", false),
        Field::new("table_version", DataType::UInt64, true),
        text("table_branch", true),
        Field::new("row_count", DataType::UInt64, true),
    ]))
}

/// Manifest rows as one full batch.
pub fn manifest_batch(rows: &[ManifestRow]) -> RecordBatch {
    let plain = |value: fn(&ManifestRow) -> &String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
    };
    let optional = |value: fn(&ManifestRow) -> &Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| value(row).as_ref()).collect::<StringArray>())
    };
    let number = |value: fn(&ManifestRow) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<UInt64Array>())
    };
    let mut bases = ListBuilder::new(StringBuilder::new());
    rows.iter().for_each(|_| bases.append_null());
    let columns = vec![
        plain(|row| &row.object_id),
        plain(|row| &row.object_type),
        optional(|row| &row.location),
        optional(|row| &row.metadata),
        Arc::new(bases.finish()),
        plain(|row| &row.table_key),
        number(|row| row.table_version),
        optional(|row| &row.table_branch),
        number(|row| row.row_count),
    ];
    RecordBatch::try_new(manifest_schema(), columns).unwrap()
}

/// One commit of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    pub branch: Option<String>,
    pub manifest_version: u64,
    pub parent: Option<String>,
    pub merged_parent: Option<String>,
    pub actor: Option<String>,
    pub created_at: i64,
}

/// Columns of `_graph_commits.lance`.
pub fn commits_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("graph_commit_id", false),
        text("manifest_branch", true),
        Field::new("manifest_version", DataType::UInt64, false),
        text("parent_commit_id", true),
        text("merged_parent_commit_id", true),
        micros("created_at"),
    ]))
}

pub fn commit_batch(commit: &Commit) -> RecordBatch {
    let optional = |value: &Option<String>| Arc::new(StringArray::from(vec![value.clone()]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![commit.id.clone()])),
        optional(&commit.branch),
        Arc::new(UInt64Array::from(vec![commit.manifest_version])),
        optional(&commit.parent),
        optional(&commit.merged_parent),
        Arc::new(TimestampMicrosecondArray::from(vec![commit.created_at])),
    ];
    RecordBatch::try_new(commits_schema(), columns).unwrap()
}

/// Columns of `_graph_commit_actors.lance`.
pub fn actors_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("graph_commit_id", false), text("actor_id", false), micros("created_at")]))
}

pub fn actor_batch(commit: &Commit, actor: &str) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![commit.id.clone()])),
        Arc::new(StringArray::from(vec![actor.to_owned()])),
        Arc::new(TimestampMicrosecondArray::from(vec![commit.created_at])),
    ];
    RecordBatch::try_new(actors_schema(), columns).unwrap()
}

/// Columns of a table beyond its id: `name` and `age` of nodes, `src` and `dst` of edges.
pub fn table_schema(table: &str) -> SchemaRef {
    let rest = match table.starts_with("edge:") {
        true => vec![text("src", false), text("dst", false)],
        false => vec![text("name", true), Field::new("age", DataType::Int32, true)],
    };
    Arc::new(Schema::new([vec![text("id", false)], rest].concat()))
}

/// Rows with these ids; the other columns follow from the id and `age`.
pub fn table_batch(table: &str, ids: &[&str], age: i32) -> RecordBatch {
    let texts = |prefix: &str| -> ArrayRef {
        Arc::new(ids.iter().map(|id| Some(format!("{prefix}{id}"))).collect::<StringArray>())
    };
    let columns = match table.starts_with("edge:") {
        true => vec![texts(""), texts("from "), texts("to ")],
        false => vec![texts(""), texts("name of "), Arc::new(Int32Array::from(vec![age; ids.len()]))],
    };
    RecordBatch::try_new(table_schema(table), columns).unwrap()
}

/// The same rows with one more column of text.
pub fn with_column(batch: &RecordBatch, name: &str) -> RecordBatch {
    let mut fields = batch.schema().fields().to_vec();
    fields.push(Arc::new(text(name, true)));
    let mut columns = batch.columns().to_vec();
    let values = (0..batch.num_rows()).map(|row| Some(format!("{name} {row}")));
    columns.push(Arc::new(values.collect::<StringArray>()));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A text column by name; null is `None`.
pub fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    use arrow::array::AsArray;
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    (0..batch.num_rows()).map(|row| column.is_valid(row).then(|| column.value(row).to_owned())).collect()
}

/// A number column by name; null is `None`.
pub fn numbers(batch: &RecordBatch, name: &str) -> Vec<Option<u64>> {
    use arrow::array::AsArray;
    let column = batch.column_by_name(name).unwrap().as_primitive::<arrow::datatypes::UInt64Type>();
    (0..batch.num_rows()).map(|row| column.is_valid(row).then(|| column.value(row))).collect()
}

/// A time column by name.
pub fn times(batch: &RecordBatch, name: &str) -> Vec<i64> {
    use arrow::array::AsArray;
    let column =
        batch.column_by_name(name).unwrap().as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    column.values().to_vec()
}

/// Every row as one line of text, sorted.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("-");
    let cells: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let line =
        |row: usize| cells.iter().map(|cell| cell.value(row).to_string()).collect::<Vec<_>>().join("|");
    let mut lines: Vec<_> = (0..batch.num_rows()).map(line).collect();
    lines.sort();
    lines
}
