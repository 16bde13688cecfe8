//! The handle of a native repository.

use super::admission::Limits;
use super::error::{Error, Result};
use super::queue::Manager;
use super::snapshot::{At, Snapshot};
use super::transaction::Transaction;
use crate::host::{Host, Monotonic};
use crate::model::manifest::{CommitIntent, GraphCommit};
use crate::model::{Branch, BranchIdentity, OperationId, Permit, Timestamp};
use crate::passes::recovery::act::{Handles, Turn};
use crate::passes::recovery::decide::Policy;
use crate::passes::recovery::observe::Grace;
use crate::passes::recovery::run::{Run, run};
use crate::passes::report::{ActionKind, ActionOutcome, PassReport};
use crate::repo::create::NewTable;
use crate::repo::{self, Dialect};
use crate::runtime::gate::{Ids, Watcher};
use crate::store::Store;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// What a handle is made of. [`Repository::open`] and [`Repository::create`] take the real things.
///
/// ```
/// use outrigger::host::Host;
/// use outrigger::store::{RepoUri, Store, StoreParts, StoreSettings};
/// use outrigger::writer::{Limits, Parts};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let address = dir.path().to_str().unwrap();
/// let at = RepoUri::parse(address)?;
/// let store = Store::open(&at, &StoreSettings::default(), StoreParts::real()).await?;
/// let ids = std::sync::Arc::new(outrigger::app::ulid);
/// let parts = Parts { store, host: Host::real(), ids, limits: Limits { in_flight: 4, ..Limits::default() } };
/// assert_eq!(parts.limits.rewrites, 4);
/// # Ok::<_, outrigger::writer::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Parts {
    /// Where the repository lies.
    pub store: Store,
    /// Time and chance.
    pub host: Host,
    /// Fresh ULIDs.
    pub ids: Ids,
    /// How much may be at work at once.
    pub limits: Limits,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("store", &self.store)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A native repository, to read and to write. Cheap to clone; clones, and handles that are opened anew in the same process, share one
/// queue.
///
/// ```
/// # use outrigger::writer::{entries, example};
/// # example(async |bank| {
/// let elsewhere = bank.clone();
/// let noted = tokio::spawn(async move {
///     let mut tx = elsewhere.begin("main").await?;
///     tx.append("journal", entries(&["from another task"])).await?;
///     tx.commit().await
/// });
/// noted.await.expect("it does not panic")?;
/// assert_eq!(bank.snapshot("main").await?.count("journal")?, 1);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) repo: repo::Repository,
    pub(super) parts: Parts,
    pub(super) manager: Arc<Manager>,
    pub(super) gate: Arc<Watcher>,
    grace: Arc<Grace>,
    read_only: bool,
}

impl Repository {
    /// Creates a repository with these tables, in a place where there is none.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] if something lies there already, or a table is not as it must be.
    ///
    /// ```
    /// use outrigger::host::Host;
    /// use outrigger::store::{RepoUri, Store, StoreParts, StoreSettings};
    /// use outrigger::writer::{Limits, Parts, Repository};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let address = dir.path().to_str().unwrap();
    /// let at = RepoUri::parse(address)?;
    /// let store = Store::open(&at, &StoreSettings::default(), StoreParts::real()).await?;
    /// let ids = std::sync::Arc::new(outrigger::app::ulid);
    /// let parts = Parts { store, host: Host::real(), ids, limits: Limits::default() };
    /// let bank = Repository::create_with(parts.clone(), &[]).await?;
    /// let reader = Repository::open_with(parts, true).await?;
    /// assert_eq!(reader.snapshot("main").await?.tables(), bank.snapshot("main").await?.tables());
    /// # Ok::<_, outrigger::writer::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn create_with(parts: Parts, tables: &[NewTable]) -> Result<Self> {
        let first = intent(&parts, None);
        let repo = repo::Repository::create(parts.store.clone(), tables, first).await?;
        Self::over(repo, parts, false)
    }

    /// Opens a repository. Reads only.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Missing`] if there is none, [`crate::Kind::Refused`] if it is of another format.
    ///
    /// ```
    /// use outrigger::host::Host;
    /// use outrigger::store::{RepoUri, Store, StoreParts, StoreSettings};
    /// use outrigger::writer::{Limits, Parts, Repository};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let address = dir.path().to_str().unwrap();
    /// Repository::create(address, &[]).await?;
    /// let store = Store::open(&RepoUri::parse(address)?, &StoreSettings::default(), StoreParts::real()).await?;
    /// let ids = std::sync::Arc::new(outrigger::app::ulid);
    /// let parts = Parts { store, host: Host::real(), ids, limits: Limits::default() };
    /// let reader = Repository::open_with(parts, true).await?;
    /// assert!(reader.create_branch("trial", "main").await.is_err(), "it was opened to read only");
    /// # Ok::<_, outrigger::writer::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn open_with(parts: Parts, read_only: bool) -> Result<Self> {
        let repo = repo::Repository::open(parts.store.clone()).await?;
        Self::over(repo, parts, read_only)
    }

    fn over(repo: repo::Repository, parts: Parts, read_only: bool) -> Result<Self> {
        let dialect = repo.recognised().dialect;
        if dialect != Dialect::Native {
            let (at, dialect) = (parts.store.uri(), dialect.as_str());
            return Err(crate::Error::refused(format!(
                "{at} is of dialect {dialect}: this library writes native repositories, those that it creates"
            ))
            .into());
        }
        let manager = Manager::of(&parts.store.uri().to_string());
        let gate = Watcher::new(parts.store.clone(), parts.host.clock.clone(), parts.ids.clone());
        Ok(Self { repo, parts, manager, gate: Arc::new(gate), grace: Arc::default(), read_only })
    }

    /// Adds an empty table to `main`.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] if there is one of that name, or it is not as it must be.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// use outrigger::arrow::datatypes::{DataType, Field, Schema};
    /// use outrigger::writer::NewTable;
    ///
    /// let schema = Schema::new(vec![Field::new("id", DataType::Utf8, false)]);
    /// bank.create_table(&NewTable { name: "orders".into(), schema: schema.into(), key: vec!["id".into()] }).await?;
    /// assert_eq!(bank.snapshot("main").await?.count("orders")?, 0);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn create_table(&self, table: &NewTable) -> Result<()> {
        self.require_writable()?;
        Ok(self.repo.create_table(table, intent(&self.parts, None)).await?)
    }

    /// What is shown at a branch, at an older version of one, or at a commit. It stays as it is while others commit.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Missing`] if there is no such branch, version or commit.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let before = bank.snapshot("main").await?;
    /// let mut tx = bank.begin("main").await?;
    /// tx.append("journal", entries(&["opened"])).await?;
    /// let committed = tx.commit().await?.expect("it adds a row");
    /// assert_eq!(before.count("journal")?, 0);
    /// assert_eq!(bank.snapshot("main").await?.count("journal")?, 1);
    /// # use outrigger::writer::At;
    /// assert_eq!(bank.snapshot(At::Commit(committed.id)).await?.count("journal")?, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn snapshot(&self, at: impl Into<At>) -> Result<Snapshot> {
        Snapshot::read(&self.repo, at.into()).await
    }

    /// Begins a transaction on a branch.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Missing`] if there is no such branch, [`crate::Kind::Refused`] on a handle that was opened to read only.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let mut tx = bank.begin("main").await?.by("ann");
    /// tx.append("journal", entries(&["hello"])).await?;
    /// tx.commit().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn begin(&self, branch: &str) -> Result<Transaction> {
        self.require_writable()?;
        Transaction::begin(self, &named(branch)?).await
    }

    /// Reads what is new on `main` ahead of time: the next [`Repository::begin`] or [`Repository::snapshot`], which look by themselves,
    /// has that much less to read.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// bank.refresh().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn refresh(&self) -> Result<()> {
        let main = self.repo.snapshot(&Branch::main()).await?;
        main.map(|_| ()).ok_or_else(|| self.gone(&Branch::main()))
    }

    /// Shows commits whose writers died before they could, and ends crash records of those that had not begun; what must be undone
    /// is left for an Outrigger with a window. For users who run none beside their writers: before they begin, and when they meet
    /// [`Error::PendingRecovery`].
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let report = bank.heal().await?;
    /// assert!(report.scopes.is_empty(), "nobody has died");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn heal(&self) -> Result<PassReport> {
        self.require_writable()?;
        let clock = self.parts.host.clock.clone();
        let handles = Healing { host: self.parts.host.clone(), ids: self.parts.ids.clone() };
        let healing = Run {
            policy: Policy::default(),
            dry: false,
            concurrency: 4,
            handles: Arc::new(handles),
            grace: self.grace.clone(),
            uptime: Arc::new(move || clock.monotonic().since(Monotonic::default())),
            protect: false,
            resting: Arc::new(|_| None),
            progress: Arc::new(|_, _| {}),
        };
        Ok(run(&self.repo, &Arc::new(healing)).await?)
    }

    /// The history of a branch, newest first.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let commits = bank.commits("main").await?;
    /// assert_eq!(commits.len(), 2, "the creation, and the first rows");
    /// assert_eq!(commits[0].parent.as_ref(), Some(&commits[1].id));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn commits(&self, branch: &str) -> Result<Vec<GraphCommit>> {
        let branch = named(branch)?;
        let snapshot = self.repo.snapshot(&branch).await?.ok_or_else(|| self.gone(&branch))?;
        let mut commits: Vec<GraphCommit> = snapshot.state.commits().cloned().collect();
        commits.sort_by(|a, b| {
            (b.manifest_version, b.created_at, &b.id).cmp(&(a.manifest_version, a.created_at, &a.id))
        });
        Ok(commits)
    }

    /// A commit by its id, on whichever branch it is; also one that was merged from a branch that is deleted since.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Missing`] if no branch has it.
    ///
    /// ```
    /// # use outrigger::writer::{Error, balances, entries, example};
    /// # example(async |bank| {
    /// let newest = bank.commits("main").await?.remove(0);
    /// assert_eq!(bank.commit(&newest.id).await?, newest);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn commit(&self, id: &str) -> Result<GraphCommit> {
        Ok(super::snapshot::commit(&self.repo, id).await?.0)
    }

    pub(super) fn require_writable(&self) -> Result<()> {
        if !self.read_only {
            return Ok(());
        }
        let at = self.parts.store.uri();
        Err(crate::Error::refused(format!("{at} was opened to read only: open it with `Repository::open`"))
            .into())
    }

    /// What was published on a branch that was deleted meanwhile would be the newest version of the next branch of that name.
    pub(super) async fn require_branch(
        &self,
        branch: &Branch,
        identity: &BranchIdentity,
        made: &repo::Made,
    ) -> Result<()> {
        let now = self.repo.which(branch).await?;
        if now.is_some_and(|now| now.identity == *identity) {
            return Ok(());
        }
        self.repo.unmake(made).await?;
        Err(self.gone(branch))
    }

    pub(super) fn gone(&self, branch: &Branch) -> Error {
        crate::Error::missing(format!("there is no branch {branch} in {}", self.parts.store.uri())).into()
    }

    pub(super) fn intent(&self, actor: Option<&str>) -> CommitIntent {
        intent(&self.parts, actor)
    }

    pub(super) fn operation(&self) -> Result<OperationId> {
        let id = OperationId::parse(&(self.parts.ids)());
        Ok(id.map_err(|_| crate::Error::internal("a fresh ULID is no id"))?)
    }
}

/// A branch by its name, as it is: what stores spell with spaces around it is not what a program asks for.
pub(super) fn named(branch: &str) -> Result<Branch> {
    match Branch::parse(Some(branch)) {
        Ok(_) if branch.trim() != branch => {
            Err(Error::invalid(format!("branch {branch:?} has spaces around its name")))
        }
        parsed => parsed.map_err(|bad| Error::invalid(bad.to_string())),
    }
}

fn intent(parts: &Parts, actor: Option<&str>) -> CommitIntent {
    let (id, created_at) = ((parts.ids)(), parts.host.clock.now());
    CommitIntent { id, actor: actor.map(str::to_owned), merged_parent: None, created_at }
}

/// What healing acts with: no window is ever open.
struct Healing {
    host: Host,
    ids: Ids,
}

#[async_trait]
impl Handles for Healing {
    fn now(&self) -> Timestamp {
        self.host.clock.now()
    }

    fn ulid(&self) -> String {
        (self.ids)()
    }

    async fn turn(&self) -> crate::Result<Turn> {
        Ok(Turn::Ours)
    }

    async fn permit(&self) -> crate::Result<Option<Permit>> {
        Ok(None)
    }

    fn acted(&self, _: ActionKind, _: ActionOutcome) {}

    fn panicked(&self) {}
}
