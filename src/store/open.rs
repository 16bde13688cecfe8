//! One constructor stacks all layers of a repository's store, in the order that [`super::layers`] explains.

use super::backend::{self, Backend};
use super::clock::StoreClock;
use super::layers::confine::Confined;
use super::layers::faults::{Fault, Faulty};
use super::layers::meter::{Counts, Metered, Requests};
use super::layers::retry::{Patience, Retrying};
use super::session;
use super::settings::StoreSettings;
use super::trouble;
use super::uri::{Key, RepoUri};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::StoreTime;
use lance::session::Session;
use object_store::ObjectStore;
use std::fmt;
use std::sync::Arc;

/// What besides address and settings a store is made of.
#[derive(Debug, Clone)]
pub struct StoreParts {
    /// Time and chance.
    pub host: Host,
    /// May break calls; tests and simulations only.
    pub fault: Option<Arc<dyn Fault>>,
    /// Stands in for the store that the address names; tests and simulations only. It must list in name order.
    pub backend: Option<Arc<dyn ObjectStore>>,
}

impl StoreParts {
    /// The real things.
    pub fn real() -> Self {
        Self { host: Host::real(), fault: None, backend: None }
    }
}

/// The store of one repository: for our own objects and, by its [`Store::session`], for Lance. Cheap to clone; all clones
/// share connections, counts and caches.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    uri: RepoUri,
    io: Arc<dyn ObjectStore>,
    counts: Arc<Counts>,
    clock: Arc<StoreClock>,
    session: Arc<Session>,
    patience: Patience,
}

impl Store {
    /// Builds the store of a repository. Asks nothing of it, except on Amazon S3 for the bucket's region if none is set.
    pub async fn open(uri: &RepoUri, settings: &StoreSettings, parts: StoreParts) -> Result<Self> {
        let Backend { store, clock } = match parts.backend {
            Some(store) => Backend { store, clock: StoreClock::of_host(parts.host.clock.clone()) },
            None => backend::connect(uri, settings, &parts.host.clock).await?,
        };
        let counts = Arc::new(Counts::default());
        let patience = Patience::new(settings.patience, parts.host);

        let io = match parts.fault {
            Some(fault) => Arc::new(Faulty::new(store, fault)) as Arc<dyn ObjectStore>,
            None => store,
        };
        let io = Arc::new(Metered::new(io, counts.clone()));
        let io = Arc::new(Retrying::new(io, patience.clone()));
        let io: Arc<dyn ObjectStore> = Arc::new(Confined::new(io, uri.root().clone()));

        let session = session::over(uri, settings, io.clone());
        Ok(Self { shared: Arc::new(Shared { uri: uri.clone(), io, counts, clock, session, patience }) })
    }

    /// The repository's address.
    pub fn uri(&self) -> &RepoUri {
        &self.shared.uri
    }

    /// The address by which Lance opens the dataset at a key.
    pub fn dataset_uri(&self, key: &Key) -> String {
        self.shared.uri.dataset(key)
    }

    /// Open datasets with this session and every request of theirs is confined, repeated and counted like our own.
    pub fn session(&self) -> Arc<Session> {
        self.shared.session.clone()
    }

    /// The time at the store: its latest `Date` plus what has passed since, `None` before its first answer; on disk and
    /// in memory the host's wall clock.
    pub fn now(&self) -> Option<StoreTime> {
        self.shared.clock.now()
    }

    /// All requests made up to now, Lance's included. Subtract an earlier snapshot for what one piece of work cost.
    pub fn requests(&self) -> Requests {
        self.shared.counts.snapshot()
    }

    pub(super) fn io(&self) -> &dyn ObjectStore {
        self.shared.io.as_ref()
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.shared.patience
    }

    /// Our error for one of the object store's; `doing` as in "read __recovery/x".
    pub(super) fn explain(&self, doing: &str, error: &object_store::Error) -> Error {
        trouble::explain(&self.shared.uri, self.shared.patience.limit(), doing, error)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.shared.uri)
    }
}
