//! The compare-and-swap of `__manifest` that moves several pins at once.
//!
//! Rows are merged by `object_id` (`upsert`), and the commit is fenced to the version after the one that was judged:
//! nobody can have published between our look and our write. So all expectations hold at the moment of the commit, also
//! where the format's own row-level check would let two publishes with different rows both land. Publishes of one
//! [`Repository`] on one branch queue: only with other processes do they race.

use super::Repository;
use super::dataset::{Committed, Made, commit_next};
use super::snapshot::Snapshot;
use super::upsert;
use crate::error::{Error, Kind, Result};
use crate::model::manifest::{Publish, Refusal};

/// How a publish ended.
#[derive(Debug)]
pub enum Published {
    /// It is this version of the manifest.
    Committed(Made),
    /// It must not be made on what the manifest shows now.
    Refused(Refusal),
    /// Somebody else published first, every time.
    Contended(Error),
}

/// Attempts against concurrent publishers before the caller looks again. The engines use six.
const ATTEMPTS: usize = 6;

impl Repository {
    /// Publishes on the newest state that is known, repeating the look and the checks after each lost race.
    ///
    /// An `Err` of kind [`Kind::Unknown`] means: it may be there, look for the marker before anything else. *Dies before
    /// the commit*: unnamed files. *Dies after it*: the marker is there and tells what is left. *Answer lost*: Lance reads
    /// the version back; if even that fails, the next look finds the marker.
    pub async fn publish(&self, base: &Snapshot, publish: &Publish, operation: &str) -> Result<Published> {
        let _turn = self.turns.take(base.branch.clone()).await;
        let mut base = self.newest_known(base);
        let mut contention = None;
        for _ in 0..ATTEMPTS {
            match self.publish_once(&base, publish, operation).await? {
                Once::Ended(published) => return Ok(published),
                Once::Lost(error) => contention = Some(error),
            }
            base = self.snapshot(&base.branch).await?.ok_or_else(|| {
                Error::moved(format!("branch {} went away while it was published to", base.branch))
            })?;
        }
        Ok(Published::Contended(contention.unwrap_or_else(|| Error::internal("no attempt was made"))))
    }

    /// Publishes on exactly this snapshot, once: for roll backs, whose restores were judged against it.
    pub async fn publish_exactly(
        &self,
        base: &Snapshot,
        publish: &Publish,
        operation: &str,
    ) -> Result<Published> {
        let _turn = self.turns.take(base.branch.clone()).await;
        if self.newest_known(base).version > base.version {
            return Ok(Published::Contended(Error::moved(format!(
                "branch {} was published to",
                base.branch
            ))));
        }
        match self.publish_once(base, publish, operation).await? {
            Once::Ended(published) => Ok(published),
            Once::Lost(error) => Ok(Published::Contended(error)),
        }
    }

    async fn publish_once(&self, base: &Snapshot, publish: &Publish, operation: &str) -> Result<Once> {
        base.writable()?;
        let inline = base.recognised.dialect.has_inline_lineage();
        let rows = match base.state.rows_for(publish, &base.branch, base.version, inline) {
            Ok(rows) => rows,
            Err(refusal) => return Ok(Once::Ended(Published::Refused(refusal))),
        };
        let upsert = upsert::stage(base, &rows).await?;
        match commit_next(base.dataset(), upsert, operation).await? {
            Committed::Yes(dataset) => {
                let made = dataset.made(&self.store);
                if let Some(published) = base.with_published(*dataset, rows) {
                    self.remember(&base.branch, Some(base.version), Some(&published));
                }
                Ok(Once::Ended(Published::Committed(made)))
            }
            Committed::Conflict(error) => Ok(Once::Lost(error)),
            Committed::Unknown(error) => {
                Err(Error::new(Kind::Unknown, "the publish may have happened").caused_by(error))
            }
        }
    }
}

enum Once {
    Ended(Published),
    Lost(Error),
}
