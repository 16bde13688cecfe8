//! Twins: the same program at another root. Many states share a program, so each runs once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::dump::{self, Dump};
use crate::engine::Engine;
use crate::program::Step;
use crate::root::Root;
use crate::wreck;

/// What a reader sees, or why nothing.
pub type Seen = Result<Dump, String>;

pub struct Twins {
    /// Where the twins are made, one numbered root each.
    base: String,
    known: Mutex<HashMap<(Engine, String), Arc<OnceCell<Seen>>>>,
}

impl Twins {
    pub fn new(base: String) -> Self {
        Self { base, known: Mutex::default() }
    }

    /// The rows that `steps`, which must not crash, leave.
    pub async fn rows(&self, engine: Engine, steps: &[Step]) -> Seen {
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

async fn make(engine: Engine, steps: &[Step], root: &str) -> Result<Dump> {
    wreck::run(engine, "twin", steps, &Root::open(root)?).await?;
    dump::collect(engine, root).await
}
