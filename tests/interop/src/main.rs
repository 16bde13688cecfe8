//! Makes graphs in every crash state with the real engine, and lets the engine judge what Outrigger did with them.
//!
//! `state` lists the states, `wreck` makes them (`program` and `surgery` are what they are made of), `show` and `dump`
//! look at them, `judge` writes on, and `matrix` drives all of it for one Outrigger binary.

// The engine's futures nest deeper than the default limit lets the compiler look when it proves that they are `Send`.
#![recursion_limit = "512"]

mod dump;
mod engine;
mod fixture;
mod history;
mod judge;
mod layout;
mod matrix;
mod program;
mod recover;
mod root;
mod show;
mod state;
mod surgery;
mod tables;
mod words;
mod wreck;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};

use crate::engine::{Access, Engine};
use crate::judge::Questions;
use crate::program::Step;
use crate::root::Root;
use crate::wreck::{Course, CrashPoint};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a state at an empty root.
    Wreck {
        #[command(flatten)]
        made: Made,
    },
    /// Run a state's program at an empty root to its end: the twin of a wreck.
    Complete {
        #[command(flatten)]
        made: Made,
        #[arg(long)]
        mode: Mode,
    },
    /// All rows that a reader sees, as canonical JSON.
    Dump {
        #[arg(long)]
        engine: Engine,
        #[arg(long)]
        root: String,
    },
    /// Open read-write, find nothing to recover and write on; changes the root.
    Judge {
        #[arg(long)]
        engine: Engine,
        #[arg(long)]
        root: String,
    },
    /// Open to write, which is all: what the engine says of a root that is not its own.
    Open {
        #[arg(long)]
        engine: Engine,
        #[arg(long)]
        root: String,
    },
    /// Sidecars, pins, heads and transactions.
    Show {
        #[arg(long)]
        root: String,
        #[arg(long, default_value = "json")]
        format: Format,
    },
    /// Every state against one Outrigger binary, and the table of the documentation.
    Matrix(matrix::Options),
    /// The engine's own recovery, answering as Outrigger would.
    Recover {
        #[arg(long)]
        root: String,
        #[arg(long)]
        reach: recover::Reach,
    },
    /// The list of states as JSON.
    States,
    /// The child that dies at a failpoint.
    #[command(hide = true)]
    Die {
        #[command(flatten)]
        made: Made,
        #[arg(long)]
        step: usize,
    },
}

#[derive(clap::Args)]
struct Made {
    #[arg(long)]
    engine: Engine,
    #[arg(long)]
    state: String,
    /// An absolute path or s3://bucket/prefix.
    #[arg(long)]
    root: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Crash, then the engine's own recovery.
    EngineRecovery,
    /// No crash.
    Committed,
    /// Up to the crash.
    Before,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Recover { root, reach } => {
            let recovered = recover::recover(&Root::open(&root)?, reach).await?;
            println!("{}", recovered.report);
            return Ok(ExitCode::from(recovered.exit));
        }
        Command::Matrix(options) => matrix::run(options).await?,
        Command::Wreck { made } => {
            let root = Root::open(&made.root)?;
            let state = state::find(&made.state, made.engine)?;
            wreck::run(made.engine, &state.name, &state.steps, &root).await?;
        }
        Command::Complete { made, mode } => complete(&made, mode).await?,
        Command::Dump { engine, root } => {
            let graph = engine.open(&root, Access::ReadOnly).await?;
            println!("{}", dump::collect(graph.as_ref()).await?.text()?);
        }
        Command::Judge { engine, root } => {
            let verdict = judge::judge(engine, &Root::open(&root)?, Questions::default()).await?;
            println!("{}", serde_json::to_string_pretty(&verdict)?);
        }
        Command::Open { engine, root } => drop(engine.open(&root, Access::ReadWrite).await?),
        Command::Show { root, format } => {
            let facts = show::collect(&Root::open(&root)?).await?;
            match format {
                Format::Json => println!("{}", serde_json::to_string_pretty(&facts)?),
                Format::Text => print!("{}", show::text(&facts)?),
            }
        }
        Command::States => {
            println!("{}", serde_json::to_string_pretty(&state::listing())?);
        }
        Command::Die { made, step } => die(&made, step).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn complete(made: &Made, mode: Mode) -> Result<()> {
    let root = Root::open(&made.root)?;
    let state = state::find(&made.state, made.engine)?;
    let course = match mode {
        Mode::EngineRecovery => Course::Wreck,
        Mode::Committed => Course::Committed,
        Mode::Before => Course::Before,
    };
    wreck::run(made.engine, &state.name, &course.steps(&state.steps), &root).await?;
    if course == Course::Wreck {
        made.engine.open(root.uri(), Access::ReadWrite).await.context("the engine's own recovery")?;
    }
    Ok(())
}

async fn die(made: &Made, step: usize) -> Result<()> {
    let state = state::find(&made.state, made.engine)?;
    let Some(Step::Crash { act, failpoint, hit }) = state.steps.get(step) else {
        bail!("step {step} of {} is no crash", state.name);
    };
    let access = wreck::access_at(&state.steps, step);
    wreck::die_inside(made.engine, act, access, &made.root, CrashPoint { failpoint, hit: *hit }).await
}
