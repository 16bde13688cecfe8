//! Every state against one Outrigger binary, on disk and some of them on S3.

mod choose;
mod document;
mod outcome;
mod outrigger;
mod s3;
mod table;
mod trace;
mod trial;
mod twins;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;
use tokio::sync::Semaphore;

use crate::engine::Engine;
use crate::state;
use document::Document;
use outrigger::Outrigger;
use table::Line;
use trial::{Bench, Place, Row, Trial};
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
    /// Only here.
    #[arg(long)]
    place: Option<Place>,
    /// A part that takes minutes, every kind of state in it; which part goes by this number, and numbers in sequence reach all.
    #[arg(long, value_name = "NUMBER")]
    sample: Option<u64>,
    /// The page whose table is to say what is found.
    #[arg(long)]
    document: Option<PathBuf>,
    /// Write the page's table instead of comparing with it.
    #[arg(long, requires = "document")]
    update: bool,
    /// An empty directory for the graphs.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Keep the graphs.
    #[arg(long)]
    keep: bool,
}

pub async fn run(options: Options) -> Result<()> {
    if let Some(endpoint) = s3::server() {
        return s3::run_again(&endpoint).await;
    }
    let started = Instant::now();
    let trials = choose::trials(&options, s3::is_ready())?;
    if let Some(number) = options.sample {
        eprintln!("sample {number}: `make interop STATES='--sample {number}'` makes it again");
    }
    let work = match &options.work {
        Some(work) => work.clone(),
        None => std::env::temp_dir().join(format!("interop-{}", std::process::id())),
    };
    let rows = try_all(Arc::new(bench(&options, &work)?), trials).await?;
    if !options.keep {
        std::fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))?;
    }
    let unexplained = rows.iter().filter(|row| !row.failures.is_empty()).count();
    eprintln!("{} rows in {:.0?}, {unexplained} unexplained", rows.len(), started.elapsed());
    if let Some(page) = &options.document {
        let mut states = state::all();
        states.sort_by_key(|state| state.kind);
        let lines: Vec<Line> = states.iter().map(|state| Line::of(state, &rows)).collect();
        if options.update { update(page, &lines)? } else { compare(page, &lines)? }
    }
    ensure!(unexplained == 0, "{unexplained} of {} rows are unexplained", rows.len());
    Ok(())
}

fn bench(options: &Options, work: &std::path::Path) -> Result<Bench> {
    let disk = work.to_str().context("a work directory that is not UTF-8")?.to_owned();
    Ok(Bench {
        outrigger: Outrigger::new(options.outrigger.clone())?,
        twins: Twins::new(format!("{disk}/twins")),
        disk,
        s3: format!("s3://{}/{}", s3::BUCKET, std::process::id()),
    })
}

async fn try_all(bench: Arc<Bench>, chosen: Vec<Trial>) -> Result<Vec<Row>> {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let total = chosen.len();
    let mut trials = Vec::new();
    for (number, trial) in chosen.into_iter().enumerate() {
        let (bench, slots) = (bench.clone(), slots.clone());
        trials.push(tokio::spawn(async move {
            let _slot = slots.acquire_owned().await;
            let started = Instant::now();
            let row = trial::run(&bench, trial).await;
            tell(&row, number + 1, total, started.elapsed());
            row
        }));
    }
    let mut rows = Vec::new();
    for trial in trials {
        rows.push(trial.await.context("a trial panicked")?);
    }
    table::compare_places(&mut rows);
    Ok(rows)
}

fn tell(row: &Row, number: usize, total: usize, took: Duration) {
    let mark = if row.failures.is_empty() { "ok" } else { "UNEXPLAINED" };
    eprintln!("[{number}/{total}] {}: {mark}, {took:.1?}", row.trial.name());
    for failure in &row.failures {
        eprintln!("    {failure}");
    }
}

fn update(page: &std::path::Path, lines: &[Line]) -> Result<()> {
    let text = Document::read(page)?.with(lines)?;
    std::fs::write(page, text).with_context(|| format!("write {}", page.display()))
}

fn compare(page: &std::path::Path, lines: &[Line]) -> Result<()> {
    let differences = Document::read(page)?.differences(lines);
    if !differences.is_empty() {
        let page = page.display();
        bail!("{page} says something else; `--update` writes it anew:\n{}", differences.join("\n"));
    }
    Ok(())
}
