//! Hands our store to Lance: a registry that knows only this repository's store, so that no request of Lance goes another
//! way, and a session that datasets are opened with.
//!
//! Commits are conditional without more ado: Lance picks its commit handler by the dataset's address, and for `s3`, `gs`,
//! `az`, `memory`, `file` and plain paths that is a put-if-absent of the next manifest.

use super::open::Store;
use super::settings::StoreSettings;
use super::uri::{RepoUri, Scheme};
use crate::error::{Error, Result};
use async_trait::async_trait;
use lance::session::Session;
use lance_io::object_store::providers::{local::FileStoreProvider, memory::MemoryStoreProvider};
use lance_io::object_store::{
    DEFAULT_CLOUD_IO_PARALLELISM, DEFAULT_DOWNLOAD_RETRY_COUNT, DEFAULT_LOCAL_IO_PARALLELISM,
    ObjectStore as LanceStore, ObjectStoreParams, ObjectStoreProvider, ObjectStoreRegistry,
};
use object_store::ObjectStore;
use object_store::path::Path;
use std::collections::HashMap;
use std::sync::Arc;
use url::Url;

/// Smallest read Lance makes of a disk, and of anything far away.
const LOCAL_BLOCK_BYTES: usize = 4 << 10;
const CLOUD_BLOCK_BYTES: usize = 64 << 10;

/// A session whose datasets all go through `io`.
pub(super) fn over(uri: &RepoUri, settings: &StoreSettings, io: Arc<dyn ObjectStore>) -> Arc<Session> {
    let registry = ObjectStoreRegistry::empty();
    registry.insert(
        uri.scheme().name(),
        Arc::new(Ours { uri: uri.clone(), io, parts: same_sized_parts(settings) }),
    );
    Arc::new(Session::new(settings.index_cache_bytes, settings.metadata_cache_bytes, Arc::new(registry)))
}

impl Store {
    /// Our store as Lance's writers of single files want it: deletion files are written before there is a version to open.
    pub(crate) async fn for_lance(&self) -> Result<Arc<LanceStore>> {
        let (registry, params) = (self.session().store_registry(), ObjectStoreParams::default());
        let found = LanceStore::from_uri_and_params(registry, self.uri().as_str(), &params).await;
        let (store, _) = found.map_err(|error| {
            Error::internal(format!("{} is no store to Lance", self.uri())).caused_by(error)
        })?;
        Ok(store)
    }
}

/// Cloudflare R2 wants all parts of an upload but the last of one size.
fn same_sized_parts(settings: &StoreSettings) -> bool {
    settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.contains("r2.cloudflarestorage.com"))
}

/// Gives Lance the repository's store for every address of its bucket (or disk), and nothing for others.
#[derive(Debug)]
struct Ours {
    uri: RepoUri,
    io: Arc<dyn ObjectStore>,
    parts: bool,
}

impl Ours {
    /// Lance reads and writes a `file` store past the object store; under this scheme it does not.
    fn location(&self, base: &Url) -> Url {
        match self.uri.scheme() {
            Scheme::Local => Url::parse("file-object-store:///").expect("a constant URL"),
            _ => base.clone(),
        }
    }

    fn is_near(&self) -> bool {
        matches!(self.uri.scheme(), Scheme::Local | Scheme::Memory)
    }
}

#[async_trait]
impl ObjectStoreProvider for Ours {
    async fn new_store(&self, base: Url, params: &ObjectStoreParams) -> lance_core::Result<LanceStore> {
        let bucket = self.uri.bucket_name();
        if !self.is_near() && base.host_str() != Some(bucket) {
            let other = base.host_str().unwrap_or("none");
            return Err(lance_core::Error::invalid_input(format!(
                "a dataset of {} refers to bucket {other:?}; only {bucket:?} is reachable here",
                self.uri
            )));
        }
        let (block_bytes, parallelism) = match self.is_near() {
            true => (LOCAL_BLOCK_BYTES, DEFAULT_LOCAL_IO_PARALLELISM),
            false => (CLOUD_BLOCK_BYTES, DEFAULT_CLOUD_IO_PARALLELISM),
        };
        Ok(LanceStore::new(
            self.io.clone(),
            self.location(&base),
            Some(params.block_size.unwrap_or(block_bytes)),
            None,
            self.parts,
            true, // all our stores list in order; see `layers::ordered`
            parallelism,
            DEFAULT_DOWNLOAD_RETRY_COUNT,
            params.storage_options(),
        ))
    }

    fn extract_path(&self, url: &Url) -> lance_core::Result<Path> {
        match self.uri.scheme() {
            Scheme::Local => FileStoreProvider.extract_path(url),
            Scheme::Memory => MemoryStoreProvider.extract_path(url),
            _ => Path::from_url_path(url.path())
                .map_err(|cause| lance_core::Error::invalid_input(format!("path of {url}: {cause}"))),
        }
    }

    fn calculate_object_store_prefix(
        &self,
        url: &Url,
        _: Option<&HashMap<String, String>>,
    ) -> lance_core::Result<String> {
        Ok(format!("{}${}", url.scheme(), url.authority()))
    }
}
