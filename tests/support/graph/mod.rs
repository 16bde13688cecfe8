//! Small real graphs, made and wrecked with plain Lance as a writer of the format would, without an engine.
//!
//! | file | for |
//! |---|---|
//! | [`create`] | a fresh graph of either dialect: manifest, history, tables, contract files |
//! | [`line`] | a writer's commits on one table, staged first and committed when the test says so |
//! | [`publish`] | a writer's publish, complete with its history |
//! | [`branch`] | branches of the graph and forks of its tables |
//! | [`sidecar`] | sidecars of any kind and version |
//! | [`look`] | what a reader sees: pins, rows, history, audit, every byte |
//!
//! The graph's own store has no faults: it is the other program. Whoever recovers opens the place anew.

pub mod branch;
pub mod create;
pub mod line;
pub mod look;
pub mod publish;
pub mod rows;
pub mod sidecar;

use super::repos::{self, TestStore};
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::session::Session;
use object_store::memory::InMemory;
use outrigger::model::table_path::{branch_path, table_path};
use outrigger::model::{Branch, TableKey};
use outrigger::repo::Dialect;
use outrigger::store::{Key, StoreParts};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The tables of every graph.
pub const PERSON: &str = "node:Person";
pub const COMPANY: &str = "node:Company";
pub const KNOWS: &str = "edge:Knows";
/// All of them.
pub const TABLES: [&str; 3] = [PERSON, COMPANY, KNOWS];
/// The main line, wherever a branch is named.
pub const MAIN: &str = "main";

pub const MANIFEST: &str = "__manifest";
pub const COMMITS: &str = "_graph_commits.lance";
pub const ACTORS: &str = "_graph_commit_actors.lance";
pub const RECOVERIES: &str = "_graph_commit_recoveries.lance";

const CACHE_BYTES: usize = 16 << 20;

/// A graph and the place it lies in.
pub struct Graph {
    pub place: TestStore,
    pub dialect: Dialect,
}

impl Graph {
    /// A fresh graph on disk: three tables at version 1, each with two rows.
    pub async fn on_disk(dialect: Dialect) -> Self {
        Self::in_place(repos::on_disk_unflushed().await, dialect).await
    }

    /// The same in memory.
    pub async fn in_memory(dialect: Dialect) -> Self {
        Self::in_place(repos::over_memory(Arc::default()).await, dialect).await
    }

    /// The same graph as it is now, in a memory of its own.
    pub async fn copy(&self) -> Self {
        self.as_in(self.place.memory().fork()).await
    }

    /// The graph as it is in another memory, which was copied from this one.
    pub async fn as_in(&self, memory: InMemory) -> Self {
        Self { place: repos::over_memory(Arc::new(memory)).await, dialect: self.dialect }
    }

    /// The same on a real S3 server.
    pub async fn on_s3(dialect: Dialect) -> Self {
        Self::in_place(repos::on_s3(StoreParts::real()).await, dialect).await
    }

    /// The same wherever.
    pub async fn in_place(place: TestStore, dialect: Dialect) -> Self {
        let graph = Self { place, dialect };
        create::fresh(&graph).await;
        graph
    }

    /// The format stamp of its dialect.
    pub fn stamp(&self) -> u32 {
        match self.dialect {
            Dialect::GraphV4 => 4,
            _ => 3,
        }
    }

    /// Whether the history lies in the manifest.
    pub fn has_inline_lineage(&self) -> bool {
        self.dialect == Dialect::GraphV4
    }

    /// A session without memory: versions of branches that are made anew are never mixed up.
    pub fn session(&self) -> Arc<Session> {
        Arc::new(Session::new(0, CACHE_BYTES, self.place.session().store_registry()))
    }

    /// The address of a dataset, or of a branch of it.
    pub fn address(&self, dataset: &str, branch: &str) -> String {
        let path = branch_path(dataset, &Branch::parse(Some(branch)).unwrap());
        self.place.uri().dataset(&Key::parse(&path).unwrap())
    }

    /// Opens a dataset, or a branch of it, at its newest version; fails if it is not there.
    pub async fn open(&self, dataset: &str, branch: &str) -> Dataset {
        self.try_open(dataset, branch, None).await.unwrap()
    }

    pub async fn try_open(
        &self,
        dataset: &str,
        branch: &str,
        version: Option<u64>,
    ) -> lance::Result<Dataset> {
        let builder = DatasetBuilder::from_uri(self.address(dataset, branch)).with_session(self.session());
        match version {
            Some(version) => builder.with_version(version).load().await,
            None => builder.load().await,
        }
    }
}

/// Where a table lies, from its key.
pub fn path_of(table: &str) -> String {
    table_path(&TableKey::parse(table).unwrap()).unwrap()
}

/// A ULID, later than all before it in this process.
pub fn next_ulid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    ulid::Ulid::from_parts(1_750_000_000_000 + n, u128::from(n)).to_string()
}

/// Microseconds since the epoch, later than all before it in this process.
pub fn next_micros() -> i64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = chrono::Utc::now().timestamp_micros() as u64;
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
    now.max(last.unwrap() + 1) as i64
}
