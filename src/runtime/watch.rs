//! What is new in a repository, for two requests: one list of the control objects, one probe for the manifest version
//! after the one that we know.
//!
//! The probe covers main. Branches and tables are read by the passes; a wrong "nothing new" only delays them, for every
//! so often they look at everything whatever was seen here.

use crate::error::Result;
use crate::model::beat::TTL;
use crate::model::{Branch, OperationId, StoreTime};
use crate::repo::Repository;
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Key, Meta};
use std::collections::{BTreeMap, BTreeSet};
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
    let closed = |meta: &Meta| match ControlObject::parse(&meta.key) {
        ControlObject::FenceClosed(id) => Some(id),
        _ => None,
    };
    let closed: BTreeSet<OperationId> = listing.iter().filter_map(closed).collect();
    listing.iter().filter(move |meta| match ControlObject::parse(&meta.key) {
        ControlObject::Sidecar(_) | ControlObject::OddSidecar(_) => true,
        ControlObject::Fence(id) => !closed.contains(&id),
        _ => false,
    })
}

/// When a claim was last heard of, and for how long that leaves it to its writer: by its beat if it has one, else by itself.
pub fn heard(listing: &[Meta], claim: &Meta, grace: Duration) -> (StoreTime, Duration) {
    let ControlObject::Sidecar(operation) = ControlObject::parse(&claim.key) else {
        return (claim.last_modified, grace);
    };
    let beat = ControlObject::Beat(operation).key();
    match listing.binary_search_by(|object| object.key.cmp(&beat)) {
        Ok(at) => (listing[at].last_modified.max(claim.last_modified), grace.min(TTL)),
        Err(_) => (claim.last_modified, grace),
    }
}

/// Age of the oldest claim, by the store's clock; zero for one from the future, `None` if there is none or no time.
pub fn oldest(listing: &[Meta], now: Option<StoreTime>) -> Option<Duration> {
    let oldest = claims_in(listing).map(|meta| meta.last_modified).min()?;
    now.map(|now| now.since(oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(objects: impl IntoIterator<Item = ControlObject>) -> Vec<Meta> {
        let last_modified = StoreTime::from_micros(0).unwrap();
        let meta = |object: ControlObject| Meta { key: object.key(), size: 1, etag: None, last_modified };
        objects.into_iter().map(meta).collect()
    }

    #[test]
    fn a_claim_is_a_sidecar_or_a_fence_record_that_is_not_closed() {
        let id = |n: u128| OperationId::parse(&ulid::Ulid::from_parts(0, n).to_string()).unwrap();
        let closed = (0..5000).flat_map(|n| [ControlObject::Fence(id(n)), ControlObject::FenceClosed(id(n))]);
        let open = [ControlObject::Sidecar(id(5000)), ControlObject::Fence(id(5001))];
        let others = [ControlObject::LeaseBeat, ControlObject::Lease(3), ControlObject::Window(id(1))];
        let listing = listing(open.clone().into_iter().chain(others).chain(closed));
        let claims: Vec<_> = claims_in(&listing).map(|meta| meta.key.clone()).collect();
        assert_eq!(claims, open.map(|object| object.key()));
    }
}
