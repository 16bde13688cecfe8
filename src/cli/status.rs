//! `outrigger status`: what is pending, held or wrong, without deciding anything. Reads only.

use super::{Format, Target, output};
use crate::app::{self, Leave};
use crate::error::Result;
use crate::passes::recovery;
use crate::passes::recovery::decide::Policy;
use crate::passes::report::{Exit, PassReport};
use crate::repo::Repository;
use crate::store::RepoUri;
use serde::Serialize;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, Serialize)]
struct Status {
    repo: String,
    dialect: &'static str,
    stamp: u32,
    writable: bool,
    tables: usize,
    recovery: Option<PassReport>,
    exit: u8,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    let target = args.target;
    let uri = target.uri()?;
    show(&app::open(&uri).await?, &uri, target.format, |report| target.complete(report)).await
}

/// Prints what is known of a repository; `complete` makes its hints fit for whoever reads them.
pub(super) async fn show(
    repo: &Repository,
    uri: &RepoUri,
    format: Format,
    complete: impl FnOnce(PassReport) -> PassReport,
) -> Result<Exit> {
    let recognised = repo.recognised();
    let main = repo.snapshot(&crate::model::Branch::main()).await?;
    let recovery = match repo.require_graph() {
        Ok(()) => {
            let leave = Leave::of(false, repo.store()).await?;
            let run = app::one_shot(Policy::default(), true, leave, repo.store(), output::progress());
            Some(complete(recovery::run::run(repo, &run).await?))
        }
        Err(_) => None,
    };
    let exit = recovery.as_ref().map_or(Exit::Converged, PassReport::exit);
    let status = Status {
        repo: uri.to_string(),
        dialect: recognised.dialect.as_str(),
        stamp: recognised.stamp,
        writable: recognised.writable,
        tables: main.map_or(0, |main| main.state.entries().count()),
        recovery,
        exit: exit.code(),
    };
    match format {
        Format::Json => output::json(&status),
        Format::Table => print(&status),
    }
    Ok(exit)
}

fn print(status: &Status) {
    let access = if status.writable { "" } else { ", read only" };
    output::line(&format!(
        "{}  {} (stamp {}{access}), {} tables on main",
        status.repo, status.dialect, status.stamp, status.tables
    ));
    match &status.recovery {
        None => output::line("a directory of independent Lance datasets: maintenance only, not yet"),
        Some(report) if report.scopes.is_empty() => {
            output::line("no crash records: nothing is pending or held")
        }
        Some(report) => {
            let rows: Vec<Vec<String>> = report
                .scopes
                .iter()
                .map(|scope| {
                    let outcome = format!("{:?}", scope.outcome).to_lowercase();
                    vec![outcome, scope.verdict.as_str().into(), scope.scope.clone(), scope.reason.clone()]
                })
                .collect();
            output::table(&["STATE", "VERDICT", "SCOPE", "REASON"], &rows);
        }
    }
}
