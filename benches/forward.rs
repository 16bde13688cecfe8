//! One commit of three tables, from the listing to the deletion of its sidecar.

use crate::report::{Report, Row};
use crate::support::faults::Breaks;
use crate::support::graph::{Graph, TABLES};
use outrigger::repo::Dialect;
use outrigger::store::Verb;
use std::sync::Arc;

pub async fn measure(report: &mut Report) {
    for (dialect, most) in [(Dialect::GraphV4, 24.0), (Dialect::GraphV3, 36.0)] {
        let graph = Graph::on_s3(dialect).await.with_compacted_history().await;
        graph.sidecar("Load").of(&TABLES).write().await;
        for table in TABLES {
            graph.table(table).append(&["new"]).await;
        }
        let watch = Arc::new(Breaks::watching());
        let recoverer = graph.recoverer().without_window().under(watch.clone());
        let repo = recoverer.open().await.expect("a graph");
        let opening = watch.seen().len();
        recoverer.run_on(repo).await.expect("a recovery");
        let calls = &watch.seen()[opening..];
        let deletion = calls
            .iter()
            .rposition(|call| call.verb == Verb::Delete && call.path.as_ref().contains("/__recovery/"));
        let requests = deletion.expect("the sidecar is deleted") + 1;
        let what = format!("roll forward of 3 tables on S3, {}", dialect.as_str());
        report.tell(Row::requests(what, requests).at_most(most));
    }
}
