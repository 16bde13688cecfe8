//! A hook that may break any call, before the store does it or after. For tests of bad days, and for walking through every
//! crash state; a daemon gives none.

use super::Verb;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

/// One call to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is asked.
    pub verb: Verb,
    /// Of which object or prefix: the full path in the bucket, or in the file system without the leading `/`.
    pub path: Path,
}

/// Decides about calls. Both methods may also wait, to hold a call at a chosen moment.
#[async_trait]
pub trait Fault: fmt::Debug + Send + Sync + 'static {
    /// Before the store is asked. An error is the answer; the store never hears of the call.
    async fn before(&self, call: &Call) -> Result<()> {
        let _ = call;
        Ok(())
    }

    /// After the store has done it. An error replaces the answer: done, but the caller cannot know.
    async fn after(&self, call: &Call) -> Result<()> {
        let _ = call;
        Ok(())
    }
}

/// Asks the hook about every call.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Arc<dyn Fault>,
}

impl Faulty {
    /// Puts `fault` in front of `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, fault: Arc<dyn Fault>) -> Self {
        Self { inner, fault }
    }

    async fn around<T>(
        &self,
        verb: Verb,
        path: &Path,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        around(self.fault.as_ref(), Call { verb, path: path.clone() }, call).await
    }

    /// Asked before the first entry and after the last.
    fn listing(
        &self,
        prefix: Option<&Path>,
        entries: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let call = Call { verb: Verb::List, path: prefix.cloned().unwrap_or_default() };
        let (fault, ending) = (self.fault.clone(), (self.fault.clone(), call.clone()));
        let begin = async move { fault.before(&call).await.map(|()| entries) };
        let end = async move { ending.0.after(&ending.1).await };
        let end = stream::once(end).try_filter_map(|()| async { Ok(None) });
        stream::once(begin).try_flatten().chain(end).boxed()
    }
}

async fn around<T>(
    fault: &dyn Fault,
    call: Call,
    doing: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    fault.before(&call).await?;
    let done = doing.await?;
    fault.after(&call).await?;
    Ok(done)
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.around(Verb::of_put(&opts.mode), location, self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload =
            self.around(Verb::StartUpload, location, self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(FaultyUpload { upload, path: location.clone(), fault: self.fault.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.around(Verb::of_get(&options), location, self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.around(Verb::Get, location, self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (before, after) = (self.fault.clone(), self.fault.clone());
        let asked = locations.and_then(move |path| {
            let fault = before.clone();
            async move { fault.before(&Call { verb: Verb::Delete, path: path.clone() }).await.map(|()| path) }
        });
        let told = self.inner.delete_stream(asked.boxed()).and_then(move |path| {
            let fault = after.clone();
            async move { fault.after(&Call { verb: Verb::Delete, path: path.clone() }).await.map(|()| path) }
        });
        told.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.around(Verb::List, &path, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.around(Verb::Copy, to, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.around(Verb::Rename, to, self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    path: Path,
    fault: Arc<dyn Fault>,
}

impl FaultyUpload {
    fn call(&self, verb: Verb) -> Call {
        Call { verb, path: self.path.clone() }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (fault, call) = (self.fault.clone(), self.call(Verb::PutPart));
        let part = self.upload.put_part(data);
        async move { around(fault.as_ref(), call, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (fault, call) = (self.fault.clone(), self.call(Verb::FinishUpload));
        around(fault.as_ref(), call, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        let (fault, call) = (self.fault.clone(), self.call(Verb::AbortUpload));
        around(fault.as_ref(), call, self.upload.abort()).await
    }
}
