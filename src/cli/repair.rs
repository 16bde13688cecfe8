//! `outrigger repair`: what only a person may decide. Prints what it would do and why that is safe; `--yes` does it.

use super::{Format, Target, commits, output};
use crate::app;
use crate::config::faults::nearest;
use crate::error::{Error, Result};
use crate::model::TableKey;
use crate::passes::recovery::act::Acted;
use crate::passes::recovery::decide::drift::Choice;
use crate::passes::recovery::repair::{self, Proposal, Proposals};
use crate::passes::report::Exit;
use crate::repo::Repository;
use clap::ValueEnum;
use clap::error::ErrorKind;
use serde::Serialize;
use std::collections::BTreeSet;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to repair.
    #[arg(value_enum)]
    kind: Kind,
    #[command(flatten)]
    pub(super) target: Target,
    /// Your word that no writer is active while this command runs.
    #[arg(long, required = true)]
    exclusive: bool,
    /// Do it. Without this: say what would be done.
    #[arg(long)]
    yes: bool,
    /// drift, missing-ref, fork: only this table (`node:Person`).
    #[arg(long, value_name = "KEY")]
    table: Option<String>,
    /// drift: which version is right: the one that the graph shows, or the newest.
    #[arg(long, value_enum, value_name = "WHICH")]
    to: Option<To>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Tables ahead of what the graph shows, for reasons that nothing explains.
    Drift,
    /// The write lock of a schema change that is dead.
    Lock,
    /// A branch whose creation died half-way.
    Branch,
    /// A fork of a table that the graph shows, and whose record was lost.
    MissingRef,
    /// Forks of tables that no branch shows, and what is left of branches that were deleted.
    Fork,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// The version that the graph shows.
    Pin,
    /// The newest version.
    Head,
}

/// The result, as printed for machines.
#[derive(Debug, Serialize)]
struct Repaired<'a> {
    repo: &'a str,
    repairs: Vec<Repair<'a>>,
    exit: u8,
}

/// One repair and what became of it.
#[derive(Debug, Serialize)]
struct Repair<'a> {
    what: &'a str,
    why: &'a str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Outcome {
    /// Without `--yes`.
    Proposed,
    Done,
    /// Something moved.
    LookAgain {
        reason: String,
    },
    /// The others are made all the same.
    Failed {
        reason: String,
        #[serde(skip)]
        exit: Exit,
    },
}

impl From<&Outcome> for Exit {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Proposed => Self::Held,
            Outcome::Done => Self::Converged,
            Outcome::LookAgain { .. } => Self::Waits,
            Outcome::Failed { exit, .. } => *exit,
        }
    }
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    refuse_unheeded(&args);
    let uri = args.target.uri()?;
    let repo = app::open(&uri).await?;
    repo.require_graph()?;
    let table = match &args.table {
        Some(name) => Some(known_table(&repo, name).await?),
        None => None,
    };
    let proposals = match args.kind {
        Kind::Drift => {
            let choice = match args.to {
                Some(To::Pin) => Choice::Pin,
                Some(To::Head) => Choice::Head,
                None => {
                    return Err(Error::invalid(
                        "repair drift needs --to pin or --to head: which version is right is your choice",
                    ));
                }
            };
            repair::drift(&repo, table.as_ref(), choice).await?
        }
        Kind::Lock => {
            Proposals { made: repair::lock(&repo).await?.into_iter().collect(), ..Proposals::default() }
        }
        Kind::Branch => repair::branches(&repo).await?,
        Kind::MissingRef => repair::missing_records(&repo, table.as_ref()).await?,
        Kind::Fork => repair::forks(&repo, table.as_ref()).await?,
    };
    let mut repairs = Vec::new();
    // One after the other, as they happen.
    let mut tell = |what, why, outcome| {
        let repair = Repair { what, why, outcome };
        if args.target.format == Format::Table {
            print(&repair);
        }
        repairs.push(repair);
    };
    for (what, reason) in &proposals.lost {
        let outcome = Outcome::Failed { reason: reason.clone(), exit: Exit::Failed };
        tell(what.as_str(), "it could not be looked at, or is beyond repair", outcome);
    }
    for proposal in &proposals.made {
        tell(&proposal.what, &proposal.why, settle(&args, &repo, proposal).await);
    }
    let exit = Exit::worst(repairs.iter().map(|repair| (&repair.outcome).into()));
    match args.target.format {
        Format::Json => output::json(&Repaired { repo: uri.as_str(), repairs, exit: exit.code() }),
        Format::Table if repairs.is_empty() => output::line("nothing to repair"),
        Format::Table => {}
    }
    Ok(exit)
}

/// Ends the program, as for every wrong usage, if an option is given that this kind takes no notice of: who limits a repair to one
/// table must not get another one.
fn refuse_unheeded(args: &Args) {
    let table = args.table.as_ref().map(|_| "--table");
    let to = args.to.map(|_| "--to");
    let unheeded = match args.kind {
        Kind::Drift => None,
        Kind::MissingRef | Kind::Fork => to,
        Kind::Lock | Kind::Branch => table.or(to),
    };
    if let (Some(option), Some(kind)) = (unheeded, args.kind.to_possible_value()) {
        let mut usage =
            <Args as clap::Args>::augment_args(clap::Command::new("repair")).bin_name("outrigger repair");
        let told = format!("repair {} takes no {option}", kind.get_name());
        usage.error(ErrorKind::ArgumentConflict, told).exit();
    }
}

/// A table that some branch shows. A misspelt one would have nothing to repair, which is not what was asked.
async fn known_table(repo: &Repository, name: &str) -> Result<TableKey> {
    let table = TableKey::parse(name).map_err(|bad| Error::invalid(bad.to_string()))?;
    let snapshots = repo.snapshots(commits::all_branches(repo).await?.into_iter()).await?;
    let shown = snapshots.read.iter().flat_map(|at| at.state.entries()).map(|(table, _)| table.clone());
    let known: BTreeSet<TableKey> = shown.collect();
    if known.contains(&table) {
        return Ok(table);
    }
    if let Some((branch, why)) = snapshots.unreadable.into_iter().next() {
        return Err(
            why.while_doing(format!("no other branch shows a table {name}, and {branch} cannot be read"))
        );
    }
    let names = || known.iter().map(TableKey::as_str);
    Err(Error::missing(match nearest(name, names()) {
        Some(meant) => format!("no branch shows a table {name}; did you mean {meant}?"),
        None => {
            format!("no branch shows a table {name}; there are: {}", names().collect::<Vec<_>>().join(", "))
        }
    }))
}

async fn settle(args: &Args, repo: &Repository, proposal: &Proposal) -> Outcome {
    if !args.yes {
        return Outcome::Proposed;
    }
    let handles = app::handles(app::Leave::Exclusive, repo.store());
    match repair::carry_out(repo, proposal, handles.as_ref()).await {
        Ok(Acted::Settled) => Outcome::Done,
        Ok(Acted::LookAgain(reason)) => Outcome::LookAgain { reason },
        Err(error) => Outcome::Failed { reason: error.chain(), exit: Exit::of(&error) },
    }
}

fn print(repair: &Repair) {
    let Repair { what, why, outcome } = repair;
    match outcome {
        Outcome::Proposed => {
            output::line(&format!("would {}", output::visible(what)));
            output::line(&format!("  {}", output::visible(why)));
            output::line("  with --yes it is done");
        }
        Outcome::Done => output::line(&format!("done: {}", output::visible(what))),
        Outcome::LookAgain { reason } => {
            output::line(&format!("not done: {}; run it again", output::visible(reason)));
        }
        Outcome::Failed { reason, .. } => {
            output::line(&format!("failed: {}: {}", output::visible(what), output::visible(reason)));
        }
    }
}
