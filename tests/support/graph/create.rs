//! A fresh graph: what `init` of an engine leaves.

use super::publish::{graph_commit, graph_head, table_row, version_row};
use super::rows::{Commit, actors_schema, commit_batch, commits_schema, manifest_batch, table_batch};
use super::{ACTORS, COMMITS, Graph, MAIN, MANIFEST, PERSON, TABLES, next_micros, next_ulid, path_of};
use arrow::array::RecordBatch;
use lance::Dataset;
use lance::dataset::{InsertBuilder, WriteMode, WriteParams};
use lance_file::version::LanceFileVersion;
use outrigger::repo::dialect::STAMP_KEY;
use outrigger::store::Key;
use serde_json::json;
use sha2::Digest;

/// The first two rows of a table.
pub fn first_ids(table: &str) -> [&'static str; 2] {
    if table == PERSON { ["ann", "bob"] } else { ["one", "two"] }
}

pub async fn fresh(graph: &Graph) {
    fresh_with(graph, &TABLES).await;
}

/// The same with these tables.
pub async fn fresh_with(graph: &Graph, tables: &[&str]) {
    for table in tables {
        create_table(graph, table).await;
    }
    write_contract(graph, tables, false).await;
    let genesis = Commit {
        id: next_ulid(),
        branch: None,
        manifest_version: if graph.has_inline_lineage() { 1 } else { 3 },
        parent: None,
        merged_parent: None,
        actor: None,
        created_at: next_micros(),
    };
    let mut rows = Vec::new();
    for table in tables {
        rows.push(table_row(table));
        rows.push(version_row(graph, table, MAIN, 1).await);
    }
    if graph.has_inline_lineage() {
        rows.extend([graph_commit(&genesis), graph_head(&genesis)]);
    }
    let mut manifest = create(graph, MANIFEST, manifest_batch(&rows)).await;
    manifest.update_config([("table_version_management", "true")]).await.unwrap();
    stamp(&mut manifest, Some(&graph.stamp().to_string())).await;
    if !graph.has_inline_lineage() {
        create(graph, COMMITS, commit_batch(&genesis)).await;
        create(graph, ACTORS, RecordBatch::new_empty(actors_schema())).await;
    }
    debug_assert_eq!(commits_schema().fields().len(), 6);
}

/// Creates a table with its first two rows.
pub async fn create_table(graph: &Graph, table: &str) -> Dataset {
    create(graph, &path_of(table), table_batch(table, &first_ids(table), 30)).await
}

/// Creates a dataset with the settings of the format.
pub async fn create(graph: &Graph, dataset: &str, batch: RecordBatch) -> Dataset {
    let params = WriteParams {
        mode: WriteMode::Create,
        enable_stable_row_ids: true,
        data_storage_version: Some(LanceFileVersion::V2_2),
        auto_cleanup: None,
        skip_auto_cleanup: true,
        session: Some(graph.session()),
        ..WriteParams::default()
    };
    let address = graph.address(dataset, MAIN);
    InsertBuilder::new(address.as_str()).with_params(&params).execute(vec![batch]).await.unwrap()
}

/// Sets the format stamp of a manifest, or takes it away.
pub async fn stamp(manifest: &mut Dataset, stamp: Option<&str>) {
    manifest.update_schema_metadata([(STAMP_KEY, stamp)]).await.unwrap();
}

/// Writes the three contract files of a schema with these tables, final or staged.
pub async fn write_contract(graph: &Graph, tables: &[&str], staged: bool) {
    let suffix = if staged { ".staging" } else { "" };
    for (name, text) in contract(tables) {
        let key = Key::parse(&format!("{name}{suffix}")).unwrap();
        graph.place.put(&key, text.into()).await.unwrap();
    }
}

/// Name and text of each contract file, in the order of promotion.
pub fn contract(tables: &[&str]) -> [(&'static str, String); 3] {
    contract_of(tables, &["age", "name"])
}

/// The same, of nodes with these properties.
pub fn contract_of(tables: &[&str], node: &[&str]) -> [(&'static str, String); 3] {
    let property = |name: &str| json!({"name": name, "prop_id": 1, "annotations": []});
    let types = |kind: &str, properties: &[&str]| -> Vec<_> {
        let names = tables.iter().filter_map(|table| table.strip_prefix(kind));
        names
            .map(|name| {
                let properties: Vec<_> = properties.iter().map(|name| property(name)).collect();
                json!({"name": name, "properties": properties})
            })
            .collect()
    };
    let nodes = types("node:", node);
    let edges = types("edge:", &[]);
    let ir = json!({"ir_version": 1, "interfaces": [], "nodes": nodes, "edges": edges});
    let digest = sha2::Sha256::digest(ir.to_string().as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let state = json!({"format_version": 1, "schema_ir_hash": format!("sha256:{hash}"),
        "schema_identity_version": 1});
    [
        ("_schema.pg", format!("// {}\n", tables.join(" "))),
        ("_schema.ir.json", serde_json::to_string_pretty(&ir).unwrap()),
        ("__schema_state.json", serde_json::to_string_pretty(&state).unwrap()),
    ]
}
