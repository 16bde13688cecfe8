//! What a branch shows, for readers.

use super::error::{Error, Result};
use super::repository::named;
use crate::model::manifest::{Entry, GraphCommit};
use crate::model::{Branch, TableKey, Version};
use crate::repo::expressions::Filter;
use crate::repo::snapshot::MANIFEST;
use crate::repo::tables::Table;
use crate::repo::{self, branches};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::common::ScalarValue;

/// What is to be looked at.
///
/// ```
/// use outrigger::writer::At;
///
/// assert_eq!(At::from("feature"), At::Branch("feature".into()));
/// let yesterday = At::Version { branch: "main".into(), version: 17 };
/// # let _ = yesterday;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The newest state of a branch.
    Branch(String),
    /// A branch as it was at a version of its manifest.
    Version {
        /// The branch.
        branch: String,
        /// The version of its manifest.
        version: u64,
    },
    /// What a commit has shown, by its id.
    Commit(String),
}

impl From<&str> for At {
    fn from(branch: &str) -> Self {
        Self::Branch(branch.to_owned())
    }
}

/// The value of one column of a key, which is cast to the column's type.
///
/// ```
/// use outrigger::writer::KeyPart;
///
/// assert_eq!([KeyPart::from("ann"), KeyPart::from(7)], [KeyPart::Text("ann".into()), KeyPart::Integer(7)]);
/// assert_eq!(KeyPart::from("2026-11-27"), KeyPart::Text("2026-11-27".into()), "a date as well");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// Text; a date, a moment or a decimal number as text.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl From<&str> for KeyPart {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[u8]> for KeyPart {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl From<bool> for KeyPart {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for KeyPart {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for KeyPart {
    fn from(number: i64) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u64> for KeyPart {
    fn from(number: u64) -> Self {
        Self::Integer(number.into())
    }
}

impl KeyPart {
    fn value(&self) -> ScalarValue {
        match self {
            Self::Text(text) => ScalarValue::from(text.as_str()),
            Self::Integer(number) => ScalarValue::Decimal128(Some(*number), 38, 0),
            Self::Boolean(value) => ScalarValue::from(*value),
            Self::Bytes(bytes) => ScalarValue::Binary(Some(bytes.clone())),
        }
    }
}

/// What is shown at one moment: it stays as it is while others commit.
///
/// ```
/// # use outrigger::writer::{balances, example};
/// # example(async |bank| {
/// let now = bank.snapshot("main").await?;
/// assert_eq!(now.tables(), ["accounts", "journal"]);
/// assert_eq!(now.rows("accounts", Some("id = 'ann'")).await?.columns(), balances(&[("ann", 100)]).columns());
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Snapshot {
    repo: repo::Repository,
    snapshot: repo::Snapshot,
}

impl Snapshot {
    pub(super) async fn read(repo: &repo::Repository, at: At) -> Result<Self> {
        let (branch, version) = match at {
            At::Branch(branch) => (named(&branch)?, None),
            At::Version { branch, version } => (named(&branch)?, Some(Version(version))),
            At::Commit(id) => {
                let (commit, on) = commit(repo, &id).await?;
                let gone = || {
                    let branch = &commit.branch;
                    format!(
                        "commit {id} was made on branch {branch}, which is deleted: what it has shown went with it"
                    )
                };
                (on.ok_or_else(|| crate::Error::missing(gone()))?, Some(commit.manifest_version))
            }
        };
        let snapshot = match version {
            None => repo.snapshot(&branch).await?,
            Some(version) => repo.snapshot_at(&branch, version).await?,
        };
        let wanted = || match version {
            None => format!("there is no branch {branch}"),
            Some(version) => {
                format!("branch {branch} has no version {version}: it was never made, or is cleaned up")
            }
        };
        let snapshot = snapshot.ok_or_else(|| crate::Error::missing(wanted()))?;
        Ok(Self { repo: repo.clone(), snapshot })
    }

    /// The version of the branch's manifest: it grows with each commit, by one, by two with a merge that records its history first.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// assert!(snapshot.version() >= 2);
    /// # Ok(())
    /// # });
    /// ```
    pub fn version(&self) -> u64 {
        self.snapshot.version.0
    }

    /// Names of the tables.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// assert_eq!(snapshot.tables(), ["accounts", "journal"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn tables(&self) -> Vec<String> {
        self.snapshot.state.entries().map(|(table, _)| table.to_string()).collect()
    }

    /// The newest commit, if there is one.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// assert_eq!(snapshot.head().map(|commit| commit.manifest_version.0), Some(snapshot.version()));
    /// # Ok(())
    /// # });
    /// ```
    pub fn head(&self) -> Option<&GraphCommit> {
        self.snapshot.state.head()
    }

    /// The version of a table that is shown.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// assert_eq!(snapshot.version_of("accounts")?, 2, "created empty, then filled");
    /// # Ok(())
    /// # });
    /// ```
    pub fn version_of(&self, table: &str) -> Result<u64> {
        Ok(self.entry(table)?.1.version.0)
    }

    /// How many rows of a table are shown. Reads nothing.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// assert_eq!(snapshot.count("accounts")?, 2);
    /// assert!(snapshot.count("orders").is_err(), "there is no such table");
    /// # Ok(())
    /// # });
    /// ```
    pub fn count(&self, table: &str) -> Result<u64> {
        Ok(self.entry(table)?.1.row_count)
    }

    /// The table for readers, at the version that is shown. Whatever is tried on it, it commits nothing.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// let accounts = snapshot.open("accounts").await?;
    /// assert_eq!(accounts.count_rows(Some("balance >= 100".into())).await.unwrap(), 2);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn open(&self, table: &str) -> Result<lance::Dataset> {
        Ok(self.table(table).await?.reader())
    }

    /// Rows of a table: those for which a filter holds, such as `balance > 10`, or all.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// assert_eq!(snapshot.rows("accounts", Some("id = 'ann'")).await?.columns(), balances(&[("ann", 100)]).columns());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn rows(&self, table: &str, filter: Option<&str>) -> Result<RecordBatch> {
        let table = self.table(table).await?;
        let schema = table.schema();
        let filter = filter.map(|filter| Filter::parse(&schema, filter)).transpose()?;
        let found = table.select(filter.as_ref()).await?;
        joined(&schema, found.iter().map(|found| &found.rows))
    }

    /// The row that has a key, given in the order of the key's columns; `None` if there is none. More than one row where rows were
    /// appended whose key was there already: nothing enforces a key but [`Transaction::upsert`](super::Transaction::upsert).
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] if the table has no key, or one of other columns or types.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let snapshot = bank.snapshot("main").await?;
    /// let bob = snapshot.row("accounts", &["bob".into()]).await?.expect("he is there");
    /// assert_eq!(bob.columns(), balances(&[("bob", 100)]).columns());
    /// assert!(snapshot.row("accounts", &["nobody".into()]).await?.is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn row(&self, table: &str, key: &[KeyPart]) -> Result<Option<RecordBatch>> {
        let opened = self.table(table).await?;
        let columns = opened.key_columns();
        if columns.is_empty() || columns.len() != key.len() {
            let known = columns.join(", ");
            return Err(Error::invalid(format!(
                "the key of {table} has the columns ({known}), {} were given",
                key.len()
            )));
        }
        let values: Vec<_> =
            columns.iter().zip(key).map(|(column, part)| (column.as_str(), part.value())).collect();
        let filter = Filter::equal(&opened.schema(), &values)?;
        let found = opened.select(Some(&filter)).await?;
        let rows = joined(&opened.schema(), found.iter().map(|found| &found.rows))?;
        Ok((rows.num_rows() > 0).then_some(rows))
    }

    pub(super) fn inner(&self) -> &repo::Snapshot {
        &self.snapshot
    }

    fn entry(&self, table: &str) -> Result<(TableKey, &Entry)> {
        entry(&self.snapshot, table)
    }

    async fn table(&self, table: &str) -> Result<Table> {
        let (key, entry) = self.entry(table)?;
        open(&self.repo, &key, entry).await
    }
}

/// What a branch shows of a table.
pub(super) fn entry<'s>(snapshot: &'s repo::Snapshot, table: &str) -> Result<(TableKey, &'s Entry)> {
    let key = TableKey::parse(table).map_err(|bad| Error::invalid(bad.to_string()))?;
    match snapshot.state.entry(&key) {
        Some(entry) => Ok((key, entry)),
        None => Err(crate::Error::missing(format!("branch {} has no table {table}", snapshot.branch)).into()),
    }
}

/// The version of a table that an entry shows.
pub(super) async fn open(repo: &repo::Repository, key: &TableKey, entry: &Entry) -> Result<Table> {
    let table = repo.table_at(key, entry).await?;
    let gone =
        || crate::Error::missing(format!("version {} of {key} on {} is gone", entry.version, entry.branch));
    Ok(table.ok_or_else(gone)?)
}

/// A commit, and a branch that has it: its own if it is there still, else one that was made from it; `None` if it was merged from a
/// branch that is gone.
pub(super) async fn commit(repo: &repo::Repository, id: &str) -> Result<(GraphCommit, Option<Branch>)> {
    let listed = branches::list(repo.store(), MANIFEST).await?;
    let mut found = None;
    for branch in branches::public(&listed) {
        let Some(snapshot) = repo.snapshot(&branch).await? else { continue };
        if let Some(commit) = snapshot.state.commit(id) {
            let is_own = commit.branch == branch;
            found = Some((commit.clone(), Some(branch)));
            if is_own {
                break;
            }
        } else if let (None, Some(merged)) = (&found, snapshot.state.known(id)) {
            found = Some((merged.clone(), None));
        }
    }
    Ok(found.ok_or_else(|| crate::Error::missing(format!("no branch has a commit {id}")))?)
}

/// Batches as one.
pub(super) fn joined<'b>(
    schema: &arrow::datatypes::SchemaRef,
    batches: impl IntoIterator<Item = &'b RecordBatch>,
) -> Result<RecordBatch> {
    concat_batches(schema, batches)
        .map_err(|error| crate::Error::corrupt("batches of one table differ").caused_by(error).into())
}
