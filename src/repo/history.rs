//! The graph's own records of a recovery: the commit row and its actor (graph-v3), and the audit row.
//!
//! The ids come from the marker row, so every recoverer that finishes the same recovery writes the same rows, each exactly
//! once (`ledger`).

use super::Repository;
use super::dataset::{Handle, open};
use super::ledger::{Ledger, Place};
use super::rows::{COMMIT_COLUMNS, Cell, commit_rows, micros, one_row, text_column};
use super::trouble::explain;
use crate::error::{Error, Result};
use crate::model::audit::RecoveryKind;
use crate::model::manifest::GraphCommit;
use crate::model::sidecar::WriterKind;
use crate::model::table_path::branch_path;
use crate::model::{Branch, OperationId, Timestamp, Version};
use crate::store::Key;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use futures::TryStreamExt;
use lance::Dataset;
use lance_table::format::Fragment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Dataset of commits (graph-v3), branched like the manifest.
pub const COMMITS: &str = "_graph_commits.lance";
pub(super) const ACTORS: &str = "_graph_commit_actors.lance";
pub(super) const RECOVERIES: &str = "_graph_commit_recoveries.lance";

/// Who is recorded as the author of a recovery's commit; readers know the name.
pub const RECOVERY_ACTOR: &str = "omnigraph:recovery";

/// An audit row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// The recovery's commit.
    pub graph_commit_id: String,
    /// What was done.
    pub recovery_kind: String,
    /// The writer's actor.
    pub recovery_for_actor: Option<String>,
    /// The writer's operation.
    pub operation_id: String,
    /// The writer's kind.
    pub sidecar_writer_kind: String,
    /// JSON array of outcomes by table.
    pub per_table_outcomes_json: String,
    /// When.
    pub created_at: Timestamp,
}

/// What the audit is to say.
#[derive(Debug, Clone)]
pub struct Audit<'a> {
    /// The recovery's commit, from the marker.
    pub graph_commit_id: &'a str,
    /// What was done.
    pub kind: RecoveryKind,
    /// The writer's actor; null stays null.
    pub actor: Option<&'a str>,
    /// The writer's operation.
    pub operation: &'a OperationId,
    /// The writer's kind.
    pub writer: WriterKind,
    /// JSON array of outcomes, from the marker.
    pub outcomes: String,
    /// From the marker.
    pub created_at: i64,
}

/// A commit row to be recorded (graph-v3).
#[derive(Debug, Clone)]
pub struct CommitRecord<'a> {
    /// From the marker.
    pub id: &'a str,
    /// The graph branch.
    pub branch: &'a Branch,
    /// The manifest version that the publish made.
    pub manifest_version: Version,
    /// Who is recorded as its author.
    pub actor: &'a str,
    /// Merges: the head of the merged branch.
    pub merged_parent: Option<&'a str>,
    /// From the marker.
    pub created_at: i64,
}

impl Repository {
    /// Every commit of a branch (graph-v3): inherited ones and its own. `None` if the dataset or its branch is not there.
    pub async fn commit_rows(&self, branch: &Branch) -> Result<Option<Vec<GraphCommit>>> {
        let Some(dataset) = self.history_dataset(COMMITS, branch).await? else { return Ok(None) };
        Ok(Some(commits_in(&dataset).await?))
    }

    /// Whether the branch's part of the history exists (graph-v3: a branch without it cannot be opened by an engine).
    pub async fn has_commit_branch(&self, branch: &Branch) -> Result<bool> {
        Ok(branch.is_main() || self.history_dataset(COMMITS, branch).await?.is_some())
    }

    /// Records a commit and its actor, each exactly once.
    pub async fn record_commit(&self, commit: &CommitRecord<'_>, operation: &str) -> Result<()> {
        self.append_once(Record::Commit(commit), operation).await?;
        self.append_once(Record::Actor(commit), operation).await
    }

    /// Records the audit row, exactly once for an operation.
    pub async fn record_audit(&self, audit: &Audit<'_>) -> Result<()> {
        self.append_once(Record::Audit(audit), audit.operation.as_str()).await
    }

    /// Every audit row, oldest first.
    pub async fn audit_rows(&self) -> Result<Vec<AuditRow>> {
        let Some(dataset) = self.history_dataset(RECOVERIES, &Branch::main()).await? else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        for batch in batches(&dataset, None).await? {
            rows.extend(audit_rows_in(&batch)?);
        }
        rows.sort_by_key(|row: &AuditRow| row.created_at);
        Ok(rows)
    }

    /// The actor of each commit (graph-v3), by commit id.
    pub async fn actors(&self) -> Result<Vec<(String, String)>> {
        let Some(dataset) = self.history_dataset(ACTORS, &Branch::main()).await? else {
            return Ok(Vec::new());
        };
        let ids = column(&dataset, "graph_commit_id").await?;
        let actors = column(&dataset, "actor_id").await?;
        Ok(ids.into_iter().zip(actors).filter_map(|(id, actor)| id.zip(actor)).collect())
    }

    pub(super) async fn history_dataset(&self, name: &str, branch: &Branch) -> Result<Option<Handle>> {
        let key = Key::parse(&branch_path(name, branch)).map_err(|bad| Error::internal(bad.to_string()))?;
        open(&self.store, &self.fresh_session(), &key, None).await
    }
}

/// A row to be appended exactly once.
#[derive(Clone, Copy)]
pub(super) enum Record<'a> {
    Commit(&'a CommitRecord<'a>),
    Actor(&'a CommitRecord<'a>),
    Audit(&'a Audit<'a>),
}

impl Record<'_> {
    /// Its dataset and branch. Actors and audit rows always lie on the main line.
    pub(super) fn place(self) -> Place {
        match self {
            Self::Commit(commit) => (COMMITS, commit.branch.clone()),
            Self::Actor(_) => (ACTORS, Branch::main()),
            Self::Audit(_) => (RECOVERIES, Branch::main()),
        }
    }

    /// The row, unless it is there.
    pub(super) fn row_if_missing(self, ledger: &Ledger) -> Result<Option<RecordBatch>> {
        let schema = Arc::new(Schema::from(ledger.schema()));
        let row = |id: &str, cells: &[(&str, Cell)]| {
            (!ledger.holds(id)).then(|| one_row(schema, cells)).transpose()
        };
        match self {
            Self::Commit(commit) => {
                let parent = ledger.head().map(str::to_owned);
                row(commit.id, &commit.cells(parent))
            }
            Self::Actor(commit) => row(commit.id, &commit.actor_cells()),
            Self::Audit(audit) => row(audit.operation.as_str(), &audit.cells()),
        }
    }
}

fn text(value: Option<&str>) -> Cell {
    Cell::Text(value.map(str::to_owned))
}

impl CommitRecord<'_> {
    fn cells(&self, parent: Option<String>) -> [(&'static str, Cell); 6] {
        [
            ("graph_commit_id", text(Some(self.id))),
            ("manifest_branch", text(self.branch.name())),
            ("manifest_version", Cell::Number(self.manifest_version.0)),
            ("parent_commit_id", Cell::Text(parent)),
            ("merged_parent_commit_id", text(self.merged_parent)),
            ("created_at", Cell::Micros(self.created_at)),
        ]
    }

    fn actor_cells(&self) -> [(&'static str, Cell); 3] {
        [
            ("graph_commit_id", text(Some(self.id))),
            ("actor_id", text(Some(self.actor))),
            ("created_at", Cell::Micros(self.created_at)),
        ]
    }
}

impl Audit<'_> {
    fn cells(&self) -> [(&'static str, Cell); 7] {
        [
            ("graph_commit_id", text(Some(self.graph_commit_id))),
            ("recovery_kind", text(Some(self.kind.as_str()))),
            ("recovery_for_actor", text(self.actor)),
            ("operation_id", text(Some(self.operation.as_str()))),
            ("sidecar_writer_kind", text(Some(self.writer.as_str()))),
            ("per_table_outcomes_json", text(Some(&self.outcomes))),
            ("created_at", Cell::Micros(self.created_at)),
        ]
    }
}

fn audit_rows_in(batch: &RecordBatch) -> Result<Vec<AuditRow>> {
    let names = [
        "graph_commit_id",
        "recovery_kind",
        "operation_id",
        "sidecar_writer_kind",
        "per_table_outcomes_json",
    ];
    let mut columns = Vec::new();
    for name in names {
        columns.push(text_column(batch, name)?);
    }
    let actors = text_column(batch, "recovery_for_actor")?;
    let created = micros(batch, "created_at")?;
    let mut take = |column: usize, row: usize| columns[column][row].take().unwrap_or_default();
    let one = |row: usize| AuditRow {
        graph_commit_id: take(0, row),
        recovery_kind: take(1, row),
        operation_id: take(2, row),
        sidecar_writer_kind: take(3, row),
        per_table_outcomes_json: take(4, row),
        recovery_for_actor: actors[row].clone(),
        created_at: Timestamp::from_micros(created.value(row))
            .unwrap_or(Timestamp(chrono::DateTime::UNIX_EPOCH)),
    };
    Ok((0..batch.num_rows()).map(one).collect())
}

async fn batches(dataset: &Dataset, columns: Option<&[&str]>) -> Result<Vec<RecordBatch>> {
    batches_of(dataset, columns, None).await
}

pub(super) async fn batches_of(
    dataset: &Dataset,
    columns: Option<&[&str]>,
    fragments: Option<Vec<Fragment>>,
) -> Result<Vec<RecordBatch>> {
    let failed = |error| explain(error, format_args!("cannot read {}", dataset.uri()));
    let mut scan = dataset.scan();
    if let Some(columns) = columns {
        scan.project(columns).map_err(failed)?;
    }
    if let Some(fragments) = fragments {
        scan.with_fragments(fragments);
    }
    scan.try_into_stream().await.map_err(failed)?.try_collect().await.map_err(failed)
}

async fn commits_in(dataset: &Dataset) -> Result<Vec<GraphCommit>> {
    let mut commits = Vec::new();
    for batch in batches(dataset, Some(&COMMIT_COLUMNS)).await? {
        commits.extend(commit_rows(&batch)?);
    }
    Ok(commits)
}

async fn column(dataset: &Dataset, name: &str) -> Result<Vec<Option<String>>> {
    let mut values = Vec::new();
    for batch in batches(dataset, Some(&[name])).await? {
        values.extend(text_column(&batch, name)?);
    }
    Ok(values)
}
