//! Twins: the same program at another root. Many states share a program, so each runs once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::dump::{self, Dump};
use crate::engine::{Access, Engine};
use crate::history::History;
use crate::program::Step;
use crate::root::Root;
use crate::wreck;

/// What a reader sees, or why nothing.
pub type Seen = Result<Sight, String>;

#[derive(Debug, Clone)]
pub struct Sight {
    pub rows: Dump,
    pub history: History,
}

impl Sight {
    /// Through a read-only open, which recovers nothing.
    pub async fn of(engine: Engine, root: &str) -> Result<Self> {
        let graph = engine.open(root, Access::ReadOnly).await?;
        let rows = dump::collect(graph.as_ref()).await?;
        Ok(Self { rows, history: History::collect(graph.as_ref()).await? })
    }
}

/// An engine, and the steps that it takes.
type Course = (Engine, String);

pub struct Twins {
    /// Where the twins are made, one numbered root each.
    base: String,
    known: Mutex<HashMap<Course, Arc<OnceCell<Seen>>>>,
}

impl Twins {
    pub fn new(base: String) -> Self {
        Self { base, known: Mutex::default() }
    }

    /// What `steps`, which must not crash, leave.
    pub async fn sight(&self, engine: Engine, steps: &[Step]) -> Seen {
        let key = (engine, format!("{steps:?}"));
        let (cell, number) = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let number = known.len();
            (known.entry(key).or_default().clone(), number)
        };
        let root = format!("{}/{engine}-{number}", self.base);
        cell.get_or_init(|| async { make(engine, steps, &root).await.map_err(|error| format!("{error:#}")) })
            .await
            .clone()
    }
}

async fn make(engine: Engine, steps: &[Step], root: &str) -> Result<Sight> {
    wreck::run(engine, "twin", steps, &Root::open(root)?).await?;
    Sight::of(engine, root).await
}
