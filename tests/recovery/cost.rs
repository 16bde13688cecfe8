//! What each verdict costs in requests: golden numbers. A change of one is a decision, not an accident; a failure lists the
//! requests.

use crate::harness::Told;
use crate::support::faults::Breaks;
use crate::support::graph::{Graph, TABLES};
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::store::Call;
use std::sync::Arc;

/// One line for a request: the verb and the shape of the key.
fn shape(call: &Call) -> String {
    let path = call.path.as_ref();
    let root =
        ["__", "_graph", "nodes/", "edges/", "_schema"].iter().filter_map(|start| path.find(start)).min();
    let mut key = path[root.unwrap_or(0)..].to_owned();
    for (name, table) in TABLES.iter().map(|table| (*table, crate::support::graph::path_of(table))) {
        key = key.replace(&table, &format!("<{name}>"));
    }
    let parts: Vec<String> = key.split('/').map(plain).collect();
    format!("{:?} {}", call.verb, parts.join("/"))
}

/// A part of a key without what differs from run to run.
fn plain(part: &str) -> String {
    let (stem, end) = part.split_once('.').unwrap_or((part, ""));
    let version = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    if version {
        return format!("v{}.{end}", u64::MAX - stem.parse::<u64>().unwrap());
    }
    let random = stem.len() >= 26 && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if random { format!("*.{end}").trim_end_matches('.').to_owned() } else { part.to_owned() }
}

/// Recovers under observation.
async fn watched(graph: &Graph) -> (Told, Vec<String>) {
    let watch = Arc::new(Breaks::watching());
    let recoverer = graph.recoverer().under(watch.clone());
    let repo = recoverer.open().await.unwrap();
    let opening = watch.seen().len();
    let told = recoverer.run_on(repo).await.unwrap();
    let calls = watch.seen()[opening..].iter().map(shape).collect();
    (told, calls)
}

/// The requests of a run up to the deletion of the sidecar; what follows is the search for what no sidecar explains.
fn until_deletion(calls: &[String]) -> &[String] {
    let deletion = calls.iter().rposition(|call| call == "Delete __recovery/*.json");
    &calls[..=deletion.unwrap_or_else(|| panic!("no sidecar was deleted:\n{}", calls.join("\n")))]
}

/// Targets of the design: 24 and 36. What is left, and why it cannot go:
///
/// | requests | why |
/// |---|---|
/// | 2 lists | control objects; branches of the manifest (orphans, the write lock) |
/// | 1 list | control objects again, after the tables were read: who has begun meanwhile |
/// | 1 head | the write lock again, for a schema change may have begun meanwhile |
/// | 1 get | the sidecar |
/// | 1 list | the manifest's newest version, after the sidecar was seen |
/// | 3 lists, 3 gets | each table's newest version, and what it did |
/// | 3 or 4 puts | rows, deletion of the old head row (graph-v4), transaction, version |
/// | 6 for each history dataset | newest version (list, get), whether the row is there (get), rows, transaction, version |
/// | 1 delete | the sidecar |
async fn three_tables_forward(graph: Graph, most: usize) {
    let graph = graph.with_compacted_history().await;
    graph.sidecar("Load").of(&TABLES).write().await;
    for table in TABLES {
        graph.table(table).append(&["new"]).await;
    }
    let (told, calls) = watched(&graph).await;
    assert_eq!(told.only().outcome, Outcome::Done);
    let calls = until_deletion(&calls);
    assert_eq!(calls.len(), most, "\n{}", calls.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_three_tables_on_s3_costs_23_requests_in_graph_v4_and_34_in_graph_v3() {
    three_tables_forward(Graph::on_s3(Dialect::GraphV4).await, 23).await;
    three_tables_forward(Graph::on_s3(Dialect::GraphV3).await, 34).await;
}

/// Each ending leaves a record that the others' second look at the control objects finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_ending_leaves_makes_nobody_read_the_other_sidecars_again() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    for table in TABLES {
        graph.sidecar("Load").of(&[table]).write().await;
    }
    let (told, calls) = watched(&graph).await;
    assert!(told.report.scopes.iter().all(|scope| scope.outcome == Outcome::Done), "{:?}", told.report);
    let reads = calls.iter().filter(|call| *call == "Get __recovery/*.json").count();
    assert_eq!(reads, TABLES.len(), "\n{}", calls.join("\n"));
}

/// Requests of a whole run on a fresh graph: on graph-v3, on graph-v4. The search for drift is in them: two for each table and
/// fork, one more for a fork's record. On disk, where Lance reads a file in more pieces. The first recovery of a graph also
/// creates the dataset of its audit.
const GOLDEN: &[(&str, usize, usize)] = &[
    ("complete", 43, 33),
    ("complete_first_write_on_a_branch", 63, 49),
    ("indexes_half_built", 45, 35),
    ("merge_confirmed", 75, 53),
    ("schema_complete", 87, 67),
    ("half_done", 73, 63),
    ("stale_undo", 63, 51),
    ("schema_half_done", 92, 72),
    ("already_undone", 55, 45),
    ("already_published", 49, 37),
    ("rolled_back_since", 53, 39),
    ("not_begun", 48, 38),
    ("orphan", 43, 32),
    ("recovery_died_before_deleting", 27, 20),
    ("unexplained", 18, 18),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verdict_costs_what_it_costs() {
    let mut found = Vec::new();
    let mut lists = String::new();
    for (name, ..) in GOLDEN {
        let wreck = crate::wrecks::ALL.iter().find(|wreck| wreck.name == *name).unwrap();
        let mut counts = Vec::new();
        for dialect in [Dialect::GraphV3, Dialect::GraphV4] {
            let graph = Graph::on_disk(dialect).await;
            let operation = wreck.make(&graph).await;
            let (told, calls) = watched(&graph).await;
            assert_eq!(told.of(&operation).verdict, wreck.verdict, "{name}");
            counts.push(calls.len());
            lists += &format!("## {name}, {}\n{}\n", dialect.as_str(), calls.join("\n"));
        }
        found.push((*name, counts[0], counts[1]));
    }
    assert!(found == GOLDEN, "{lists}\n{found:#?}");
}
