//! Branches of the graph, and the forks of its tables that their first write makes.

use super::{COMMITS, Graph, MAIN, MANIFEST, path_of};
use lance::dataset::refs::{BranchContents, BranchIdentifier, branch_contents_path};
use lance::dataset::transaction::{Operation, Transaction};
use lance::dataset::{CommitBuilder, WriteDestination};
use lance_io::object_store::{ObjectStore, ObjectStoreParams};
use std::collections::HashMap;

/// A graph's write lock, a branch of the manifest.
pub const SCHEMA_LOCK: &str = "__schema_apply_lock__";

impl Graph {
    /// Creates a branch of the graph from the newest state of another.
    pub async fn branch_from(&self, source: &str, name: &str) {
        self.fork_dataset(MANIFEST, source, None, name).await;
        if !self.has_inline_lineage() {
            self.fork_dataset(COMMITS, source, None, name).await;
        }
    }

    /// Creates a branch of the graph from main.
    pub async fn branch(&self, name: &str) {
        self.branch_from(MAIN, name).await;
    }

    /// Forks a table for its first write on a branch, from the version that the branch shows. Returns that version.
    pub async fn fork(&self, table: &str, branch: &str) -> u64 {
        let shown = self.shown(branch).await[table].clone();
        let parent = shown.branch.as_deref().unwrap_or(MAIN);
        self.fork_dataset(&path_of(table), parent, Some(shown.version), branch).await;
        shown.version
    }

    /// What `Dataset::create_branch` does, in its two steps: the shallow clone, then the record. Lance's own looks for the
    /// branch through a session and a registry of its own, past our store.
    pub async fn fork_dataset(&self, dataset: &str, source: &str, version: Option<u64>, name: &str) {
        let from = self.try_open(dataset, source, version).await.unwrap();
        self.clone_files(dataset, source, from.manifest().version, name).await;
        self.write_record(dataset, source, from.manifest().version, name).await;
    }

    /// The first step alone: what a crash between the two leaves.
    pub async fn clone_files(&self, dataset: &str, source: &str, version: u64, name: &str) {
        let clone = Operation::Clone {
            is_shallow: true,
            ref_name: (source != MAIN).then(|| source.to_owned()),
            ref_version: version,
            ref_path: self.address(dataset, source),
            branch_name: Some(name.to_owned()),
        };
        let address = self.address(dataset, name);
        let commit = CommitBuilder::new(WriteDestination::Uri(&address)).with_session(self.session());
        commit.execute(Transaction::new(version, clone, None)).await.unwrap();
    }

    async fn write_record(&self, dataset: &str, source: &str, version: u64, name: &str) {
        let main = self.open(dataset, MAIN).await;
        let from = self.try_open(dataset, source, Some(version)).await.unwrap();
        let parent = main.branches().get_identifier((source != MAIN).then_some(source)).await.unwrap();
        let record = BranchContents {
            parent_branch: (source != MAIN).then(|| source.to_owned()),
            identifier: BranchIdentifier::new(&parent, version),
            parent_version: version,
            create_at: chrono::Utc::now().timestamp() as u64,
            manifest_size: from.manifest_location().size.unwrap_or_default() as usize,
            metadata: HashMap::new(),
        };
        let registry = self.place.session().store_registry();
        let address = self.address(dataset, MAIN);
        let params = ObjectStoreParams::default();
        let (store, root) = ObjectStore::from_uri_and_params(registry, &address, &params).await.unwrap();
        let json = serde_json::to_vec_pretty(&record).unwrap();
        store.put(&branch_contents_path(&root, name), &json).await.unwrap();
    }

    /// Deletes a branch of the graph in an engine's order: the manifest's first, then the rest.
    pub async fn delete_branch(&self, name: &str) {
        let owned: Vec<String> = self
            .shown(name)
            .await
            .into_iter()
            .filter(|(_, shown)| shown.branch.as_deref() == Some(name))
            .map(|(table, _)| path_of(&table))
            .collect();
        self.open(MANIFEST, MAIN).await.delete_branch(name).await.unwrap();
        if !self.has_inline_lineage() {
            self.open(COMMITS, MAIN).await.force_delete_branch(name).await.unwrap();
        }
        for dataset in owned {
            self.open(&dataset, MAIN).await.force_delete_branch(name).await.unwrap();
        }
    }
}
