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

/// Bytes of a name, a `/` counted as three: its record, and the files that stand beside it while it is deleted, have the name in
/// theirs, which may have 255 bytes on disks.
const LONGEST: usize = 200;

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
        if !name.is_ascii() {
            return Err(Error::invalid(format!(
                "branch {name:?}: letters beyond ASCII are spelt in the store in ways that not every listing of branches reads"
            )));
        }
        let length = name.replace('/', "%2F").len();
        if length > LONGEST {
            return Err(Error::invalid(format!(
                "the name of a branch has at most {LONGEST} bytes, each / counted as three: this one has {length}"
            )));
        }
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
        self.delete(&public(name)?, None).await
    }

    /// Removes a branch; if a commit is given, only while that is the newest on it.
    ///
    /// It is looked at twice: before anybody is kept from committing, and again when nobody commits any more.
    pub(super) async fn delete(&self, branch: &Branch, newest: Option<&str>) -> Result<()> {
        self.removable(branch, newest).await?;
        let closed = self.repo.close_branch(branch, &(self.parts.ids)()).await?;
        let closed = closed.ok_or_else(|| self.gone(branch))?;
        match self.removable(branch, newest).await {
            // Decided: whatever fails from here on, the branch stays closed until it is deleted.
            Ok(forks) => Ok(self.repo.delete_branch(&closed, &forks).await?),
            Err(refused) => {
                if let Err(error) = self.repo.reopen_branch(&closed).await {
                    tracing::warn!(%branch, %error, "a branch that is not deleted stays closed for a moment");
                }
                Err(refused)
            }
        }
    }

    /// Whether nothing is lost with a branch that somebody else needs; the tables that it shows its own forks of. Others show none of
    /// these: they would have been made from it.
    async fn removable(&self, branch: &Branch, newest: Option<&str>) -> Result<Vec<TableKey>> {
        let found = find(&self.repo).await?;
        if !found.branches.contains_key(branch) {
            return Err(self.gone(branch));
        }
        if let Some(unjudged) = found.unjudged.first() {
            let why = "cannot be read, and may be of a commit on it: see `outrigger sidecars show`";
            return Err(Error::invalid(format!("branch {branch} is not deleted: {} {why}", unjudged.key)));
        }
        if let Some(pending) = found.intents.iter().find(|intent| intent.sidecar.branch == *branch) {
            return Err(Error::PendingRecovery { sidecar: pending.sidecar.operation.clone() });
        }
        self.repo.require_no_children(branch).await?;
        // Listed without versions: half of it is gone, and nothing of it can be read.
        let Some(snapshot) = self.repo.snapshot(branch).await? else { return Ok(Vec::new()) };
        let head = snapshot.state.head().map(|head| head.id.as_str());
        if newest.is_some() && newest != head {
            return Err(crate::Error::moved(format!("branch {branch} was committed to meanwhile")).into());
        }
        Ok(snapshot.own_entries().map(|(table, _)| table.clone()).collect())
    }
}

/// A branch that people may make and remove.
pub(super) fn public(name: &str) -> Result<Branch> {
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
