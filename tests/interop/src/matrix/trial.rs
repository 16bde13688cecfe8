//! One state from wreck to verdict.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::outcome::{self, Expected, Outcome};
use super::outrigger::{Answer, Outrigger, exit};
use super::trace;
use super::twins::Twins;
use crate::engine::Engine;
use crate::judge::{self, Questions};
use crate::layout;
use crate::root::{self, Root};
use crate::state::{Afterwards, Exception, Expects, NAME, State, Told};
use crate::tables::{self, Commit};
use crate::wreck;

/// A state, the engine that makes it, and where.
#[derive(Clone)]
pub struct Trial {
    pub state: State,
    pub engine: Engine,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Place {
    Disk,
    S3,
}

/// What a trial has found.
pub struct Row {
    pub trial: Trial,
    /// The engine's own recovery of the same wreck.
    pub engine: Option<Outcome>,
    pub once: Option<Answer>,
    pub exclusive: Option<Answer>,
    /// Whether a person had to settle it.
    pub person: bool,
    /// How the wreck ended.
    pub end: Option<Outcome>,
    /// What was not as expected. Empty = the row is explained.
    pub failures: Vec<String>,
}

/// What every trial needs.
pub struct Bench {
    pub outrigger: Outrigger,
    pub twins: Twins,
    /// The directory of the wrecks on disk, and the address of those on S3.
    pub disk: String,
    pub s3: String,
}

impl Bench {
    fn base(&self, place: Place) -> &str {
        if place == Place::S3 { &self.s3 } else { &self.disk }
    }
}

impl Trial {
    pub fn is_of(&self, state: &State) -> bool {
        self.state.name == state.name && self.state.engines == state.engines
    }

    pub fn name(&self) -> String {
        let on = if self.place == Place::S3 { ", S3" } else { "" };
        format!("{} ({}{on})", self.state.name, self.engine)
    }
}

pub async fn run(bench: &Bench, trial: Trial) -> Row {
    let mut row = Row {
        trial,
        engine: None,
        once: None,
        exclusive: None,
        person: false,
        end: None,
        failures: Vec::new(),
    };
    if let Err(error) = take(bench, &mut row).await {
        row.failures.push(format!("{error:#}"));
    }
    row
}

async fn take(bench: &Bench, row: &mut Row) -> Result<()> {
    let Trial { state, engine, place } = row.trial.clone();
    let base = bench.base(place);
    let at = |who: &str| Root::open(&format!("{base}/{engine}/{}/{who}", state.name));
    let expected = Expected::of(&bench.twins, engine, &state).await?;
    if place == Place::Disk {
        let root = at("engine")?;
        wreck::run(engine, &state.name, &state.steps, &root).await.context("the wreck for the engine")?;
        row.engine = Some(Outcome::of_engine(engine, &root, &expected).await);
    }
    let root = at("outrigger")?;
    wreck::run(engine, &state.name, &state.steps, &root).await.context("the wreck for Outrigger")?;
    let operations = operations(&root).await?;
    let plan = plan(bench, row, &root).await?;
    without_window(bench, row, &root, &plan, &expected).await?;
    exclusive(bench, row, &root).await?;
    check_audits(&operations, &root, row).await?;
    settled(bench, row, &root).await?;
    end(bench, &expected, &root, row).await;
    Ok(())
}

/// (1) `plan` changes nothing, byte for byte.
async fn plan(bench: &Bench, row: &mut Row, root: &Root) -> Result<Answer> {
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
    Ok(answer)
}

/// (2) Without `--exclusive` nothing is restored, nothing changes but by what is finished, which is then whole, and all is as
/// `plan` said.
async fn without_window(
    bench: &Bench,
    row: &mut Row,
    root: &Root,
    plan: &Answer,
    expected: &Expected,
) -> Result<()> {
    let (heads, before) = (heads(root).await?, root.snapshot().await?);
    let answer = bench.outrigger.once(root.uri(), false).await?;
    let changes = trace::unaccounted(&root::difference(&before, &root.snapshot().await?), &answer);
    if !changes.is_empty() {
        row.failures.push(format!("once answered {} and changed {changes:?}", answer.words()));
    }
    let restored = restored(&heads, root).await?;
    if !restored.is_empty() {
        row.failures.push(format!("restored without a window: {restored:?}"));
    }
    if answer.has_done_something() {
        let (rows, seen) = expected.look(row.trial.engine, root).await;
        if !expected.is_end(&seen) {
            row.failures.push(format!("what once has done is not whole: {rows:?}"));
        }
    }
    if answer.verdicts() != plan.verdicts() {
        row.failures.push(format!("plan said {}, once {}", plan.words(), answer.words()));
    }
    check_answer("once", &answer, row.trial.state.expects.once, row);
    row.once = Some(answer);
    Ok(())
}

/// (3) With `--exclusive` all is settled, but for the documented hold, which a person then settles.
async fn exclusive(bench: &Bench, row: &mut Row, root: &Root) -> Result<()> {
    let before = root.snapshot().await?;
    let answer = bench.outrigger.once(root.uri(), true).await?;
    check_answer("once --exclusive", &answer, row.trial.state.expects.exclusive, row);
    if answer.exit == exit::REFUSED {
        let changes = root::difference(&before, &root.snapshot().await?);
        ensure!(changes.is_empty(), "once --exclusive refused and changed {changes:?}");
    }
    let held = answer.exit == exit::HELD;
    row.exclusive = Some(answer);
    if !held {
        return Ok(());
    }
    for words in row.trial.state.expects.person {
        let words = named(words, root).await?;
        bench.outrigger.command(&words, root.uri()).await?;
    }
    row.person = true;
    Ok(())
}

/// A person's command with the sidecar's name for [`NAME`].
async fn named(words: &[&str], root: &Root) -> Result<Vec<String>> {
    let mut named = Vec::new();
    for word in words {
        named.push(if *word == NAME { only_sidecar(root).await? } else { (*word).to_owned() });
    }
    Ok(named)
}

async fn only_sidecar(root: &Root) -> Result<String> {
    let names = judge::sidecars(root).await?;
    let [name] = names.as_slice() else { bail!("a person's command names one sidecar of {names:?}") };
    let folder = format!("{}/", layout::RECOVERY_DIR);
    Ok(name.strip_prefix(&folder).unwrap_or(name).to_owned())
}

/// Each operation that is finished has one audit row, of the right kind; more than one means that two recoveries recorded it.
/// What a person has put aside is not finished.
async fn check_audits(operations: &BTreeMap<String, String>, root: &Root, row: &mut Row) -> Result<()> {
    let audits = tables::audits(root).await.context("the audit cannot be read")?;
    let left = root.list(layout::RECOVERY_DIR).await?;
    let is_left = |name: &String| left.iter().any(|object| object.starts_with(name.as_str()));
    let mut recorded = Vec::new();
    for (_, operation) in operations.iter().filter(|(name, _)| !is_left(name)) {
        match audits.get(operation).map(Vec::as_slice).unwrap_or_default() {
            [kind] => recorded.push(kind.as_str()),
            kinds => {
                row.failures.push(format!("operation {operation} is finished and recorded as {kinds:?}"))
            }
        }
    }
    recorded.sort_unstable();
    // How many there are where the engine works on tables side by side, and how each has ended, is chance.
    if !row.trial.state.races() && recorded != row.trial.state.expects.recorded {
        let expected = row.trial.state.expects.recorded;
        row.failures.push(format!("recorded as {recorded:?}, not as {expected:?}"));
    }
    for operation in audits.keys().filter(|audited| !operations.values().any(|known| known == *audited)) {
        row.failures.push(format!("the audit has {operation}, which no sidecar named"));
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
async fn settled(bench: &Bench, row: &Row, root: &Root) -> Result<()> {
    let Some(answer) = &row.exclusive else { return Ok(()) };
    if answer.exit == exit::CONVERGED || row.person {
        let again = bench.outrigger.plan(root.uri()).await?;
        ensure!(again.exit == exit::CONVERGED, "a plan afterwards ends with {}", again.words());
    }
    Ok(())
}

/// (4) Rows and commits are those of the twin. (5) The engine has nothing to recover and writes on; or the state says what it
/// cannot do and why. The rows are those of the engine's own recovery, too, or the state says why they are not.
async fn end(bench: &Bench, expected: &Expected, root: &Root, row: &mut Row) {
    let Trial { state, engine, place } = row.trial.clone();
    let Expects { afterwards, apart, history, .. } = &state.expects;
    let (rows, seen) = expected.look(engine, root).await;
    if !expected.is_end(&seen) {
        row.failures.push(format!("the rows are not those of the twin: {rows:?}"));
    }
    let exception = Exception::of(history.as_ref(), engine);
    if let Ok(sight) = &seen {
        let faults = expected.history_faults(&sight.history, exception, state.races());
        row.failures.extend(faults.into_iter().map(|fault| format!("the commits: {fault}")));
    }
    if let Some(own) = &row.engine {
        let apart = Exception::of(apart.as_ref(), engine);
        row.failures.extend(outcome::disagreement(&own.rows, &rows, apart));
    }
    let refusal = afterwards.refusal();
    let merged = state.merge().filter(|_| exception.is_none());
    if let Err(error) = outcome::judged(engine, root, Questions { merged, refusal }).await {
        row.failures.push(format!("the engine does not write on: {error}"));
    }
    if let Afterwards::Limit(refusal) = afterwards
        && let Err(failure) = outcome::twin_is_refused(bench.base(place), engine, &state, refusal).await
    {
        row.failures.push(format!("{failure:#}"));
    }
    let writes_on = refusal.map_or(Ok(()), |refusal| Err(refusal.why.to_owned()));
    row.end = Some(Outcome { rows, writes_on });
}

fn check_answer(what: &str, answer: &Answer, expected: Told, row: &mut Row) {
    let words = answer.words();
    if !expected.is(row.trial.engine, answer.exit, &answer.verdicts(), &words) {
        let (expected, stderr) = (expected.words(row.trial.engine), answer.stderr.trim());
        row.failures.push(format!("{what} answered {words}, expected {expected} {stderr}"));
    }
}

/// The head of every table and fork. A root without a manifest has none.
async fn heads(root: &Root) -> Result<BTreeMap<String, u64>> {
    let mut heads = BTreeMap::new();
    for folder in table_folders(root).await? {
        let head = tables::open(root, &folder, None).await?.version_id();
        heads.insert(folder, head);
    }
    Ok(heads)
}

/// Tables and forks that carry a restore above these heads.
async fn restored(before: &BTreeMap<String, u64>, root: &Root) -> Result<Vec<String>> {
    let mut restored = Vec::new();
    for folder in table_folders(root).await? {
        let head = tables::open(root, &folder, None).await?;
        let seen = before.get(&folder).copied().unwrap_or(0);
        if tables::commits(&head, seen).await?.iter().any(Commit::is_restore) {
            restored.push(folder);
        }
    }
    Ok(restored)
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
