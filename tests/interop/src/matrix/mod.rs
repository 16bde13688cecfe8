//! Every state against one Outrigger binary.

mod ministack;
mod outrigger;
mod peer;
mod table;
mod trial;
mod twins;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;
use tokio::sync::Semaphore;

use crate::engine::Engine;
use crate::state::{self, Kind, State};
use outrigger::Outrigger;
use trial::{Bench, Row};
use twins::Twins;

/// Two states at a time: they share a small machine with the engine's own threads.
const AT_ONCE: usize = 2;

#[derive(clap::Args)]
pub struct Options {
    /// The binary under test.
    #[arg(long)]
    outrigger: PathBuf,
    /// Only states whose name matches.
    #[arg(long)]
    filter: Option<Regex>,
    /// Only this engine.
    #[arg(long)]
    engine: Option<Engine>,
    /// At most this many states of each kind and engine.
    #[arg(long)]
    states_per_kind: Option<usize>,
    /// On S3 instead of disk: at this endpoint, or at a server that is started for it.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    s3: Option<String>,
    /// Where the graphs are made: an empty directory, or a place for one.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Keep the graphs.
    #[arg(long)]
    keep: bool,
    /// The table; on standard output without it.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub async fn run(options: Options) -> Result<()> {
    if let Some(endpoint) = &options.s3
        && !ministack::environment_is_set()
    {
        return ministack::run_again(endpoint).await;
    }
    let chosen = chosen(&options);
    ensure!(!chosen.is_empty(), "no state is chosen");
    let started = Instant::now();
    let work = options
        .work
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("interop-{}", std::process::id())));
    let base = match &options.s3 {
        Some(_) => format!("s3://{}/{}", ministack::BUCKET, std::process::id()),
        None => work.to_str().context("a work directory that is not UTF-8")?.to_owned(),
    };
    let bench = Bench {
        outrigger: Outrigger::new(options.outrigger)?,
        twins: Twins::new(format!("{base}/twins")),
        base,
    };
    let rows = try_all(Arc::new(bench), chosen).await?;
    let table = table::markdown(&rows)?;
    match &options.out {
        Some(path) => std::fs::write(path, &table).with_context(|| format!("write {}", path.display()))?,
        None => print!("{table}"),
    }
    if !options.keep && options.s3.is_none() {
        std::fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))?;
    }
    let unexplained = rows.iter().filter(|row| !row.failures.is_empty()).count();
    eprintln!("{} rows in {:.0?}, {unexplained} unexplained", rows.len(), started.elapsed());
    if unexplained > 0 {
        bail!("{unexplained} of {} rows are unexplained", rows.len());
    }
    Ok(())
}

fn chosen(options: &Options) -> Vec<(State, Engine)> {
    let mut taken: BTreeMap<(Kind, Engine), usize> = BTreeMap::new();
    let pairs = state::all().into_iter().flat_map(|state| {
        let engines = state.engines;
        engines.iter().map(move |engine| (state.clone(), *engine))
    });
    let named = |state: &State| options.filter.as_ref().is_none_or(|filter| filter.is_match(&state.name));
    let wanted =
        pairs.filter(|(state, engine)| named(state) && options.engine.is_none_or(|only| only == *engine));
    let Some(limit) = options.states_per_kind else { return wanted.collect() };
    let within_limit = |(state, engine): &(State, Engine)| {
        let count = taken.entry((state.kind, *engine)).or_default();
        *count += 1;
        *count <= limit
    };
    let (samples, rest): (Vec<_>, Vec<_>) = wanted.partition(|(state, _)| state.is_sample());
    samples.into_iter().chain(rest).filter(within_limit).collect()
}

async fn try_all(bench: Arc<Bench>, chosen: Vec<(State, Engine)>) -> Result<Vec<Row>> {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let total = chosen.len();
    let mut trials = Vec::new();
    for (number, (state, engine)) in chosen.into_iter().enumerate() {
        let (bench, slots) = (bench.clone(), slots.clone());
        trials.push(tokio::spawn(async move {
            let _slot = slots.acquire_owned().await;
            let row = trial::run(&bench, state, engine).await;
            let mark = if row.failures.is_empty() { "ok" } else { "UNEXPLAINED" };
            eprintln!("[{}/{total}] {} ({engine}): {mark}", number + 1, row.state.name);
            for failure in &row.failures {
                eprintln!("    {failure}");
            }
            if let Some(error) = row.peer.as_ref().and_then(|peer| peer.error()) {
                eprintln!("    the engine: {}", error.lines().next().unwrap_or_default());
            }
            row
        }));
    }
    let mut rows = Vec::new();
    for trial in trials {
        rows.push(trial.await.context("a trial panicked")?);
    }
    Ok(rows)
}
