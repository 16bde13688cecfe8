//! One state from wreck to verdict.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::outrigger::{Answer, Outrigger, exit};
use super::peer::{self, PeerOutcome};
use super::twins::{Seen, Twins};
use crate::dump;
use crate::engine::Engine;
use crate::judge;
use crate::root::{self, Root};
use crate::state::{Data, State};
use crate::tables;
use crate::wreck::{self, Course};

/// One row of the table.
pub struct Row {
    pub state: State,
    pub engine: Engine,
    pub peer: Option<PeerOutcome>,
    pub plan: Option<Answer>,
    pub once: Option<Answer>,
    pub exclusive: Option<Answer>,
    /// How the finished operations were recorded, each kind once.
    pub audits: BTreeSet<String>,
    /// A person's commands that were needed.
    pub person: Vec<String>,
    /// Whether the engine wrote on at the end.
    pub writes_on: Option<bool>,
    /// What was not as expected. Empty = the row is explained.
    pub failures: Vec<String>,
}

/// What every trial needs.
pub struct Bench {
    pub outrigger: Outrigger,
    pub twins: Twins,
    /// Where the wrecks are made.
    pub base: String,
}

pub async fn run(bench: &Bench, state: State, engine: Engine) -> Row {
    let mut row = Row {
        state,
        engine,
        peer: None,
        plan: None,
        once: None,
        exclusive: None,
        audits: BTreeSet::new(),
        person: Vec::new(),
        writes_on: None,
        failures: Vec::new(),
    };
    if let Err(error) = take(bench, &mut row).await {
        row.failures.push(format!("{error:#}"));
    }
    row
}

async fn take(bench: &Bench, row: &mut Row) -> Result<()> {
    let (engine, state) = (row.engine, row.state.clone());
    let place = format!("{}/{engine}/{}", bench.base, state.name);
    let before = bench.twins.rows(engine, &Course::Before.steps(&state.steps)).await;
    let committed = bench.twins.rows(engine, &Course::Committed.steps(&state.steps)).await;
    let expected = expected_rows(bench, engine, &state, &before, &committed).await?;

    let peer_root = Root::open(&format!("{place}/peer"))?;
    wreck::run(engine, &state.name, &state.steps, &peer_root).await.context("the wreck for the engine")?;
    row.peer = Some(peer::recover(engine, &peer_root, &before, &committed, &expected).await);

    let root = Root::open(&format!("{place}/outrigger"))?;
    wreck::run(engine, &state.name, &state.steps, &root).await.context("the wreck for Outrigger")?;
    let operations = operations(&root).await?;
    plan(bench, row, &root).await?;
    without_window(bench, row, &root).await?;
    exclusive(bench, row, &root).await?;
    check_audits(&operations, &root, row).await?;
    check_rows(engine, &root, &expected, row).await;
    settled(bench, row, &root).await?;
    judged(engine, &root, row).await;
    Ok(())
}

/// The rows to end with. That a twin cannot be made is a mistake in the state, unless it says so itself.
async fn expected_rows(
    bench: &Bench,
    engine: Engine,
    state: &State,
    before: &Seen,
    committed: &Seen,
) -> Result<Seen> {
    let seen = match &state.expects.data {
        Data::Before => before.clone(),
        Data::Committed => committed.clone(),
        Data::Program(steps) => bench.twins.rows(engine, steps).await,
        Data::Unreadable => return Ok(Err("no graph".to_owned())),
    };
    if let Err(error) = &seen {
        bail!("the twin cannot be made: {error}");
    }
    Ok(seen)
}

/// (1) `plan` changes nothing, byte for byte.
async fn plan(bench: &Bench, row: &mut Row, root: &Root) -> Result<()> {
    let before = root.snapshot().await?;
    let answer = bench.outrigger.plan(root.uri()).await?;
    let changed = root::difference(&before, &root.snapshot().await?);
    if !changed.is_empty() {
        row.failures.push(format!("plan changed {changed:?}"));
    }
    let known = [exit::CONVERGED, exit::WAITS, exit::HELD, exit::DUE, exit::REFUSED];
    if !known.contains(&answer.exit) {
        row.failures.push(format!("plan ended with {}: {}", answer.exit, answer.stderr.trim()));
    }
    row.plan = Some(answer);
    Ok(())
}

/// (2) Without `--exclusive` nothing is restored.
async fn without_window(bench: &Bench, row: &mut Row, root: &Root) -> Result<()> {
    let before = restores(root).await?;
    let answer = bench.outrigger.once(root.uri(), false).await?;
    let after = restores(root).await?;
    if after > before {
        row.failures.push(format!("{} tables were restored without a window", after - before));
    }
    check_exit("once", &answer, row.state.expects.without_window, &mut row.failures);
    row.once = Some(answer);
    Ok(())
}

/// (3) With `--exclusive` all is settled, but for the documented hold, which a person then settles.
async fn exclusive(bench: &Bench, row: &mut Row, root: &Root) -> Result<()> {
    let answer = bench.outrigger.once(root.uri(), true).await?;
    check_exit("once --exclusive", &answer, row.state.expects.exclusive, &mut row.failures);
    let held = answer.exit == exit::HELD;
    row.exclusive = Some(answer);
    if !held {
        return Ok(());
    }
    for words in row.state.expects.person {
        bench.outrigger.command(words, root.uri()).await?;
        row.person.push(words.join(" "));
    }
    Ok(())
}

/// Each operation that is finished has one audit row; more than one means that two recoveries recorded it.
async fn check_audits(operations: &BTreeMap<String, String>, root: &Root, row: &mut Row) -> Result<()> {
    let audits = tables::audits(root).await.context("the audit cannot be read")?;
    let left = judge::sidecars(root).await?;
    let finished = operations.iter().filter(|(name, _)| !left.contains(name));
    for (_, operation) in finished {
        let kinds = audits.get(operation).map(Vec::as_slice).unwrap_or_default();
        if kinds.len() != 1 {
            row.failures.push(format!("operation {operation} is finished and recorded as {kinds:?}"));
        }
        row.audits.extend(kinds.iter().cloned());
    }
    Ok(())
}

/// The operation of each sidecar that says which it is.
async fn operations(root: &Root) -> Result<BTreeMap<String, String>> {
    let mut operations = BTreeMap::new();
    for name in judge::sidecars(root).await? {
        let sidecar: Option<Value> = serde_json::from_slice(&root.get(&name).await?).ok();
        let operation = sidecar.as_ref().and_then(|sidecar| sidecar["operation_id"].as_str());
        if let Some(operation) = operation {
            operations.insert(name, operation.to_owned());
        }
    }
    Ok(operations)
}

/// What is settled stays so: another `plan` finds no work.
async fn settled(bench: &Bench, row: &mut Row, root: &Root) -> Result<()> {
    let Some(answer) = &row.exclusive else { return Ok(()) };
    let settled = answer.exit == exit::CONVERGED || !row.person.is_empty();
    if settled {
        let again = bench.outrigger.plan(root.uri()).await?;
        ensure!(again.exit == exit::CONVERGED, "a plan afterwards ends with {}", again.words());
    }
    Ok(())
}

/// (5) The rows are those of the twin.
async fn check_rows(engine: Engine, root: &Root, expected: &Seen, row: &mut Row) {
    match (dump::collect(engine, root.uri()).await, expected) {
        (Ok(found), Ok(expected)) if found == *expected => {}
        (Ok(found), Ok(expected)) => {
            let (rows, wanted) = (found.row_count(), expected.row_count());
            row.failures.push(format!("the rows differ from the twin's ({rows} against {wanted})"));
        }
        (Err(error), Ok(_)) => row.failures.push(format!("the rows cannot be read: {error:#}")),
        (Ok(_), Err(_)) => row.failures.push("there are rows where none were expected".to_owned()),
        (Err(_), Err(_)) => {}
    }
}

/// (4) The engine has nothing to recover and writes on; or it does not, and the state says why.
async fn judged(engine: Engine, root: &Root, row: &mut Row) {
    let verdict = judge::judge(engine, root).await;
    row.writes_on = Some(verdict.is_ok());
    match (verdict, row.state.expects.writes_on) {
        (Ok(_), Ok(())) | (Err(_), Err(_)) => {}
        (Err(error), Ok(())) => row.failures.push(format!("the engine does not write on: {error:#}")),
        (Ok(_), Err(why)) => row.failures.push(format!("the engine writes on, though {why:?} was expected")),
    }
}

fn check_exit(what: &str, answer: &Answer, expected: &[i32], failures: &mut Vec<String>) {
    if !expected.contains(&answer.exit) {
        let words = answer.stderr.trim();
        failures.push(format!("{what} ended with {}, expected {expected:?} {words}", answer.words()));
    }
}

/// How many restores the tables and their forks carry. A root without a manifest has none.
async fn restores(root: &Root) -> Result<usize> {
    let mut count = 0;
    for folder in table_folders(root).await? {
        let head = tables::open(root, &folder, None).await?;
        count += tables::commits(&head, 0).await?.iter().filter(|commit| commit.is_restore()).count();
    }
    Ok(count)
}

/// Every dataset and every fork below `nodes/` and `edges/`.
async fn table_folders(root: &Root) -> Result<BTreeSet<String>> {
    let mut folders = BTreeSet::new();
    for folder in ["nodes", "edges"] {
        for name in root.list(folder).await? {
            if let Some((dataset, _)) = name.split_once("/_versions/") {
                folders.insert(dataset.to_owned());
            }
        }
    }
    Ok(folders)
}
