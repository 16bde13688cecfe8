//! What one branch of the manifest shows, at its newest version or an older one.
//!
//! A snapshot keeps its handle, so that the next look reads only the fragments that newer versions added: a tick costs what
//! changed, not the history.

use super::dataset::{Handle, Made, next_version_key, open, version_of};
use super::dialect::{ManifestLook, Recognised, recognise};
use super::growth::{self, Growth};
use super::places::{self, Places};
use super::rows::{MANIFEST_COLUMNS, manifest_rows, row_addresses};
use super::trouble::explain;
use crate::error::{Error, Result};
use crate::model::manifest::{BrokenRow, Entry, ManifestRow, ManifestState};
use crate::model::table_path::branch_path;
use crate::model::{Branch, TableKey, Version};
use crate::store::{Key, Store};
use futures::TryStreamExt;
use lance::Dataset;
use lance::session::Session;
use lance_table::format::Fragment;
use std::sync::Arc;

/// Root-relative path of the manifest dataset.
pub const MANIFEST: &str = "__manifest";

/// A consistent view of one branch.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The branch.
    pub branch: Branch,
    /// Version of `__manifest` on that branch.
    pub version: Version,
    /// What its rows say.
    pub state: Arc<ManifestState>,
    /// The branch's own format.
    pub recognised: Recognised,
    dataset: Handle,
    places: Places,
}

impl Snapshot {
    /// Reads a branch, or `None` if it is not there.
    pub(super) async fn read(store: &Store, session: &Arc<Session>, branch: &Branch) -> Result<Option<Self>> {
        Self::read_at(store, session, branch, None).await
    }

    /// Reads a branch as it was at a version, or `None` if that version is gone. The graph's first versions came before its
    /// stamp, yet its history begins there: an older version is read by the format that the graph is known to have.
    pub(super) async fn read_at(
        store: &Store,
        session: &Arc<Session>,
        branch: &Branch,
        at: Option<(Version, Recognised)>,
    ) -> Result<Option<Self>> {
        let key =
            Key::parse(&branch_path(MANIFEST, branch)).map_err(|bad| Error::internal(bad.to_string()))?;
        let version = at.map(|(version, _)| version);
        let Some(dataset) = open(store, session, &key, version).await? else { return Ok(None) };
        let recognised = match at {
            Some((_, known)) => known,
            None => look_at(&dataset)?,
        };
        let version = version_of(&dataset);
        let fragments = dataset.fragments().to_vec();
        let is_graph = recognised.dialect != super::Dialect::Directory;
        let (state, places) = (Arc::default(), Places::default());
        let mut read = Self { branch: branch.clone(), version, state, recognised, dataset, places };
        if is_graph {
            read.absorb(fragments).await?;
        }
        Ok(Some(read))
    }

    /// The newest version, reading only what is new. What is not this one with something added (compacted, or a branch that
    /// was created anew) is read whole.
    pub(super) async fn refreshed(self, store: &Store, session: &Arc<Session>) -> Result<Option<Self>> {
        match growth::since(&self.dataset, |fragment| self.places.may_vanish(fragment)).await? {
            Growth::Gone => Ok(None),
            Growth::Same => Ok(Some(self)),
            Growth::Other => Self::read(store, session, &self.branch).await,
            Growth::More(dataset, added) => {
                let (version, recognised) = (version_of(&dataset), look_at(&dataset)?);
                let mut fresh = Self { version, recognised, dataset: *dataset, ..self };
                fresh.absorb(added).await?;
                Ok(Some(fresh))
            }
        }
    }

    /// The version that a publish of ours made of this one, which need not be read: its rows are known. `None` if they do
    /// not lie as we expect; then it is read like any other.
    pub(super) fn with_published(&self, dataset: Handle, rows: Vec<ManifestRow>) -> Option<Self> {
        let may_vanish = |fragment: &Fragment| self.places.may_vanish(fragment);
        let added = growth::added(self.dataset.fragments(), dataset.fragments(), may_vanish)?;
        let [written] = &added[..] else { return None };
        if written.num_rows() != Some(rows.len()) {
            return None;
        }
        let addresses = (0..rows.len()).map(|offset| places::address(written.id, offset)).collect();
        let mut fresh = Self { version: version_of(&dataset), dataset, ..self.clone() };
        fresh.take(rows, addresses).ok()?;
        fresh.checked().ok()?;
        Some(fresh)
    }

    async fn absorb(&mut self, fragments: Vec<Fragment>) -> Result<()> {
        if !fragments.is_empty() {
            let (dataset, branch) = (self.dataset.clone(), self.branch.clone());
            let failed = |error| explain(error, format_args!("cannot read {MANIFEST} of {branch}"));
            let mut scan = dataset.scan();
            scan.with_fragments(fragments).with_row_address().project(&MANIFEST_COLUMNS).map_err(failed)?;
            let mut batches = scan.try_into_stream().await.map_err(failed)?;
            while let Some(batch) = batches.try_next().await.map_err(failed)? {
                self.take(manifest_rows(&batch)?, row_addresses(&batch)?)?;
            }
        }
        self.checked()
    }

    fn take(&mut self, rows: Vec<ManifestRow>, addresses: Vec<u64>) -> Result<()> {
        rows.iter().zip(addresses).for_each(|(row, address)| self.places.note(row, address));
        let taken = Arc::make_mut(&mut self.state).absorb(rows);
        taken.map_err(|error| self.broken(&error))
    }

    fn checked(&mut self) -> Result<()> {
        self.state.check().map_err(|error| self.broken(&error))?;
        self.places.forget(&self.state);
        Ok(())
    }

    fn broken(&self, error: &BrokenRow) -> Error {
        let branch = &self.branch;
        Error::corrupt(format!(
            "branch {branch}: {error}; nothing on this branch is judged until a person mends it"
        ))
    }

    /// What it shows of tables on its own Lance branch: on main all, elsewhere the forks.
    pub fn own_entries(&self) -> impl Iterator<Item = (&TableKey, &Entry)> {
        self.state.entries().filter(|(_, entry)| entry.branch == self.branch)
    }

    /// The handle, shown to the publisher.
    pub(super) fn dataset(&self) -> &Handle {
        &self.dataset
    }

    /// This version as it is stored.
    pub fn made(&self, store: &Store) -> Made {
        self.dataset.made(store)
    }

    /// Where the next version of this branch's manifest will lie, in the naming scheme of the one that was loaded.
    pub(super) fn next_version_key(&self) -> Result<Key> {
        next_version_key(&self.dataset, &branch_path(MANIFEST, &self.branch))
    }

    /// Where a row lies that a publish would replace; `None` if there is none.
    pub(super) fn address_of(&self, object_id: &str) -> Option<u64> {
        self.places.of(object_id)
    }

    /// Refuses to write unless the branch's own stamp is one that we write.
    pub fn writable(&self) -> Result<()> {
        if self.recognised.writable {
            return Ok(());
        }
        let advice = "open the graph once with OmniGraph 0.6.2–0.7.2, which takes the step to 3";
        Err(Error::refused(format!(
            "branch {} has format stamp {}: it is read, never written; {advice}",
            self.branch, self.recognised.stamp
        )))
    }
}

fn look_at(dataset: &Dataset) -> Result<Recognised> {
    let schema = dataset.schema();
    let columns = schema.fields.iter().map(|field| field.name.as_str()).collect();
    recognise(&ManifestLook { columns, metadata: &schema.metadata })
}
