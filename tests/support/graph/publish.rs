//! A writer's publish: the merge of rows into `__manifest`, then (graph-v3) the commit row.

use super::line::Staged;
use super::rows::{Commit, actor_batch, commit_batch, manifest_batch};
use super::{ACTORS, COMMITS, Graph, MAIN, MANIFEST, next_micros, next_ulid, path_of};
use arrow::array::RecordBatch;
use lance::dataset::{
    InsertBuilder, MergeInsertBuilder, WhenMatched, WhenNotMatched, WriteMode, WriteParams,
};
use outrigger::model::manifest::{ManifestRow, VersionMetadata};
use serde_json::json;
use std::sync::Arc;

fn named(branch: &str) -> Option<String> {
    (branch != MAIN).then(|| branch.to_owned())
}

impl Graph {
    /// Publishes versions of tables on a branch of the graph, as the writer of them does. Returns the manifest's version.
    pub async fn publish(&self, branch: &str, tables: &[(&str, u64)]) -> u64 {
        let rows = version_rows(self, branch, tables).await;
        self.publish_rows(branch, rows, None).await
    }

    /// The same, recorded as a merge of the commit `source`.
    pub async fn publish_merge(&self, branch: &str, tables: &[(&str, u64)], source: &str) -> u64 {
        let rows = version_rows(self, branch, tables).await;
        self.publish_rows(branch, rows, Some(source)).await
    }

    /// Publishes the newest version of tables on the main line.
    pub async fn publish_heads(&self, tables: &[&str]) -> u64 {
        let mut versions = Vec::new();
        for table in tables {
            versions.push((*table, self.table(table).head().await));
        }
        self.publish(MAIN, &versions).await
    }

    /// Publishes any rows with a commit in the history, whose id is `merged`'s first if it is a merge.
    pub async fn publish_rows(&self, branch: &str, mut rows: Vec<ManifestRow>, merged: Option<&str>) -> u64 {
        let mut commit = self.next_commit(branch).await;
        commit.merged_parent = merged.map(str::to_owned);
        if self.has_inline_lineage() {
            rows.extend([graph_commit(&commit), graph_head(&commit)]);
        }
        let version = self.stage_rows(branch, rows).await.commit().await.unwrap();
        if !self.has_inline_lineage() {
            self.append_row(COMMITS, branch, commit_batch(&commit)).await;
            let actor = commit.actor.as_deref().unwrap_or_default();
            self.append_row(ACTORS, MAIN, actor_batch(&commit, actor)).await;
        }
        version
    }

    /// A publish that its writer has prepared and will make late.
    pub async fn stage_publish(&self, branch: &str, tables: &[(&str, u64)]) -> Staged {
        let mut rows = version_rows(self, branch, tables).await;
        if self.has_inline_lineage() {
            let commit = self.next_commit(branch).await;
            rows.extend([graph_commit(&commit), graph_head(&commit)]);
        }
        self.stage_rows(branch, rows).await
    }

    /// Rows to merge into the manifest by their ids, exactly as the format prescribes.
    pub async fn stage_rows(&self, branch: &str, rows: Vec<ManifestRow>) -> Staged {
        let base = Arc::new(self.open(MANIFEST, branch).await);
        let mut job = MergeInsertBuilder::try_new(base.clone(), vec!["object_id".to_owned()]).unwrap();
        job.when_matched(WhenMatched::UpdateAll).when_not_matched(WhenNotMatched::InsertAll);
        job.conflict_retries(0).use_index(false).skip_auto_cleanup(true);
        let staged =
            job.try_build().unwrap().execute_uncommitted_batches(vec![manifest_batch(&rows)]).await.unwrap();
        Staged::of_parts(base, staged.transaction, staged.affected_rows)
    }

    async fn next_commit(&self, branch: &str) -> Commit {
        Commit {
            id: next_ulid(),
            branch: named(branch),
            manifest_version: self.open(MANIFEST, branch).await.manifest().version + 1,
            parent: self.history_head(branch).await.map(|head| head.id),
            merged_parent: None,
            actor: Some("act-alice".into()),
            created_at: next_micros(),
        }
    }

    /// Appends one row to a dataset of the history.
    pub async fn append_row(&self, dataset: &str, branch: &str, row: RecordBatch) {
        let base = Arc::new(self.open(dataset, branch).await);
        let params = WriteParams { mode: WriteMode::Append, skip_auto_cleanup: true, ..Default::default() };
        InsertBuilder::new(base).with_params(&params).execute(vec![row]).await.unwrap();
    }
}

async fn version_rows(graph: &Graph, branch: &str, tables: &[(&str, u64)]) -> Vec<ManifestRow> {
    let mut rows = Vec::new();
    for (table, version) in tables {
        rows.push(version_row(graph, table, branch, *version).await);
    }
    rows
}

/// `table`: the key and where it lies.
pub fn table_row(table: &str) -> ManifestRow {
    ManifestRow {
        object_id: table.into(),
        object_type: "table".into(),
        location: Some(path_of(table)),
        table_key: table.into(),
        ..ManifestRow::default()
    }
}

/// `table_version`: a version on a branch, with what its dataset says of it.
pub async fn version_row(graph: &Graph, table: &str, branch: &str, version: u64) -> ManifestRow {
    let dataset = graph.try_open(&path_of(table), branch, Some(version)).await.unwrap();
    let location = dataset.manifest_location();
    let metadata = VersionMetadata {
        manifest_path: location.path.to_string(),
        manifest_size: location.size,
        e_tag: location.e_tag.clone(),
        naming_scheme: Some("V2".into()),
    };
    ManifestRow {
        object_id: format!("{table}${version:020}"),
        object_type: "table_version".into(),
        metadata: Some(metadata.to_json()),
        table_key: table.into(),
        table_version: Some(version),
        table_branch: named(branch),
        row_count: Some(dataset.count_rows(None).await.unwrap() as u64),
        ..ManifestRow::default()
    }
}

/// `table_tombstone`: the table is dropped at a version.
pub fn tombstone_row(table: &str, version: u64) -> ManifestRow {
    ManifestRow {
        object_id: format!("{table}$tombstone${version:020}"),
        object_type: "table_tombstone".into(),
        table_key: table.into(),
        table_version: Some(version),
        ..ManifestRow::default()
    }
}

/// `graph_commit` (graph-v4).
pub fn graph_commit(commit: &Commit) -> ManifestRow {
    let mut metadata = serde_json::Map::new();
    let named = [
        ("parent_commit_id", &commit.parent),
        ("merged_parent_commit_id", &commit.merged_parent),
        ("actor_id", &commit.actor),
    ];
    for (name, value) in named {
        metadata.extend(value.as_ref().map(|value| (name.to_owned(), json!(value))));
    }
    metadata.insert("created_at".into(), json!(commit.created_at));
    ManifestRow {
        object_id: commit.id.clone(),
        object_type: "graph_commit".into(),
        metadata: Some(serde_json::Value::Object(metadata).to_string()),
        table_version: Some(commit.manifest_version),
        table_branch: commit.branch.clone(),
        ..ManifestRow::default()
    }
}

/// `graph_head` (graph-v4).
pub fn graph_head(commit: &Commit) -> ManifestRow {
    let metadata = match &commit.parent {
        Some(parent) => json!({"head_commit_id": commit.id, "parent_commit_id": parent}),
        None => json!({"head_commit_id": commit.id}),
    };
    ManifestRow {
        object_id: format!("graph_head:{}", commit.branch.as_deref().unwrap_or(MAIN)),
        object_type: "graph_head".into(),
        metadata: Some(metadata.to_string()),
        ..ManifestRow::default()
    }
}
