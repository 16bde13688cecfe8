//! The edge to Lance: one repository, read and written by its own rules.
//!
//! | file | for |
//! |---|---|
//! | [`dialect`] | which format this is, from storage alone |
//! | [`snapshot`] | what a branch of the manifest shows |
//! | [`branches`], `branching` | which branches exist, with their identity and age; making and removing them |
//! | [`tables`] | a table's lineage: head, transactions, content; fenced restore |
//! | [`create`] | native repositories and tables, made from nothing |
//! | [`staged`] | changes of a table's rows: staged as files, landed as one commit |
//! | [`select`], [`expressions`] | rows of a version, each with its place; filters and assignments |
//! | `clone` | a branch of a dataset: its first version, then its record |
//! | [`forks`] | the branch of a table on which a branch makes its first commit |
//! | [`publish`] | the compare-and-swap of the manifest |
//! | `upsert` | rows merged into the manifest, without reading it |
//! | [`history`], `ledger` | commit, actor and audit rows, appended exactly once |
//! | [`refs`] | tags, and the record of a fork that lost it |
//! | `surgery` | removals under a window |
//! | `growth` | what a dataset has gained since it was last read |
//! | `places`, `slots` | where replaceable rows lie; one user at a time |
//! | `dataset`, `fenced` | opening a dataset, committing exactly the next version |
//!
//! Lance's mutating calls are made here only. Every commit is fenced: it lands on the version that follows the one that
//! was judged, or not at all.

pub mod branches;
pub mod branching;
mod clone;
pub mod create;
pub mod dataset;
pub mod dialect;
pub mod expressions;
mod fenced;
pub mod forks;
mod growth;
pub mod history;
mod ledger;
mod places;
pub mod publish;
pub mod refs;
mod rows;
pub mod select;
pub(crate) mod slots;
pub mod snapshot;
pub mod staged;
mod surgery;
pub mod tables;
mod trouble;
mod upsert;

use crate::error::{Error, Kind, Result};
use crate::model::{Branch, Version};
use crate::store::{Key, Store};
pub use dataset::Made;
pub use dialect::{Dialect, Recognised};
use lance::session::Session;
pub use publish::Published;
use slots::Slots;
use snapshot::MANIFEST;
pub use snapshot::Snapshot;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Cache of one look, in bytes: a few manifests and file footers.
const LOOK_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Datasets at a root that only a graph has, and their directories.
const OF_A_GRAPH: [&str; 4] = ["nodes", "edges", "_graph_commits.lance", "_graph_commit_recoveries.lance"];

/// An open repository: cheap to clone, remembers the last snapshot of each branch.
#[derive(Debug, Clone)]
pub struct Repository {
    store: Store,
    recognised: Recognised,
    snapshots: Arc<Mutex<HashMap<Branch, Snapshot>>>,
    /// Publishes of ours on one branch queue, so that they do not race each other.
    turns: Slots<Branch, ()>,
    ledgers: Slots<ledger::Place, Option<ledger::Ledger>>,
}

/// Several branches at once.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that can be read.
    pub read: Vec<Arc<Snapshot>>,
    /// Those that cannot.
    pub unreadable: Vec<(Branch, Error)>,
}

impl Repository {
    /// Recognises what lies at the store's root. Reads only.
    ///
    /// # Errors
    /// [`Kind::Missing`] if nothing of ours lies there, [`Kind::Invalid`] if only other things do, [`Kind::Refused`] for a format
    /// that we do not know.
    pub async fn open(store: Store) -> Result<Self> {
        let main = Snapshot::read(&store, &store.session(), &Branch::main()).await?;
        let Some(main) = main else { return Self::open_without_manifest(store).await };
        let repo = Self::new(store, main.recognised);
        repo.remembered().insert(Branch::main(), main);
        Ok(repo)
    }

    fn new(store: Store, recognised: Recognised) -> Self {
        let (turns, ledgers) = (Slots::default(), Slots::default());
        Self { store, recognised, snapshots: Arc::default(), turns, ledgers }
    }

    async fn open_without_manifest(store: Store) -> Result<Self> {
        let root = store.list_dir(None).await?;
        let at = store.uri().to_string();
        let of_a_graph = |key: &&Key| OF_A_GRAPH.contains(&key.file_name());
        if let Some(rest) = root.prefixes.iter().find(of_a_graph) {
            return Err(Error::missing(format!(
                "{at} holds {rest} of a graph and no {MANIFEST}: it is lost, or the graph's creation died; restore it from a backup, or create the graph anew"
            )));
        }
        let dataset = |key: &&Key| key.file_name().ends_with(".lance");
        if root.prefixes.iter().any(|key| dataset(&key)) {
            let recognised = Recognised { dialect: Dialect::Directory, stamp: 0, writable: false };
            return Ok(Self::new(store, recognised));
        }
        if root.prefixes.is_empty() && root.objects.is_empty() {
            return Err(Error::missing(format!(
                "no repository at {at}: it is empty or does not exist; check the address (for a daemon: the uri in the configuration) and \
                 the bucket"
            )));
        }
        Err(Error::invalid(format!(
            "{at} holds no __manifest and no *.lance dataset: it is no repository that we know; nothing was written"
        )))
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The main line's format.
    pub fn recognised(&self) -> Recognised {
        self.recognised
    }

    /// Refuses passes that need a manifest which pins its tables on anything that has none.
    pub fn require_graph(&self) -> Result<()> {
        match self.recognised.dialect {
            Dialect::GraphV3 | Dialect::GraphV4 | Dialect::Native => Ok(()),
            Dialect::Directory => Err(Error::new(
                Kind::Refused,
                format!(
                    "{} is a directory of independent Lance datasets: maintenance only, not yet",
                    self.store.uri()
                ),
            )),
        }
    }

    /// Refuses to write unless a branch has a format that we write: asked before acts that publish nothing.
    pub async fn require_writable(&self, branch: &Branch) -> Result<()> {
        let snapshot = self.snapshot(branch).await?;
        snapshot.ok_or_else(|| Error::moved(format!("branch {branch} went away")))?.writable()
    }

    /// The newest snapshot of a branch; `None` if the branch is not there. Reads only what is new since the last call.
    pub async fn snapshot(&self, branch: &Branch) -> Result<Option<Snapshot>> {
        let known = self.remembered().get(branch).cloned();
        let looked_at = known.as_ref().map(|known| known.version);
        let fresh = match known {
            Some(known) => known.refreshed(&self.store, &self.store.session()).await?,
            None => Snapshot::read(&self.store, &self.store.session(), branch).await?,
        };
        self.remember(branch, looked_at, fresh.as_ref());
        Ok(fresh)
    }

    /// Keeps what a look at a branch found, unless another one that ended meanwhile found more.
    fn remember(&self, branch: &Branch, looked_at: Option<Version>, fresh: Option<&Snapshot>) {
        let mut remembered = self.remembered();
        let Some(fresh) = fresh else {
            remembered.remove(branch);
            return;
        };
        let known = remembered.get(branch).map(|known| known.version);
        if known == looked_at || known <= Some(fresh.version) {
            remembered.insert(branch.clone(), fresh.clone());
        }
    }

    /// The newest of this snapshot and what is remembered of its branch.
    fn newest_known(&self, base: &Snapshot) -> Snapshot {
        let known = self.remembered().get(&base.branch).cloned();
        known.filter(|known| known.version > base.version).unwrap_or_else(|| base.clone())
    }

    /// Whether somebody has published on main since its last snapshot: one request.
    pub async fn has_next_version(&self) -> Result<bool> {
        let next = self.remembered().get(&Branch::main()).map(Snapshot::next_version_key);
        match next.transpose()? {
            Some(key) => Ok(self.store.head(&key).await?.is_some()),
            None => Ok(true),
        }
    }

    /// The newest snapshots of these branches, and which of them cannot be read, and why. One that went away meanwhile is in
    /// neither.
    pub async fn snapshots(&self, branches: impl Iterator<Item = Branch>) -> Result<Snapshots> {
        let mut snapshots = Snapshots::default();
        for branch in branches {
            match self.snapshot(&branch).await {
                Ok(Some(snapshot)) => snapshots.read.push(Arc::new(snapshot)),
                Ok(None) if branch.is_main() => {
                    return Err(Error::missing(format!("the manifest of {} is gone", self.store.uri())));
                }
                Ok(None) => {}
                Err(error) if error.is_local() => {
                    snapshots.unreadable.push((branch, error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(snapshots)
    }

    /// Forgets what is remembered of branches that are gone.
    pub fn retain(&self, is_there: impl Fn(&Branch) -> bool) {
        self.remembered().retain(|branch, _| branch.is_main() || is_there(branch));
        self.turns.retain(|branch| branch.is_main() || is_there(branch));
        self.ledgers.retain(|(_, branch)| branch.is_main() || is_there(branch));
    }

    /// A branch as it was at a version of its manifest; `None` if that version is gone.
    pub async fn snapshot_at(&self, branch: &Branch, version: Version) -> Result<Option<Snapshot>> {
        let at = Some((version, self.recognised));
        Snapshot::read_at(&self.store, &self.store.session(), branch, at).await
    }

    /// A session without memory, for looks at tables. Lance remembers transactions by address and version number, which a
    /// branch created anew uses again.
    fn fresh_session(&self) -> Arc<Session> {
        Arc::new(Session::new(0, LOOK_CACHE_BYTES, self.store.session().store_registry()))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<Branch, Snapshot>> {
        // A panic elsewhere cannot leave half a map: values are replaced whole.
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
