//! Stores to test on.

use super::ministack;
use async_trait::async_trait;
use chrono::TimeDelta;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use outrigger::host::{Clock, Host, Monotonic, SystemClock};
use outrigger::model::Timestamp;
use outrigger::store::{Credentials, Fault, RepoUri, Store, StoreParts, StoreSettings};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A store with what keeps it alive.
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// The address, to open it once more.
    pub uri: RepoUri,
    /// The settings, to open it once more.
    pub settings: StoreSettings,
    dir: Option<tempfile::TempDir>,
    memory: Option<Arc<InMemory>>,
}

impl std::ops::Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    /// Another store of the same place.
    pub fn of(store: Store, place: &Self) -> Self {
        let memory = place.memory.clone();
        Self { store, uri: place.uri.clone(), settings: place.settings.clone(), dir: None, memory }
    }

    /// Everything that lies here, in memory.
    pub fn memory(&self) -> &Arc<InMemory> {
        self.memory.as_ref().expect("a repository in memory")
    }

    /// Whether it lies in a directory of this host.
    pub fn is_on_disk(&self) -> bool {
        self.dir.is_some()
    }

    /// Whether two writes within a second may get the same time, as on S3.
    pub fn stamps_whole_seconds(&self) -> bool {
        self.dir.is_none() && self.memory.is_none()
    }

    /// The directory, on disk.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.as_ref().expect("a repository on disk").path()
    }

    /// The same place through a new store with other parts.
    pub async fn reopen(&self, parts: StoreParts) -> Store {
        Store::open(&self.uri, &self.settings, self.with(parts)).await.unwrap()
    }

    /// These parts over this place, for whoever opens it once more.
    pub fn with(&self, parts: StoreParts) -> StoreParts {
        let memory = self.memory.clone().map(|memory| memory as Arc<dyn ObjectStore>);
        StoreParts { backend: memory.or(parts.backend), ..parts }
    }
}

/// Real time and chance, and a fault.
pub fn faulty(fault: Arc<dyn Fault>) -> StoreParts {
    StoreParts { fault: Some(fault), ..StoreParts::real() }
}

/// Time that passes only by sleeping, so that a minute of failures takes no time.
#[derive(Debug, Clone, Default)]
pub struct Sleepless(Arc<Mutex<Duration>>);

impl Sleepless {
    /// How much was slept up to now.
    pub fn slept(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    /// A host on this time; its chance always takes the longest delay.
    pub fn host(&self) -> Host {
        Host { clock: Arc::new(self.clone()), chance: Arc::new(|| 1.0) }
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

#[async_trait]
impl Clock for Sleepless {
    fn now(&self) -> Timestamp {
        SystemClock::new().now()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::at(self.slept())
    }

    async fn sleep(&self, duration: Duration) {
        self.pass(duration);
    }
}

/// A host whose wall clock is off by so many hours.
pub fn off_by(hours: i64) -> StoreParts {
    #[derive(Debug)]
    struct OffBy(TimeDelta, SystemClock);

    #[async_trait]
    impl Clock for OffBy {
        fn now(&self) -> Timestamp {
            Timestamp(self.1.now().0 + self.0)
        }

        fn monotonic(&self) -> Monotonic {
            self.1.monotonic()
        }

        async fn sleep(&self, duration: Duration) {
            self.1.sleep(duration).await;
        }
    }

    let clock = OffBy(TimeDelta::hours(hours), SystemClock::new());
    StoreParts { host: Host::with_clock(clock), ..StoreParts::real() }
}

/// A store in a new temporary directory.
pub async fn on_disk(parts: StoreParts) -> TestStore {
    let dir = tempfile::tempdir().unwrap();
    let uri = RepoUri::parse(dir.path().join("graph").to_str().unwrap()).unwrap();
    open(uri, StoreSettings::default(), parts, Some(dir)).await
}

/// The same without flushing to the medium: these tests crash programs, not hosts.
pub async fn on_disk_unflushed() -> TestStore {
    let dir = tempfile::tempdir().unwrap();
    let uri = RepoUri::parse(dir.path().join("graph").to_str().unwrap()).unwrap();
    let settings = StoreSettings { flush: false, ..StoreSettings::default() };
    open(uri, settings, StoreParts::real(), Some(dir)).await
}

/// A store in memory, for one program.
pub async fn in_memory(parts: StoreParts) -> TestStore {
    open(RepoUri::memory("graph"), StoreSettings::default(), parts, None).await
}

/// A store over what lies in memory, for any number of programs. A copy of the memory is another world under the same
/// address, so also branches, which hold addresses, are at home in it.
pub async fn over_memory(memory: Arc<InMemory>) -> TestStore {
    let (uri, settings) = (RepoUri::memory("graph"), StoreSettings::default());
    let parts = StoreParts { backend: Some(memory.clone()), ..StoreParts::real() };
    let store = Store::open(&uri, &settings, parts).await.unwrap();
    TestStore { store, uri, settings, dir: None, memory: Some(memory) }
}

/// A store in a new bucket of a real S3 server.
pub async fn on_s3(parts: StoreParts) -> TestStore {
    let uri = RepoUri::parse(&format!("s3://{}/graphs/one", ministack::server().bucket())).unwrap();
    open(uri, s3_settings(), parts, None).await
}

/// How to reach the S3 server of this process.
pub fn s3_settings() -> StoreSettings {
    StoreSettings {
        endpoint: Some(ministack::server().endpoint()),
        region: Some("us-east-1".into()),
        credentials: Some(Credentials {
            key_id: "test".into(),
            secret: "test-secret".into(),
            session_token: None,
        }),
        ..StoreSettings::default()
    }
}

async fn open(
    uri: RepoUri,
    settings: StoreSettings,
    parts: StoreParts,
    dir: Option<tempfile::TempDir>,
) -> TestStore {
    let store = Store::open(&uri, &settings, parts).await.unwrap();
    TestStore { store, uri, settings, dir, memory: None }
}
