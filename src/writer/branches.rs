//! Branches: other states of all tables at once, each with commits of its own.

use super::error::{Error, Result};
use super::repository::{Repository, named};
use super::snapshot::{At, Snapshot};
use crate::model::{Branch, TableKey};
use crate::passes::recovery::observe::find;
use crate::repo::branches;
use crate::repo::snapshot::MANIFEST;

/// What no branch of people's may begin with.
const RESERVED: &str = "__";

impl Repository {
    /// Names of all branches, `main` first.
    ///
    /// ```
    /// # use outrigger::writer::example;
    /// # example(async |bank| {
    /// bank.create_branch("audit", "main").await?;
    /// assert_eq!(bank.branches().await?, ["main", "audit"]);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn branches(&self) -> Result<Vec<String>> {
        let listed = branches::list(&self.parts.store, MANIFEST).await?;
        Ok(branches::public(&listed).map(|branch| branch.to_string()).collect())
    }

    /// Makes a branch that shows what another shows, or showed at a version or commit. It costs the same however large the tables
    /// are: a table is forked by the first commit to it.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] for `main`, a name that begins with `__` or is none, or a branch that is there;
    /// [`crate::Kind::Missing`] if the source is not.
    ///
    /// ```
    /// # use outrigger::writer::{balances, example};
    /// # example(async |bank| {
    /// bank.create_branch("trial", "main").await?;
    /// let mut tx = bank.begin("trial").await?;
    /// tx.upsert("accounts", balances(&[("ann", 0)])).await?;
    /// tx.commit().await?;
    /// let ann = bank.snapshot("main").await?.row("accounts", &["ann".into()]).await?.expect("she is there");
    /// assert_eq!(ann.columns(), balances(&[("ann", 100)]).columns(), "main is as it was");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_branch(&self, name: &str, from: impl Into<At>) -> Result<()> {
        self.require_writable()?;
        let branch = public(name)?;
        let source = Snapshot::read(&self.repo, from.into()).await?;
        Ok(self.repo.create_branch(source.inner(), &branch, self.parts.host.clock.now()).await?)
    }

    /// Removes a branch with all that was committed on it alone.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] for `main` and names that begin with `__`, or if another branch was made from it;
    /// [`Error::PendingRecovery`] if a commit on it has not come to its end.
    ///
    /// ```
    /// # use outrigger::writer::example;
    /// # example(async |bank| {
    /// bank.create_branch("trial", "main").await?;
    /// bank.delete_branch("trial").await?;
    /// assert!(bank.snapshot("trial").await.is_err());
    /// assert!(bank.delete_branch("main").await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn delete_branch(&self, name: &str) -> Result<()> {
        self.require_writable()?;
        let branch = public(name)?;
        let found = find(&self.repo).await?;
        if let Some(pending) = found.intents.iter().find(|intent| intent.sidecar.branch == branch) {
            return Err(Error::PendingRecovery { sidecar: pending.sidecar.operation.clone() });
        }
        let forks = self.own_forks(&branch).await?;
        Ok(self.repo.delete_branch(&branch, &forks).await?)
    }

    /// Tables that a branch shows its own fork of. None of another branch shows one: whoever made a branch from it is refused.
    async fn own_forks(&self, branch: &Branch) -> Result<Vec<TableKey>> {
        let snapshot = self.repo.snapshot(branch).await?.ok_or_else(|| self.gone(branch))?;
        for other in branches::public(&branches::list(&self.parts.store, MANIFEST).await?) {
            let Some(other) = self.repo.snapshot(&other).await?.filter(|at| at.branch != *branch) else {
                continue;
            };
            if let Some((table, _)) = other.state.entries().find(|(_, entry)| entry.branch == *branch) {
                let why = format!("branch {} shows {table} as it is on {branch}", other.branch);
                return Err(Error::invalid(format!("{why}: delete that one first")));
            }
        }
        Ok(snapshot.own_entries().map(|(table, _)| table.clone()).collect())
    }
}

/// A branch that people may make and remove.
fn public(name: &str) -> Result<Branch> {
    let branch = named(name)?;
    if branch.is_main() {
        return Err(Error::invalid("main is always there: it is neither made nor removed"));
    }
    if name.starts_with(RESERVED) {
        return Err(Error::invalid(format!(
            "names that begin with {RESERVED} are kept for the program: {name}"
        )));
    }
    Ok(branch)
}
