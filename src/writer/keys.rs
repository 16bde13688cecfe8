//! Rows by their keys: which of some rows have a key that others have.

use super::error::{Error, Result};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use std::collections::HashSet;

/// Compares rows by some of their columns. Null equals null.
#[derive(Debug)]
pub(super) struct Keyed {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Keyed {
    /// By these columns of a schema.
    pub(super) fn by(schema: &SchemaRef, columns: &[String]) -> Result<Self> {
        let mut indices = Vec::new();
        let mut fields = Vec::new();
        for column in columns {
            let index = schema.index_of(column);
            let index = index.map_err(|_| Error::invalid(format!("there is no column {column}")))?;
            indices.push(index);
            fields.push(SortField::new(schema.field(index).data_type().clone()));
        }
        let converter = RowConverter::new(fields)
            .map_err(|error| Error::invalid(format!("rows cannot be told apart by {columns:?}: {error}")))?;
        Ok(Self { columns: indices, converter })
    }

    /// The key of each row.
    pub(super) fn of(&self, rows: &RecordBatch) -> Result<Vec<OwnedRow>> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|index| rows.column(*index).clone()).collect();
        let keys = self.converter.convert_columns(&columns);
        let keys = keys.map_err(|error| Error::invalid(format!("keys cannot be read: {error}")))?;
        Ok(keys.iter().map(|key| key.owned()).collect())
    }
}

/// The key of a row as text, column by column.
pub(super) fn key_text(rows: &RecordBatch, index: usize, key: &[String]) -> Result<Vec<String>> {
    let column = |name: &String| -> Result<String> {
        let column: Option<&ArrayRef> = rows.column_by_name(name);
        let column = column.ok_or_else(|| crate::Error::internal(format!("no column {name}")))?;
        array_value_to_string(column, index).map_err(|error| Error::invalid(error.to_string()))
    };
    key.iter().map(column).collect()
}

/// The rows that have none of these keys.
pub(super) fn without(rows: &RecordBatch, keyed: &Keyed, keys: &HashSet<OwnedRow>) -> Result<RecordBatch> {
    let kept: BooleanArray = keyed.of(rows)?.iter().map(|key| Some(!keys.contains(key))).collect();
    kept_rows(rows, &kept)
}

/// The rows for which `kept` is true.
pub(super) fn kept_rows(rows: &RecordBatch, kept: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(rows, kept)
        .map_err(|error| Error::Other(crate::Error::internal("rows cannot be sorted out").caused_by(error)))
}
