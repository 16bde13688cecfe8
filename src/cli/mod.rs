//! The command line: one file for each command. Results go to standard output, everything else to standard error.

mod audit;
mod check_config;
mod commits;
mod demo;
mod health;
mod once;
mod output;
mod repair;
mod run;
mod sidecars;
mod status;
mod window;

use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::error::{Error, Result};
use crate::passes::report::Exit;
use crate::store::RepoUri;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::pin::Pin;
use std::time::Duration;

/// Finishes or undoes commits that crashed half-way in repositories of many Lance tables and one manifest.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log level on standard error: error, warn, info, debug or trace. Without it: warn; of `run`: what its configuration
    /// says.
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
}

const AFTER_HELP: &str = "\
Exit codes, the worst wins:
  78  refused: a format that is not written, or a wrong setting
   1  the store or this program failed
  11  something is held for a person
  12  plan, status: work is due now, `outrigger once` does it
  10  something waits: for its grace, a window, a lock, or another daemon's turn
   0  converged
   2  wrong usage

Start with `outrigger status --repo URI`: it reads only.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the passes once and exit.
    Once(once::Args),
    /// Say what `once` would do and why. Reads only.
    Plan(once::Args),
    /// Run the daemon: many repositories, looked at again and again, until SIGTERM.
    Run(run::Args),
    /// Show what is pending, held or drifted. Reads only.
    Status(status::Args),
    /// Look at writers' crash records, or move one out of the engines' sight.
    #[command(subcommand)]
    Sidecars(sidecars::Action),
    /// Settle what only a person may decide, while no writer is active.
    Repair(repair::Args),
    /// Promise that no writer is active for a while, so that commits may be undone.
    #[command(subcommand)]
    Window(window::Action),
    /// Show what recoveries did.
    #[command(subcommand)]
    Audit(audit::Action),
    /// Show the graph's history of commits.
    #[command(subcommand)]
    Commits(commits::Action),
    /// Mend two small graphs that a real engine was killed on.
    Demo(demo::Args),
    /// Check a configuration: effective settings, their origin, next runs of each schedule.
    CheckConfig(check_config::Args),
    /// Ask a running daemon whether it answers; for container checks.
    Health(health::Args),
}

/// Which repository, and how to print.
#[derive(Debug, Clone, Args)]
struct Target {
    /// The repository: s3://bucket/prefix, file:///directory or a path.
    #[arg(long, env = "OUTRIGGER_REPO", value_name = "URI")]
    repo: String,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Target {
    fn uri(&self) -> Result<RepoUri> {
        RepoUri::parse(&self.repo)
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For machines.
    Json,
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 5m, 30s or 1h"))
}

/// Parses the command line, runs the command, prints what went wrong, and gives the exit code.
pub async fn main() -> u8 {
    let cli = Cli::parse();
    // The daemon starts its log by its configuration.
    if !matches!(cli.command, Command::Run(_))
        && let Err(error) = start_logging(cli.log.as_deref().unwrap_or("warn"))
    {
        return failed(&error);
    }
    let command: Pin<Box<dyn Future<Output = Result<Exit>>>> = match cli.command {
        Command::Once(args) => Box::pin(once::run(args, false)),
        Command::Plan(args) => Box::pin(once::run(args, true)),
        Command::Status(args) => Box::pin(status::run(args)),
        Command::Sidecars(action) => Box::pin(sidecars::run(action)),
        Command::Repair(args) => Box::pin(repair::run(args)),
        Command::Audit(action) => Box::pin(audit::run(action)),
        Command::Commits(action) => Box::pin(commits::run(action)),
        Command::Demo(args) => Box::pin(demo::run(args)),
        Command::CheckConfig(args) => Box::pin(check_config::run(args)),
        Command::Health(args) => Box::pin(health::run(args)),
        Command::Run(args) => Box::pin(run::run(args, cli.log)),
        Command::Window(action) => Box::pin(window::run(action)),
    };
    match command.await {
        Ok(exit) => exit.code(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> u8 {
    output::problem(&error.chain());
    Exit::of(error).code()
}

fn start_logging(level: &str) -> Result<()> {
    let level = LogLevel::ALL.iter().copied().find(|known| known.as_str() == level);
    let level = level.ok_or_else(|| Error::invalid("--log takes error, warn, info, debug or trace"))?;
    crate::telemetry::logging::init(&LogSettings {
        level,
        libraries: LogLevel::Error,
        format: LogFormat::Text,
    })
}
