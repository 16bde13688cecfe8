//! Complete commits are published, beside live writers and without a window.

use crate::support::graph::{COMPANY, Graph, MAIN, PERSON, TABLES};
use crate::{claims, on_both_dialects, on_s3};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use serde_json::json;

on_both_dialects!(
    a_complete_commit_of_one_table_is_published_and_recorded_once,
    a_commit_of_three_tables_is_shown_whole,
);
on_s3!(a_commit_of_three_tables_is_shown_whole);

async fn a_complete_commit_of_one_table_is_published_and_recorded_once(graph: Graph) {
    let before = graph.history(MAIN).await;
    let operation = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["eve"]).await;

    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done));

    assert_eq!(graph.pin(MAIN, PERSON).await, 2);
    assert_eq!(
        graph.rows(MAIN, PERSON).await,
        ["ann|name of ann|30", "bob|name of bob|30", "eve|name of eve|40"]
    );
    assert_eq!(graph.markers(MAIN).await, [operation.as_str()]);
    assert_eq!(graph.controls().await, [""; 0]);

    let history = graph.history(MAIN).await;
    let [.., parent, commit] = &history[..] else { panic!("{history:?}") };
    assert_eq!((history.len(), parent), (before.len() + 1, before.last().unwrap()));
    assert_eq!(commit.parent.as_ref(), Some(&parent.id));
    assert_eq!((commit.branch.as_deref(), commit.merged_parent.as_deref()), (None, None));
    assert_eq!(commit.manifest_version, graph.manifest_version(MAIN).await);
    assert_eq!(commit.actor.as_deref(), Some("omnigraph:recovery"));

    let audit = graph.audit().await;
    let [line] = &audit[..] else { panic!("{audit:?}") };
    assert_eq!((&line.commit, &line.operation), (&commit.id, &operation));
    assert_eq!((line.kind.as_str(), line.writer.as_str()), ("RolledForward", "Load"));
    assert_eq!(line.actor.as_deref(), Some("act-alice"));
    assert_eq!(line.outcomes, json!([{"table_key": PERSON, "from_version": 1, "to_version": 2}]));
    graph.is_settled().await;
}

async fn a_commit_of_three_tables_is_shown_whole(graph: Graph) {
    graph.sidecar("Load").of(&TABLES).write().await;
    for table in TABLES {
        graph.table(table).append(&["new"]).await;
    }
    let scope = graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(scope.tables.len(), 3);
    for table in TABLES {
        assert_eq!((graph.pin(MAIN, table).await, graph.rows(MAIN, table).await.len()), (2, 3), "{table}");
    }
    assert_eq!(graph.rows(MAIN, COMPANY).await[0], "new|name of new|40");
}
