//! Many stranded commits, each of one table, where each request takes its time. Observations run side by side; publishes on
//! one branch queue.

use crate::report::{Report, Row};
use crate::support::faults::Latency;
use crate::support::graph::create::fresh_with;
use crate::support::graph::{Graph, TABLES};
use crate::support::repos;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use std::sync::Arc;
use std::time::{Duration, Instant};

const COMMITS: usize = 200;
const LATENCY: Duration = Duration::from_millis(20);

pub async fn measure(report: &mut Report) {
    let stranded = stranded().await;
    for at_once in [1, 4, 16] {
        let graph = stranded.copy().await;
        let recoverer = graph.recoverer().without_window().at_once(at_once).under(Arc::new(Latency(LATENCY)));
        let repo = recoverer.open().await.expect("a graph");
        let began = Instant::now();
        let told = recoverer.run_on(repo).await.expect("a recovery");
        let took = began.elapsed();
        let done = told.report.scopes.iter().filter(|scope| scope.outcome == Outcome::Done).count();
        assert_eq!(done, COMMITS, "{:#?}", told.report);
        let what = format!("{COMMITS} stranded commits at {LATENCY:?} per request, {at_once} at once");
        report.tell(Row::new(&what, took.as_secs_f64(), "s"));
        let each = told.requests.total() as f64 / COMMITS as f64;
        report.tell(Row::new(what + ", each", each, "requests"));
    }
}

async fn stranded() -> Graph {
    let tables: Vec<String> = (0..COMMITS).map(|n| format!("node:Table{n}")).collect();
    let tables: Vec<&str> = TABLES.into_iter().chain(tables.iter().map(String::as_str)).collect();
    let graph = Graph { place: repos::over_memory(Arc::default()).await, dialect: Dialect::GraphV4 };
    fresh_with(&graph, &tables).await;
    for table in &tables[TABLES.len()..] {
        graph.sidecar("Load").of(&[table]).write().await;
        graph.table(table).append(&["new"]).await;
    }
    graph
}
