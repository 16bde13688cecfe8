//! Branches of a native repository: made and removed, the manifest's record being the authority.
//!
//! A branch is listed by one object, `__manifest/_refs/branches/<name>.json`. Everything else of it is made before that object, and
//! removed after it: what lies there without it is nobody's.
//!
//! Whoever removes a branch puts a mark of its own beside the record, **then** looks for commits that are under way and for branches
//! made from it; whoever commits writes its crash record, and whoever makes a branch writes its record, **then** looks for marks. So of
//! two that meet at least one sees the other.
//!
//! What becomes of a mark is decided once, by an object that is only created: its maker decides to delete just before it removes the
//! record, and anybody decides to open again where a mark has stood for long. So a maker that slept finds that it is too late.

use super::Repository;
use super::branches::{self, BranchRecord, BranchRef, CLOSING, Mark};
use super::clone::Cloned;
use super::snapshot::{MANIFEST, Snapshot};
use super::tables::dataset_path;
use crate::error::{Error, Result};
use crate::model::beat::TTL;
use crate::model::{Branch, BranchIdentity, TableKey, Timestamp};
use crate::store::{ETag, Key, Removed, Written};

/// One of the branches that have had a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// What tells it from the others.
    pub identity: BranchIdentity,
    /// Marks of those who are about to remove it: while there is one no commit begins on it.
    pub closing: Vec<Mark>,
}

/// A branch on which nobody commits any more: what is to be removed, or opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    branch: Branch,
    nonce: String,
    /// The state of its record: another one is of another branch of that name.
    record: Option<ETag>,
}

impl Repository {
    /// Makes a branch of what a snapshot shows. No table is touched: its first commit to one forks that.
    ///
    /// *Dies between its first version and its record*: versions without a record, which stand in the way of a branch of that name
    /// until `repair fork` removes them. *The record cannot be written*: what was made is removed again. *Two make it at once*: of
    /// two first versions one exists, and its maker alone goes on. *Files of a branch that was deleted lie there*: its versions
    /// might be newer than the one that is made, so nothing is made over them. *The branch that it is made from is removed
    /// meanwhile*: that is seen here, or there. *Dies before it has looked*: at worst a branch whose parent is gone, which `status`
    /// names.
    pub async fn create_branch(&self, from: &Snapshot, branch: &Branch, now: Timestamp) -> Result<()> {
        let (listed, marks) = branches::list_with_marks(&self.store, MANIFEST).await?;
        if listed.contains_key(branch) {
            return Err(Error::invalid(format!("branch {branch} exists already")));
        }
        if self.branches_with_versions(MANIFEST).await?.contains(branch) {
            return Err(Error::invalid(format!(
                "files of an earlier branch {branch} are left in {MANIFEST}: `outrigger repair fork --exclusive` offers to remove them"
            )));
        }
        // Whoever has removed the last branch of that name has died before its marks were gone. Dies after it: nothing is missed.
        for (_, mark) in marks.into_iter().filter(|(of, _)| of == branch) {
            self.overrule(branch, &mark.nonce).await?;
        }
        let parent = listed.get(&from.branch);
        if let Some(marked) = parent.filter(|parent| !parent.closing.is_empty()) {
            self.reopen_abandoned(&from.branch, &marked.closing).await?;
            return Err(Error::moved(format!(
                "branch {} is being deleted; if whoever did that has died, it is open again soon, or is to be deleted again",
                from.branch
            )));
        }
        match self.clone_branch(MANIFEST, (&from.branch, from.version), branch, now).await? {
            Cloned::Made => {}
            Cloned::InTheWay => {
                return Err(Error::invalid(format!("branch {branch} was made by somebody else just now")));
            }
        }
        if from.branch.is_main() {
            return Ok(());
        }
        let mut listed = branches::list(&self.store, MANIFEST).await?;
        let own = listed.remove(branch);
        if listed.get(&from.branch).is_some_and(|now| now.closing.is_empty() && Some(now) == parent) {
            return Ok(());
        }
        if let Some(own) = own {
            self.store.delete(&own.key).await?;
        }
        self.remove_own_files(MANIFEST, branch, &branches::names(&listed)).await?;
        Err(Error::moved(format!("branch {} was deleted while {branch} was made from it", from.branch)))
    }

    /// Keeps everybody from committing on a branch and from making others from it, until it is removed or opened again. `nonce` is
    /// used once. `None` if there is no such branch.
    ///
    /// *Dies after it*: the branch can be read; the next who removes it goes on, and the next who commits opens it again.
    pub async fn close_branch(&self, branch: &Branch, nonce: &str) -> Result<Option<Closed>> {
        let key = file_of(branch, nonce, CLOSING)?;
        match self.store.create(&key, nonce.to_owned().into()).await? {
            Written::Committed { .. } => {}
            Written::Conflict => return Err(Error::internal(format!("{key} is there already"))),
            Written::Unknown { error } => return Err(error),
        }
        match branches::list(&self.store, MANIFEST).await?.remove(branch) {
            Some(BranchRef { etag: record, .. }) => {
                Ok(Some(Closed { branch: branch.clone(), nonce: nonce.to_owned(), record }))
            }
            None => {
                self.remove_mark(branch, nonce).await?;
                Ok(None)
            }
        }
    }

    /// Lets others commit again on a branch that is not removed after all.
    pub async fn reopen_branch(&self, closed: &Closed) -> Result<()> {
        self.remove_mark(&closed.branch, &closed.nonce).await
    }

    /// Takes marks off a branch that have stood for as long as a beat may be silent: their makers are gone, or so slow that they will
    /// find it decided. Not where the maker has decided to remove the branch.
    pub async fn reopen_abandoned(&self, branch: &Branch, marks: &[Mark]) -> Result<()> {
        for Mark { nonce, stored_at } in marks {
            if self.store.now().is_none_or(|now| now.since(*stored_at) < TTL) {
                continue;
            }
            match self.decide(branch, nonce, OPEN).await? {
                Written::Committed { .. } => {}
                Written::Unknown { error } => return Err(error),
                // To be deleted: the next who does that goes on.
                Written::Conflict => continue,
            }
            tracing::warn!(%branch, nonce, "a branch was to be deleted, and nobody does: opening it");
            self.remove_mark(branch, nonce).await?;
        }
        Ok(())
    }

    async fn remove_mark(&self, branch: &Branch, nonce: &str) -> Result<()> {
        self.store.delete(&file_of(branch, nonce, CLOSING)?).await
    }

    /// Decides about a mark. Equal bytes are as good as ours: its maker alone decides to delete, and of those who open it one is enough.
    async fn decide(&self, branch: &Branch, nonce: &str, what: &'static str) -> Result<Written> {
        self.store.create(&file_of(branch, nonce, DECIDED)?, what.into()).await
    }

    /// Removes a mark of somebody else, whatever was decided: without a decision of its own its maker is told by ours, which stays.
    async fn overrule(&self, branch: &Branch, nonce: &str) -> Result<()> {
        self.store.ensure(&file_of(branch, nonce, DECIDED)?, OPEN.into()).await?;
        self.remove_mark(branch, nonce).await
    }

    /// Removes a closed branch: its record, which is what it is listed by, then what was made of it. `forks` are the tables that it
    /// shows forks of.
    ///
    /// *Dies after the record*: files that nobody lists. *Dies before it*: nobody commits, and the next who removes it goes on. *A
    /// writer that had been taken for dead is at work on it*: it takes back what it publishes, or leaves files that nobody lists.
    /// *Made anew meanwhile*: another record, which is left alone, and its files with it.
    pub async fn delete_branch(&self, closed: &Closed, forks: &[TableKey]) -> Result<()> {
        let Closed { branch, nonce, record } = closed;
        match self.decide(branch, nonce, DELETE).await? {
            Written::Committed { .. } => {}
            Written::Conflict => {
                return Err(Error::moved(format!("branch {branch} was opened again meanwhile")));
            }
            Written::Unknown { error } => return Err(error),
        }
        let mut others = branches::list(&self.store, MANIFEST).await?;
        let BranchRef { key, closing, .. } =
            others.remove(branch).ok_or_else(|| Error::missing(format!("there is no branch {branch}")))?;
        let record = record.as_ref().ok_or_else(|| Error::internal(format!("{key} has no state")))?;
        // Whoever has removed the record removes the files.
        let is_ours = match self.store.delete_if(&key, record).await? {
            Removed::Deleted => true,
            Removed::Absent => false,
            Removed::Changed => {
                return Err(Error::moved(format!("branch {branch} was made anew meanwhile")));
            }
        };
        self.retain(|known| known != branch);
        let told = |place: &str, ended: Result<()>| {
            if let Err(error) = ended {
                tracing::warn!(%branch, place, error = %error.chain(), "files of a branch that was deleted are left behind");
            }
        };
        if is_ours {
            for table in forks {
                let dataset = dataset_path(table)?;
                told(&dataset, self.remove_branch(&dataset, branch).await);
            }
            // Last: as long as they are there nobody makes a branch of that name, whose forks would lie where these do.
            told(MANIFEST, self.remove_own_files(MANIFEST, branch, &branches::names(&others)).await);
        }
        for mark in closing.iter().filter(|mark| mark.nonce != *nonce) {
            told(MANIFEST, self.overrule(branch, &mark.nonce).await);
        }
        told(MANIFEST, self.reopen_branch(closed).await);
        told(MANIFEST, self.store.delete(&file_of(branch, nonce, DECIDED)?).await);
        Ok(())
    }

    /// Branches that were made from another need its versions, and what it shows.
    pub async fn require_no_children(&self, branch: &Branch) -> Result<()> {
        for (other, listed) in branches::list(&self.store, MANIFEST).await? {
            let record: Option<BranchRecord> = branches::read(&self.store, &listed).await?;
            if record.is_some_and(|record| record.parent_branch.as_deref() == branch.name()) {
                return Err(Error::invalid(format!(
                    "branch {other} was made from {branch}: delete that one first"
                )));
            }
        }
        Ok(())
    }

    /// Which of the branches of that name is there; `None` if none is.
    pub async fn which(&self, branch: &Branch) -> Result<Option<Which>> {
        if branch.is_main() {
            return Ok(Some(Which { identity: BranchIdentity::default(), closing: Vec::new() }));
        }
        let Some(listed) = branches::list(&self.store, MANIFEST).await?.remove(branch) else {
            return Ok(None);
        };
        let record = branches::read(&self.store, &listed).await?;
        Ok(record.map(|record| Which { identity: record.identifier, closing: listed.closing }))
    }
}

/// What is decided about a mark.
const DELETE: &str = "delete";
const OPEN: &str = "open";

/// How the name of a decision ends.
const DECIDED: &str = ".decided";

/// A file about a branch that belongs to one mark.
fn file_of(branch: &Branch, nonce: &str, end: &str) -> Result<Key> {
    let name = branch.name().ok_or_else(|| Error::internal("main is never closed"))?;
    let manifest = Key::parse(MANIFEST).map_err(|bad| Error::internal(bad.to_string()))?;
    Ok(Key::branch_file(&manifest, &format!("{name}.{nonce}"), end))
}
