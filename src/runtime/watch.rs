//! What is new in a repository, for two requests: one list of the control objects, one probe for the manifest version
//! after the one that we know.
//!
//! The probe covers main. Branches and tables are read by the passes; a wrong "nothing new" only delays them, for every
//! so often they look at everything whatever was seen here.

use crate::error::Result;
use crate::model::{Branch, StoreTime};
use crate::repo::Repository;
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Key, Meta};
use std::collections::BTreeMap;
use std::time::Duration;

/// What one look found.
#[derive(Debug, Clone)]
pub struct News {
    /// The control objects.
    pub listing: Vec<Meta>,
    /// Sidecars or fence records came, went or changed since the last look.
    pub control_changed: bool,
    /// Somebody published on main since the last look.
    pub published: bool,
}

/// Memory of the last look.
#[derive(Debug, Default)]
pub struct Watch {
    claims: Option<BTreeMap<Key, Option<ETag>>>,
}

impl Watch {
    /// Looks. Two requests when nothing is new; a publish is read at once, which costs what it added.
    pub async fn look(&mut self, repo: &Repository) -> Result<News> {
        let listing = repo.store().list(&recovery_dir()).await?;
        let claims: BTreeMap<_, _> =
            claims_in(&listing).map(|meta| (meta.key.clone(), meta.etag.clone())).collect();
        let published = repo.has_next_version().await?;
        if published {
            repo.snapshot(&Branch::main()).await?;
        }
        let control_changed = self.claims.as_ref() != Some(&claims);
        self.claims = Some(claims);
        Ok(News { listing, control_changed, published })
    }
}

/// Everything that asks to be settled: sidecars, whatever they are called, and fence records that are not closed.
pub fn claims_in(listing: &[Meta]) -> impl Iterator<Item = &Meta> {
    let closed = |id: &crate::model::OperationId| {
        let key = ControlObject::FenceClosed(id.clone()).key();
        listing.iter().any(|meta| meta.key == key)
    };
    listing.iter().filter(move |meta| match ControlObject::parse(&meta.key) {
        ControlObject::Sidecar(_) | ControlObject::OddSidecar(_) => true,
        ControlObject::Fence(id) => !closed(&id),
        _ => false,
    })
}

/// Age of the oldest claim, by the store's clock; zero for one from the future, `None` if there is none or no time.
pub fn oldest(listing: &[Meta], now: Option<StoreTime>) -> Option<Duration> {
    let oldest = claims_in(listing).map(|meta| meta.last_modified).min()?;
    now.map(|now| now.since(oldest))
}
