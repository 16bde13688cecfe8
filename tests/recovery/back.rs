//! What is not complete is undone in a window, and nothing that was acknowledged goes with it.

use crate::support::graph::{COMPANY, Graph, MAIN, PERSON};
use crate::{claims, on_both_dialects, on_s3};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use serde_json::json;

on_both_dialects!(a_half_done_commit_waits_for_a_window_and_is_then_undone);
on_s3!(a_half_done_commit_waits_for_a_window_and_is_then_undone);

async fn a_half_done_commit_waits_for_a_window_and_is_then_undone(graph: Graph) {
    let before = graph.content(MAIN).await;
    let operation = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.table(PERSON).append(&["eve"]).await;

    let wreck = graph.picture().await;
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Waits));
    assert!(graph.picture().await == wreck, "without a window nothing is written");

    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, before, "row by row");
    assert_eq!(graph.controls().await, [format!("{operation}.fence"), format!("{operation}.fence.closed")]);

    let [line] = &graph.audit().await[..] else { panic!() };
    assert_eq!((line.kind.as_str(), &line.operation), ("RolledBack", &operation));
    assert_eq!(line.outcomes, json!([{"table_key": PERSON, "from_version": 2, "to_version": 1}]));
}
