//! Work that leaves every row as it is: index builds and compaction. It is shown whenever it is found, and never needs a
//! window.

use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, PERSON};
use crate::wrecks;
use crate::{claims, on_both_dialects};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;

on_both_dialects!(
    half_built_indexes_are_shown_on_the_tables_that_have_them,
    a_compacted_table_is_shown_compacted,
    maintenance_begun_at_an_older_pin_is_shown_all_the_same,
    maintenance_beside_rows_that_nothing_explains_is_held,
    maintenance_without_a_sidecar_is_shown_too,
    drifted_rows_without_a_sidecar_are_a_persons_choice,
    an_undoing_without_a_sidecar_is_published,
    an_undoing_to_other_rows_without_a_sidecar_is_undone_in_a_window,
);

async fn half_built_indexes_are_shown_on_the_tables_that_have_them(graph: Graph) {
    let operation = wrecks::indexes_half_built(&graph).await;
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done));
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.pin(MAIN, COMPANY).await), (2, 1));
    graph.is_settled().await;
}

async fn a_compacted_table_is_shown_compacted(graph: Graph) {
    let operation = wrecks::compacted(&graph).await;
    let (before, head) = (graph.content(MAIN).await, graph.table(PERSON).head().await);
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done));
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.content(MAIN).await), (head, before));
    assert_eq!(graph.table(PERSON).open().await.count_fragments(), 1);
    graph.is_settled().await;
}

async fn maintenance_begun_at_an_older_pin_is_shown_all_the_same(graph: Graph) {
    graph.sidecar("EnsureIndices").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["foreign"]).await;
    graph.publish_heads(&[PERSON]).await;
    graph.table(PERSON).index().await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.rows(MAIN, PERSON).await.len()), (3, 3));
}

async fn maintenance_beside_rows_that_nothing_explains_is_held(graph: Graph) {
    let operation = graph.sidecar("EnsureIndices").of(&[PERSON, KNOWS]).write().await;
    graph.table(PERSON).index().await;
    graph.table(KNOWS).append(&["foreign"]).await;
    let before = graph.picture().await;
    assert_eq!(graph.recover().await.ended(&operation), (Verdict::Hold, Outcome::Held));
    assert!(graph.picture().await == before);
}

async fn maintenance_without_a_sidecar_is_shown_too(graph: Graph) {
    let (before, history) = (graph.content(MAIN).await, graph.history(MAIN).await);
    graph.table(PERSON).index().await;
    graph.table(COMPANY).delete("nobody").await;
    let told = graph.recover_beside_writers().await;
    for table in [PERSON, COMPANY] {
        assert_eq!(told.ended(table), (Verdict::RollForward, Outcome::Done));
        assert_eq!(graph.pin(MAIN, table).await, 2);
    }
    assert_eq!(graph.content(MAIN).await, before);
    // Each table is a commit of its own, and follows the one before.
    let (known, newest) = (history.len(), graph.manifest_version(MAIN).await);
    let now = graph.history(MAIN).await;
    assert_eq!((&now[..known], now.len()), (&history[..], known + 2));
    for (commit, version) in [(known, newest - 1), (known + 1, newest)] {
        let (parent, commit) = (&now[commit - 1], &now[commit]);
        assert_eq!(commit.actor.as_deref(), Some("outrigger:drift"));
        assert_eq!((commit.parent.as_ref(), commit.merged_parent.as_ref()), (Some(&parent.id), None));
        assert_eq!((commit.branch.as_deref(), commit.manifest_version), (None, version));
    }
    graph.is_settled().await;
}

async fn drifted_rows_without_a_sidecar_are_a_persons_choice(graph: Graph) {
    graph.table(PERSON).append(&["foreign"]).await;
    let before = graph.picture().await;
    let told = graph.recover().await;
    assert_eq!(told.ended(PERSON), (Verdict::Hold, Outcome::Held));
    assert!(told.of(PERSON).reason.contains("outrigger repair drift"), "{:?}", told.of(PERSON));
    assert!(graph.picture().await == before);
}

/// What an engine before 0.6.2 leaves whenever it rolls back: the table restored, nothing published.
async fn an_undoing_without_a_sidecar_is_published(graph: Graph) {
    let before = graph.content(MAIN).await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(PERSON).restore(1).await;
    let told = graph.recover_beside_writers().await;
    assert_eq!(told.ended(PERSON), (Verdict::AlreadyUndone, Outcome::Done));
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.content(MAIN).await), (3, before));
    let versions = graph.ids_of(MAIN, "table_version").await;
    assert!(versions.contains(&format!("{PERSON}${:020}", 2)), "{versions:?}");
    graph.is_settled().await;
}

/// An old engine restored what it believed is shown, and somebody has published since.
async fn an_undoing_to_other_rows_without_a_sidecar_is_undone_in_a_window(graph: Graph) {
    let operation = wrecks::stale_undo(&graph).await;
    graph.remove_sidecar(&operation).await;
    let before = graph.content(MAIN).await;
    assert_eq!(graph.recover_beside_writers().await.ended(PERSON), (Verdict::RollBack, Outcome::Waits));
    assert_eq!(graph.table(PERSON).head().await, 4);
    assert_eq!(graph.recover().await.ended(PERSON), (Verdict::RollBack, Outcome::Done));
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.content(MAIN).await), (5, before));
    graph.is_settled().await;
}
