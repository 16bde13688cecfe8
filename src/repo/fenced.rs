//! A commit that lands on exactly one version or not at all.
//!
//! Lance rebases a commit onto whatever was committed since it was read; for a restore and for an append that is silent. A
//! [`Fence`] around the commit handler lets only the version pass that follows the one we judged. The store's
//! create-if-absent does the rest: of two commits of that version one exists.

use crate::model::Version;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use lance::Error as LanceError;
use lance_core::Result as LanceResult;
use lance_io::object_store::ObjectStore;
use lance_table::format::{IndexMetadata, Manifest, Transaction};
use lance_table::io::commit::PredecessorIdentity;
use lance_table::io::commit::{
    CommitError, CommitHandler, ManifestLocation, ManifestNamingScheme, ManifestWriter,
};
use object_store::ObjectStore as RawStore;
use object_store::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Wraps the dataset's own handler and forwards everything but a commit of another version than the one that is allowed.
#[derive(Debug)]
pub(super) struct Fence {
    inner: Arc<dyn CommitHandler>,
    /// The version that was judged last, plus one; 0 before anything was judged: no commit passes.
    only: AtomicU64,
}

impl Fence {
    /// For reading: lets nothing pass.
    pub(super) fn around(inner: Arc<dyn CommitHandler>) -> Arc<Self> {
        Arc::new(Self { inner, only: AtomicU64::new(0) })
    }

    /// For one commit, of exactly this version; the fence that the dataset is read through is told of it, for Lance lists
    /// versions through that one.
    ///
    /// They are two, for readers of one lineage share a fence: a commit that was judged on an older version than another
    /// reader's must not pass as the latter's.
    pub(super) fn for_commit_of(&self, version: Version) -> Arc<Self> {
        self.only.store(version.0, Ordering::Release);
        Arc::new(Self { inner: self.inner.clone(), only: AtomicU64::new(version.0) })
    }

    fn only(&self) -> u64 {
        self.only.load(Ordering::Acquire)
    }

    fn check(&self, version: u64) -> Result<(), CommitError> {
        let only = self.only();
        if version == only {
            return Ok(());
        }
        let refused = format!("version {version} would be committed, only {only} was judged");
        Err(CommitError::OtherError(LanceError::commit_conflict_source(version, refused.into())))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CommitHandler for Fence {
    /// A refused commit wrote nothing, so a missing version is proof of that; the handlers that we wrap are definitive too.
    fn is_version_not_found_definitive(&self) -> bool {
        self.inner.is_version_not_found_definitive()
    }

    fn propagate_commit_error_after_success(&self) -> bool {
        self.inner.propagate_commit_error_after_success()
    }

    async fn resolve_latest_location(
        &self,
        base: &Path,
        store: &ObjectStore,
    ) -> LanceResult<ManifestLocation> {
        self.inner.resolve_latest_location(base, store).await
    }

    async fn resolve_version_location(
        &self,
        base: &Path,
        version: u64,
        store: &dyn RawStore,
    ) -> LanceResult<ManifestLocation> {
        self.inner.resolve_version_location(base, version, store).await
    }

    async fn version_exists(
        &self,
        base: &Path,
        version: u64,
        store: &dyn RawStore,
        naming: ManifestNamingScheme,
    ) -> LanceResult<bool> {
        self.inner.version_exists(base, version, store, naming).await
    }

    fn list_detached_manifest_locations<'a>(
        &self,
        base: &Path,
        store: &'a ObjectStore,
    ) -> BoxStream<'a, LanceResult<ManifestLocation>> {
        self.inner.list_detached_manifest_locations(base, store)
    }

    fn list_manifest_locations<'a>(
        &self,
        base: &Path,
        store: &'a ObjectStore,
        sorted_descending: bool,
    ) -> BoxStream<'a, LanceResult<ManifestLocation>> {
        self.inner.list_manifest_locations(base, store, sorted_descending)
    }

    fn list_manifest_locations_since<'a>(
        &self,
        base: &Path,
        store: &'a ObjectStore,
        since: u64,
    ) -> BoxStream<'a, LanceResult<ManifestLocation>> {
        // Lance asks what was committed since, to rebase on it. We never rebase: if there is anything, creating the only
        // version that may pass will fail. One listing less for each commit.
        if since + 1 == self.only() {
            return futures::stream::empty().boxed();
        }
        self.inner.list_manifest_locations_since(base, store, since)
    }

    async fn commit(
        &self,
        manifest: &mut Manifest,
        indices: Option<Vec<IndexMetadata>>,
        base: &Path,
        store: &ObjectStore,
        writer: ManifestWriter,
        naming: ManifestNamingScheme,
        transaction: Option<Transaction>,
    ) -> Result<ManifestLocation, CommitError> {
        self.check(manifest.version)?;
        self.inner.commit(manifest, indices, base, store, writer, naming, transaction).await
    }

    fn supports_predecessor_condition(&self) -> bool {
        self.inner.supports_predecessor_condition()
    }

    async fn resolve_latest_identity(
        &self,
        base: &Path,
        store: &ObjectStore,
    ) -> LanceResult<Option<PredecessorIdentity>> {
        self.inner.resolve_latest_identity(base, store).await
    }

    async fn resolve_identity(
        &self,
        base: &Path,
        store: &ObjectStore,
        version: u64,
    ) -> LanceResult<Option<PredecessorIdentity>> {
        self.inner.resolve_identity(base, store, version).await
    }

    async fn commit_after(
        &self,
        manifest: &mut Manifest,
        indices: Option<Vec<IndexMetadata>>,
        base: &Path,
        store: &ObjectStore,
        writer: ManifestWriter,
        naming: ManifestNamingScheme,
        transaction: Option<Transaction>,
        predecessor: &PredecessorIdentity,
    ) -> Result<ManifestLocation, CommitError> {
        self.check(manifest.version)?;
        let inner = &self.inner;
        inner.commit_after(manifest, indices, base, store, writer, naming, transaction, predecessor).await
    }

    async fn forget_version(&self, base: &Path, version: u64, identity: &str) -> LanceResult<()> {
        self.inner.forget_version(base, version, identity).await
    }

    async fn delete(&self, base: &Path) -> LanceResult<()> {
        self.inner.delete(base).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::trouble::kind_of;
    use super::*;
    use crate::error::Kind;
    use arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use lance::Dataset;
    use lance::dataset::transaction::Transaction;
    use lance::dataset::{CommitBuilder, InsertBuilder, WriteMode, WriteParams};
    use lance_table::io::commit::commit_handler_from_url;

    fn rows() -> Vec<RecordBatch> {
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        vec![RecordBatch::try_from_iter([("id", ids)]).unwrap()]
    }

    /// A dataset of one version, its handler, and two appends that were staged on that version.
    async fn dataset(dir: &tempfile::TempDir) -> (Arc<Dataset>, Arc<dyn CommitHandler>, [Transaction; 2]) {
        let uri = dir.path().join("table.lance").to_str().unwrap().to_owned();
        let made = Arc::new(InsertBuilder::new(uri.as_str()).execute(rows()).await.unwrap());
        let params = WriteParams { mode: WriteMode::Append, ..WriteParams::default() };
        let stage = async || {
            let insert = InsertBuilder::new(made.clone()).with_params(&params);
            insert.execute_uncommitted(rows()).await.unwrap()
        };
        let staged = [stage().await, stage().await];
        (made, commit_handler_from_url(&uri, &None).await.unwrap(), staged)
    }

    async fn commit(
        on: &Arc<Dataset>,
        handler: Arc<dyn CommitHandler>,
        staged: Transaction,
    ) -> Result<u64, Kind> {
        let made = CommitBuilder::new(on.clone()).with_commit_handler(handler).execute(staged).await;
        made.map(|made| made.manifest().version).map_err(|error| kind_of(&error))
    }

    #[tokio::test]
    async fn nothing_is_committed_that_was_not_judged() {
        let dir = tempfile::tempdir().unwrap();
        let (made, handler, [staged, _]) = dataset(&dir).await;
        let fence = Fence::around(handler);
        assert_eq!(commit(&made, fence.clone(), staged.clone()).await, Err(Kind::Moved));
        assert_eq!(commit(&made, fence.for_commit_of(Version(3)), staged.clone()).await, Err(Kind::Moved));
        assert_eq!(commit(&made, fence.for_commit_of(Version(2)), staged).await, Ok(2));
    }

    #[tokio::test]
    async fn a_commit_is_not_carried_over_what_came_between() {
        let dir = tempfile::tempdir().unwrap();
        let (made, handler, [one, other]) = dataset(&dir).await;
        let fence = Fence::around(handler.clone());
        assert_eq!(commit(&made, fence.for_commit_of(Version(2)), one).await, Ok(2));
        assert_eq!(commit(&made, fence.for_commit_of(Version(2)), other.clone()).await, Err(Kind::Moved));
        assert_eq!(commit(&made, handler, other).await, Ok(3), "as Lance does without a fence");
    }

    #[tokio::test]
    async fn what_one_reader_judged_lets_nothing_of_another_pass() {
        let dir = tempfile::tempdir().unwrap();
        let (_, handler, _) = dataset(&dir).await;
        let fence = Fence::around(handler);
        let one = fence.for_commit_of(Version(2));
        let other = fence.for_commit_of(Version(3));
        assert!(one.check(2).is_ok() && one.check(3).is_err());
        assert!(other.check(3).is_ok() && other.check(2).is_err());
    }
}
