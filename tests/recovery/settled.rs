//! Operations that leave no table to move: published already, never begun, undone already, of a branch that is gone.

use crate::support::graph::{COMPANY, Graph, MAIN, PERSON, TABLES};
use crate::wrecks::{self, FEATURE};
use crate::{claims, on_both_dialects, on_s3};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::{Exit, Outcome};
use serde_json::json;

on_both_dialects!(
    a_commit_that_its_writer_published_is_recorded_and_forgotten,
    a_commit_that_was_rolled_back_since_is_recorded_as_that,
    an_operation_that_never_began_leaves_a_record_and_a_closed_fence,
    forks_that_were_never_written_are_left_to_their_pass,
    a_table_that_was_never_forked_does_not_stop_anybody,
    an_undoing_that_was_not_published_is_published_without_a_window,
    a_branch_that_is_gone_takes_its_operations_with_it,
    a_younger_branch_of_the_same_name_is_not_touched,
    what_a_dead_recovery_published_is_finished_with_its_ids,
    a_sidecar_without_tables_is_forgotten,
);
on_s3!(
    a_commit_that_its_writer_published_is_recorded_and_forgotten,
    an_undoing_that_was_not_published_is_published_without_a_window,
    a_branch_that_is_gone_takes_its_operations_with_it,
    a_younger_branch_of_the_same_name_is_not_touched,
);

async fn a_commit_that_its_writer_published_is_recorded_and_forgotten(graph: Graph) {
    let operation = wrecks::already_published(&graph).await;
    let (shown, content) = (graph.shown(MAIN).await, graph.content(MAIN).await);
    graph.recovers_by(Verdict::AlreadyPublished).await;
    assert_eq!((graph.shown(MAIN).await, graph.content(MAIN).await), (shown, content));
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!((line.kind.as_str(), &line.operation), ("RolledForward", &operation));
    let shown = |table: &str| json!({"table_key": table, "from_version": 1, "to_version": 2});
    assert_eq!(line.outcomes, json!(TABLES.map(shown)));
    assert_eq!(graph.controls().await, [""; 0]);
}

async fn a_commit_that_was_rolled_back_since_is_recorded_as_that(graph: Graph) {
    let operation = wrecks::rolled_back_since(&graph).await;
    let (shown, content) = (graph.shown(MAIN).await, graph.content(MAIN).await);
    graph.recovers_by(Verdict::RolledBackSince).await;
    assert_eq!((graph.shown(MAIN).await, graph.content(MAIN).await), (shown, content));
    assert_eq!(graph.audit().await[0].kind, "RolledBack");
    assert_eq!(graph.controls().await, [format!("{operation}.fence"), format!("{operation}.fence.closed")]);
}

async fn an_operation_that_never_began_leaves_a_record_and_a_closed_fence(graph: Graph) {
    let operation = wrecks::not_begun(&graph).await;
    let shown = graph.shown(MAIN).await;
    graph.recovers_by(Verdict::NothingToDo).await;
    assert_eq!(graph.shown(MAIN).await, shown);
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!((line.kind.as_str(), &line.outcomes), ("RolledBack", &json!([])));
    assert_eq!(graph.history_head(MAIN).await.unwrap().id, line.commit);
    assert_eq!(graph.controls().await, [format!("{operation}.fence"), format!("{operation}.fence.closed")]);
}

async fn forks_that_were_never_written_are_left_to_their_pass(graph: Graph) {
    graph.branch(FEATURE).await;
    graph.fork(PERSON, FEATURE).await;
    graph.sidecar("Load").on(FEATURE).of(&[PERSON]).write().await;
    graph.recovers_by(Verdict::NothingToDo).await;
    assert_eq!(graph.shown(FEATURE).await[PERSON].branch, None);
    assert_eq!(graph.table_on(PERSON, FEATURE).head().await, 1, "the fork itself is still there");
}

/// H8: until this sidecar is gone no engine writes at all.
async fn a_table_that_was_never_forked_does_not_stop_anybody(graph: Graph) {
    let operation = wrecks::not_forked(&graph).await;
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::NothingToDo, Outcome::Done));
    graph.is_settled().await;
}

async fn an_undoing_that_was_not_published_is_published_without_a_window(graph: Graph) {
    let before = graph.content(MAIN).await;
    let operation = wrecks::already_undone(&graph).await;
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::AlreadyUndone, Outcome::Done));
    assert_eq!(graph.content(MAIN).await, before);
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.pin(MAIN, COMPANY).await), (3, 1));
    let versions = graph.ids_of(MAIN, "table_version").await;
    assert!(versions.contains(&format!("{PERSON}${:020}", 2)), "{versions:?}");
    assert_eq!(graph.audit().await[0].kind, "RolledBack");
    graph.is_settled().await;
}

async fn a_branch_that_is_gone_takes_its_operations_with_it(graph: Graph) {
    let operation = wrecks::orphan(&graph).await;
    let (shown, parent) = (graph.shown(MAIN).await, graph.history_head(MAIN).await.unwrap());
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::DiscardOrphan, Outcome::Done));
    assert_eq!(graph.shown(MAIN).await, shown);
    assert_eq!(graph.markers(MAIN).await, [operation.as_str()]);
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!((line.kind.as_str(), &line.outcomes), ("OrphanedBranchDiscarded", &json!([])));
    let commit = graph.history_head(MAIN).await.unwrap();
    assert_eq!((commit.branch, commit.parent), (None, Some(parent.id)));
    graph.is_settled().await;
}

async fn a_younger_branch_of_the_same_name_is_not_touched(graph: Graph) {
    wrecks::younger_branch(&graph).await;
    let (version, shown) = (graph.manifest_version(FEATURE).await, graph.shown(FEATURE).await);
    graph.recovers_by(Verdict::DiscardOrphan).await;
    assert_eq!((graph.manifest_version(FEATURE).await, graph.shown(FEATURE).await), (version, shown));
}

async fn what_a_dead_recovery_published_is_finished_with_its_ids(graph: Graph) {
    let operation = wrecks::recovery_died_before_deleting(&graph).await;
    let (history, audit) = (graph.history(MAIN).await, graph.audit().await);
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::Finish, Outcome::Done));
    assert_eq!(told.exit(), Exit::Converged);
    assert_eq!((graph.history(MAIN).await, graph.audit().await), (history, audit), "nothing twice");
    graph.is_settled().await;
}

async fn a_sidecar_without_tables_is_forgotten(graph: Graph) {
    graph.sidecar("Load").write().await;
    graph.recovers_by(Verdict::NothingToDo).await;
    assert_eq!(graph.controls().await, [""; 0], "there is no table on which its writer could wake up");
}
