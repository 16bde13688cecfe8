//! The edge to Lance: one repository, read and written by its own rules.
//!
//! | file | for |
//! |---|---|
//! | [`dialect`] | which format this is, from storage alone |
//! | [`snapshot`] | what a branch of the manifest shows |
//! | [`branches`] | which branches exist, with their identity and age |
//! | [`tables`] | a table's lineage: head, transactions, content; fenced restore |
//! | [`publish`] | the compare-and-swap of the manifest |
//! | `upsert` | rows merged into the manifest, without reading it |
//! | [`history`] | commit, actor and audit rows, appended exactly once |
//! | [`refs`] | tags, and the record of a fork that lost it |
//! | `surgery` | removals under a window |
//! | `dataset`, `fenced` | opening a dataset, committing exactly the next version |
//!
//! Lance's mutating calls are made here only. Every commit is fenced: it lands on the version that follows the one that
//! was judged, or not at all.

pub mod branches;
pub mod dataset;
pub mod dialect;
mod fenced;
pub mod history;
pub mod publish;
pub mod refs;
mod rows;
pub mod snapshot;
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
pub use snapshot::Snapshot;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Cache of one look, in bytes: a few manifests and file footers.
const LOOK_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// An open repository: cheap to clone, remembers the last snapshot of each branch.
#[derive(Debug, Clone)]
pub struct Repository {
    store: Store,
    recognised: Recognised,
    snapshots: Arc<Mutex<HashMap<Branch, Snapshot>>>,
}

impl Repository {
    /// Recognises what lies at the store's root. Reads only.
    ///
    /// # Errors
    /// [`Kind::Missing`] if nothing of ours lies there, [`Kind::Refused`] for a format that we do not know.
    pub async fn open(store: Store) -> Result<Self> {
        let main = Snapshot::read(&store, &store.session(), &Branch::main()).await?;
        let Some(main) = main else { return Self::open_without_manifest(store).await };
        let recognised = main.recognised;
        let snapshots = HashMap::from([(Branch::main(), main)]);
        Ok(Self { store, recognised, snapshots: Arc::new(Mutex::new(snapshots)) })
    }

    async fn open_without_manifest(store: Store) -> Result<Self> {
        let root = store.list_dir(None).await?;
        let dataset = |key: &&Key| key.file_name().ends_with(".lance");
        if root.prefixes.iter().any(|key| dataset(&key)) {
            let recognised = Recognised { dialect: Dialect::Directory, stamp: 0, writable: false };
            return Ok(Self { store, recognised, snapshots: Arc::default() });
        }
        let at = store.uri().to_string();
        if root.prefixes.is_empty() && root.objects.is_empty() {
            return Err(Error::missing(format!(
                "no repository at {at}: it is empty or does not exist; check the address and the bucket"
            )));
        }
        Err(Error::refused(format!(
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

    /// Refuses passes that need a graph on anything that is none.
    pub fn require_graph(&self) -> Result<()> {
        match self.recognised.dialect {
            Dialect::GraphV3 | Dialect::GraphV4 => Ok(()),
            Dialect::Directory => Err(Error::new(
                Kind::Refused,
                format!(
                    "{} is a directory of independent Lance datasets: maintenance only, not yet",
                    self.store.uri()
                ),
            )),
        }
    }

    /// The newest snapshot of a branch; `None` if the branch is not there. Reads only what is new since the last call.
    pub async fn snapshot(&self, branch: &Branch) -> Result<Option<Snapshot>> {
        let known = self.remembered().get(branch).cloned();
        let fresh = match known {
            Some(known) => known.refreshed(&self.store, &self.store.session()).await?,
            None => Snapshot::read(&self.store, &self.store.session(), branch).await?,
        };
        match &fresh {
            Some(fresh) => self.remembered().insert(branch.clone(), fresh.clone()),
            None => self.remembered().remove(branch),
        };
        Ok(fresh)
    }

    /// Whether somebody has published on main since its last snapshot: one request.
    pub async fn has_next_version(&self) -> Result<bool> {
        let next = self.remembered().get(&Branch::main()).map(Snapshot::next_version_key);
        match next.transpose()? {
            Some(key) => Ok(self.store.head(&key).await?.is_some()),
            None => Ok(true),
        }
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
