//! `outrigger repair`: what only a person may decide. Prints what it would do and why that is safe; `--yes` does it.

use super::{Target, output};
use crate::app;
use crate::error::{Error, Result};
use crate::model::TableKey;
use crate::passes::recovery::act::Acted;
use crate::passes::recovery::decide::drift::Choice;
use crate::passes::recovery::repair::{self, Proposal};
use crate::passes::report::Exit;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to repair.
    #[arg(value_enum)]
    kind: Kind,
    #[command(flatten)]
    target: Target,
    /// Your word that no writer is active while this command runs.
    #[arg(long, required = true)]
    exclusive: bool,
    /// Do it. Without this: say what would be done.
    #[arg(long)]
    yes: bool,
    /// drift, missing-ref: only this table (`node:Person`).
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// The version that the graph shows.
    Pin,
    /// The newest version.
    Head,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    let repo = app::open(&args.target.uri()?).await?;
    repo.require_graph()?;
    let table = args.table.as_deref().map(TableKey::parse).transpose();
    let table = table.map_err(|bad| Error::invalid(bad.to_string()))?;
    let proposals: Vec<Proposal> = match args.kind {
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
        Kind::Lock => repair::lock(&repo).await?.into_iter().collect(),
        Kind::Branch => repair::branches(&repo).await?,
        Kind::MissingRef => repair::missing_records(&repo, table.as_ref()).await?,
    };
    if proposals.is_empty() {
        output::line("nothing to repair");
        return Ok(Exit::Converged);
    }
    let mut exit = Exit::Converged;
    for proposal in &proposals {
        exit = Exit::worst([exit, settle(&args, &repo, proposal).await?]);
    }
    Ok(exit)
}

async fn settle(args: &Args, repo: &crate::repo::Repository, proposal: &Proposal) -> Result<Exit> {
    if !args.yes {
        output::line(&format!("would {}", output::visible(&proposal.what)));
        output::line(&format!("  {}", output::visible(&proposal.why)));
        output::line("  with --yes it is done");
        return Ok(Exit::Held);
    }
    match repair::carry_out(repo, proposal, app::handles(app::Leave::Exclusive, repo.store()).as_ref())
        .await?
    {
        Acted::Settled => {
            output::line(&format!("done: {}", output::visible(&proposal.what)));
            Ok(Exit::Converged)
        }
        Acted::LookAgain(why) => {
            output::line(&format!("not done: {}; run it again", output::visible(&why)));
            Ok(Exit::Waits)
        }
    }
}
