//! The two engine releases behind one face.
//!
//! `adapter.rs` is compiled twice, once against each release, so that every graph program in this package is one
//! text whichever engine runs it.

use std::str::FromStr;

use anyhow::{Result, bail};
use async_trait::async_trait;

#[path = ""]
mod v072 {
    pub(super) use compiler_072 as compiler;
    pub(super) use engine_072 as engine;
    #[path = "adapter.rs"]
    pub(super) mod adapter;
}

#[path = ""]
mod v080 {
    pub(super) use compiler_080 as compiler;
    pub(super) use engine_080 as engine;
    #[path = "adapter.rs"]
    #[expect(clippy::duplicate_mod, reason = "the same program text runs against both engines")]
    pub(super) mod adapter;
}

/// A release of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// Internal schema 3: separate commit datasets.
    V072,
    /// Internal schema 4: lineage rows inside `__manifest`.
    V080,
}

/// How a load treats rows that exist.
#[derive(Debug, Clone, Copy)]
pub enum LoadMode {
    Overwrite,
    Append,
    Merge,
}

/// A mutation's argument.
#[derive(Debug, Clone)]
pub enum Param {
    Text(&'static str),
    Int(i64),
}

/// One commit of a graph, as the engine tells it.
#[derive(Debug, Clone)]
pub struct Commit {
    pub id: String,
    /// The branch that made it; nothing = main.
    pub branch: Option<String>,
    pub manifest_version: u64,
    pub parent: Option<String>,
    pub merged: Option<String>,
    pub actor: Option<String>,
    pub created_at: i64,
}

/// How an open treats what a crash left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Runs the engine's own full recovery.
    ReadWrite,
    /// Recovers nothing.
    ReadOnly,
}

/// One open graph. The errors are the engine's own text.
#[async_trait]
pub trait Graph: Send + Sync {
    async fn load(&self, branch: &str, jsonl: &str, mode: LoadMode) -> Result<()>;
    async fn mutate(&self, branch: &str, source: &str, query: &str, params: &[(&str, Param)]) -> Result<()>;
    async fn branches(&self) -> Result<Vec<String>>;
    async fn branch_create(&self, from: &str, name: &str) -> Result<()>;
    async fn branch_delete(&self, name: &str) -> Result<()>;
    /// The outcome's name, such as `Merged`.
    async fn branch_merge(&self, source: &str, target: &str) -> Result<String>;
    async fn ensure_indices(&self, branch: &str) -> Result<()>;
    async fn optimize(&self) -> Result<()>;
    async fn repair(&self) -> Result<()>;
    async fn apply_schema(&self, source: &str) -> Result<()>;
    /// Publishes the head of a table that lives on this branch, whatever it is.
    async fn publish_head(&mut self, branch: &str, table: &str) -> Result<()>;
    async fn export(&self, branch: &str) -> Result<String>;
    /// All commits that this branch has made or inherited, in any order.
    async fn commits(&self, branch: &str) -> Result<Vec<Commit>>;
    /// Looks again, and recovers what can go forward.
    async fn refresh(&self) -> Result<()>;
    fn schema_source(&self) -> String;
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::V072, Self::V080];

    pub fn version(self) -> &'static str {
        match self {
            Self::V072 => "0.7.2",
            Self::V080 => "0.8.0",
        }
    }

    /// The stamp that this release writes into `__manifest`.
    pub fn stamp(self) -> u32 {
        match self {
            Self::V072 => 3,
            Self::V080 => 4,
        }
    }

    pub async fn init(self, root: &str, schema: &str) -> Result<Box<dyn Graph>> {
        match self {
            Self::V072 => v072::adapter::init(root, schema).await,
            Self::V080 => v080::adapter::init(root, schema).await,
        }
    }

    pub async fn open(self, root: &str, access: Access) -> Result<Box<dyn Graph>> {
        match self {
            Self::V072 => v072::adapter::open(root, access).await,
            Self::V080 => v080::adapter::open(root, access).await,
        }
    }

    /// What a running process recovers on its own: forward only.
    pub async fn refresh(self, root: &str) -> Result<()> {
        self.open(root, Access::ReadOnly).await?.refresh().await
    }
}

impl FromStr for Engine {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|engine| engine.version() == text) {
            Some(engine) => Ok(engine),
            None => bail!("unknown engine {text:?}: 0.7.2 or 0.8.0"),
        }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.version())
    }
}
