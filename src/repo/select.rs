//! Rows of one version of a table, each with the place where it lies.

use super::expressions::Filter;
use super::rows::row_addresses;
use super::tables::Table;
use super::trouble::explain;
use crate::error::{Error, Kind, Result};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col};
use futures::TryStreamExt;
use lance::dataset::scanner::Scanner;
use lance_table::format::Fragment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Key values that are looked up one by one; of more, every row's key is read.
const MOST_LOOKED_UP: usize = 1000;

/// Rows and their addresses: fragment in the upper half, offset in it in the lower.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The rows.
    pub rows: RecordBatch,
    /// Where each lies.
    pub addresses: Vec<u64>,
}

impl Table {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::from(self.dataset().schema()))
    }

    /// The columns by which a row is known, in their order; none for a table whose rows have no key.
    pub fn key_columns(&self) -> Vec<String> {
        self.dataset().schema().unenforced_primary_key().iter().map(|field| field.name.clone()).collect()
    }

    /// A handle for readers: it shows this version, and commits nothing.
    pub fn reader(&self) -> lance::Dataset {
        (**self.dataset()).clone()
    }

    /// The rows that are meant, or all, with all columns.
    pub async fn select(&self, filter: Option<&Filter>) -> Result<Vec<Selected>> {
        let mut scan = self.dataset().scan();
        let Some(filter) = filter else { return self.collect(scan).await };
        scan.filter_expr(filter.expression().clone());
        self.collect(scan).await.map_err(|error| match error.kind() {
            // What Lance calls an error of its own: it has read the rows, and the filter cannot be told of one.
            Kind::Internal if error.to_string().contains("filter expression") => {
                Error::invalid(format!("filter {:?} fails on a row: {error}", filter.text()))
            }
            _ => error,
        })
    }

    /// The rows of these fragments, with all columns.
    pub async fn select_fragments(&self, ids: &[u64]) -> Result<Vec<Selected>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = self.dataset().fragments().iter().filter(|fragment| ids.contains(&fragment.id));
        let mut scan = self.dataset().scan();
        scan.with_fragments(wanted.cloned().collect());
        self.collect(scan).await
    }

    /// The given columns of every row.
    pub async fn select_columns(&self, columns: &[String]) -> Result<Vec<Selected>> {
        let mut scan = self.dataset().scan();
        scan.project(columns).map_err(|error| self.failed(error))?;
        self.collect(scan).await
    }

    /// What each fragment holds, told by the names of its files: rows never change inside a file, so what holds the same files holds
    /// the same rows. A fork names the files of the line that it was made from as that line does.
    pub fn fragment_files(&self) -> BTreeMap<u64, String> {
        let files = |fragment: &Fragment| {
            let data: Vec<&str> = fragment.files.iter().map(|file| file.path.as_str()).collect();
            let deletions = fragment.deletion_file.as_ref().map(|file| (file.read_version, file.id));
            format!("{data:?} {deletions:?}")
        };
        self.dataset().fragments().iter().map(|fragment| (fragment.id, files(fragment))).collect()
    }

    /// The given columns of every row whose first of them holds one of these values, and perhaps of others.
    pub async fn select_by(&self, columns: &[String], values: &[ArrayRef]) -> Result<Vec<Selected>> {
        let failed = |error| self.failed(error);
        let mut scan = self.dataset().scan();
        scan.project(columns).map_err(failed)?;
        let many = values.iter().map(|array| array.len()).sum::<usize>() > MOST_LOOKED_UP;
        if let Some(first) = columns.first().filter(|_| !many) {
            let mut listed = Vec::new();
            for array in values {
                for row in 0..array.len() {
                    let value = ScalarValue::try_from_array(array, row);
                    listed
                        .push(Expr::Literal(value.map_err(|error| Error::invalid(error.to_string()))?, None));
                }
            }
            scan.filter_expr(col(format!("\"{first}\"")).in_list(listed, false));
        }
        self.collect(scan).await
    }

    async fn collect(&self, mut scan: Scanner) -> Result<Vec<Selected>> {
        let failed = |error| self.failed(error);
        scan.with_row_address();
        let mut found = Vec::new();
        let mut batches = scan.try_into_stream().await.map_err(failed)?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let addresses = row_addresses(&batch)?;
            let columns: Vec<usize> = (0..batch.num_columns())
                .filter(|index| batch.schema_ref().field(*index).name() != "_rowaddr")
                .collect();
            let rows = batch.project(&columns);
            let rows = rows.map_err(|error| Error::internal("a batch loses a column").caused_by(error))?;
            found.push(Selected { rows, addresses });
        }
        Ok(found)
    }

    fn failed(&self, error: lance::Error) -> Error {
        explain(error, format_args!("cannot read {} at version {}", self.key, self.head()))
    }
}
