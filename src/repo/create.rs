//! Native repositories and their tables, made from nothing.
//!
//! The manifest is the authority, so it comes last: datasets without a manifest that names them are nobody's, and whoever creates
//! the same table again takes them over.

use super::Repository;
use super::dataset::{Handle, OPERATION_PROPERTY, entry_of, open};
use super::dialect::{NATIVE_FORMAT, NATIVE_STAMP_KEY, REFUSED_BY_ENGINES, STAMP_KEY};
use super::publish::Published;
use super::rows::{manifest_batch, manifest_schema, primary_key};
use super::snapshot::{MANIFEST, Snapshot};
use super::trouble::{explain, said};
use crate::error::{Error, Kind, Result};
use crate::model::manifest::{CommitIntent, Entry, ManifestState, Publish};
use crate::model::table_path::{is_native_name, table_path};
use crate::model::{Branch, TableKey, Version};
use crate::store::{Key, Store};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lance::Dataset;
use lance::dataset::{InsertBuilder, WriteMode, WriteParams};
use lance_core::is_system_column;
use lance_file::version::LanceFileVersion;
use std::collections::HashMap;
use std::sync::Arc;

/// The version of the data files of native repositories.
pub(super) const FILE_VERSION: LanceFileVersion = LanceFileVersion::V2_2;

/// A table to be made.
///
/// ```
/// use outrigger::arrow::datatypes::{DataType, Field, Schema};
/// use outrigger::writer::NewTable;
///
/// let columns = vec![Field::new("id", DataType::Utf8, false), Field::new("total", DataType::Int64, true)];
/// let orders = NewTable { name: "orders".into(), schema: Schema::new(columns).into(), key: vec!["id".into()] };
/// # assert_eq!(orders.key.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// Its name: `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// The columns by which a row is known, none of them nullable; empty for a table whose rows have no key.
    pub key: Vec<String>,
}

impl NewTable {
    fn table(&self) -> Result<TableKey> {
        let rule = "begins with a small letter, goes on with small letters, digits and _, and has at most 63 characters";
        match TableKey::parse(&self.name) {
            Ok(key) if is_native_name(&self.name) => Ok(key),
            _ => Err(Error::invalid(format!("{:?} is no name of a table: a name {rule}", self.name))),
        }
    }

    /// The columns with the marks of the key on them.
    fn marked_schema(&self) -> Result<SchemaRef> {
        let Self { name, schema, key } = self;
        let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        for (nth, column) in key.iter().enumerate() {
            if key[..nth].contains(column) {
                return Err(Error::invalid(format!("the key of table {name} names column {column} twice")));
            }
            let field = fields.iter_mut().find(|field| field.name() == column);
            let field = field
                .ok_or_else(|| Error::invalid(format!("table {name} has no column {column} for its key")))?;
            if field.is_nullable() {
                return Err(Error::invalid(format!(
                    "column {column} of the key of table {name} is nullable"
                )));
            }
            if !tells_rows_apart(field.data_type()) {
                return Err(Error::invalid(format!(
                    "column {column} of the key of table {name} is {}: a key is of text, bytes, whole or decimal numbers, true and false, dates and times",
                    field.data_type()
                )));
            }
            let mut marks = field.metadata().clone();
            marks.extend(primary_key(nth, key.len()));
            field.set_metadata(marks);
        }
        if fields.is_empty() {
            return Err(Error::invalid(format!("table {name} has no columns")));
        }
        for (nth, field) in fields.iter().enumerate() {
            let column = field.name();
            let why = match () {
                () if fields[..nth].iter().any(|other| other.name() == column) => "is there twice",
                () if is_system_column(column) => "has a name that Lance keeps for itself",
                () if column.is_empty() => "has no name",
                () if column.contains(['"', '`']) => "has a quotation mark in its name",
                () => continue,
            };
            return Err(Error::invalid(format!("column {column:?} of table {name} {why}")));
        }
        let marked = Schema::new_with_metadata(fields, schema.metadata().clone());
        as_lance_reads_it(name, &marked)?;
        Ok(Arc::new(marked))
    }
}

impl Repository {
    /// Creates a native repository with these tables, empty.
    ///
    /// *Dies before the manifest*: datasets that nobody names; the next creation takes them over. *Answer lost*: what is there
    /// is read, and the first commit tells whose it is. *Two creators*: one manifest exists, the other is told so.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if something lies there already, or a table is not as it must be.
    pub async fn create(store: Store, tables: &[NewTable], first: CommitIntent) -> Result<Self> {
        let at = store.uri().to_string();
        if Snapshot::read(&store, &store.session(), &Branch::main()).await?.is_some() {
            return Err(Error::invalid(format!("{at} is a repository already")));
        }
        let foreign =
            |key: &&Key| super::OF_A_GRAPH.contains(&key.file_name()) || key.file_name().ends_with(".lance");
        if let Some(other) = store.list_dir(None).await?.prefixes.iter().find(foreign) {
            return Err(Error::invalid(format!(
                "{at} holds {other}, which is no part of a native repository: choose another place"
            )));
        }
        let mut publish = Publish { commits: vec![first.clone()], ..Publish::default() };
        for new in tables {
            let (location, entry) = made(&store, new, &first.id).await?;
            publish.add(&new.table()?, location, entry, Version::ABSENT);
        }
        let rows = ManifestState::default().rows_for(&publish, &Branch::main(), Version::ABSENT, true);
        let rows = rows.map_err(|refusal| Error::invalid(format!("cannot create {at}: {refusal}")))?;
        let stamps = [(NATIVE_STAMP_KEY, NATIVE_FORMAT), (STAMP_KEY, REFUSED_BY_ENGINES)];
        let schema = manifest_schema(stamps.map(|(key, stamp)| (key.to_owned(), stamp.to_string())));
        let manifest = Key::parse(MANIFEST).map_err(|bad| Error::internal(bad.to_string()))?;
        let written = write_first(&store, &manifest, manifest_batch(schema, &rows)?, &first.id).await;
        let repo = match written {
            Ok(_) => Self::open(store).await?,
            // It may be there all the same, or another creator's may.
            Err(error) => {
                Self::open(store).await.map_err(|_| explain(error, format_args!("cannot create {at}")))?
            }
        };
        let main = repo.snapshot(&Branch::main()).await?;
        match main.is_some_and(|main| main.state.commit(&first.id).is_some()) {
            true => Ok(repo),
            false => Err(Error::invalid(format!("{at} is a repository already"))),
        }
    }

    /// Adds an empty table to the main line.
    ///
    /// *Dies before the publish*: a dataset that nobody names, taken over by the next attempt. *Answer lost*: it
    /// is read back. *Two at once*: one registers it, the other is refused.
    pub async fn create_table(&self, new: &NewTable, commit: CommitIntent) -> Result<()> {
        let (table, name) = (new.table()?, &new.name);
        let main = self.snapshot(&Branch::main()).await?;
        let main =
            main.ok_or_else(|| Error::missing(format!("the manifest of {} is gone", self.store.uri())))?;
        let exists = || Error::invalid(format!("table {name} exists already"));
        if main.state.is_registered(&table) {
            return Err(exists());
        }
        let operation = commit.id.clone();
        let (location, entry) = made(&self.store, new, &operation).await?;
        let mut publish = Publish { commits: vec![commit], ..Publish::default() };
        publish.add(&table, location, entry, Version::ABSENT);
        match self.publish(&main, &publish, &operation).await? {
            Published::Committed(_) => Ok(()),
            Published::Refused(_) => Err(exists()),
            Published::Contended(error) => Err(error),
        }
    }
}

/// Makes a table's dataset, and what a manifest says of it.
async fn made(store: &Store, new: &NewTable, operation: &str) -> Result<(String, Entry)> {
    let (table, schema) = (new.table()?, new.marked_schema()?);
    let location = table_path(&table).ok_or_else(|| Error::internal(format!("{table} has no path")))?;
    let key = Key::parse(&location).map_err(|bad| Error::internal(bad.to_string()))?;
    let session = store.session();
    let dataset = match open(store, &session, &key, None).await? {
        Some(left) => left,
        None => {
            let written = write_first(store, &key, RecordBatch::new_empty(schema.clone()), operation).await;
            let found = open(store, &session, &key, None).await?;
            found.ok_or_else(|| match written {
                Ok(_) => Error::moved(format!("{key} was removed as soon as it was created")),
                Err(error) => match explain(error, format_args!("cannot create table {table}")) {
                    // Nothing was read: what Lance does not understand is what it was given.
                    not_for_lance if matches!(not_for_lance.kind(), Kind::Corrupt | Kind::Refused) => {
                        Error::invalid(not_for_lance.to_string())
                    }
                    error => error,
                },
            })?
        }
    };
    Ok((location, first_version(&dataset, &schema, &key).await?))
}

/// What is shown of a dataset that was just made, or that an earlier attempt has left: one version, empty, with these columns and
/// the settings of the format.
async fn first_version(dataset: &Handle, schema: &Schema, key: &Key) -> Result<Entry> {
    let entry = entry_of(dataset, &Branch::main()).await?;
    let is_first = entry.version == Version(1) && entry.row_count == 0;
    let manifest = dataset.manifest();
    let is_of_format = manifest.uses_stable_row_ids()
        && manifest.data_storage_format.lance_file_format().to_selector() == FILE_VERSION;
    if is_first && is_of_format && same_columns(&Schema::from(dataset.schema()), schema) {
        return Ok(entry);
    }
    Err(Error::invalid(format!(
        "{key} holds a dataset that no manifest names and that is not as ours would be (version {}, {} rows): move it away, or choose another name",
        entry.version, entry.row_count
    )))
}

/// Whether what prints the same is the same: not of floating-point numbers, nor of what holds other values.
fn tells_rows_apart(kind: &DataType) -> bool {
    kind.is_integer()
        || kind.is_decimal()
        || matches!(
            kind,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::FixedSizeBinary(_)
                | DataType::Boolean
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
        )
}

/// Refuses columns that are read back as something else than what was asked for.
fn as_lance_reads_it(table: &str, schema: &Schema) -> Result<()> {
    let read = lance_core::datatypes::Schema::try_from(schema);
    let read =
        read.map_err(|error| Error::invalid(format!("cannot create table {table}: {}", said(&error))))?;
    if let Some(field) = read.fields_pre_order().find(|field| field.is_blob() || field.is_blob_v2()) {
        let why = "holds blobs, whose values lie outside of the rows: use LargeBinary without that mark";
        return Err(Error::invalid(format!("column {} of table {table} {why}", field.name)));
    }
    for (asked, read) in schema.fields().iter().zip(Schema::from(&read).fields()) {
        if asked.data_type() != read.data_type() {
            let (column, kind, other) = (asked.name(), asked.data_type(), read.data_type());
            return Err(Error::invalid(format!(
                "column {column} of table {table} is {kind}, which Lance reads back as {other}: use that"
            )));
        }
    }
    Ok(())
}

/// Whether two schemas have the same columns: names, types, nullability and marks, in this order.
fn same_columns(one: &Schema, other: &Schema) -> bool {
    one.fields() == other.fields()
}

/// Makes version 1 of a dataset with the settings of the format; one that is there already is an error.
async fn write_first(
    store: &Store,
    key: &Key,
    batch: RecordBatch,
    operation: &str,
) -> lance::Result<Dataset> {
    let property = HashMap::from([(OPERATION_PROPERTY.to_owned(), operation.to_owned())]);
    let params = WriteParams {
        mode: WriteMode::Create,
        enable_stable_row_ids: true,
        data_storage_version: Some(FILE_VERSION),
        auto_cleanup: None,
        skip_auto_cleanup: true,
        session: Some(store.session()),
        transaction_properties: Some(Arc::new(property)),
        ..WriteParams::default()
    };
    InsertBuilder::new(store.dataset_uri(key).as_str()).with_params(&params).execute(vec![batch]).await
}
