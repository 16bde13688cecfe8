//! Listings of a disk in the order of an object store: by the bytes of the whole name.
//!
//! With it Lance may take the first manifest of a listing for the newest, as it does on S3. Without it Lance would follow
//! its `latest_version_hint.json`, which a writer of another Lance version does not keep: a stale hint whose next version
//! was cleaned up hides every newer one.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::cmp::Reverse;
use std::fmt;
use std::future::ready;
use std::ops::Range;
use std::sync::Arc;

/// Lists in order; passes everything else on.
#[derive(Debug)]
pub struct Ordered {
    inner: Arc<dyn ObjectStore>,
}

impl Ordered {
    /// Sorts the listings of `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }
}

/// What a walk still has to visit.
enum Visit {
    Object(ObjectMeta),
    Folder(Path),
}

impl Visit {
    /// A folder sorts as its children do: `a.json` < `a/x`.
    fn name(&self) -> String {
        match self {
            Self::Object(meta) => meta.location.to_string(),
            Self::Folder(path) => format!("{path}/"),
        }
    }
}

/// Walks folder by folder, so that memory holds one folder per level, not the whole tree.
async fn step(inner: Arc<dyn ObjectStore>, mut rest: Vec<Visit>) -> Result<Option<(ObjectMeta, Vec<Visit>)>> {
    while let Some(next) = rest.pop() {
        let folder = match next {
            Visit::Object(meta) => return Ok(Some((meta, rest))),
            Visit::Folder(path) => path,
        };
        let found = inner.list_with_delimiter(Some(&folder)).await?;
        let mut below: Vec<_> = found.objects.into_iter().map(Visit::Object).collect();
        below.extend(found.common_prefixes.into_iter().map(Visit::Folder));
        below.sort_by_cached_key(|visit| Reverse(visit.name()));
        rest.extend(below);
    }
    Ok(None)
}

impl fmt::Display for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ordered({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Ordered {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let start = vec![Visit::Folder(prefix.cloned().unwrap_or_default())];
        let inner = self.inner.clone();
        stream::try_unfold(start, move |rest| step(inner.clone(), rest)).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        self.list(prefix).try_filter(move |meta| ready(meta.location > offset)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        found.objects.sort_by(|a, b| a.location.cmp(&b.location));
        found.common_prefixes.sort();
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::local::LocalFileSystem;

    #[tokio::test]
    async fn a_disk_lists_as_an_object_store_does() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
        let names = ["a-b", "a.json", "a/x", "a/y/1", "a/y/10", "a/y/2", "a/z", "a0", "b/c"];
        for name in names.iter().rev() {
            disk.put(&Path::from(*name), PutPayload::new()).await.unwrap();
        }
        let store = Ordered::new(disk);
        let listed = |stream: BoxStream<'static, Result<ObjectMeta>>| async move {
            stream.map_ok(|meta| meta.location.to_string()).try_collect::<Vec<_>>().await.unwrap()
        };
        assert_eq!(listed(store.list(None)).await, names);
        assert_eq!(listed(store.list(Some(&Path::from("a/y")))).await, ["a/y/1", "a/y/10", "a/y/2"]);
        assert_eq!(listed(store.list_with_offset(None, &Path::from("a/y/2"))).await, ["a/z", "a0", "b/c"]);
        assert!(listed(store.list(Some(&Path::from("missing")))).await.is_empty());
    }
}
