//! Create-if-absent, the one condition that every store checks for us; and how its answer is read.
//!
//! A conditional write ends in one of three ways, and the store's word alone does not tell which: an answer may be lost
//! after the write was done, and S3 answers 409 to two writers at once though neither wrote. So whatever is not a plain
//! success is resolved by reading back. Bodies carry a nonce: equal bytes are our bytes.

use super::open::Store;
use super::ops::ETag;
use super::trouble::Trouble;
use super::uri::Key;
use crate::error::{Error, Result};
use bytes::Bytes;
use object_store::{PutMode, PutOptions};

/// How a conditional write ended.
#[derive(Debug)]
pub enum Written {
    /// Our bytes are the object.
    Committed {
        /// Their state, where the store told it.
        etag: Option<ETag>,
    },
    /// Other bytes are the object. Ours lost the race — or won it, and somebody deleted and rewrote the object before we
    /// could look; so nobody may delete an object of a create-only chain to write it anew.
    Conflict,
    /// It could not be found out. Ours may be the object now or become it later: look again before anything else.
    Unknown {
        /// Why.
        error: Error,
    },
}

impl Store {
    /// Writes an object if there is none. The bytes must hold a nonce of this attempt to write.
    ///
    /// An error means that nothing was written: access denied, no such bucket, no space. A crash at any moment leaves the
    /// object whole or absent.
    pub async fn create(&self, key: &Key, bytes: Bytes) -> Result<Written> {
        let mut insisting = self.patience().begin();
        let mut attempts = 0;
        loop {
            let error = match self.create_once(key, &bytes).await {
                Ok(etag) => return Ok(Written::Committed { etag }),
                Err(error) => error,
            };
            attempts += 1;
            let trouble = Trouble::of(&error);
            let told = self.explain(&format!("create {key}"), &error);
            if trouble.wrote_nothing() && attempts == 1 {
                return Err(told);
            }
            // An earlier attempt without answer may still have written; and a "conflict" may show nothing.
            if let Some(ending) = self.read_back(key, &bytes).await {
                return Ok(ending);
            }
            if trouble.wrote_nothing() || !insisting.wait(trouble).await {
                return Ok(Written::Unknown { error: told });
            }
        }
    }

    /// Creates an object; one that is there already stands, whatever it holds.
    pub async fn ensure(&self, key: &Key, bytes: Bytes) -> Result<()> {
        match self.create(key, bytes).await? {
            Written::Committed { .. } | Written::Conflict => Ok(()),
            Written::Unknown { error } => Err(error),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the store room is where objects are written")]
    async fn create_once(&self, key: &Key, bytes: &Bytes) -> object_store::Result<Option<ETag>> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let done = self.io().put_opts(&self.uri().path(key), bytes.clone().into(), options).await?;
        Ok(done.e_tag.map(ETag))
    }

    /// How the write ended, as the object itself tells; `None` while there is no object.
    async fn read_back(&self, key: &Key, ours: &Bytes) -> Option<Written> {
        match self.get(key).await {
            Ok(None) => None,
            Ok(Some(object)) if object.bytes == ours => Some(Written::Committed { etag: object.meta.etag }),
            Ok(Some(_)) => Some(Written::Conflict),
            Err(error) => {
                Some(Written::Unknown { error: error.while_doing(format!("after creating {key}")) })
            }
        }
    }
}
