//! What is to be done to several tables at once.

use super::commit::{Commit, Committed};
use super::draft::Draft;
use super::error::{Error, Result};
use super::repository::Repository;
use super::snapshot::{entry, joined, open};
use crate::model::sidecar::WriterKind;
use crate::model::{Branch, BranchIdentity, TableKey};
use crate::repo;
use arrow::array::RecordBatch;
use std::collections::BTreeMap;

/// Changes of several tables of one branch, shown all at once by [`Transaction::commit`], or not at all.
///
/// Nothing is written before the commit. Rows that are staged are read back by [`Transaction::rows`]. Dropping it forgets it. Once it
/// is committed, or has failed to, it has ended: begin another.
///
/// # Expressions
/// Filters and values are SQL expressions, read as a whole: `balance > 10 AND owner = 'ann'`, `day >= '2026-11-01'`,
/// `upper(name) LIKE 'A%'`, `coalesce(note, '')`. Text stands in single quotes. Columns are named as they are written in the schema, in
/// double quotes or backticks if the name is no plain word: `"Unit price" * 2`.
///
/// ```
/// # use outrigger::writer::{entries, example};
/// # example(async |bank| {
/// let mut tx = bank.begin("main").await?;
/// tx.update("accounts", "id = 'ann'", &[("balance", "balance - 30")]).await?;
/// tx.update("accounts", "id = 'bob'", &[("balance", "balance + 30")]).await?;
/// tx.append("journal", entries(&["ann pays bob"])).await?;
/// let committed = tx.commit().await?.expect("it changes rows");
/// assert_eq!(committed.tables.len(), 2);
/// assert!(tx.commit().await.is_err(), "it has ended");
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Transaction {
    repository: Repository,
    branch: Branch,
    identity: BranchIdentity,
    /// What the branch showed at the beginning.
    base: repo::Snapshot,
    actor: Option<String>,
    drafts: BTreeMap<TableKey, Draft>,
    /// It was committed, or that was tried and may have come to something.
    has_ended: bool,
}

impl Transaction {
    pub(super) async fn begin(repository: &Repository, branch: &Branch) -> Result<Self> {
        // The record first: a branch that is made anew in between then has another identity than the one that was read.
        let which = repository.repo.which(branch).await?.ok_or_else(|| repository.gone(branch))?;
        let base = repository.repo.snapshot(branch).await?.ok_or_else(|| repository.gone(branch))?;
        base.writable()?;
        let (repository, branch) = (repository.clone(), branch.clone());
        let (identity, drafts) = (which.identity, BTreeMap::new());
        Ok(Self { repository, branch, identity, base, actor: None, drafts, has_ended: false })
    }

    /// Who asks for it: recorded with the commit, and limited for himself. An empty name is nobody's.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?.by("ann");
    /// tx.append("journal", entries(&["hello"])).await?;
    /// tx.commit().await?;
    /// assert_eq!(bank.commits("main").await?[0].actor.as_deref(), Some("ann"));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn by(mut self, actor: &str) -> Self {
        self.actor = Some(actor.to_owned()).filter(|actor| !actor.is_empty());
        self
    }

    /// Adds rows to a table. A key that is there already is not looked for: then two rows have it, [`Snapshot::row`] returns both,
    /// and the table cannot be merged. [`Transaction::upsert`] looks.
    ///
    /// [`Snapshot::row`]: super::Snapshot::row
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] for a batch of another schema.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?;
    /// tx.append("journal", entries(&["one", "two"])).await?;
    /// assert!(tx.append("journal", balances(&[("ann", 1)])).await.is_err(), "columns of another table");
    /// tx.commit().await?;
    /// assert_eq!(bank.snapshot("main").await?.count("journal")?, 2);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn append(&mut self, table: &str, rows: RecordBatch) -> Result<()> {
        self.draft(table).await?.append(rows)
    }

    /// Adds rows to a table; each takes the place of the row that has its key.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] for a batch of another schema or with one key twice, or a table without a key.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?;
    /// tx.upsert("accounts", balances(&[("bob", 7), ("cid", 8)])).await?;
    /// tx.commit().await?;
    /// let accounts = bank.snapshot("main").await?;
    /// assert_eq!(accounts.rows("accounts", Some("balance < 10")).await?.columns(), balances(&[("bob", 7), ("cid", 8)]).columns());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn upsert(&mut self, table: &str, rows: RecordBatch) -> Result<()> {
        self.draft(table).await?.upsert(rows).await
    }

    /// Gives columns of the rows for which a filter holds new values, such as `("balance", "balance - 30")`; all expressions see the
    /// row as it was. Returns for how many rows it holds.
    ///
    /// Filters and values are [expressions](Transaction#expressions).
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] for an expression that cannot be read, or fails on a row, or a column of the key.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?;
    /// let updated = tx.update("accounts", "balance >= 100", &[("balance", "balance / 2")]).await?;
    /// assert_eq!(updated, 2);
    /// assert_eq!(tx.rows("accounts", None).await?.columns(), balances(&[("ann", 50), ("bob", 50)]).columns());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn update(&mut self, table: &str, filter: &str, assignments: &[(&str, &str)]) -> Result<u64> {
        self.draft(table).await?.update(filter, assignments).await
    }

    /// Takes the rows away for which a filter holds. Returns how many. Filters are [expressions](Transaction#expressions).
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] for an expression that cannot be read, or fails on a row.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?;
    /// assert_eq!(tx.delete("accounts", "id = 'bob'").await?, 1);
    /// tx.commit().await?;
    /// assert_eq!(bank.snapshot("main").await?.count("accounts")?, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn delete(&mut self, table: &str, filter: &str) -> Result<u64> {
        self.draft(table).await?.delete(filter).await
    }

    /// Puts these rows in the place of all that a table has.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] for a batch of another schema.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?;
    /// tx.overwrite("accounts", balances(&[("cid", 1)])).await?;
    /// tx.commit().await?;
    /// assert_eq!(bank.snapshot("main").await?.rows("accounts", None).await?.columns(), balances(&[("cid", 1)]).columns());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn overwrite(&mut self, table: &str, rows: RecordBatch) -> Result<()> {
        self.draft(table).await?.overwrite(rows)
    }

    /// Rows of a table as they would be shown if this were committed now: those for which a filter holds, or all.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?;
    /// tx.append("accounts", balances(&[("cid", 1)])).await?;
    /// assert_eq!(tx.rows("accounts", Some("balance < 10")).await?.columns(), balances(&[("cid", 1)]).columns());
    /// drop(tx);
    /// assert_eq!(bank.snapshot("main").await?.count("accounts")?, 2, "nothing was committed");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn rows(&mut self, table: &str, filter: Option<&str>) -> Result<RecordBatch> {
        let draft = self.draft(table).await?;
        let rows = draft.rows(filter).await?;
        joined(draft.schema(), &rows)
    }

    /// Commits. `None` if no row comes and none goes: then nothing was written. Rows that are upserted come, also where they are as
    /// those that they take the place of.
    ///
    /// Once it returns a commit, that is what every later snapshot shows. An error says whether to begin anew, to wait, or to heal.
    /// If the process dies meanwhile, or the future is dropped, the commit is shown as a whole later, or undone as a whole.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a table that was updated, overwritten or deleted from has moved since the beginning; appends and
    /// upserts are repeated on what is there then. [`Error::PendingRecovery`]. After [`Error::Paused`] and [`Error::Rejected`] all
    /// that was staged is kept: wait, and commit again.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// // Two that have read the same: the second is told, and begins anew.
    /// let (mut first, mut second) = (bank.begin("main").await?, bank.begin("main").await?);
    /// first.update("accounts", "id = 'ann'", &[("balance", "0")]).await?;
    /// second.update("accounts", "id = 'ann'", &[("balance", "balance - 60")]).await?;
    /// first.commit().await?;
    /// assert!(matches!(second.commit().await, Err(Error::Conflict { .. })));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn commit(&mut self) -> Result<Option<Committed>> {
        self.require_going_on()?;
        // Also if the future is dropped: it may be shown then.
        self.has_ended = true;
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.retain(|_, draft| !draft.is_empty());
        let mut commit = Commit {
            repository: self.repository.clone(),
            branch: self.branch.clone(),
            identity: self.identity.clone(),
            actor: self.actor.clone(),
            drafts,
            kind: WriterKind::Mutation,
            merged: None,
            brought: BTreeMap::new(),
            staged: BTreeMap::new(),
        };
        // As they are now: an attempt may have based them on a later version.
        let staged = commit.drafts.clone();
        let ended = commit.run().await;
        if let Err(Error::Paused { .. } | Error::Rejected { .. }) = &ended {
            (self.drafts, self.has_ended) = (staged, false);
        }
        ended
    }

    fn require_going_on(&self) -> Result<()> {
        let why = "this transaction has ended, or its commit was not waited for: begin another";
        if self.has_ended { Err(Error::invalid(why)) } else { Ok(()) }
    }

    async fn draft(&mut self, table: &str) -> Result<&mut Draft> {
        self.require_going_on()?;
        let (key, entry) = entry(&self.base, table)?;
        if !self.drafts.contains_key(&key) {
            let opened = open(&self.repository.repo, &key, entry).await?;
            self.drafts.insert(key.clone(), Draft::new(opened, entry.clone()));
        }
        let drafted = self.drafts.get_mut(&key);
        drafted.ok_or_else(|| Error::Other(crate::Error::internal("a draft was made and is not there")))
    }
}
