//! Merges: a confirmed one is completed with the tables that its sidecar does not name; any other is undone.

use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, PERSON};
use crate::wrecks::{self, FEATURE};
use crate::{claims, on_both_dialects, on_s3};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;

on_both_dialects!(
    a_confirmed_merge_is_completed_with_the_tables_it_takes_over,
    a_merge_takes_over_a_fork_that_it_made,
    a_merge_whose_pins_alone_were_shown_is_completed,
    a_merge_that_was_recorded_with_its_pins_alone_is_completed,
    a_merge_of_an_old_release_is_undone_under_its_record,
    a_merge_of_an_old_release_whose_pins_alone_were_shown_is_completed,
    a_merge_that_was_not_confirmed_is_undone,
    a_merge_whose_target_moved_is_undone,
    a_merge_whose_source_is_unknown_is_undone,
);
on_s3!(a_confirmed_merge_is_completed_with_the_tables_it_takes_over);

async fn a_confirmed_merge_is_completed_with_the_tables_it_takes_over(graph: Graph) {
    let operation = wrecks::merge_confirmed(&graph).await;
    let source = graph.history_head(MAIN).await.unwrap().id;
    let target = graph.history_head(FEATURE).await.unwrap().id;
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done));

    let shown = graph.shown(FEATURE).await;
    assert_eq!((shown[PERSON].version, shown[PERSON].branch.as_deref()), (3, Some(FEATURE)));
    assert_eq!((shown[COMPANY].version, shown[COMPANY].branch.as_deref()), (2, None));
    assert_eq!(graph.rows(FEATURE, COMPANY).await, graph.rows(MAIN, COMPANY).await);
    let commit = graph.history_head(FEATURE).await.unwrap();
    assert_eq!((commit.parent, commit.merged_parent), (Some(target), Some(source)), "recorded as a merge");
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!((line.writer.as_str(), line.outcomes.as_array().unwrap().len()), ("BranchMerge", 2));
    graph.is_settled().await;
}

/// Both on branches: the source's version lies on a fork of its own, and the target has forked from there.
async fn a_merge_takes_over_a_fork_that_it_made(graph: Graph) {
    graph.branch("source").await;
    graph.branch(FEATURE).await;
    for (branch, table) in [("source", COMPANY), ("source", PERSON), (FEATURE, PERSON)] {
        graph.fork(table, branch).await;
        let version = graph.table_on(table, branch).append(&[branch]).await;
        graph.publish(branch, &[(table, version)]).await;
    }
    let source = graph.history_head("source").await.unwrap().id;
    graph.fork_dataset(&crate::support::graph::path_of(COMPANY), "source", Some(2), FEATURE).await;
    graph.sidecar("BranchMerge").on(FEATURE).confirmed(PERSON, 2, 3).merging(&source).write().await;
    graph.table_on(PERSON, FEATURE).upsert(&["source"]).await;

    graph.recovers_by(Verdict::RollForward).await;
    let shown = graph.shown(FEATURE).await;
    assert_eq!((shown[COMPANY].version, shown[COMPANY].branch.as_deref()), (2, Some(FEATURE)));
    assert_eq!(graph.rows(FEATURE, COMPANY).await, graph.rows("source", COMPANY).await);
    assert_eq!(graph.history_head(FEATURE).await.unwrap().merged_parent, Some(source));
}

/// What an engine's own recovery leaves (H9), if it dies before it deletes the sidecar.
async fn a_merge_whose_pins_alone_were_shown_is_completed(graph: Graph) {
    wrecks::merge_confirmed(&graph).await;
    graph.publish(FEATURE, &[(PERSON, 3)]).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(graph.pin(FEATURE, COMPANY).await, 2);
}

/// The same, died after it had recorded the merge. The record hides what is missing from every later merge.
async fn a_merge_that_was_recorded_with_its_pins_alone_is_completed(graph: Graph) {
    wrecks::merge_confirmed(&graph).await;
    let source = graph.history_head(MAIN).await.unwrap().id;
    graph.publish_merge(FEATURE, &[(PERSON, 3)], &source).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(graph.pin(FEATURE, COMPANY).await, 2);
}

async fn a_merge_of_an_old_release_is_undone_under_its_record(graph: Graph) {
    let operation = wrecks::merge_unconfirmed(&graph).await;
    let before = graph.content(FEATURE).await;
    assert_eq!(graph.recover_beside_writers().await.ended(&operation), (Verdict::RollBack, Outcome::Waits));
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(FEATURE).await, before);
    assert_eq!(graph.history_head(FEATURE).await.unwrap().merged_parent, None, "not recorded as a merge");
    assert_eq!(graph.controls().await, [format!("{operation}.fence"), format!("{operation}.fence.closed")]);
}

/// It confirms nothing, so what is shown of it does not prove that all of it is.
async fn a_merge_of_an_old_release_whose_pins_alone_were_shown_is_completed(graph: Graph) {
    wrecks::merge_unconfirmed(&graph).await;
    let source = graph.history_head(MAIN).await.unwrap().id;
    graph.publish(FEATURE, &[(PERSON, 3)]).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(graph.pin(FEATURE, COMPANY).await, 2);
    assert_eq!(graph.history_head(FEATURE).await.unwrap().merged_parent, Some(source));
}

async fn a_merge_that_was_not_confirmed_is_undone(graph: Graph) {
    let source = wrecks::merge(&graph).await;
    graph.sidecar("BranchMerge").on(FEATURE).pin(PERSON, 2, 3).merging(&source).write().await;
    graph.table_on(PERSON, FEATURE).upsert(&["eve"]).await;
    graph.table_on(PERSON, FEATURE).delete("ann").await;
    let before = graph.content(FEATURE).await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(FEATURE).await, before);
}

async fn a_merge_whose_target_moved_is_undone(graph: Graph) {
    wrecks::merge_confirmed(&graph).await;
    wrecks::written_on_branch(&graph, COMPANY, "own").await;
    let before = graph.content(FEATURE).await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(FEATURE).await, before);
}

async fn a_merge_whose_source_is_unknown_is_undone(graph: Graph) {
    wrecks::merge(&graph).await;
    let nowhere = crate::support::graph::next_ulid();
    graph.sidecar("BranchMerge").on(FEATURE).confirmed(PERSON, 2, 3).merging(&nowhere).write().await;
    graph.table_on(PERSON, FEATURE).upsert(&["eve"]).await;
    let before = graph.content(FEATURE).await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(FEATURE).await, before);
    assert_eq!(graph.shown(FEATURE).await[KNOWS].branch, None);
}
