//! What each verdict costs in requests, from the first listing to the last deletion: golden numbers. A change of one is a
//! decision, not an accident. Run with `--nocapture` for the list of requests.

use crate::harness::Told;
use crate::support::faults::Breaks;
use crate::support::graph::line::compact;
use crate::support::graph::{ACTORS, COMMITS, Graph, MAIN, MANIFEST, PERSON, RECOVERIES, TABLES};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::store::{Call, Requests, Verb};
use std::sync::Arc;

/// A graph with a little history, whose system tables are compacted.
async fn settled(graph: Graph) -> Graph {
    for id in ["c1", "c2", "c3"] {
        graph.table(PERSON).append(&[id]).await;
        graph.publish_heads(&[PERSON]).await;
    }
    graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["c4"]).await;
    graph.recovers_by(Verdict::RollForward).await;
    let history: &[&str] = match graph.has_inline_lineage() {
        true => &[MANIFEST, RECOVERIES],
        false => &[MANIFEST, RECOVERIES, COMMITS, ACTORS],
    };
    for dataset in history {
        compact(&mut graph.open(dataset, MAIN).await).await;
    }
    graph
}

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

#[expect(clippy::disallowed_macros, reason = "the list is for people who cut requests")]
fn print(title: &str, told: &Told, calls: &[String]) {
    println!(
        "## {title}\n\nopening {:?}\nrun {:?}, {} in all\n",
        told.opening,
        told.requests,
        told.requests.total()
    );
    for (n, call) in calls.iter().enumerate() {
        println!("{:3}. {call}", n + 1);
    }
    println!();
}

async fn three_tables_forward(graph: Graph) -> Requests {
    let graph = settled(graph).await;
    graph.sidecar("Load").of(&TABLES).write().await;
    for table in TABLES {
        graph.table(table).append(&["new"]).await;
    }
    let (told, calls) = watched(&graph).await;
    assert_eq!(told.only().outcome, Outcome::Done);
    let title = format!(
        "roll forward of 3 tables, {}, {}",
        graph.dialect.as_str(),
        graph.place.uri().scheme().name()
    );
    print(&title, &told, &calls);
    assert!(calls.iter().all(|call| !call.starts_with(&format!("{:?}", Verb::Copy))));
    told.requests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x_three_tables_forward() {
    for dialect in [Dialect::GraphV3, Dialect::GraphV4] {
        three_tables_forward(Graph::on_disk(dialect).await).await;
        three_tables_forward(Graph::on_s3(dialect).await).await;
    }
}
