//! What a reader of the graph sees, read past the code under test.

use super::rows::{Commit, lines, numbers, texts, times};
use super::{ACTORS, COMMITS, Graph, MANIFEST, RECOVERIES, path_of};
use arrow::array::RecordBatch;
use lance::Dataset;
use outrigger::store::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a branch shows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub version: u64,
    pub branch: Option<String>,
    pub row_count: u64,
}

impl Shown {
    /// The Lance branch that it lies on.
    pub fn line(&self) -> &str {
        self.branch.as_deref().unwrap_or(super::MAIN)
    }
}

/// A row of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    pub commit: String,
    pub kind: String,
    pub actor: Option<String>,
    pub operation: String,
    pub writer: String,
    pub outcomes: Value,
}

/// Rows of each table, each one line of text.
pub type Content = BTreeMap<String, Vec<String>>;

/// Every row of a dataset as one batch.
pub async fn all(dataset: &Dataset) -> RecordBatch {
    dataset.scan().try_into_batch().await.unwrap()
}

impl Graph {
    /// Pins of a branch: of each table the greatest version, unless a tombstone reaches it.
    pub async fn shown(&self, branch: &str) -> BTreeMap<String, Shown> {
        let rows = all(&self.open(MANIFEST, branch).await).await;
        let (kinds, keys) = (texts(&rows, "object_type"), texts(&rows, "table_key"));
        let (versions, branches) = (numbers(&rows, "table_version"), texts(&rows, "table_branch"));
        let counts = numbers(&rows, "row_count");
        let mut shown = BTreeMap::<String, Shown>::new();
        let mut dropped = BTreeMap::<String, u64>::new();
        for row in 0..rows.num_rows() {
            let key = keys[row].clone().unwrap();
            match kinds[row].as_deref().unwrap() {
                "table_version" => {
                    let version = versions[row].unwrap();
                    let entry =
                        Shown { version, branch: branches[row].clone(), row_count: counts[row].unwrap() };
                    let newest = shown.entry(key).or_insert_with(|| entry.clone());
                    if newest.version < version {
                        *newest = entry;
                    }
                }
                "table_tombstone" => {
                    let at = dropped.entry(key).or_default();
                    *at = versions[row].unwrap().max(*at);
                }
                _ => {}
            }
        }
        shown.retain(|key, entry| dropped.get(key).is_none_or(|at| *at < entry.version));
        shown
    }

    /// The shown version of a table on a branch.
    pub async fn pin(&self, branch: &str, table: &str) -> u64 {
        self.shown(branch).await[table].version
    }

    /// Rows of a table as a branch shows them, each one line of text.
    pub async fn rows(&self, branch: &str, table: &str) -> Vec<String> {
        let shown = &self.shown(branch).await[table];
        self.rows_at(table, shown.line(), shown.version).await
    }

    /// Rows of a table at a version of one of its lineages.
    pub async fn rows_at(&self, table: &str, branch: &str, version: u64) -> Vec<String> {
        lines(&all(&self.try_open(&path_of(table), branch, Some(version)).await.unwrap()).await)
    }

    /// Rows of every table as a branch shows them.
    pub async fn content(&self, branch: &str) -> Content {
        let mut content = Content::new();
        for (table, shown) in self.shown(branch).await {
            let rows = self.rows_at(&table, shown.line(), shown.version).await;
            content.insert(table, rows);
        }
        content
    }

    /// The newest version of each table on main.
    pub async fn heads(&self) -> Vec<u64> {
        let mut heads = Vec::new();
        for table in super::TABLES {
            heads.push(self.table(table).head().await);
        }
        heads
    }

    /// The newest version of the manifest on a branch.
    pub async fn manifest_version(&self, branch: &str) -> u64 {
        self.open(MANIFEST, branch).await.manifest().version
    }

    /// Object ids of a kind in a branch's manifest, sorted.
    pub async fn ids_of(&self, branch: &str, kind: &str) -> Vec<String> {
        let rows = all(&self.open(MANIFEST, branch).await).await;
        let (ids, kinds) = (texts(&rows, "object_id"), texts(&rows, "object_type"));
        let of_kind = ids.into_iter().zip(kinds).filter(|(_, of)| of.as_deref() == Some(kind));
        let mut found: Vec<String> = of_kind.map(|(id, _)| id.unwrap()).collect();
        found.sort();
        found
    }

    /// Operations with a marker on a branch.
    pub async fn markers(&self, branch: &str) -> Vec<String> {
        let ids = self.ids_of(branch, "outrigger_recovery").await;
        ids.into_iter().map(|id| id.strip_prefix("outrigger:recovery:").unwrap().to_owned()).collect()
    }

    /// The history of a branch, inherited commits first.
    pub async fn history(&self, branch: &str) -> Vec<Commit> {
        let mut commits = match self.has_inline_lineage() {
            true => self.inline_history(branch).await,
            false => self.dataset_history(branch).await,
        };
        commits.sort_by_key(|commit| (commit.manifest_version, commit.created_at, commit.id.clone()));
        commits
    }

    /// The newest commit of a branch.
    pub async fn history_head(&self, branch: &str) -> Option<Commit> {
        self.history(branch).await.pop()
    }

    async fn inline_history(&self, branch: &str) -> Vec<Commit> {
        let rows = all(&self.open(MANIFEST, branch).await).await;
        let (ids, kinds) = (texts(&rows, "object_id"), texts(&rows, "object_type"));
        let (versions, branches) = (numbers(&rows, "table_version"), texts(&rows, "table_branch"));
        let metadata = texts(&rows, "metadata");
        let commit = |row: usize| {
            let json: Value = serde_json::from_str(metadata[row].as_deref().unwrap()).unwrap();
            let text = |name: &str| json[name].as_str().map(str::to_owned);
            Commit {
                id: ids[row].clone().unwrap(),
                branch: branches[row].clone(),
                manifest_version: versions[row].unwrap(),
                parent: text("parent_commit_id"),
                merged_parent: text("merged_parent_commit_id"),
                actor: text("actor_id"),
                created_at: json["created_at"].as_i64().unwrap(),
            }
        };
        (0..rows.num_rows())
            .filter(|row| kinds[*row].as_deref() == Some("graph_commit"))
            .map(commit)
            .collect()
    }

    async fn dataset_history(&self, branch: &str) -> Vec<Commit> {
        let actors = all(&self.open(ACTORS, super::MAIN).await).await;
        let actors: Vec<_> =
            texts(&actors, "graph_commit_id").into_iter().zip(texts(&actors, "actor_id")).collect();
        let rows = all(&self.open(COMMITS, branch).await).await;
        let (ids, branches) = (texts(&rows, "graph_commit_id"), texts(&rows, "manifest_branch"));
        let (parents, merged) = (texts(&rows, "parent_commit_id"), texts(&rows, "merged_parent_commit_id"));
        let (versions, created) = (numbers(&rows, "manifest_version"), times(&rows, "created_at"));
        let commit = |row: usize| {
            let mut own = actors.iter().filter(|(id, _)| *id == ids[row]);
            let actor = own.next().and_then(|(_, actor)| actor.clone());
            assert!(own.next().is_none(), "two actors of one commit: {actors:?}");
            Commit {
                id: ids[row].clone().unwrap(),
                branch: branches[row].clone(),
                manifest_version: versions[row].unwrap(),
                parent: parents[row].clone(),
                merged_parent: merged[row].clone(),
                actor,
                created_at: created[row],
            }
        };
        (0..rows.num_rows()).map(commit).collect()
    }

    /// The audit, oldest first.
    pub async fn audit(&self) -> Vec<AuditLine> {
        let Ok(dataset) = self.try_open(RECOVERIES, super::MAIN, None).await else { return Vec::new() };
        let rows = all(&dataset).await;
        let column = |name: &str| texts(&rows, name);
        let (commits, kinds, actors) =
            (column("graph_commit_id"), column("recovery_kind"), column("recovery_for_actor"));
        let (operations, writers) = (column("operation_id"), column("sidecar_writer_kind"));
        let outcomes = column("per_table_outcomes_json");
        let line = |row: usize| AuditLine {
            commit: commits[row].clone().unwrap(),
            kind: kinds[row].clone().unwrap(),
            actor: actors[row].clone(),
            operation: operations[row].clone().unwrap(),
            writer: writers[row].clone().unwrap(),
            outcomes: serde_json::from_str(outcomes[row].as_deref().unwrap()).unwrap(),
        };
        (0..rows.num_rows()).map(line).collect()
    }

    /// Names under `__recovery/`.
    pub async fn controls(&self) -> Vec<String> {
        let listed = self.place.list(&Key::parse("__recovery").unwrap()).await.unwrap();
        listed.into_iter().map(|meta| meta.key.file_name().to_owned()).collect()
    }

    /// Branches that have a record, of a dataset.
    pub async fn branches_of(&self, dataset: &str) -> Vec<String> {
        let branches = self.open(dataset, super::MAIN).await.list_branches().await.unwrap();
        let mut names: Vec<String> = branches.into_keys().collect();
        names.sort();
        names
    }

    /// Branches that have versions, whether they have a record or not, by the path of their files.
    pub async fn trees(&self) -> BTreeSet<String> {
        let mut trees = BTreeSet::new();
        for dataset in self.place.list_dir(None).await.unwrap().prefixes {
            let files = self.place.list(&dataset).await.unwrap();
            let versions = files.iter().filter_map(|file| file.key.as_str().split_once("/_versions/"));
            trees.extend(versions.map(|(tree, _)| tree.to_owned()).filter(|path| path.contains("/tree/")));
        }
        trees
    }

    /// Every object with its bytes; on a remote store with its tag.
    pub async fn picture(&self) -> BTreeMap<String, Vec<u8>> {
        let mut picture = BTreeMap::new();
        let root = self.place.list_dir(None).await.unwrap();
        let mut objects = root.objects;
        for prefix in root.prefixes {
            objects.extend(self.place.list(&prefix).await.unwrap());
        }
        for meta in objects {
            let bytes = match self.place.is_on_disk() {
                true => self.place.get(&meta.key).await.unwrap().unwrap().bytes.to_vec(),
                false => format!("{:?} {}", meta.etag, meta.size).into_bytes(),
            };
            picture.insert(meta.key.to_string(), bytes);
        }
        picture
    }
}
