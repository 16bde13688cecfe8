//! A commit that lands on exactly one version or not at all.
//!
//! Lance rebases a commit onto whatever was committed since it was read; for a restore and for an append that is silent. A
//! [`Fence`] around the commit handler lets only the version pass that follows the one we judged. The store's
//! create-if-absent does the rest: of two commits of that version one exists.

use async_trait::async_trait;
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

/// Wraps the dataset's own handler and forwards everything but a commit of another version.
#[derive(Debug)]
pub(super) struct Fence {
    inner: Arc<dyn CommitHandler>,
    only: u64,
}

impl Fence {
    /// Lets only a commit of version `only` pass.
    pub(super) fn around(inner: Arc<dyn CommitHandler>, only: u64) -> Arc<dyn CommitHandler> {
        Arc::new(Self { inner, only })
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
        if manifest.version != self.only {
            let refused =
                format!("version {} would be committed, only {} was judged", manifest.version, self.only);
            return Err(CommitError::OtherError(LanceError::commit_conflict_source(
                manifest.version,
                refused.into(),
            )));
        }
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
        if manifest.version != self.only {
            let refused =
                format!("version {} would be committed, only {} was judged", manifest.version, self.only);
            return Err(CommitError::OtherError(LanceError::commit_conflict_source(
                manifest.version,
                refused.into(),
            )));
        }
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
