//! What is not complete is undone in a window: fence record first, rows exactly as the graph shows them, and no way back
//! for a writer that wakes up late.

use crate::support::faults::Meanwhile;
use crate::support::graph::look::Shown;
use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, PERSON, TABLES};
use crate::wrecks::{self, FEATURE};
use crate::{claims, on_both_dialects, on_s3};
use futures::FutureExt;
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::decide::Window;
use outrigger::passes::report::{ActionKind, ActionOutcome, Outcome};
use outrigger::store::{Call, Key, Verb};
use serde_json::{Value, json};
use std::sync::Arc;

on_both_dialects!(
    a_half_done_commit_waits_for_a_window_and_is_then_undone,
    a_window_that_closes_before_the_first_act_costs_one_more_look,
    a_window_that_closes_between_two_restores_leaves_the_rest_to_the_next,
    what_moves_at_every_look_is_left_to_the_next_run,
    a_writer_that_publishes_before_the_first_restore_is_not_hidden,
    an_undoing_is_published_on_exactly_the_manifest_that_was_judged,
    the_fence_record_tells_what_was_undone_and_is_closed,
    a_table_that_had_not_moved_is_restored_too,
    every_version_that_was_undone_is_filled,
    a_commit_on_a_branch_is_undone_on_the_branch,
    a_commit_staged_before_the_restore_is_refused_after_it,
    an_overwrite_that_lands_late_is_undone_by_the_fence_record,
    a_publish_prepared_before_the_undoing_collides,
    what_another_writer_published_meanwhile_stays,
    an_undoing_to_a_version_no_longer_shown_is_corrected,
    a_schedule_may_undo_what_the_store_can_guard,
);
on_s3!(
    a_half_done_commit_waits_for_a_window_and_is_then_undone,
    every_version_that_was_undone_is_filled,
    a_publish_prepared_before_the_undoing_collides,
);

async fn a_half_done_commit_waits_for_a_window_and_is_then_undone(graph: Graph) {
    let before = graph.content(MAIN).await;
    let operation = wrecks::half_done(&graph).await;

    let wreck = graph.picture().await;
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Waits));
    assert!(told.of(&operation).reason.contains("once --exclusive"), "{:?}", told.of(&operation));
    assert!(graph.picture().await == wreck, "without a window nothing is written");

    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, before, "row by row");

    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!((line.kind.as_str(), &line.operation), ("RolledBack", &operation));
    let undone = |table: &str| json!({"table_key": table, "from_version": 2, "to_version": 1});
    assert_eq!(
        line.outcomes,
        json!([undone(PERSON), undone(KNOWS)]),
        "a table that had not moved is not listed"
    );
    assert_eq!(graph.history_head(MAIN).await.unwrap().id, line.commit);
}

async fn a_window_that_closes_before_the_first_act_costs_one_more_look(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    let wreck = graph.picture().await;
    let look = graph.recover_beside_writers().await.requests.total();
    let told = graph.recoverer().permitted(0).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Waits));
    assert!(told.requests.total() <= 2 * look, "{} against {look}", told.requests.total());
    assert!(graph.picture().await == wreck);
}

async fn a_window_that_closes_between_two_restores_leaves_the_rest_to_the_next(graph: Graph) {
    let before = (graph.content(MAIN).await, graph.manifest_version(MAIN).await);
    let operation = wrecks::half_done(&graph).await;
    // One permit to begin with, one for a restore.
    let one_restore = || graph.recoverer().permitted(2).run();
    for heads in [[3, 1, 2], [3, 2, 2]] {
        let told = one_restore().await.unwrap();
        assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Waits));
        assert!(told.of(&operation).reason.contains("window open"), "{:?}", told.of(&operation));
        assert_eq!(graph.heads().await, heads);
        assert_eq!((graph.content(MAIN).await, graph.manifest_version(MAIN).await), before);
        assert_eq!(graph.controls().await, [format!("{operation}.fence"), format!("{operation}.json")]);
    }
    // The publish needs none.
    assert_eq!(one_restore().await.unwrap().ended(&operation), (Verdict::RollBack, Outcome::Done));
    assert_eq!((graph.heads().await, graph.content(MAIN).await), (vec![3, 2, 3], before.0));
    graph.is_settled().await;
}

/// Just before the first restore, when all but the manifest was looked at again.
fn before_the_first_restore(call: &Call) -> bool {
    let path = call.path.as_ref();
    call.verb == Verb::Head && path.contains("__recovery/") && path.ends_with(".json")
}

async fn what_moves_at_every_look_is_left_to_the_next_run(graph: Graph) {
    let (operation, graph) = (wrecks::half_done(&graph).await, Arc::new(graph));
    let before = (graph.heads().await, graph.content(MAIN).await);
    let busy = graph.clone();
    let publishes = move || {
        let busy = busy.clone();
        async move {
            let _ = busy.publish(MAIN, &[(COMPANY, 1)]).await;
        }
        .boxed()
    };
    let moves = Arc::new(Meanwhile::whenever(before_the_first_restore, publishes));
    let told = graph.recoverer().under(moves.clone()).run().await.unwrap();
    assert_eq!((told.of(&operation).outcome, moves.times()), (Outcome::Waits, 4));
    let reason = &told.of(&operation).reason;
    assert!(reason.contains("was published to; the next run looks again"), "{reason}");
    assert_eq!((graph.heads().await, graph.content(MAIN).await), before);
    graph.recovers_by(Verdict::RollBack).await;
}

/// It was only slow. Even if it dies before it takes its sidecar away, nothing of it was restored.
async fn a_writer_that_publishes_before_the_first_restore_is_not_hidden(graph: Graph) {
    let (operation, graph) = (wrecks::half_done(&graph).await, Arc::new(graph));
    let (writer, last) = (graph.clone(), graph.table(COMPANY).stage_append(&["late"]).await);
    let event = async move { drop(wrecks::wakes_up(&writer, last, &TABLES).await.unwrap()) };
    let publishes = Arc::new(Meanwhile::at(before_the_first_restore, event));
    let told = graph.recoverer().under(publishes).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::AlreadyPublished, Outcome::Done));
    assert_eq!(graph.heads().await, [2, 2, 2], "nothing was restored");
    assert_eq!(graph.shown(MAIN).await.values().map(|shown| shown.version).collect::<Vec<_>>(), [2, 2, 2]);
}

async fn an_undoing_is_published_on_exactly_the_manifest_that_was_judged(graph: Graph) {
    let (operation, graph) = (wrecks::overtaken(&graph).await, Arc::new(graph));
    let (writer, last) = (graph.clone(), graph.table(COMPANY).stage_append(&["late"]).await);
    let publishes =
        |call: &Call| call.verb == Verb::Create && call.path.as_ref().contains("__manifest/_versions/");
    let event = async move { drop(wrecks::wakes_up(&writer, last, &[COMPANY]).await.unwrap()) };
    let publishes = Arc::new(Meanwhile::at(publishes, event));
    let told = graph.recoverer().under(publishes).run().await.unwrap();
    let ended = [ActionOutcome::Conflict, ActionOutcome::Committed];
    assert_eq!(told.acts(ActionKind::Publish), ended, "it was looked at anew");
    assert_eq!(told.ended(&operation), (Verdict::AlreadyUndone, Outcome::Done));
    assert_eq!(graph.pin(MAIN, COMPANY).await, 2);
    graph.is_settled().await;
}

async fn the_fence_record_tells_what_was_undone_and_is_closed(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    let sidecar = graph.place.get(&Graph::sidecar_key(&operation)).await.unwrap().unwrap().bytes;
    graph.recovers_by(Verdict::RollBack).await;

    assert_eq!(graph.controls().await, [format!("{operation}.fence"), format!("{operation}.fence.closed")]);
    let record = Key::parse(&format!("__recovery/{operation}.fence")).unwrap();
    let record = graph.place.get(&record).await.unwrap().unwrap().bytes;
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["operation"], operation.as_str());
    assert_eq!(record["sidecar"].as_str().unwrap().as_bytes(), sidecar);
    let seen =
        |table: &str, head: u64| json!({"table": table, "branch": null, "seen_head": head, "restore_to": 1});
    assert_eq!(record["tables"], json!([seen(PERSON, 2), seen(COMPANY, 1), seen(KNOWS, 2)]));
}

async fn a_table_that_had_not_moved_is_restored_too(graph: Graph) {
    wrecks::half_done(&graph).await;
    graph.recovers_by(Verdict::RollBack).await;
    let shown = |version| Shown { version, branch: None, row_count: 2 };
    let expected = [(KNOWS, shown(3)), (COMPANY, shown(2)), (PERSON, shown(3))];
    assert_eq!(graph.shown(MAIN).await, expected.map(|(table, shown)| (table.to_owned(), shown)).into());
    for table in TABLES {
        assert_eq!(graph.table(table).head().await, graph.pin(MAIN, table).await, "{table}");
    }
}

async fn every_version_that_was_undone_is_filled(graph: Graph) {
    let operation = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(PERSON).index().await;
    graph.table(PERSON).index().await;
    graph.recovers_by(Verdict::RollBack).await;

    let versions = graph.ids_of(MAIN, "table_version").await;
    let of_person: Vec<_> = versions.iter().filter_map(|id| id.strip_prefix("node:Person$")).collect();
    assert_eq!(of_person, (1..=5).map(|version| format!("{version:020}")).collect::<Vec<_>>());
    assert_eq!(graph.pin(MAIN, PERSON).await, 5);
    assert_eq!(graph.markers(MAIN).await, [operation]);
}

async fn a_commit_on_a_branch_is_undone_on_the_branch(graph: Graph) {
    let main = (graph.content(MAIN).await, graph.history(MAIN).await);
    let operation = wrecks::half_done_on_a_branch(&graph).await;
    let before = graph.content(FEATURE).await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(FEATURE).await, before);
    assert_eq!((graph.content(MAIN).await, graph.history(MAIN).await), main);
    let shown = graph.shown(FEATURE).await;
    assert_eq!((shown[PERSON].version, shown[PERSON].branch.as_deref()), (4, Some(FEATURE)));
    assert_eq!(graph.markers(FEATURE).await, [operation]);
}

async fn a_commit_staged_before_the_restore_is_refused_after_it(graph: Graph) {
    wrecks::half_done(&graph).await;
    // The writer is about to commit the third table, which has not moved; it may do so in any of these ways.
    let company = graph.table(COMPANY);
    let late = [
        company.stage_append(&["late"]).await,
        company.stage_upsert(&["one", "late"]).await,
        company.stage_delete("one").await,
        company.stage_index().await,
    ];
    let moved = [graph.table(PERSON).stage_append(&["late"]).await, graph.table(PERSON).stage_index().await];
    graph.recovers_by(Verdict::RollBack).await;
    let content = graph.content(MAIN).await;
    for staged in late.into_iter().chain(moved) {
        staged.commit().await.unwrap_err();
    }
    assert_eq!(graph.content(MAIN).await, content);
    graph.is_settled().await;
}

/// The one commit that Lance lets through: the closed record says whose it is.
async fn an_overwrite_that_lands_late_is_undone_by_the_fence_record(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    let late = graph.table(COMPANY).stage_overwrite(&["late"]).await;
    graph.recovers_by(Verdict::RollBack).await;
    let content = graph.content(MAIN).await;
    assert_eq!(late.commit().await.unwrap(), 3, "behind the restore");

    let told = graph.recover().await;
    let scope = told.only();
    assert_eq!((scope.verdict, scope.outcome), (Verdict::RollBack, Outcome::Done), "{scope:?}");
    assert!(scope.reason.contains(&operation), "{scope:?}");
    assert_eq!(graph.content(MAIN).await, content);
    assert_eq!(graph.rows_at(COMPANY, MAIN, graph.table(COMPANY).head().await).await, content[COMPANY]);
    graph.is_settled().await;
}

/// Even one that was prepared when only the pins were known: its rows, or rows that it must change, are ours now.
async fn a_publish_prepared_before_the_undoing_collides(graph: Graph) {
    wrecks::half_done(&graph).await;
    let late = graph.stage_publish(MAIN, &[(PERSON, 2), (KNOWS, 2)]).await;
    graph.recovers_by(Verdict::RollBack).await;
    let shown = graph.shown(MAIN).await;
    late.commit().await.unwrap_err();
    assert_eq!(graph.shown(MAIN).await, shown);
    graph.is_settled().await;
}

/// E ≠ P: the row that was acknowledged in between is part of what is restored.
async fn what_another_writer_published_meanwhile_stays(graph: Graph) {
    wrecks::overtaken(&graph).await;
    let before = graph.content(MAIN).await;
    assert!(before[PERSON].iter().any(|row| row.starts_with("foreign")));
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, before);
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.table(PERSON).head().await), (4, 4));
}

async fn an_undoing_to_a_version_no_longer_shown_is_corrected(graph: Graph) {
    wrecks::stale_undo(&graph).await;
    let before = graph.content(MAIN).await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, before, "to what is shown now, not to what the undoing believed");
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.table(PERSON).head().await), (5, 5));
}

async fn a_schedule_may_undo_what_the_store_can_guard(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    let told = graph.recoverer().in_window(Window::Schedule).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Done));
}
