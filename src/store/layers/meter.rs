//! Counts requests as the server's bill would: one per page of a listing, per part of an upload, per batch of deletions.
//!
//! On disk and in memory the same arithmetic applies, so that a cost measured there holds on S3.

use super::Verb;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use serde::Serialize;
use std::fmt;
use std::ops::{Add, AddAssign, Range, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names per page of a listing and per batch of deletions, on S3.
const PAGE: usize = 1000;

/// How many requests were made, by the words of the bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Reads of objects or ranges.
    pub get: u64,
    /// Reads of metadata.
    pub head: u64,
    /// Pages of listings.
    pub list: u64,
    /// Writes: conditional or not, parts, begin and end of uploads, copies.
    pub put: u64,
    /// Deletions; up to 1000 objects of one batch count as one.
    pub delete: u64,
}

impl Requests {
    /// All of them.
    pub fn total(self) -> u64 {
        self.get + self.head + self.list + self.put + self.delete
    }

    /// Combines field by field; a new field cannot be forgotten.
    fn zip(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let Self { get, head, list, put, delete } = self;
        Self {
            get: combine(get, other.get),
            head: combine(head, other.head),
            list: combine(list, other.list),
            put: combine(put, other.put),
            delete: combine(delete, other.delete),
        }
    }
}

impl Add for Requests {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What was made since an earlier snapshot: `now - earlier`.
impl Sub for Requests {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }
}

/// The running counts of one store; shared between its layers and its readers.
#[derive(Debug, Default)]
pub struct Counts {
    get: AtomicU64,
    head: AtomicU64,
    list: AtomicU64,
    put: AtomicU64,
    delete: AtomicU64,
}

impl Counts {
    /// The counts up to now.
    pub fn snapshot(&self) -> Requests {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests {
            get: read(&self.get),
            head: read(&self.head),
            list: read(&self.list),
            put: read(&self.put),
            delete: read(&self.delete),
        }
    }

    fn add(&self, verb: Verb) {
        let count = match verb {
            Verb::Get => &self.get,
            Verb::Head => &self.head,
            Verb::List => &self.list,
            Verb::Delete | Verb::AbortUpload => &self.delete,
            Verb::Put | Verb::Create | Verb::Update | Verb::Copy => &self.put,
            Verb::StartUpload | Verb::PutPart | Verb::FinishUpload => &self.put,
            Verb::Rename => {
                self.delete.fetch_add(1, Ordering::Relaxed);
                &self.put
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts what passes through.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn ObjectStore>,
    counts: Arc<Counts>,
}

impl Metered {
    /// Counts the calls to `inner` into `counts`.
    pub fn new(inner: Arc<dyn ObjectStore>, counts: Arc<Counts>) -> Self {
        Self { inner, counts }
    }

    /// One request when the stream is first polled, one more for each further page of entries.
    fn paged<T: Send + 'static>(&self, verb: Verb, entries: BoxStream<'static, T>) -> BoxStream<'static, T> {
        let counts = self.counts.clone();
        let counting = async move {
            counts.add(verb);
            entries.enumerate().map(move |(index, entry)| {
                if index > 0 && index % PAGE == 0 {
                    counts.add(verb);
                }
                entry
            })
        };
        stream::once(counting).flatten().boxed()
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metered({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Metered {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.counts.add(Verb::of_put(&opts.mode));
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.counts.add(Verb::StartUpload);
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(MeteredUpload { upload, counts: self.counts.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.counts.add(Verb::of_get(&options));
        self.inner.get_opts(location, options).await
    }

    /// Counted as one: the retry layer above asks for each range by itself.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.counts.add(Verb::Get);
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(self.paged(Verb::Delete, locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.paged(Verb::List, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.paged(Verb::List, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.counts.add(Verb::List);
        let found = self.inner.list_with_delimiter(prefix).await?;
        let entries = found.objects.len() + found.common_prefixes.len();
        (1..entries.div_ceil(PAGE)).for_each(|_| self.counts.add(Verb::List));
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.counts.add(Verb::Copy);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.counts.add(Verb::Rename);
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct MeteredUpload {
    upload: Box<dyn MultipartUpload>,
    counts: Arc<Counts>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.counts.add(Verb::PutPart);
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.counts.add(Verb::FinishUpload);
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.counts.add(Verb::AbortUpload);
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    async fn metered(objects: usize) -> (Metered, Arc<Counts>) {
        let memory = InMemory::new();
        for n in 0..objects {
            memory.put(&Path::from(format!("d/{n:05}")), PutPayload::new()).await.unwrap();
        }
        let counts = Arc::new(Counts::default());
        (Metered::new(Arc::new(memory), counts.clone()), counts)
    }

    #[tokio::test]
    async fn a_listing_costs_one_request_per_thousand_names() {
        for (objects, pages) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2001, 3)] {
            let (store, counts) = metered(objects).await;
            store.list(None).try_collect::<Vec<_>>().await.unwrap();
            assert_eq!(
                counts.snapshot(),
                Requests { list: pages, ..Requests::default() },
                "{objects} objects"
            );
        }
    }

    #[tokio::test]
    async fn a_listing_that_nobody_reads_costs_nothing() {
        let (store, counts) = metered(3).await;
        drop(store.list(None));
        assert_eq!(counts.snapshot().total(), 0);
    }

    #[tokio::test]
    async fn each_call_is_counted_under_its_word() {
        let (store, counts) = metered(0).await;
        let (a, b) = (Path::from("a"), Path::from("b"));
        store.put(&a, "x".into()).await.unwrap();
        store.get(&a).await.unwrap();
        store.head(&a).await.unwrap();
        store.copy(&a, &b).await.unwrap();
        store.delete(&b).await.unwrap();
        assert_eq!(counts.snapshot(), Requests { get: 1, head: 1, list: 0, put: 2, delete: 1 });
        let mut upload = store.put_multipart(&b).await.unwrap();
        upload.put_part("1".into()).await.unwrap();
        upload.put_part("2".into()).await.unwrap();
        upload.complete().await.unwrap();
        let before = Requests { get: 1, head: 1, list: 0, put: 2, delete: 1 };
        assert_eq!(counts.snapshot() - before, Requests { put: 4, ..Requests::default() });
    }
}
