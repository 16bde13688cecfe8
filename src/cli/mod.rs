//! The command line: one file for each command. Results go to standard output, everything else to standard error.

mod audit;
mod check_config;
mod commits;
mod demo;
mod failure;
mod health;
mod once;
mod output;
mod repair;
mod run;
mod sidecars;
mod status;
mod window;

use crate::config::{Flag, LogFormat, LogLevel, LogSettings, Sources, environment_variable};
use crate::error::{Error, Result};
use crate::passes::hint;
use crate::passes::report::{Exit, PassReport};
use crate::store::RepoUri;
use clap::{Args, Parser, Subcommand, ValueEnum};
use failure::NoReport;
use std::path::PathBuf;
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
    #[command(after_help = "\
Example:
  outrigger once --repo s3://example-bucket/graphs/orders

Safe beside live writers. What must be undone waits for a window: `outrigger window --help`.")]
    Once(once::Args),
    /// Say what `once` would do and why. Reads only.
    #[command(after_help = "Example:\n  outrigger plan --exclusive --repo s3://example-bucket/graphs/orders")]
    Plan(once::Args),
    /// Run the daemon: many repositories, looked at again and again, until SIGTERM.
    #[command(after_help = "\
Examples:
  outrigger run --config /etc/outrigger/outrigger.toml
  OUTRIGGER__REPOSITORIES__ORDERS__URI=s3://example-bucket/graphs/orders outrigger run

Every key is in config/outrigger.toml; `outrigger check-config` says what holds in the end.")]
    Run(run::Args),
    /// Show what is pending, held or drifted. Reads only.
    #[command(after_help = "Example:\n  outrigger status --repo s3://example-bucket/graphs/orders")]
    Status(status::Args),
    /// Look at writers' crash records, or move one out of the engines' sight.
    #[command(subcommand, after_help = "Begin with `outrigger sidecars list --repo URI`.")]
    Sidecars(sidecars::Action),
    /// Settle what only a person may decide, while no writer is active.
    #[command(after_help = "\
Examples:
  outrigger repair drift --table node:Person --to pin --exclusive --repo /srv/orders
  outrigger repair lock --exclusive --yes --repo /srv/orders

Without --yes it says what it would do, and why that is safe.")]
    Repair(repair::Args),
    /// Promise that no writer is active for a while, so that commits may be undone.
    #[command(
        subcommand,
        after_help = "Begin with `outrigger window open --for 10m --reason TEXT --repo URI`."
    )]
    Window(window::Action),
    /// Show what recoveries did.
    #[command(subcommand, after_help = "Begin with `outrigger audit list --repo URI`.")]
    Audit(audit::Action),
    /// Show the graph's history of commits.
    #[command(subcommand, after_help = "Begin with `outrigger commits list --repo URI`.")]
    Commits(commits::Action),
    /// Mend wrecks of real writers: two graphs, and a repository whose writers are killed at every step.
    #[command(after_help = "Example:\n  outrigger demo\n\nIt works in a temporary directory and removes it.")]
    Demo(demo::Args),
    /// Check a configuration: effective settings, their origin, next runs of each schedule.
    #[command(after_help = "Example:\n  outrigger check-config --config /etc/outrigger/outrigger.toml")]
    CheckConfig(check_config::Args),
    /// Ask a running daemon whether it answers; for container checks.
    #[command(after_help = "Examples:\n  outrigger health\n  outrigger health --listen 127.0.0.1:9188")]
    Health(health::Args),
}

impl Command {
    /// The repository that it is about, if it is about one.
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Once(args) | Self::Plan(args) => Some(&args.target),
            Self::Status(args) => Some(&args.target),
            Self::Repair(args) => Some(&args.target),
            Self::Sidecars(action) => Some(action.target()),
            Self::Window(action) => Some(action.target()),
            Self::Audit(action) => Some(action.target()),
            Self::Commits(action) => Some(action.target()),
            Self::Run(_) | Self::Demo(_) | Self::CheckConfig(_) | Self::Health(_) => None,
        }
    }

    /// What a failure says besides, to be of the shape of this command's result.
    fn no_report(&self) -> Option<NoReport> {
        matches!(self, Self::Once(_) | Self::Plan(_)).then(NoReport::default)
    }
}

/// Where the repository may be named once for all commands.
const REPO_VARIABLE: &str = "OUTRIGGER_REPO";

/// Which repository, and how to print.
#[derive(Debug, Clone, Args)]
struct Target {
    /// The repository: s3://bucket/prefix, file:///directory or a path.
    // A refused address may hold a password: the help does not repeat it.
    #[arg(long, env = REPO_VARIABLE, hide_env_values = true, value_name = "URI", allow_hyphen_values = true)]
    repo: String,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Target {
    fn uri(&self) -> Result<RepoUri> {
        RepoUri::parse(&self.repo)
    }

    /// `text` with commands that can be typed as they stand: whoever named the repository by `OUTRIGGER_REPO` need not again.
    fn typable(&self, text: &str) -> String {
        match environment_variable(REPO_VARIABLE) {
            Some(known) if known == self.repo => text.to_owned(),
            _ => hint::with_repository(text, &self.repo),
        }
    }

    /// The same of a report's reasons.
    fn complete(&self, mut report: PassReport) -> PassReport {
        for scope in &mut report.scopes {
            scope.reason = self.typable(&scope.reason);
        }
        report
    }
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
struct Configured {
    /// The configuration file (TOML). Without one the environment says it all: OUTRIGGER__SECTION__KEY.
    #[arg(long, env = "OUTRIGGER_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Configured {
    /// The file, if one is named, this process's environment, and `flags`.
    fn sources(&self, flags: Vec<Flag>) -> Result<Sources> {
        // An empty variable is how container tools say "not set".
        let file = self.config.as_deref().filter(|file| !file.as_os_str().is_empty());
        Sources::of_process(file, flags)
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
        return failure::tell(&error, None, None);
    }
    let (target, no_report) = (cli.command.target().cloned(), cli.command.no_report());
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
        Err(error) => failure::tell(&error, target.as_ref(), no_report),
    }
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
