//! `outrigger audit`: what recoveries did, joined with the graph's own commits.

use super::{Format, Target, commits, output};
use crate::app;
use crate::error::Result;
use crate::model::Timestamp;
use crate::model::audit::{RecoveryKind, TableOutcome};
use crate::model::manifest::GraphCommit;
use crate::passes::report::Exit;
use crate::repo::history::AuditRow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List recoveries, oldest first. Reads only.
    #[command(
        after_help = "Example:\n  outrigger audit list --kind RolledBack --since 2026-01-31 --repo /srv/orders"
    )]
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
        #[arg(long, value_parser = kind, value_name = "KIND")]
        kind: Option<RecoveryKind>,
        /// Only recoveries since this time, `2026-01-31` or `2026-01-31T12:00:00Z`.
        #[arg(long, value_parser = since, value_name = "TIME")]
        since: Option<Timestamp>,
    },
}

impl Action {
    pub(super) fn target(&self) -> &Target {
        let Self::List { target, .. } = self;
        target
    }
}

fn kind(text: &str) -> std::result::Result<RecoveryKind, String> {
    let known = RecoveryKind::ALL.iter().copied().find(|kind| kind.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| {
        let all: Vec<_> = RecoveryKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("it is one of {}", all.join(", "))
    })
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
            && kind.is_none_or(|kind| row.recovery_kind == kind.as_str())
            && since.is_none_or(|since| row.created_at >= since)
    };
    let wanted: Vec<AuditRow> = repo.audit_rows().await?.into_iter().filter(wanted).collect();
    let mut commits =
        if wanted.is_empty() { BTreeMap::new() } else { commits::of_all_branches(&repo).await? };
    let rows: Vec<Row> = wanted.into_iter().map(|audit| Row::of(audit, &mut commits)).collect();
    match target.format {
        Format::Json => output::json(&rows),
        Format::Table if rows.is_empty() => output::line("no recoveries"),
        Format::Table => print(&rows),
    }
    Ok(Exit::Converged)
}

/// A recovery, and the commit that shows what it did; none if its branch is gone.
#[derive(Debug, Serialize)]
struct Row {
    graph_commit_id: String,
    recovery_kind: String,
    recovery_for_actor: Option<String>,
    operation_id: String,
    sidecar_writer_kind: String,
    /// What became of each table. A text if what is stored is not ours to read.
    tables: serde_json::Value,
    created_at: Timestamp,
    commit: Option<GraphCommit>,
}

impl Row {
    fn of(audit: AuditRow, commits: &mut BTreeMap<String, GraphCommit>) -> Self {
        let AuditRow {
            graph_commit_id,
            recovery_kind,
            recovery_for_actor,
            operation_id,
            sidecar_writer_kind,
            per_table_outcomes_json: stored,
            created_at,
        } = audit;
        let commit = commits.remove(&graph_commit_id);
        let tables = serde_json::from_str(&stored).unwrap_or(serde_json::Value::String(stored));
        Self {
            graph_commit_id,
            recovery_kind,
            recovery_for_actor,
            operation_id,
            sidecar_writer_kind,
            tables,
            created_at,
            commit,
        }
    }
}

fn print(rows: &[Row]) {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let cells = |row: &Row| {
        let commit = row.commit.as_ref();
        vec![
            row.created_at.to_string(),
            row.recovery_kind.clone(),
            row.operation_id.clone(),
            row.sidecar_writer_kind.clone(),
            or_dash(row.recovery_for_actor.clone()),
            or_dash(commit.map(|commit| commit.branch.to_string())),
            or_dash(commit.map(|commit| commit.id.clone())),
            tables(&row.tables),
        ]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::table(&["TIME", "KIND", "OPERATION", "WRITER", "ACTOR", "BRANCH", "COMMIT", "TABLES"], &cells);
}

/// Each table with its versions, or what is stored if it is not ours to read.
fn tables(stored: &serde_json::Value) -> String {
    let Ok(outcomes) = Vec::<TableOutcome>::deserialize(stored) else { return stored.to_string() };
    let one =
        |table: &TableOutcome| format!("{}: {} → {}", table.table_key, table.from_version, table.to_version);
    outcomes.iter().map(one).collect::<Vec<_>>().join(", ")
}
