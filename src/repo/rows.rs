//! Arrow in and out: manifest rows and history rows as record batches.

use crate::error::{Error, Result};
use crate::model::manifest::{GraphCommit, ManifestRow};
use crate::model::{Branch, Version};
use arrow::array::{
    Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType, UInt64Type};
use std::collections::HashMap;
use std::sync::Arc;

/// Columns of `__manifest` in stored order; `base_objects` is always null.
pub(super) const MANIFEST_COLUMNS: [&str; 8] = [
    "object_id",
    "object_type",
    "location",
    "metadata",
    "table_key",
    "table_version",
    "table_branch",
    "row_count",
];

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::corrupt(format!("column {name} is missing")))
}

/// A text column as optional strings.
fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    let wrong = || Error::corrupt(format!("column {name} is not text"));
    column(batch, name)?.as_string_opt::<i32>().ok_or_else(wrong)
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a UInt64Array> {
    let wrong = || Error::corrupt(format!("column {name} does not hold unsigned 64-bit numbers"));
    column(batch, name)?.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)
}

fn text(array: &StringArray, row: usize) -> Option<String> {
    array.is_valid(row).then(|| array.value(row).to_owned())
}

fn number(array: &UInt64Array, row: usize) -> Option<u64> {
    array.is_valid(row).then(|| array.value(row))
}

/// Reads a batch that has [`MANIFEST_COLUMNS`].
pub(super) fn manifest_rows(batch: &RecordBatch) -> Result<Vec<ManifestRow>> {
    let [id, kind, location, metadata, key, branch] =
        ["object_id", "object_type", "location", "metadata", "table_key", "table_branch"]
            .map(|name| texts(batch, name));
    let (id, kind, location, metadata, key, branch) = (id?, kind?, location?, metadata?, key?, branch?);
    let (version, rows) = (numbers(batch, "table_version")?, numbers(batch, "row_count")?);
    Ok((0..batch.num_rows())
        .map(|row| ManifestRow {
            object_id: id.value(row).to_owned(),
            object_type: kind.value(row).to_owned(),
            location: text(location, row),
            metadata: text(metadata, row),
            table_key: text(key, row).unwrap_or_default(),
            table_version: number(version, row),
            table_branch: text(branch, row),
            row_count: number(rows, row),
        })
        .collect())
}

/// Where each row of a batch lies: fragment in the upper half, offset in it in the lower.
pub(super) fn row_addresses(batch: &RecordBatch) -> Result<Vec<u64>> {
    Ok(numbers(batch, "_rowaddr")?.values().to_vec())
}

/// The schema of a new manifest: the nine columns, the key by which publishes collide row by row, and the stamps.
pub(super) fn manifest_schema(stamps: impl IntoIterator<Item = (String, String)>) -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str| Field::new(name, DataType::UInt64, true);
    let columns = vec![
        text("object_id", false).with_metadata(primary_key(0, 1)),
        text("object_type", false),
        text("location", true),
        text("metadata", true),
        Field::new("base_objects", DataType::new_list(DataType::Utf8, true), true),
        text("table_key", false),
        number("table_version"),
        text("table_branch", true),
        number("row_count"),
    ];
    Arc::new(Schema::new_with_metadata(columns, stamps.into_iter().collect()))
}

/// Lance's marks on a field of a primary key: the `nth` of so many.
pub(super) fn primary_key(nth: usize, of: usize) -> HashMap<String, String> {
    let mut marks = HashMap::from([("lance-schema:unenforced-primary-key".to_owned(), "true".to_owned())]);
    if of > 1 {
        // Counted from 1.
        marks.insert("lance-schema:unenforced-primary-key:position".to_owned(), (nth + 1).to_string());
    }
    marks
}

/// A batch with all columns of the manifest's own schema, to merge.
pub(super) fn manifest_batch(schema: SchemaRef, rows: &[ManifestRow]) -> Result<RecordBatch> {
    let plain = |value: fn(&ManifestRow) -> &str| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
    };
    let optional = |value: fn(&ManifestRow) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let count = |value: fn(&ManifestRow) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<UInt64Array>())
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            Ok(match field.name().as_str() {
                "object_id" => plain(|row| &row.object_id),
                "object_type" => plain(|row| &row.object_type),
                "table_key" => plain(|row| &row.table_key),
                "location" => optional(|row| row.location.as_deref()),
                "metadata" => optional(|row| row.metadata.as_deref()),
                "table_branch" => optional(|row| row.table_branch.as_deref()),
                "table_version" => count(|row| row.table_version),
                "row_count" => count(|row| row.row_count),
                "base_objects" => no_base_objects(rows.len()),
                other => return Err(Error::refused(format!("__manifest has the unknown column {other:?}"))),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema, columns)
        .map_err(|error| Error::refused("__manifest has another schema than its stamp says").caused_by(error))
}

fn no_base_objects(rows: usize) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    (0..rows).for_each(|_| lists.append_null());
    Arc::new(lists.finish())
}

/// Columns of `_graph_commits.lance`.
pub(super) const COMMIT_COLUMNS: [&str; 6] = [
    "graph_commit_id",
    "manifest_branch",
    "manifest_version",
    "parent_commit_id",
    "merged_parent_commit_id",
    "created_at",
];

/// Microseconds of a timestamp column.
pub(super) fn micros<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a TimestampMicrosecondArray> {
    let wrong = || Error::corrupt(format!("column {name} does not hold microseconds"));
    column(batch, name)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)
}

/// A text column as owned values; null is `None`.
pub(super) fn text_column(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let array = texts(batch, name)?;
    Ok((0..batch.num_rows()).map(|row| text(array, row)).collect())
}

/// Reads a batch that has [`COMMIT_COLUMNS`].
pub(super) fn commit_rows(batch: &RecordBatch) -> Result<Vec<GraphCommit>> {
    let (id, branch) = (texts(batch, "graph_commit_id")?, texts(batch, "manifest_branch")?);
    let (parent, merged) = (texts(batch, "parent_commit_id")?, texts(batch, "merged_parent_commit_id")?);
    let (version, created) = (numbers(batch, "manifest_version")?, micros(batch, "created_at")?);
    let one = |row: usize| {
        let named = text(branch, row);
        Ok(GraphCommit {
            id: id.value(row).to_owned(),
            branch: Branch::parse(named.as_deref()).map_err(|bad| Error::corrupt(bad.to_string()))?,
            manifest_version: Version(version.value(row)),
            parent: text(parent, row),
            merged_parent: text(merged, row),
            created_at: created.value(row),
            actor: None,
        })
    };
    (0..batch.num_rows()).map(one).collect()
}

/// One row as a batch of a dataset's own schema: text, number and time columns by name, anything else null.
pub(super) enum Cell {
    /// Text or null.
    Text(Option<String>),
    /// A number.
    Number(u64),
    /// Microseconds since the epoch.
    Micros(i64),
}

/// A batch of one row in the order of `schema`; a column without a cell must be nullable.
pub(super) fn one_row(schema: SchemaRef, cells: &[(&str, Cell)]) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match cells.iter().find(|(name, _)| name == field.name()).map(|(_, cell)| cell) {
                Some(Cell::Text(value)) => Arc::new(StringArray::from(vec![value.clone()])),
                Some(Cell::Number(value)) => Arc::new(UInt64Array::from(vec![*value])),
                Some(Cell::Micros(value)) => Arc::new(TimestampMicrosecondArray::from(vec![*value])),
                None => arrow::array::new_null_array(field.data_type(), 1),
            }
        })
        .collect();
    RecordBatch::try_new(schema, columns)
        .map_err(|error| Error::corrupt("a history dataset has an unknown schema").caused_by(error))
}
