//! `outrigger once` and `outrigger plan`: the same run, with and without acts.

use super::{Format, Target, duration, output};
use crate::app::{self, Leave};
use crate::error::{Error, Result};
use crate::model::Window;
use crate::passes::recovery;
use crate::passes::recovery::decide::Policy;
use crate::passes::report::{Exit, Outcome, PassReport, ScopeReport};
use crate::repo::Repository;
use crate::runtime::gate::Closing;
use crate::store::Requests;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    /// Your word that no writer is active while this command runs: roll backs are allowed.
    #[arg(long)]
    exclusive: bool,
    /// Native repositories: keep writers out for up to 30 s if something must be undone.
    #[arg(long, conflicts_with = "exclusive")]
    gate: bool,
    /// How long a crash record and its tables must have stood still before they are touched.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    grace: Duration,
    /// How long a crash record whose tables never moved must have stood still, outside of a window.
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "DURATION")]
    idle_grace: Duration,
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
    if args.gate {
        require_gate(&repo)?;
    }
    let leave = Leave::of(args.exclusive, repo.store()).await?;
    let policy = Policy { grace: args.grace, idle_grace: args.idle_grace, ..Policy::default() };
    let run = app::one_shot(policy.clone(), dry, leave, repo.store(), output::progress());
    let mut report = recovery::run::run(&repo, &run).await?;
    if args.gate && !dry && report.scopes.iter().any(|scope| scope.waits_for(Window::Gate)) {
        report = behind_gate(&repo, policy, report).await?;
    }
    let report = args.target.complete(report);
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

fn require_gate(repo: &Repository) -> Result<()> {
    let dialect = repo.recognised().dialect;
    if dialect.names_commits() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "--gate: writers of dialect {} know no gate; `outrigger window open --for 10m` or --exclusive, while none is active",
        dialect.as_str()
    )))
}

/// The same with writers kept out, after a run that has told `before`. If they cannot be, that is told of what waits for it.
pub(super) async fn behind_gate(repo: &Repository, policy: Policy, before: PassReport) -> Result<PassReport> {
    let held = match app::gate(repo.store()).close_after_others(policy.grace).await? {
        Closing::Held(held) => Arc::from(held),
        Closing::Not(why) => return Ok(not_closed(before, &why)),
    };
    let leave = Leave::Behind(Arc::clone(&held));
    let run = app::one_shot(policy, false, leave, repo.store(), output::progress());
    let ran = recovery::run::run(repo, &run).await;
    held.open().await;
    Ok(both(before, ran?))
}

fn not_closed(mut report: PassReport, why: &str) -> PassReport {
    for scope in report.scopes.iter_mut().filter(|scope| scope.waits_for(Window::Gate)) {
        scope.reason = format!("{}; the gate could not be closed now: {why}", scope.reason);
    }
    report
}

/// What the first run has settled, and what the second tells.
fn both(mut before: PassReport, after: PassReport) -> PassReport {
    before.scopes.retain(|scope| scope.outcome == Outcome::Done);
    before.scopes.extend(after.scopes);
    before
}

fn print(ran: &Ran, repo: &Repository) {
    if ran.passes.iter().all(|pass| pass.scopes.is_empty()) {
        output::line(&format!("{}: nothing to recover", repo.store().uri()));
    } else {
        ran.passes.iter().for_each(print_scopes);
    }
}

/// A pass's scopes for people, each with the tables it moves.
pub(super) fn print_scopes(pass: &PassReport) {
    let row = |scope: &ScopeReport| {
        let outcome = format!("{:?}", scope.outcome).to_lowercase();
        vec![scope.scope.clone(), scope.verdict.as_str().into(), outcome, scope.reason.clone()]
    };
    let rows: Vec<Vec<String>> = pass.scopes.iter().map(row).collect();
    output::table(&["SCOPE", "VERDICT", "OUTCOME", "REASON"], &rows);
    for scope in &pass.scopes {
        for table in &scope.tables {
            let place = format!("{} on {}", table.key, table.branch);
            // The scope of drift is a table.
            let named = scope.scope.strip_suffix(&place).unwrap_or(&scope.scope).trim_end();
            let moves = format!("  {named} {place}: {} → {}", table.from, table.to);
            output::line(&output::visible(&moves));
        }
    }
}
