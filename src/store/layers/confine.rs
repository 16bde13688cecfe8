//! Refuses every write and deletion outside the repository's root, whoever asks: a recorded path, a shallow clone's base
//! or a bug must never change a neighbour. Reads pass: branches of a copied graph read their original.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::fmt;
use std::future::ready;
use std::ops::Range;
use std::sync::Arc;

/// Writes only below its root.
#[derive(Debug)]
pub struct Confined {
    inner: Arc<dyn ObjectStore>,
    root: Path,
}

impl Confined {
    /// Keeps the writes of `inner` below `root`.
    pub fn new(inner: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self { inner, root }
    }
}

fn check(root: &Path, location: &Path) -> Result<()> {
    match location.prefix_matches(root) && location != root {
        true => Ok(()),
        false => Err(Error::NotSupported {
            source: format!("{location} lies outside the repository {root}").into(),
        }),
    }
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Confined({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Confined {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        check(&self.root, location)?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        check(&self.root, location)?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let root = self.root.clone();
        let checked = locations.and_then(move |location| ready(check(&root, &location).map(|()| location)));
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        check(&self.root, to)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        check(&self.root, from)?;
        check(&self.root, to)?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn a_neighbour_can_be_read_but_not_written() {
        let memory = Arc::new(InMemory::new());
        let (inside, outside) = (Path::from("graph/x"), Path::from("graph-2/x"));
        memory.put(&outside, "theirs".into()).await.unwrap();
        let store = Confined::new(memory.clone(), Path::from("graph"));
        store.put(&inside, "ours".into()).await.unwrap();
        assert!(store.get(&outside).await.is_ok());
        assert!(store.put(&outside, "ours".into()).await.is_err());
        assert!(store.delete(&outside).await.is_err());
        assert!(store.rename(&outside, &inside).await.is_err());
        assert!(store.copy(&inside, &outside).await.is_err());
        assert!(store.put_multipart(&outside).await.is_err());
        assert!(store.put(&Path::from("graph"), "ours".into()).await.is_err());
        assert_eq!(memory.get(&outside).await.unwrap().bytes().await.unwrap(), "theirs");
    }
}
