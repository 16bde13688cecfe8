//! `outrigger once` and `outrigger plan`: the same run, with and without acts.

use super::{Format, Target, duration, output};
use crate::app;
use crate::error::{Error, Result};
use crate::passes::recovery;
use crate::passes::recovery::decide::{Policy, Window};
use crate::passes::report::{Exit, PassReport};
use crate::repo::Repository;
use crate::store::Requests;
use serde::Serialize;
use std::time::Duration;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// Your word that no writer is active while this command runs: roll backs are allowed.
    #[arg(long)]
    exclusive: bool,
    /// How long a crash record and its tables must have stood still before they are touched.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    grace: Duration,
    /// Run this pass; may be given more than once. Without it: recovery.
    #[arg(long = "pass", value_name = "NAME")]
    passes: Vec<String>,
}

/// The result, as printed for machines.
#[derive(Debug, Serialize)]
struct Ran {
    repo: String,
    dialect: &'static str,
    passes: Vec<PassReport>,
    requests: Requests,
    exit: u8,
}

pub(super) async fn run(args: Args, dry: bool) -> Result<Exit> {
    if let Some(unknown) = args.passes.iter().find(|pass| *pass != "recovery") {
        return Err(Error::invalid(format!("there is no pass {unknown:?}: this release has recovery")));
    }
    let uri = args.target.uri()?;
    let repo = app::open(&uri).await?;
    let window = args.exclusive.then_some(Window::Exclusive);
    let policy = Policy { grace: args.grace, window, ..Policy::default() };
    let report = recovery::run::run(&repo, &app::one_shot(policy, dry)).await?;
    let exit = report.exit();
    let ran = Ran {
        repo: uri.to_string(),
        dialect: repo.recognised().dialect.as_str(),
        passes: vec![report],
        requests: repo.store().requests(),
        exit: exit.code(),
    };
    match args.target.format {
        Format::Json => output::json(&ran),
        Format::Table => print(&ran, &repo),
    }
    Ok(exit)
}

fn print(ran: &Ran, repo: &Repository) {
    let scopes: Vec<_> = ran.passes.iter().flat_map(|pass| &pass.scopes).collect();
    if scopes.is_empty() {
        output::line(&format!("{}: nothing to recover", repo.store().uri()));
        return;
    }
    let rows: Vec<Vec<String>> = scopes
        .iter()
        .map(|scope| {
            let outcome = format!("{:?}", scope.outcome).to_lowercase();
            vec![scope.scope.clone(), scope.verdict.as_str().into(), outcome, scope.reason.clone()]
        })
        .collect();
    output::table(&["SCOPE", "VERDICT", "OUTCOME", "REASON"], &rows);
    for scope in scopes {
        for table in &scope.tables {
            output::line(&format!(
                "  {} {} on {}: {} → {}",
                scope.scope, table.key, table.branch, table.from, table.to
            ));
        }
    }
}
