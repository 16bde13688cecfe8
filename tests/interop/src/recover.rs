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
    let mut scopes = Vec::new();
    for name in judge::sidecars(root).await? {
        let whole = is_whole(root, &name).await?;
        scopes.push((name, if whole { "roll_forward" } else { "roll_back" }));
    }
    match reach {
        Reach::Look => {}
        // An engine that cannot recover says so in the open; what it left is counted below.
        Reach::Forward => drop(engine.refresh(root.uri()).await),
        Reach::Full => drop(engine.open(root.uri(), Access::ReadWrite).await),
    }
    let left = judge::sidecars(root).await?;
    let (exit, outcome) = match reach {
        Reach::Look => (12, "due"),
        Reach::Forward => (10, "waits"),
        Reach::Full => (11, "held"),
    };
    let exit = if left.is_empty() { 0 } else { exit };
    let scope = |(name, verdict): &(String, &str)| {
        let outcome = if left.contains(name) { outcome } else { "done" };
        json!({ "scope": name, "verdict": verdict, "outcome": outcome })
    };
    let scopes: Vec<Value> = scopes.iter().map(scope).collect();
    Ok(Recovered {
        exit,
        report: json!({ "passes": [{ "pass": "recovery", "scopes": scopes }], "exit": exit }),
    })
}

/// Whether every table of a sidecar has moved.
async fn is_whole(root: &Root, sidecar: &str) -> Result<bool> {
    let sidecar: Value = serde_json::from_slice(&root.get(sidecar).await?)?;
    for pin in sidecar["tables"].as_array().context("a sidecar has a list of tables")? {
        let path = layout::table_path(pin["table_key"].as_str().context("a pin has a key")?);
        // A fork that is not there has not moved either.
        let head = tables::open(root, &path, pin["table_branch"].as_str()).await.ok();
        if head.map(|head| head.version_id()) <= pin["expected_version"].as_u64() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn engine_of(root: &Root) -> Result<Engine> {
    let manifest = tables::open(root, layout::MANIFEST, None).await?;
    let stamp = manifest.schema().metadata.get(STAMP).context("the manifest has no stamp")?;
    match Engine::ALL.into_iter().find(|engine| engine.stamp().to_string() == *stamp) {
        Some(engine) => Ok(engine),
        None => bail!("no engine here writes stamp {stamp}"),
    }
}
