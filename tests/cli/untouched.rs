//! What is left as it is: by the commands that only read, and of a graph that is never written.

use crate::program::on;
use crate::support::graph::create::stamp;
use crate::support::graph::{Graph, MAIN, MANIFEST, next_ulid};
use crate::wrecks;
use outrigger::repo::Dialect;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_read_only_change_nothing() {
    for dialect in [Dialect::GraphV3, Dialect::GraphV4] {
        let graph = Graph::on_disk(dialect).await;
        wrecks::complete(&graph).await;
        assert_eq!(on(&graph, &["once", "--grace", "0s"]).exit, 0, "so that there is an audit");
        let operation = wrecks::half_done(&graph).await;
        graph.put_sidecar(&next_ulid(), "{").await;
        assert_eq!(on(&graph, &["window", "open", "--for", "10m"]).exit, 0);
        let commit = graph.history_head(MAIN).await.unwrap().id;
        let before = graph.picture().await;
        for words in [
            &["plan", "--grace", "0s"][..],
            &["plan", "--grace", "0s", "--exclusive"],
            &["status"],
            &["sidecars", "list"],
            &["sidecars", "show", operation.as_str()],
            &["audit", "list"],
            &["commits", "list"],
            &["commits", "show", commit.as_str()],
            &["window", "show"],
        ] {
            for format in ["table", "json"] {
                let ran = on(&graph, &[words, &["--format", format]].concat());
                assert!([0, 11].contains(&ran.exit), "{words:?}: {ran:?}");
                assert!(ran.out.lines().count() > 1, "{words:?} shows nothing: {ran:?}");
                assert!(graph.picture().await == before, "{words:?} as {format} wrote something");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_that_is_never_written_gets_no_window_and_keeps_those_it_has() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let open = ["window", "open", "--for", "10m"];
    assert_eq!(on(&graph, &open).exit, 0);
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("2")).await;
    let before = graph.picture().await;
    for words in [&open[..], &["window", "close"]] {
        let refused = on(&graph, words);
        assert_eq!(refused.exit, 78, "{words:?}: {refused:?}");
        assert!(refused.err.contains("format stamp 2"), "{words:?}: {}", refused.err);
    }
    assert_eq!(on(&graph, &["window", "show"]).exit, 0);
    assert!(graph.picture().await == before, "a graph of stamp 2 was written");
}
