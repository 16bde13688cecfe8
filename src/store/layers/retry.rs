//! Repeats what may be repeated while the store throttles, fails or does not answer: reads, listings, deletions and
//! unconditional writes.
//!
//! **Conditional writes are never repeated here.** The first attempt may have succeeded and its answer been lost; the
//! second would then report a lost race that was won. The store's own client is told not to repeat anything for the same
//! reason. Who writes conditionally reads back ([`crate::store::Written`]; Lance reads its manifest back).

use crate::host::{Host, Monotonic, chance};
use crate::store::trouble::Trouble;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::retry::{RetryContext, RetryFailure, RetryPolicy};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result, coalesce_ranges,
};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// A refused connection is more often a wrong endpoint than a restarting server: somebody waits for the message.
const PATIENCE_UNREACHABLE: Duration = Duration::from_secs(3);
/// Names deleted by one request.
const BATCH: usize = 1000;

/// How long to insist, and how to wait. Clones share what they know of the store.
#[derive(Debug, Clone)]
pub struct Patience {
    /// From the first failure on.
    limit: Duration,
    /// Where waiting and chance come from.
    host: Host,
    unreached: Arc<Mutex<Option<Unreached>>>,
}

/// Since when nobody listens, and when that was last found. Lance repeats our calls: each of them would wait anew.
#[derive(Debug, Clone, Copy)]
struct Unreached {
    since: Monotonic,
    last: Monotonic,
}

impl Patience {
    /// Insists for so long, from the first failure on.
    pub fn new(limit: Duration, host: Host) -> Self {
        Self { limit, host, unreached: Arc::default() }
    }

    /// How long it insists.
    pub(in crate::store) fn limit(&self) -> Duration {
        self.limit
    }

    /// The store answered.
    fn reached(&self) {
        *self.unreached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Since when nobody listens, this time included. Whoever asks again only after a while begins anew.
    fn unreached(&self, now: Monotonic) -> Monotonic {
        let mut known = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = known.filter(|known| now.since(known.last) <= PATIENCE_UNREACHABLE);
        let since = goes_on.map_or(now, |known| known.since);
        *known = Some(Unreached { since, last: now });
        since
    }

    /// Begins one call that may take several attempts.
    pub(in crate::store) fn begin(&self) -> Insisting {
        Insisting { patience: self.clone(), since: None, failures: 0 }
    }

    /// Repeats a call until it succeeds, fails for good, or patience ends.
    async fn insist<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut insisting = self.begin();
        loop {
            match call().await {
                Err(error) => insisting.pause(error).await?,
                done => {
                    self.reached();
                    return done;
                }
            }
        }
    }

    /// Doubles from [`FIRST_DELAY`] to [`LONGEST_DELAY`], jittered.
    fn delay(&self, failures: u32) -> Duration {
        let full = FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_DELAY);
        chance::halved(full, self.host.chance.as_ref())
    }
}

/// One call and its failures so far.
pub(in crate::store) struct Insisting {
    patience: Patience,
    since: Option<Monotonic>,
    failures: u32,
}

impl Insisting {
    /// Waits before the next attempt, or gives the error back.
    async fn pause(&mut self, error: Error) -> Result<()> {
        let trouble = Trouble::of(&error);
        if trouble.passes() && self.wait(trouble).await { Ok(()) } else { Err(error) }
    }

    /// Waits before the next attempt; false if patience ends before it.
    pub(in crate::store) async fn wait(&mut self, trouble: Trouble) -> bool {
        self.failures += 1;
        let now = self.patience.host.clock.monotonic();
        let since = *self.since.get_or_insert(now);
        let (since, limit) = match trouble {
            Trouble::Unreachable => {
                (self.patience.unreached(now), self.patience.limit.min(PATIENCE_UNREACHABLE))
            }
            _ => (since, self.patience.limit),
        };
        let delay = self.patience.delay(self.failures);
        if now.since(since) + delay > limit {
            return false;
        }
        self.patience.host.clock.sleep(delay).await;
        true
    }
}

/// Repeats what may be repeated.
#[derive(Debug, Clone)]
pub struct Retrying {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
}

impl Retrying {
    /// Repeats calls to `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, patience: Patience) -> Self {
        Self { inner, patience }
    }

    async fn read_range(&self, location: &Path, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        self.patience
            .insist(|| async { self.inner.get_opts(location, options.clone()).await?.bytes().await })
            .await
    }

    fn start_listing(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match after {
            None => self.inner.list(prefix),
            Some(after) => self.inner.list_with_offset(prefix, after),
        }
    }

    /// Continues a broken listing behind the last name it gave; all our stores list in order.
    fn listing(&self, prefix: Option<&Path>, after: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let entries = self.start_listing(prefix.as_ref(), after);
        let state = (entries, after.cloned(), self.patience.begin());
        let next = move |(mut entries, mut last, mut insisting): (
            BoxStream<'static, _>,
            Option<Path>,
            Insisting,
        )| {
            let (store, prefix) = (store.clone(), prefix.clone());
            async move {
                loop {
                    match entries.next().await {
                        None => return Ok(None),
                        Some(Ok(entry)) => {
                            let entry: ObjectMeta = entry;
                            store.patience.reached();
                            last = Some(entry.location.clone());
                            return Ok(Some((entry, (entries, last, store.patience.begin()))));
                        }
                        Some(Err(error)) => {
                            insisting.pause(error).await?;
                            entries = store.start_listing(prefix.as_ref(), last.as_ref());
                        }
                    }
                }
            }
        };
        stream::try_unfold(state, next).boxed()
    }

    async fn delete_batch(&self, batch: Vec<Path>) -> Result<Vec<Path>> {
        self.patience
            .insist(|| {
                let locations = stream::iter(batch.clone()).map(Ok).boxed();
                self.inner.delete_stream(locations).try_collect()
            })
            .await
    }
}

impl fmt::Display for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retrying({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Retrying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if opts.mode != PutMode::Overwrite {
            return self.inner.put_opts(location, payload, opts).await;
        }
        self.patience.insist(|| self.inner.put_opts(location, payload.clone(), opts.clone())).await
    }

    /// Parts are repeated by the client under our patience; the end of the upload is not.
    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let opts = opts.with_retry_policy(Arc::new(PartPolicy(self.patience.clone())));
        self.patience.insist(|| self.inner.put_multipart_opts(location, opts.clone())).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.patience.insist(|| self.inner.get_opts(location, options.clone())).await
    }

    /// Range by range, each with its body, so that a body cut off is read again.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(ranges, |range| self.read_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let batches = locations.try_chunks(BATCH).map_err(|broken| broken.1).and_then(move |batch| {
            let store = store.clone();
            async move { store.delete_batch(batch).await }
        });
        batches.map_ok(|deleted| stream::iter(deleted).map(Ok)).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.patience.insist(|| self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if options.mode != CopyMode::Overwrite {
            return self.inner.copy_opts(from, to, options).await;
        }
        self.patience.insist(|| self.inner.copy_opts(from, to, options.clone())).await
    }

    /// Two steps on most stores: not repeated.
    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// Lets the client send a part of an upload again.
#[derive(Debug)]
struct PartPolicy(Patience);

#[async_trait]
impl RetryPolicy for PartPolicy {
    async fn retry(&self, context: RetryContext) -> bool {
        let passes = match context.failure {
            RetryFailure::Status(status) => status.is_server_error() || matches!(status.as_u16(), 408 | 429),
            _ => true,
        };
        let delay = self.0.delay(u32::try_from(context.attempt).unwrap_or(u32::MAX));
        if !passes || context.elapsed + delay > self.0.limit {
            return false;
        }
        self.0.host.clock.sleep(delay).await;
        true
    }
}
