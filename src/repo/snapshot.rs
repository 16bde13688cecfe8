//! What one branch of the manifest shows, at its newest version or an older one.
//!
//! A snapshot keeps its handle, so that the next look reads only the fragments that newer versions added: a tick costs what
//! changed, not the history.

use super::dataset::{Handle, open, version_of};
use super::dialect::{ManifestLook, Recognised, recognise};
use super::rows::{MANIFEST_COLUMNS, manifest_rows, row_addresses};
use super::trouble::explain;
use crate::error::{Error, Result};
use crate::model::manifest::{ManifestRow, ManifestState};
use crate::model::table_path::branch_path;
use crate::model::{Branch, TableKey, Version};
use crate::store::{Key, Store};
use futures::TryStreamExt;
use lance::Dataset;
use lance::session::Session;
use lance_table::format::Fragment;
use std::collections::{HashMap, HashSet};
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
    pub state: ManifestState,
    /// The branch's own format.
    pub recognised: Recognised,
    dataset: Handle,
    addresses: Addresses,
}

/// Where the rows lie that a publish may replace, by `object_id`: registrations, heads of the history, and the shown version
/// of each table, which may be handed over to another branch. All other rows are only ever added.
type Addresses = HashMap<String, Placed>;

/// A row's address and, if it is a version of a table, which.
#[derive(Debug, Clone)]
struct Placed {
    address: u64,
    version: Option<(String, u64)>,
}

impl Placed {
    /// `None` for a row of a kind that is never replaced.
    fn of(row: &ManifestRow, address: u64) -> Option<(String, Self)> {
        let version = match row.object_type.as_str() {
            "table" | "graph_head" => None,
            "table_version" => Some((row.table_key.clone(), row.table_version?)),
            _ => return None,
        };
        Some((row.object_id.clone(), Self { address, version }))
    }

    fn may_be_replaced(&self, state: &ManifestState) -> bool {
        let is_shown = |(table, version): &(String, u64)| {
            let entry = TableKey::parse(table).ok().and_then(|table| state.entry(&table).cloned());
            entry.is_some_and(|entry| entry.version.0 == *version)
        };
        self.version.as_ref().is_none_or(is_shown)
    }
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
        let (mut state, mut addresses) = (ManifestState::default(), Addresses::new());
        if recognised.dialect != super::Dialect::Directory {
            absorb(&mut state, &mut addresses, &dataset, dataset.fragments().to_vec(), branch).await?;
        }
        let version = version_of(&dataset);
        Ok(Some(Self { branch: branch.clone(), version, state, recognised, dataset, addresses }))
    }

    /// The newest version, reading only what is new. A snapshot of a version that no longer follows this one (its branch
    /// was created anew) is read whole.
    pub(super) async fn refreshed(&self, store: &Store, session: &Arc<Session>) -> Result<Option<Self>> {
        let mut dataset = self.dataset.clone();
        match dataset.checkout_latest().await {
            Ok(()) => {}
            Err(error) if super::trouble::kind_of(&error) == crate::Kind::Missing => return Ok(None),
            Err(error) => {
                return Err(explain(error, format_args!("cannot look at {MANIFEST} of {}", self.branch)));
            }
        }
        if dataset.manifest().timestamp_nanos == self.dataset.manifest().timestamp_nanos
            && version_of(&dataset) == self.version
        {
            return Ok(Some(self.clone()));
        }
        if version_of(&dataset) <= self.version {
            return Self::read(store, session, &self.branch).await;
        }
        let recognised = look_at(&dataset)?;
        let known: HashSet<_> = self.dataset.fragments().iter().map(identity).collect();
        let new = dataset
            .fragments()
            .iter()
            .filter(|fragment| !known.contains(&identity(fragment)))
            .cloned()
            .collect();
        let (mut state, mut addresses) = (self.state.clone(), self.addresses.clone());
        absorb(&mut state, &mut addresses, &dataset, new, &self.branch).await?;
        Ok(Some(Self {
            version: version_of(&dataset),
            state,
            recognised,
            dataset,
            addresses,
            branch: self.branch.clone(),
        }))
    }

    /// The handle, shown to the publisher.
    pub(super) fn dataset(&self) -> &Handle {
        &self.dataset
    }

    /// Where the next version of this branch's manifest will lie, in the naming scheme of the one that was loaded.
    pub(super) fn next_version_key(&self) -> Result<Key> {
        let base = object_store::path::Path::default();
        let location = self.dataset.manifest_location();
        let name = location.naming_scheme.manifest_path(&base, self.version.next().0);
        let dir = branch_path(MANIFEST, &self.branch);
        Key::parse(&format!("{dir}/{name}")).map_err(|bad| Error::internal(bad.to_string()))
    }

    /// Where a row lies that a publish would replace; `None` if there is none.
    pub(super) fn address_of(&self, object_id: &str) -> Option<u64> {
        self.addresses.get(object_id).map(|placed| placed.address)
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

/// Rows never change inside a data file, so a fragment that holds the same files holds the same rows; deletions only hide
/// rows that a newer fragment holds in a newer form.
fn identity(fragment: &Fragment) -> (u64, Vec<String>) {
    (fragment.id, fragment.files.iter().map(|file| file.path.clone()).collect())
}

fn look_at(dataset: &Dataset) -> Result<Recognised> {
    let schema = dataset.schema();
    let columns = schema.fields.iter().map(|field| field.name.as_str()).collect();
    recognise(&ManifestLook { columns, metadata: &schema.metadata })
}

async fn absorb(
    state: &mut ManifestState,
    addresses: &mut Addresses,
    dataset: &Dataset,
    fragments: Vec<Fragment>,
    branch: &Branch,
) -> Result<()> {
    let broken = |error: crate::model::manifest::BrokenRow| {
        Error::corrupt(format!(
            "branch {branch}: {error}; nothing on this branch is judged until a person mends it"
        ))
    };
    if !fragments.is_empty() {
        let failed = |error| explain(error, format_args!("cannot read {MANIFEST} of {branch}"));
        let mut scan = dataset.scan();
        scan.with_fragments(fragments).with_row_address().project(&MANIFEST_COLUMNS).map_err(failed)?;
        let mut batches = scan.try_into_stream().await.map_err(failed)?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let rows = manifest_rows(&batch)?;
            let placed = rows.iter().zip(row_addresses(&batch)?);
            addresses.extend(placed.filter_map(|(row, address)| Placed::of(row, address)));
            state.absorb(rows).map_err(broken)?;
        }
    }
    state.check().map_err(broken)?;
    addresses.retain(|_, placed| placed.may_be_replaced(state));
    Ok(())
}
