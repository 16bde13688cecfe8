//! One Lance dataset, or one branch of it: opening, and committing to exactly one version.
//!
//! Every commit of ours carries the property `outrigger.operation`, skips Lance's auto-cleanup (old graphs store settings
//! under which an ordinary commit would delete versions) and is fenced to the version that was judged.

use super::fenced::Fence;
use super::trouble::{explain, kind_of};
use crate::error::{Error, Kind, Result};
use crate::model::manifest::{Entry, VersionMetadata};
use crate::model::{Branch, Version};
use crate::store::{ETag, Key, Store};
use futures::FutureExt;
use lance::Dataset;
use lance::dataset::CommitBuilder;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::Transaction;
use lance::session::Session;
use lance_table::io::commit::commit_handler_from_url;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Transaction property that names the operation a commit belongs to.
pub const OPERATION_PROPERTY: &str = "outrigger.operation";

/// An open dataset that commits nothing but the version after the one that it shows.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    dataset: Dataset,
    fence: Arc<Fence>,
}

impl Deref for Handle {
    type Target = Dataset;
    fn deref(&self) -> &Dataset {
        &self.dataset
    }
}

impl DerefMut for Handle {
    fn deref_mut(&mut self) -> &mut Dataset {
        &mut self.dataset
    }
}

/// A version that was just committed: where its manifest lies, and in which state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The version.
    pub version: Version,
    key: Option<Key>,
    etag: Option<ETag>,
}

impl Handle {
    /// The version that this handle shows, as it is stored.
    pub(super) fn made(&self, store: &Store) -> Made {
        let location = self.manifest_location();
        let key = store.uri().key(&location.path);
        Made { version: version_of(self), key, etag: location.e_tag.clone().map(ETag) }
    }
}

impl super::Repository {
    /// Takes a version away that we have just made on a branch that was deleted meanwhile: left behind, it would be the
    /// newest version of the next branch of that name. *Somebody has made that branch already, with a version of this
    /// number*: its state differs, and it is left alone.
    pub async fn unmake(&self, made: &Made) -> Result<()> {
        match (&made.key, &made.etag) {
            (Some(key), Some(etag)) => self.store.delete_if(key, etag).await.map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// How a fenced commit ended.
#[derive(Debug)]
pub(super) enum Committed {
    /// It is the next version; the handle shows it.
    Yes(Box<Handle>),
    /// Somebody else committed first, or the change does not fit what they committed. Nothing of ours is there.
    Conflict(Error),
    /// It may be there. Look again.
    Unknown(Error),
}

/// Opens the newest version at a key, or a given one. `None` if there is no dataset or no such version.
pub(super) async fn open(
    store: &Store,
    session: &Arc<Session>,
    key: &Key,
    version: Option<Version>,
) -> Result<Option<Handle>> {
    let uri = store.uri().dataset(key);
    let inner = commit_handler_from_url(&uri, &None).await;
    let fence = Fence::around(inner.map_err(|error| explain(error, "cannot choose a commit handler"))?);
    let builder = DatasetBuilder::from_uri(uri).with_session(session.clone());
    let mut builder = builder.with_commit_handler(fence.clone());
    if let Some(version) = version {
        builder = builder.with_version(version.0);
    }
    let mut loaded = load(builder.clone(), key).await?;
    if matches!(&loaded, Err(error) if kind_of(error) == Kind::Missing && !is_absent(error)) {
        // The newest version went away between the list and the read: another may be the newest now.
        loaded = load(builder, key).await?;
    }
    match loaded {
        Ok(dataset) => Ok(Some(Handle { dataset, fence })),
        Err(error) if kind_of(&error) == Kind::Missing => Ok(None),
        Err(error) if is_out_of_range(&error) => {
            Err(Error::corrupt(format!("cannot open {key}: its newest version is cut off")))
        }
        Err(error) => Err(explain(error, format_args!("cannot open {key}"))),
    }
}

/// Lance's answer. Over a version file that was cut off, as after a loss of power, it panics.
async fn load(builder: DatasetBuilder, key: &Key) -> Result<lance::Result<Dataset>> {
    let loaded = AssertUnwindSafe(builder.load()).catch_unwind().await;
    loaded.map_err(|_| Error::corrupt(format!("cannot open {key}: its newest version cannot be understood")))
}

/// Whether more was asked of a file than there is: its size is known, so it is not whole.
fn is_out_of_range(error: &lance::Error) -> bool {
    error.to_string().contains("Invalid range")
}

/// Whether nothing was listed, so that a second look would see the same.
fn is_absent(error: &lance::Error) -> bool {
    matches!(error, lance::Error::DatasetNotFound { .. } | lance::Error::VersionNotFound { .. })
}

/// The version that a handle shows.
pub(super) fn version_of(dataset: &Dataset) -> Version {
    Version(dataset.manifest().version)
}

/// Where the version after the one that a handle shows will lie: in the naming scheme of the one that was loaded, below `dir`.
pub(super) fn next_version_key(dataset: &Dataset, dir: &str) -> Result<Key> {
    let naming = dataset.manifest_location().naming_scheme;
    let name = naming.manifest_path(&object_store::path::Path::default(), version_of(dataset).next().0);
    Key::parse(&format!("{dir}/{name}")).map_err(|bad| Error::internal(bad.to_string()))
}

/// Commits as exactly the version after the one that `handle` shows.
///
/// *Dies before*: files without a version, which later cleanup removes. *Dies after, or the answer is lost*: the version
/// is there and carries `operation`; the next look finds it. *Another committer*: one of the two versions exists, the
/// loser gets [`Committed::Conflict`]. An `Err` wrote no version: Lance reads back after every doubtful answer.
pub(super) async fn commit_next(
    handle: &Handle,
    mut transaction: Transaction,
    operation: &str,
) -> Result<Committed> {
    let only = version_of(handle).next();
    transaction.transaction_properties =
        Some(Arc::new(HashMap::from([(OPERATION_PROPERTY.to_owned(), operation.to_owned())])));
    let commit = CommitBuilder::new(Arc::new(handle.dataset.clone()))
        .with_commit_handler(handle.fence.for_commit_of(only))
        .with_skip_auto_cleanup(true)
        .with_max_retries(1);
    match commit.execute(transaction).await {
        Ok(dataset) => Ok(Committed::Yes(Box::new(Handle { dataset, fence: handle.fence.clone() }))),
        Err(error) => {
            let error = explain(error, format_args!("cannot commit version {only} of {}", handle.uri()));
            match error.kind() {
                Kind::Moved => Ok(Committed::Conflict(error)),
                Kind::Unknown => Ok(Committed::Unknown(error)),
                _ => Err(error),
            }
        }
    }
}

/// What the manifest records of the version that a handle shows: `location` is the dataset's root-relative path.
pub(super) async fn entry_of(dataset: &Dataset, branch: &Branch) -> Result<Entry> {
    let rows = dataset.count_rows(None).await;
    let rows =
        rows.map_err(|error| explain(error, format_args!("cannot count the rows of {}", dataset.uri())))?;
    let location = dataset.manifest_location();
    let metadata = VersionMetadata {
        manifest_path: location.path.to_string(),
        manifest_size: location.size,
        e_tag: location.e_tag.clone(),
        naming_scheme: Some(format!("{:?}", location.naming_scheme)),
    };
    Ok(Entry {
        version: version_of(dataset),
        branch: branch.clone(),
        row_count: rows as u64,
        metadata: metadata.to_json(),
    })
}
