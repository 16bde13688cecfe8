//! Reading, listing, and the writes that need no condition.

use super::open::Store;
use super::trouble::Trouble;
use super::uri::Key;
use crate::error::{Error, Result};
use crate::model::StoreTime;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::{GetResult, ObjectMeta, ObjectStoreExt};
use std::fmt;

/// How often a body that breaks off is asked for again.
const BODY_ATTEMPTS: usize = 3;

/// The store's name for one state of an object; only equality means anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ETag(pub String);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a store tells of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Root-relative name.
    pub key: Key,
    /// Size in bytes.
    pub size: u64,
    /// Its state; every store we know gives one.
    pub etag: Option<ETag>,
    /// When the store took it, by the store's clock.
    pub last_modified: StoreTime,
}

/// An object as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Name, size, state and age.
    pub meta: Meta,
    /// All of its bytes.
    pub bytes: Bytes,
}

/// One level of names below a prefix, both sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Direct children that are objects.
    pub objects: Vec<Meta>,
    /// Direct children that have children of their own.
    pub prefixes: Vec<Key>,
}

/// What became of a deletion under a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was deleted.
    Deleted,
    /// There was nothing.
    Absent,
    /// Another state was found and left alone.
    Changed,
}

impl Store {
    /// Reads an object; `None` if there is none.
    pub async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.get_limited(key, u64::MAX).await
    }

    /// Reads an object of at most `limit` bytes. A larger one is `Corrupt`, and its bytes are not fetched.
    pub async fn get_limited(&self, key: &Key, limit: u64) -> Result<Option<Object>> {
        let mut attempts = 1;
        loop {
            let Some(found) = self.found(key, "read", self.io().get(&self.uri().path(key)).await)? else {
                return Ok(None);
            };
            let meta = self.meta(&found.meta)?;
            if meta.size > limit {
                return Err(self.too_large(&meta, limit));
            }
            match self.body(key, found).await {
                Err(_) if attempts < BODY_ATTEMPTS => attempts += 1,
                body => return body.map(|bytes| Some(Object { meta, bytes })),
            }
        }
    }

    fn too_large(&self, meta: &Meta, limit: u64) -> Error {
        let Meta { key, size, .. } = meta;
        Error::corrupt(format!(
            "{key} of {} has {size} bytes; more than {limit} is not understood",
            self.uri()
        ))
    }

    async fn body(&self, key: &Key, found: GetResult) -> Result<Bytes> {
        found.bytes().await.map_err(|error| self.explain(&format!("read {key}"), &error))
    }

    /// Name, size, state and age of an object; `None` if there is none (or no bucket: a HEAD cannot tell).
    pub async fn head(&self, key: &Key) -> Result<Option<Meta>> {
        let found = self.found(key, "look at", self.io().head(&self.uri().path(key)).await)?;
        found.map(|meta| self.meta(&meta)).transpose()
    }

    /// All objects below a prefix, at any depth, sorted by name.
    pub async fn list(&self, prefix: &Key) -> Result<Vec<Meta>> {
        self.list_stream(prefix).try_collect().await
    }

    /// The same one by one, for prefixes with very many objects.
    pub fn list_stream(&self, prefix: &Key) -> BoxStream<'static, Result<Meta>> {
        let (store, doing) = (self.clone(), format!("list {prefix}"));
        let entries = self.io().list(Some(&self.uri().path(prefix)));
        entries.map(move |entry| store.meta(&entry.map_err(|error| store.explain(&doing, &error))?)).boxed()
    }

    /// The objects and prefixes directly below a prefix, or below the root.
    pub async fn list_dir(&self, prefix: Option<&Key>) -> Result<Listing> {
        let path = prefix.map_or_else(|| self.uri().root().clone(), |key| self.uri().path(key));
        let doing = prefix.map_or_else(|| "list the root".to_owned(), |key| format!("list {key}"));
        let found =
            self.io().list_with_delimiter(Some(&path)).await.map_err(|error| self.explain(&doing, &error))?;
        let mut objects = found.objects.iter().map(|meta| self.meta(meta)).collect::<Result<Vec<_>>>()?;
        let mut prefixes: Vec<_> =
            found.common_prefixes.iter().filter_map(|path| self.uri().key(path)).collect();
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        prefixes.sort();
        Ok(Listing { objects, prefixes })
    }

    /// Fails with `Missing` and the likely reason if nothing at all lies at the root. One listing.
    ///
    /// For when the manifest was not found: tells a mistyped address from a directory that is no repository.
    pub async fn require_root(&self) -> Result<Listing> {
        let found = self.list_dir(None).await?;
        if found == Listing::default() {
            return Err(Error::missing(format!("there is nothing at {}; check the address", self.uri())));
        }
        Ok(found)
    }

    /// Writes an object whatever was there. Repeated while the store throttles, so for bytes that may be written twice.
    #[expect(clippy::disallowed_methods, reason = "the store room is where objects are written")]
    pub async fn put(&self, key: &Key, bytes: Bytes) -> Result<Option<ETag>> {
        match self.io().put(&self.uri().path(key), bytes.into()).await {
            Ok(done) => Ok(done.e_tag.map(ETag)),
            Err(error) => Err(self.explain(&format!("write {key}"), &error)),
        }
    }

    /// Deletes an object; that there was none is success.
    #[expect(clippy::disallowed_methods, reason = "the store room is where objects are deleted")]
    pub async fn delete(&self, key: &Key) -> Result<()> {
        match self.io().delete(&self.uri().path(key)).await {
            Err(error) if Trouble::of(&error) != Trouble::NotFound => {
                Err(self.explain(&format!("delete {key}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Deletes an object if it is still in a known state: a courtesy, not a guard.
    ///
    /// No store offers object_store a conditional deletion, so this looks, then deletes; a write between the two is lost.
    /// Only for names that are never written twice with different meaning.
    pub async fn delete_if(&self, key: &Key, state: &ETag) -> Result<Removed> {
        match self.head(key).await? {
            None => Ok(Removed::Absent),
            Some(meta) if meta.etag.as_ref() != Some(state) => Ok(Removed::Changed),
            Some(_) => self.delete(key).await.map(|()| Removed::Deleted),
        }
    }

    /// Makes "not found" a `None`.
    fn found<T>(&self, key: &Key, verb: &str, answer: object_store::Result<T>) -> Result<Option<T>> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if Trouble::of(&error) == Trouble::NotFound => Ok(None),
            Err(error) => Err(self.explain(&format!("{verb} {key}"), &error)),
        }
    }

    fn meta(&self, found: &ObjectMeta) -> Result<Meta> {
        let Some(key) = self.uri().key(&found.location) else {
            return Err(Error::internal(format!(
                "the store answered with {} for {}",
                found.location,
                self.uri()
            )));
        };
        Ok(Meta {
            key,
            size: found.size,
            etag: found.e_tag.clone().map(ETag),
            last_modified: StoreTime(found.last_modified),
        })
    }
}
