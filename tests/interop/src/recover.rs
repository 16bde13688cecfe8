//! The engine's own recovery with the face of Outrigger, so that the matrix can be tried without Outrigger.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::engine::{Access, Engine};
use crate::judge;
use crate::layout;
use crate::root::Root;
use crate::tables;

const STAMP: &str = "omnigraph:internal_schema_version";

/// What Outrigger would call the exit code, and the report.
pub struct Recovered {
    pub exit: u8,
    pub report: Value,
}

/// Recovers as far as asked: nothing, forward only as in a running process, or all as at an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Reach {
    Look,
    Forward,
    Full,
}

pub async fn recover(root: &Root, reach: Reach) -> Result<Recovered> {
    if !tables::exists(root, layout::MANIFEST, None).await? {
        return Ok(Recovered { exit: 78, report: json!({ "passes": [], "exit": 78 }) });
    }
    let engine = engine_of(root).await?;
    let waiting = judge::sidecars(root).await?;
    match reach {
        Reach::Look => {}
        // An engine that cannot recover says so in the open; what it left is counted below.
        Reach::Forward => drop(engine.refresh(root.uri()).await),
        Reach::Full => drop(engine.open(root.uri(), Access::ReadWrite).await),
    }
    let left = judge::sidecars(root).await?;
    let scopes: Vec<Value> = waiting
        .iter()
        .map(|name| json!({ "scope": name, "verdict": if left.contains(name) { "left" } else { "gone" } }))
        .collect();
    let exit = match (left.is_empty(), reach) {
        (true, _) => 0,
        (false, Reach::Look) => 12,
        (false, Reach::Forward) => 10,
        (false, Reach::Full) => 11,
    };
    Ok(Recovered {
        exit,
        report: json!({ "passes": [{ "pass": "recovery", "scopes": scopes }], "exit": exit }),
    })
}

async fn engine_of(root: &Root) -> Result<Engine> {
    let manifest = tables::open(root, layout::MANIFEST, None).await?;
    let stamp = manifest.schema().metadata.get(STAMP).context("the manifest has no stamp")?;
    match Engine::ALL.into_iter().find(|engine| engine.stamp().to_string() == *stamp) {
        Some(engine) => Ok(engine),
        None => bail!("no engine here writes stamp {stamp}"),
    }
}
