//! Complete commits are published, beside live writers and without a window; exactly once, and with their history.

use crate::harness::Told;
use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, PERSON, TABLES, path_of};
use crate::wrecks::{self, FEATURE};
use crate::{claims, on_both_dialects, on_s3};
use lance::index::DatasetIndexExt;
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use serde_json::json;

on_both_dialects!(
    a_commit_of_one_table_is_published_and_recorded_once,
    a_commit_of_three_tables_is_shown_whole,
    a_commit_whose_indexes_are_half_built_is_kept_with_the_indexes,
    a_commit_on_a_branch_is_shown_there_and_nowhere_else,
    a_first_write_on_a_branch_is_shown_on_its_fork,
    inline_deletes_are_shown_to_the_last_one,
    a_delete_that_matched_nothing_counts_as_a_commit,
    a_sidecar_of_format_1_is_read_as_one_of_format_2,
    a_null_actor_stays_null,
    a_commit_that_names_its_operation_may_have_several_parts,
    the_writer_that_wakes_up_cannot_publish_once_more,
);
on_s3!(
    a_commit_of_three_tables_is_shown_whole,
    a_first_write_on_a_branch_is_shown_on_its_fork,
    the_writer_that_wakes_up_cannot_publish_once_more,
);

/// The pass has rolled one operation forward without a window.
fn is_forward(told: &Told, operation: &str) {
    assert_eq!(told.ended(operation), (Verdict::RollForward, Outcome::Done), "{:#?}", told.report);
}

async fn a_commit_of_one_table_is_published_and_recorded_once(graph: Graph) {
    let before = graph.history(MAIN).await;
    let operation = wrecks::complete(&graph).await;
    is_forward(&graph.recover_beside_writers().await, &operation);

    assert_eq!(graph.pin(MAIN, PERSON).await, 2);
    let rows = ["ann|name of ann|30", "bob|name of bob|30", "eve|name of eve|40"];
    assert_eq!(graph.rows(MAIN, PERSON).await, rows);
    assert_eq!(graph.shown(MAIN).await[PERSON].row_count, 3);
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
    wrecks::complete_on_three_tables(&graph).await;
    let scope = graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(scope.tables.len(), 3);
    for table in TABLES {
        assert_eq!((graph.pin(MAIN, table).await, graph.rows(MAIN, table).await.len()), (2, 3), "{table}");
    }
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!(line.outcomes.as_array().unwrap().len(), 3);
}

async fn a_commit_whose_indexes_are_half_built_is_kept_with_the_indexes(graph: Graph) {
    let operation = wrecks::complete_with_index_builds(&graph).await;
    is_forward(&graph.recover_beside_writers().await, &operation);
    let pins = [(PERSON, 3), (COMPANY, 3), (KNOWS, 2)];
    for (table, pin) in pins {
        assert_eq!(graph.pin(MAIN, table).await, pin, "{table}");
    }
    assert_eq!(graph.rows(MAIN, PERSON).await.len(), 3);
    assert_eq!(graph.rows(MAIN, COMPANY).await, ["three|name of three|40"]);
    let shown = graph.try_open(&path_of(PERSON), MAIN, Some(3)).await.unwrap();
    assert_eq!(shown.load_indices().await.unwrap().len(), 1);
    graph.is_settled().await;
}

async fn a_commit_on_a_branch_is_shown_there_and_nowhere_else(graph: Graph) {
    let main = (graph.content(MAIN).await, graph.history(MAIN).await);
    let operation = wrecks::complete_on_a_branch(&graph).await;
    let parent = graph.history_head(FEATURE).await.unwrap();
    is_forward(&graph.recover_beside_writers().await, &operation);

    let shown = graph.shown(FEATURE).await[PERSON].clone();
    assert_eq!((shown.version, shown.branch.as_deref(), shown.row_count), (3, Some(FEATURE), 4));
    assert_eq!((graph.content(MAIN).await, graph.history(MAIN).await), main, "main is as it was");
    assert_eq!(graph.markers(FEATURE).await, [operation.as_str()]);
    assert_eq!(graph.markers(MAIN).await, [""; 0]);

    let commit = graph.history_head(FEATURE).await.unwrap();
    assert_eq!((commit.branch.as_deref(), commit.parent), (Some(FEATURE), Some(parent.id)));
    assert_eq!(commit.manifest_version, graph.manifest_version(FEATURE).await);
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!(line.commit, commit.id);
    graph.is_settled().await;
}

async fn a_first_write_on_a_branch_is_shown_on_its_fork(graph: Graph) {
    wrecks::complete_first_write_on_a_branch(&graph).await;
    graph.recovers_by(Verdict::RollForward).await;
    for table in [PERSON, COMPANY] {
        let shown = graph.shown(FEATURE).await[table].clone();
        assert_eq!((shown.version, shown.branch.as_deref(), shown.row_count), (2, Some(FEATURE), 3));
        assert_eq!(graph.rows(FEATURE, table).await.len(), 3);
    }
    assert_eq!(graph.shown(FEATURE).await[KNOWS].branch, None, "a table that was not written stays main's");
    assert_eq!(graph.pin(MAIN, PERSON).await, 1);
}

async fn inline_deletes_are_shown_to_the_last_one(graph: Graph) {
    wrecks::deleted_inline(&graph).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.rows(MAIN, PERSON).await.len()), (4, 1));
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!(line.outcomes, json!([{"table_key": PERSON, "from_version": 2, "to_version": 4}]));
}

async fn a_delete_that_matched_nothing_counts_as_a_commit(graph: Graph) {
    let before = graph.content(MAIN).await;
    wrecks::deleted_nothing(&graph).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.content(MAIN).await), (2, before));
}

async fn a_sidecar_of_format_1_is_read_as_one_of_format_2(graph: Graph) {
    graph.sidecar("Load").format(1).of(&[PERSON]).write().await;
    graph.table(PERSON).upsert(&["bob", "eve"]).await;
    graph.recovers_by(Verdict::RollForward).await;
    let rows = ["ann|name of ann|30", "bob|name of bob|50", "eve|name of eve|50"];
    assert_eq!(graph.rows(MAIN, PERSON).await, rows);
}

async fn a_null_actor_stays_null(graph: Graph) {
    graph.sidecar("Mutation").anonymous().of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(graph.audit().await[0].actor, None);
}

async fn a_commit_that_names_its_operation_may_have_several_parts(graph: Graph) {
    let operation = graph.sidecar("Load").of(&[PERSON]).write().await;
    for id in ["eve", "fay"] {
        graph.table(PERSON).stage_append(&[id]).await.of(&operation).commit().await.unwrap();
    }
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.rows(MAIN, PERSON).await.len()), (3, 4));
}

/// The engine would try again, see another version than it expects, and give up.
async fn the_writer_that_wakes_up_cannot_publish_once_more(graph: Graph) {
    wrecks::complete_on_three_tables(&graph).await;
    let late = graph.stage_publish(MAIN, &TABLES.map(|table| (table, 2))).await;
    graph.recovers_by(Verdict::RollForward).await;
    let shown = graph.shown(MAIN).await;
    late.commit().await.unwrap_err();
    assert_eq!(graph.shown(MAIN).await, shown);
}
