//! What a transaction will do to one table: rows of the shown version that go, rows that come, and what is read of both meanwhile.
//!
//! Every operation is applied at once, to rows in memory; what is left in the end is one change, however many there were.

use super::error::{Error, Result};
use super::keys::{Keyed, kept_rows, key_text, without};
use crate::error::Kind;
use crate::model::TableKey;
use crate::model::Version;
use crate::model::manifest::Entry;
use crate::repo::expressions::{Assignments, Filter};
use crate::repo::select::Selected;
use crate::repo::staged::RowChange;
use crate::repo::tables::Table;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::not;
use arrow::datatypes::SchemaRef;
use arrow::row::OwnedRow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// One table of a transaction.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// The version that it is based on.
    base: Table,
    /// What the branch shows of the table there.
    entry: Entry,
    schema: SchemaRef,
    key: Vec<String>,
    hidden: BTreeMap<u64, BTreeSet<u32>>,
    added: Vec<RecordBatch>,
    replaces_all: bool,
    /// What was done, as long as it may be done again on a later version: appends and upserts only.
    repeatable: Option<Vec<Repeatable>>,
}

#[derive(Debug, Clone)]
enum Repeatable {
    Append(RecordBatch),
    Upsert(RecordBatch),
}

impl Draft {
    /// Nothing is changed yet.
    pub(super) fn new(base: Table, entry: Entry) -> Self {
        let (schema, key) = (base.schema(), base.key_columns());
        Self {
            base,
            entry,
            schema,
            key,
            hidden: BTreeMap::new(),
            added: Vec::new(),
            replaces_all: false,
            repeatable: Some(Vec::new()),
        }
    }

    pub(super) fn table(&self) -> &TableKey {
        &self.base.key
    }

    pub(super) fn base(&self) -> &Table {
        &self.base
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    pub(super) fn expected(&self) -> Version {
        self.entry.version
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether it may be based on a later version: what it does depends on nothing that it has read.
    pub(super) fn is_repeatable(&self) -> bool {
        self.repeatable.is_some()
    }

    pub(super) fn replaces_all(&self) -> bool {
        self.replaces_all
    }

    /// Whether no row goes and no row comes. To replace all of an empty table with nothing is to change nothing.
    pub(super) fn is_empty(&self) -> bool {
        let comes = self.added.iter().any(|rows| rows.num_rows() > 0);
        let goes = match self.replaces_all {
            true => self.entry.row_count > 0,
            false => self.hidden.values().any(|offsets| !offsets.is_empty()),
        };
        !comes && !goes
    }

    /// Bytes that it holds in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.added.iter().map(|rows| rows.get_array_memory_size() as u64).sum()
    }

    pub(super) fn append(&mut self, rows: RecordBatch) -> Result<()> {
        let rows = self.fitting(rows)?;
        self.note(|| Repeatable::Append(rows.clone()));
        self.added.push(rows);
        Ok(())
    }

    /// Rows whose key is there take its place, others come.
    pub(super) async fn upsert(&mut self, rows: RecordBatch) -> Result<()> {
        let rows = self.fitting(rows)?;
        let keyed = self.keyed()?;
        let keys = self.unique(&keyed, &rows)?;
        let replaced = self.of_keys(&keyed, &rows, &keys).await?;
        self.replace(replaced);
        self.note(|| Repeatable::Upsert(rows.clone()));
        self.added.push(rows);
        Ok(())
    }

    /// All rows go, these come.
    pub(super) fn overwrite(&mut self, rows: RecordBatch) -> Result<()> {
        let rows = self.fitting(rows)?;
        self.repeatable = None;
        (self.replaces_all, self.hidden, self.added) = (true, BTreeMap::new(), vec![rows]);
        Ok(())
    }

    /// The rows that are meant go. How many.
    pub(super) async fn delete(&mut self, filter: &str) -> Result<u64> {
        let filter = Filter::parse(&self.schema, filter)?;
        let meant = self.meant(&filter).await?;
        let count = meant.count();
        self.repeatable = None;
        self.replace(meant);
        Ok(count)
    }

    /// The rows that are meant get new values; where that are the values that they have, nothing is changed. How many are meant.
    pub(super) async fn update(&mut self, filter: &str, assignments: &[(&str, &str)]) -> Result<u64> {
        let table = self.table();
        if let Some((column, _)) =
            assignments.iter().find(|(column, _)| self.key.iter().any(|key| key == column))
        {
            let why = "belongs to the key, by which a row is known: delete the row and append another";
            return Err(Error::invalid(format!("column {column} of {table} {why}")));
        }
        let filter = Filter::parse(&self.schema, filter)?;
        let assignments = Assignments::parse(&self.schema, assignments)?;
        let meant = self.meant(&filter).await?;
        let count = meant.count();
        let updated = meant.rows.iter().map(|rows| assignments.apply(rows)).collect::<Result<Vec<_>, _>>()?;
        self.repeatable = None;
        if updated != meant.rows {
            self.replace(meant);
            self.added.extend(updated);
        }
        Ok(count)
    }

    /// Rows with these keys go, and these come: what a merge has worked out of the base.
    pub(super) async fn replace_keys(&mut self, keys: Vec<OwnedRow>, rows: Vec<RecordBatch>) -> Result<()> {
        self.repeatable = None;
        let keys: HashSet<OwnedRow> = keys.into_iter().collect();
        if !keys.is_empty() {
            // Every key is read: those that are meant are known by what they compare as only.
            let found = self.base.select_columns(&self.key).await?;
            self.with_keys(found, &keys)?.into_iter().for_each(|address| self.hide(address));
        }
        self.add(rows)
    }

    /// Rows that a merge adds.
    pub(super) fn add(&mut self, rows: Vec<RecordBatch>) -> Result<()> {
        self.repeatable = None;
        for rows in rows {
            let rows = self.fitting(rows)?;
            self.added.push(rows);
        }
        Ok(())
    }

    /// A row of the base that a merge takes away.
    pub(super) fn take_away(&mut self, address: u64) {
        self.repeatable = None;
        self.hide(address);
    }

    /// The rows as they would be shown: those of the base that stay, then those that come.
    pub(super) async fn rows(&self, filter: Option<&str>) -> Result<Vec<RecordBatch>> {
        let filter = filter.map(|filter| Filter::parse(&self.schema, filter)).transpose()?;
        let mut rows = Vec::new();
        for Selected { rows: found, addresses } in self.of_base(filter.as_ref()).await? {
            rows.push(kept_rows(&found, &self.still_there(&addresses))?);
        }
        for added in &self.added {
            rows.push(match &filter {
                Some(filter) => kept_rows(added, &filter.mask(added)?)?,
                None => added.clone(),
            });
        }
        rows.retain(|rows| rows.num_rows() > 0);
        Ok(rows)
    }

    /// The same work on a later version.
    pub(super) async fn based_on(&self, base: Table, entry: Entry) -> Result<Self> {
        let Some(repeatable) = &self.repeatable else {
            return Err(
                crate::Error::internal("what depends on a version was to be repeated on another").into()
            );
        };
        let mut anew = Self::new(base, entry);
        if anew.schema != self.schema {
            return Err(Error::invalid(format!("the columns of {} have changed meanwhile", self.table())));
        }
        for done in repeatable.clone() {
            match done {
                Repeatable::Append(rows) => anew.append(rows)?,
                Repeatable::Upsert(rows) => anew.upsert(rows).await?,
            }
        }
        Ok(anew)
    }

    /// The same change of another version that has the same rows in the same places.
    pub(super) fn stand_on(&mut self, base: Table, entry: Entry) {
        (self.base, self.entry) = (base, entry);
    }

    /// As one change of its base.
    pub(super) fn change(&self) -> RowChange {
        let hidden =
            self.hidden.iter().map(|(fragment, offsets)| (*fragment, offsets.iter().copied().collect()));
        RowChange { hidden: hidden.collect(), added: self.added.clone(), replaces_all: self.replaces_all }
    }

    /// Rows in the table's own schema: a batch of another is refused, however its columns are marked.
    fn fitting(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let table = self.table();
        let (given, wanted) = (rows.schema(), &self.schema);
        let columns = |schema: &SchemaRef| {
            let one = |field: &arrow::datatypes::FieldRef| format!("{} {}", field.name(), field.data_type());
            schema.fields().iter().map(one).collect::<Vec<_>>().join(", ")
        };
        if columns(&given) != columns(wanted) {
            return Err(Error::invalid(format!(
                "{table} has the columns ({}), the batch has ({})",
                columns(wanted),
                columns(&given)
            )));
        }
        RecordBatch::try_new(wanted.clone(), rows.columns().to_vec())
            .map_err(|error| Error::invalid(format!("the batch does not fit {table}: {error}")))
    }

    fn keyed(&self) -> Result<Keyed> {
        if self.key.is_empty() {
            let table = self.table();
            return Err(Error::invalid(format!(
                "{table} was created without a key: its rows cannot be told apart"
            )));
        }
        Keyed::by(&self.schema, &self.key)
    }

    /// The keys of some rows, none of them twice.
    fn unique(&self, keyed: &Keyed, rows: &RecordBatch) -> Result<HashSet<OwnedRow>> {
        let mut keys = HashSet::new();
        for (index, key) in keyed.of(rows)?.into_iter().enumerate() {
            if !keys.insert(key) {
                let (table, known) = (self.table(), key_text(rows, index, &self.key)?.join("/"));
                return Err(Error::invalid(format!(
                    "the rows for {table} hold the key {known} more than once"
                )));
            }
        }
        Ok(keys)
    }

    fn note(&mut self, done: impl FnOnce() -> Repeatable) {
        if let Some(repeatable) = &mut self.repeatable {
            repeatable.push(done());
        }
    }

    /// The rows with these keys, of what would be shown.
    async fn of_keys(&self, keyed: &Keyed, rows: &RecordBatch, keys: &HashSet<OwnedRow>) -> Result<Meant> {
        let kept = self.added.iter().map(|added| without(added, keyed, keys)).collect::<Result<_, _>>()?;
        let mut meant = Meant { kept, ..Meant::default() };
        if self.replaces_all || self.entry.row_count == 0 {
            return Ok(meant);
        }
        let first = rows.schema().index_of(&self.key[0]);
        let first = first.map_err(|error| Error::invalid(error.to_string()))?;
        let values: Vec<ArrayRef> = vec![rows.column(first).clone()];
        meant.addresses = self.with_keys(self.base.select_by(&self.key, &values).await?, keys)?;
        Ok(meant)
    }

    /// Where the rows with these keys are, of some that were read.
    fn with_keys(&self, found: Vec<Selected>, keys: &HashSet<OwnedRow>) -> Result<Vec<u64>> {
        let mut meant = Vec::new();
        for Selected { rows, addresses } in found {
            let known = Keyed::by(&rows.schema(), &self.key)?.of(&rows)?.into_iter().zip(addresses);
            meant.extend(known.filter(|(key, _)| keys.contains(key)).map(|(_, address)| address));
        }
        Ok(meant)
    }

    fn hide(&mut self, address: u64) {
        self.hidden.entry(address >> 32).or_default().insert(address as u32);
    }

    /// The rows for which a filter holds, of what would be shown.
    async fn meant(&self, filter: &Filter) -> Result<Meant> {
        let mut meant = Meant::default();
        for Selected { rows, addresses } in self.of_base(Some(filter)).await? {
            meant.rows.push(kept_rows(&rows, &self.still_there(&addresses))?);
            meant.addresses.extend(addresses);
        }
        for added in &self.added {
            let mask = filter.mask(added)?;
            meant.rows.push(kept_rows(added, &mask)?);
            let kept = not(&mask).map_err(|error| Error::invalid(error.to_string()))?;
            meant.kept.push(kept_rows(added, &kept)?);
        }
        Ok(meant)
    }

    /// Takes rows out of what would be shown. It cannot fail: an operation is done as a whole, or nothing of it.
    fn replace(&mut self, meant: Meant) {
        meant.addresses.into_iter().for_each(|address| self.hide(address));
        self.added = meant.kept;
    }

    async fn of_base(&self, filter: Option<&Filter>) -> Result<Vec<Selected>> {
        if self.replaces_all {
            return Ok(Vec::new());
        }
        match (self.base.select(filter).await, filter) {
            // It may have failed on a row that is not shown any more.
            (Err(error), Some(filter)) if error.kind() == Kind::Invalid && !self.hidden.is_empty() => {
                let mut found = Vec::new();
                for selected in self.base.select(None).await? {
                    let selected = self.in_our_schema(selected)?;
                    let shown = self.still_there(&selected.addresses);
                    let selected = picked(selected, &shown)?;
                    let mask = filter.mask(&selected.rows)?;
                    found.push(picked(selected, &mask)?);
                }
                Ok(found)
            }
            (selected, _) => selected?.into_iter().map(|selected| self.in_our_schema(selected)).collect(),
        }
    }

    fn in_our_schema(&self, selected: Selected) -> Result<Selected> {
        let rows = RecordBatch::try_new(self.schema.clone(), selected.rows.columns().to_vec());
        let rows = rows.map_err(|error| {
            crate::Error::corrupt(format!("{} has rows of another schema", self.table())).caused_by(error)
        })?;
        Ok(Selected { rows, ..selected })
    }

    fn still_there(&self, addresses: &[u64]) -> BooleanArray {
        let hidden = |address: &u64| {
            self.hidden.get(&(address >> 32)).is_some_and(|offsets| offsets.contains(&(*address as u32)))
        };
        addresses.iter().map(|address| Some(!hidden(address))).collect()
    }
}

/// Those rows for which `kept` is true.
fn picked(Selected { rows, addresses }: Selected, kept: &BooleanArray) -> Result<Selected> {
    let addresses = addresses.into_iter().zip(kept).filter(|(_, kept)| *kept == Some(true));
    Ok(Selected { rows: kept_rows(&rows, kept)?, addresses: addresses.map(|(address, _)| address).collect() })
}

/// Rows that an operation is about.
#[derive(Debug, Default)]
struct Meant {
    /// What they hold.
    rows: Vec<RecordBatch>,
    /// Those of the base.
    addresses: Vec<u64>,
    /// What stays of the rows that were added.
    kept: Vec<RecordBatch>,
}

impl Meant {
    fn count(&self) -> u64 {
        self.rows.iter().map(|rows| rows.num_rows() as u64).sum()
    }
}
