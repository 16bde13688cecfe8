//! The composition root: the only place that builds the real things.

use crate::config::Settings;
use crate::daemon::{Daemon, Parts};
use crate::error::Result;
use crate::host::{Clock, Host, Monotonic, SystemClock};
use crate::model::{Permit, Timestamp, Window};
use crate::passes::recovery::act::{Handles, Turn};
use crate::passes::recovery::decide::Policy;
use crate::passes::recovery::observe::Grace;
use crate::passes::recovery::run::Run;
use crate::passes::report::{ActionKind, ActionOutcome};
use crate::repo::Repository;
use crate::runtime::gate::{Held, Keeper as GateKeeper, Watcher};
use crate::runtime::windows::{Which, Windows};
use crate::store::{RepoUri, Store, StoreParts, StoreSettings};
use crate::writer::{Limits, NewTable, Parts as WriterParts};
use async_trait::async_trait;
use std::sync::Arc;

/// Opens a repository at an address, with the usual `AWS_*` settings. Reads only.
pub async fn open(uri: &RepoUri) -> Result<Repository> {
    Repository::open(open_store(uri).await?).await
}

/// Opens the store at an address, with the usual `AWS_*` settings. Asks it nothing.
pub async fn open_store(uri: &RepoUri) -> Result<Store> {
    let settings = StoreSettings::default().or_environment(crate::config::environment_variable);
    Store::open(uri, &settings, StoreParts::real()).await
}

impl crate::writer::Repository {
    /// Creates a native repository with these tables: `s3://bucket/prefix`, `file:///directory` or a path, with the usual `AWS_*`
    /// settings.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Invalid`] if something lies there already, or a table is not as it must be.
    ///
    /// ```
    /// # use outrigger::writer::{NewTable, Repository};
    /// # use outrigger::arrow::datatypes::{DataType, Field, Schema};
    /// # async fn example(dir: &str) -> outrigger::writer::Result<()> {
    /// let schema = Schema::new(vec![Field::new("id", DataType::Utf8, false)]);
    /// let orders = NewTable { name: "orders".into(), schema: schema.into(), key: vec!["id".into()] };
    /// let repository = Repository::create(dir, &[orders]).await?;
    /// assert_eq!(repository.snapshot("main").await?.tables(), ["orders"]);
    /// # Ok(())
    /// # }
    /// # let dir = tempfile::tempdir().unwrap();
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path().to_str().unwrap())).unwrap();
    /// ```
    pub async fn create(uri: &str, tables: &[NewTable]) -> crate::writer::Result<Self> {
        Self::create_with(writer_parts(uri).await?, tables).await
    }

    /// Opens a native repository, to read and to write. Writes nothing by itself.
    ///
    /// # Errors
    /// Kind [`crate::Kind::Missing`] if there is none, [`crate::Kind::Refused`] if it is of another format.
    ///
    /// ```
    /// # use outrigger::writer::Repository;
    /// # async fn example(dir: &str) -> outrigger::writer::Result<()> {
    /// assert!(Repository::open(dir).await.is_err(), "there is none yet");
    /// Repository::create(dir, &[]).await?;
    /// let (writer, reader) = (Repository::open(dir).await?, Repository::open_read_only(dir).await?);
    /// assert!(writer.begin("main").await.is_ok());
    /// assert!(reader.begin("main").await.is_err());
    /// # Ok(())
    /// # }
    /// # let dir = tempfile::tempdir().unwrap();
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path().to_str().unwrap())).unwrap();
    /// ```
    pub async fn open(uri: &str) -> crate::writer::Result<Self> {
        Self::open_with(writer_parts(uri).await?, false).await
    }

    /// Opens a native repository for readers: whatever would write is refused.
    ///
    /// # Errors
    /// As of [`Repository::open`](crate::writer::Repository::open).
    ///
    /// ```
    /// # use outrigger::writer::Repository;
    /// # async fn example(dir: &str) -> outrigger::writer::Result<()> {
    /// Repository::create(dir, &[]).await?;
    /// let reader = Repository::open_read_only(dir).await?;
    /// assert_eq!(reader.snapshot("main").await?.version(), 1);
    /// assert!(reader.heal().await.is_err(), "it was opened to read only");
    /// # Ok(())
    /// # }
    /// # let dir = tempfile::tempdir().unwrap();
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path().to_str().unwrap())).unwrap();
    /// ```
    pub async fn open_read_only(uri: &str) -> crate::writer::Result<Self> {
        Self::open_with(writer_parts(uri).await?, true).await
    }
}

async fn writer_parts(uri: &str) -> Result<WriterParts> {
    let store = open_store(&RepoUri::parse(uri)?).await?;
    let limits = Limits::from_environment(crate::config::environment_variable)?;
    Ok(WriterParts { store, host: Host::real(), ids: Arc::new(ulid), limits })
}

/// A fresh ULID.
#[expect(clippy::disallowed_methods, reason = "the composition root is where ids come from")]
pub fn ulid() -> String {
    ulid::Ulid::generate().to_string()
}

/// Wires the daemon and binds its address.
pub async fn daemon(settings: Settings) -> Result<Daemon> {
    let parts =
        Parts { host: Host::real(), ulid: Arc::new(ulid), store: StoreParts::real(), holder: holder() };
    Daemon::bind(settings, parts).await
}

/// Who we are, for people who read the lease: host and process.
fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| crate::config::environment_variable("HOSTNAME"));
    let host = host.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
    format!("{} process {}", host.as_deref().unwrap_or("an unnamed host"), std::process::id())
}

/// Leave to undo, for a command that a person runs.
#[derive(Debug, Clone)]
pub enum Leave {
    /// The person's word that no writer is active while the command runs.
    Exclusive,
    /// A window that a person opened; looked at in the store before each act.
    Within(Which),
    /// The writers' gate of a native repository, held by this command.
    Behind(Arc<Held>),
    /// None.
    None,
}

impl Leave {
    /// The operator's word, or else the manual window that allows most, if something may begin in it.
    pub async fn of(exclusive: bool, store: &Store) -> Result<Self> {
        if exclusive {
            return Ok(Self::Exclusive);
        }
        let open = Windows::manual(store).await?.open(SystemClock::new().now(), store.now());
        Ok(open.filter(|open| open.accepts_new_scopes).map_or(Self::None, |open| Self::Within(open.which)))
    }

    /// The window that decisions are made under.
    pub fn window(&self) -> Option<Window> {
        match self {
            Self::Exclusive => Some(Window::Exclusive),
            Self::Within(window) => Some(window.kind()),
            Self::Behind(_) => Some(Window::Gate),
            Self::None => None,
        }
    }
}

/// The handles of a one-shot command. It takes no turn: a person who runs one wants it done now, and nothing can go wrong
/// that a daemon beside it would not have to bear anyway.
struct OneShot {
    clock: SystemClock,
    leave: Leave,
    store: Store,
}

#[async_trait]
impl Handles for OneShot {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn ulid(&self) -> String {
        ulid()
    }

    async fn turn(&self) -> Result<Turn> {
        Ok(Turn::Ours)
    }

    async fn permit(&self) -> Result<Option<Permit>> {
        let open = match &self.leave {
            Leave::Exclusive => true,
            Leave::Within(window) => window.is_still_open(&self.store, self.now()).await?,
            Leave::Behind(held) => held.is_still_held().await?,
            Leave::None => false,
        };
        Ok(self.leave.window().filter(|_| open).map(Permit::of))
    }

    fn acted(&self, _: ActionKind, _: ActionOutcome) {}

    fn panicked(&self) {}
}

/// The writers' gate, for a command that a person runs.
pub fn gate(store: &Store) -> GateKeeper {
    let watcher = Watcher::new(store.clone(), Arc::new(SystemClock::new()), Arc::new(ulid));
    GateKeeper::new(Arc::new(watcher), holder())
}

/// Handles of a command that a person runs.
pub fn handles(leave: Leave, store: &Store) -> Arc<dyn Handles> {
    Arc::new(OneShot { clock: SystemClock::new(), leave, store: store.clone() })
}

/// What a one-shot command runs the recovery pass with; `progress` is told how many components are done, of how many.
pub fn one_shot(
    policy: Policy,
    dry: bool,
    leave: Leave,
    store: &Store,
    progress: Arc<dyn Fn(usize, usize) + Send + Sync>,
) -> Arc<Run> {
    let uptime = SystemClock::new();
    Arc::new(Run {
        policy: Policy { window: leave.window(), ..policy },
        dry,
        concurrency: 4,
        handles: handles(leave, store),
        grace: Arc::new(Grace::default()),
        uptime: Arc::new(move || uptime.monotonic().since(Monotonic::default())),
        protect: false,
        resting: Arc::new(|_| None),
        progress,
    })
}
