//! `outrigger audit`: what recoveries did, joined with the graph's own commits.

use super::{Format, Target, output};
use crate::app;
use crate::error::Result;
use crate::model::Timestamp;
use crate::passes::report::Exit;
use crate::repo::history::AuditRow;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List recoveries, oldest first. Reads only.
    List {
        #[command(flatten)]
        target: Target,
        /// Only operations of this actor.
        #[arg(long, value_name = "NAME")]
        actor: Option<String>,
        /// Only this operation.
        #[arg(long, value_name = "ID")]
        operation: Option<String>,
        /// Only this kind: RolledForward, RolledBack or OrphanedBranchDiscarded.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only recoveries since this time, `2026-01-31` or `2026-01-31T12:00:00Z`.
        #[arg(long, value_parser = since, value_name = "TIME")]
        since: Option<Timestamp>,
    },
}

fn since(text: &str) -> std::result::Result<Timestamp, String> {
    let day =
        chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    let at = day
        .map(|at| at.and_utc())
        .or_else(|| chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()));
    at.map(Timestamp).ok_or_else(|| "write it like 2026-01-31 or 2026-01-31T12:00:00Z".into())
}

pub(super) async fn run(action: Action) -> Result<Exit> {
    let Action::List { target, actor, operation, kind, since } = action;
    let repo = app::open(&target.uri()?).await?;
    repo.require_graph()?;
    let wanted = |row: &AuditRow| {
        actor.as_ref().is_none_or(|actor| row.recovery_for_actor.as_ref() == Some(actor))
            && operation.as_ref().is_none_or(|operation| row.operation_id == *operation)
            && kind.as_ref().is_none_or(|kind| row.recovery_kind == *kind)
            && since.is_none_or(|since| row.created_at >= since)
    };
    let rows: Vec<AuditRow> = repo.audit_rows().await?.into_iter().filter(wanted).collect();
    match target.format {
        Format::Json => output::json(&rows),
        Format::Table if rows.is_empty() => output::line("no recoveries"),
        Format::Table => print(&rows),
    }
    Ok(Exit::Converged)
}

fn print(rows: &[AuditRow]) {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.created_at.to_string(),
                row.recovery_kind.clone(),
                row.operation_id.clone(),
                row.sidecar_writer_kind.clone(),
                row.recovery_for_actor.clone().unwrap_or_else(|| "-".into()),
                row.per_table_outcomes_json.clone(),
            ]
        })
        .collect();
    output::table(&["TIME", "KIND", "OPERATION", "WRITER", "ACTOR", "TABLES"], &cells);
}
