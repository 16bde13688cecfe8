//! One small test for each fact about Lance that a rule of ours leans on. When one fails after an upgrade, the rule that it
//! names has lost its ground.
#![allow(clippy::disallowed_methods, reason = "tests stand in for other programs")]

#[path = "support/mod.rs"]
mod support;

use lance::dataset::cleanup::{CleanupPolicyBuilder, cleanup_old_versions};
use lance::dataset::transaction::{Operation, Transaction};
use lance::dataset::{CommitBuilder, Dataset};
use outrigger::repo::Dialect;
use outrigger::store::Key;
use std::sync::Arc;
use support::graph::{COMPANY, Graph, KNOWS, MAIN, PERSON, path_of};

const FEATURE: &str = "feature";

/// Each fact holds on a disk and on a real S3 server, for tables of either dialect.
macro_rules! facts {
    ($($fact:ident),* $(,)?) => {
        facts!(on_disk GraphV3 $($fact)*);
        facts!(on_s3 GraphV4 $($fact)*);
    };
    ($place:ident $dialect:ident $($fact:ident)*) => {
        mod $place {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $fact() {
                    super::$fact(Graph::$place(Dialect::$dialect).await).await
                }
            )*
        }
    };
}

facts!(
    a_restore_conflicts_with_nothing_and_becomes_the_next_version,
    what_was_staged_before_a_restore_is_refused_but_for_an_overwrite,
    appends_never_conflict,
    of_two_publishes_that_insert_one_row_id_one_lands,
    a_branch_that_is_not_there_can_be_force_deleted,
    a_fork_holds_the_absolute_address_of_its_parent,
    a_fork_goes_on_counting_where_its_parent_was,
    a_tag_keeps_a_version_from_cleanup,
    no_hint_of_the_latest_version_is_written,
    a_version_lies_under_the_complement_of_its_number,
    a_transactions_properties_are_read_back,
    a_clone_has_a_time_of_its_own,
);

/// A restore to version 1, staged on the newest version and not committed.
async fn staged_restore(graph: &Graph) -> (Dataset, Transaction) {
    let dataset = graph.table(PERSON).open().await;
    let version = dataset.manifest().version;
    (dataset, Transaction::new(version, Operation::Restore { version: 1 }, None))
}

async fn commit(dataset: Dataset, transaction: Transaction) -> lance::Result<u64> {
    let made = CommitBuilder::new(Arc::new(dataset)).execute(transaction).await?;
    Ok(made.manifest().version)
}

/// Rule: a restore is fenced to the head that was judged. Lance itself lets it hide whatever came in between.
async fn a_restore_conflicts_with_nothing_and_becomes_the_next_version(graph: Graph) {
    graph.table(PERSON).append(&["eve"]).await;
    let (dataset, restore) = staged_restore(&graph).await;
    graph.table(PERSON).append(&["acknowledged"]).await;
    assert_eq!(commit(dataset, restore).await.unwrap(), 4);
    assert_eq!(graph.rows_at(PERSON, MAIN, 4).await.len(), 2, "the row in between is hidden");
}

/// Rule: a content-equal restore stops a writer that wakes up late, for whatever it staged but an overwrite.
async fn what_was_staged_before_a_restore_is_refused_but_for_an_overwrite(graph: Graph) {
    let table = graph.table(PERSON);
    let late = [
        ("append", table.stage_append(&["eve"]).await, true),
        ("update", table.stage_upsert(&["bob"]).await, true),
        ("delete", table.stage_delete("bob").await, true),
        ("index", table.stage_index().await, true),
        ("overwrite", table.stage_overwrite(&["eve"]).await, false),
    ];
    table.restore(1).await;
    for (what, staged, refused) in late {
        assert_eq!(staged.commit().await.is_err(), refused, "{what}");
    }
}

/// Rule: history rows are appended under a fence, for two appends of the same row would both land.
async fn appends_never_conflict(graph: Graph) {
    let (one, other) =
        (graph.table(PERSON).stage_append(&["eve"]).await, graph.table(PERSON).stage_append(&["eve"]).await);
    assert_eq!((one.commit().await.unwrap(), other.commit().await.unwrap()), (2, 3));
}

/// Rule: markers and filler rows make recoverers and late writers collide.
async fn of_two_publishes_that_insert_one_row_id_one_lands(graph: Graph) {
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(COMPANY).append(&["three"]).await;
    let same = graph.stage_publish(MAIN, &[(PERSON, 2)]).await;
    let other = graph.stage_publish(MAIN, &[(COMPANY, 2)]).await;
    graph.publish(MAIN, &[(PERSON, 2)]).await;
    assert!(same.commit().await.is_err());
    // Rule: every publish of ours is fenced; Lance's own check lets this one land on what it has not seen, unless both write
    // the head of the history.
    assert_eq!(other.commit().await.is_err(), graph.has_inline_lineage());
}

/// Rule: removing a lock or a branch twice is removing it once.
async fn a_branch_that_is_not_there_can_be_force_deleted(graph: Graph) {
    let mut table = graph.table(PERSON).open().await;
    table.force_delete_branch("never-there").await.unwrap();
}

/// Rule: a copied graph's forks point to the original, so paths are derived and wrecks with branches are never copied.
async fn a_fork_holds_the_absolute_address_of_its_parent(graph: Graph) {
    graph.branch(FEATURE).await;
    graph.fork(PERSON, FEATURE).await;
    let fork = graph.table_on(PERSON, FEATURE).open().await;
    let bases: Vec<&str> = fork.manifest().base_paths.values().map(|base| base.path.as_str()).collect();
    let [base] = bases[..] else { panic!("{bases:?}") };
    assert!(base.contains(&graph.address(&path_of(PERSON), MAIN)), "{base}");
}

/// Rule: an unplaced fork's own history starts above the pin that it was forked at.
async fn a_fork_goes_on_counting_where_its_parent_was(graph: Graph) {
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    graph.branch(FEATURE).await;
    assert_eq!(graph.fork(PERSON, FEATURE).await, 2);
    assert_eq!(graph.table_on(PERSON, FEATURE).append(&["fay"]).await, 3);
    // Rule: a fork that lost its record tells its origin by its first transaction.
    let first = graph.try_open(&path_of(PERSON), FEATURE, Some(2)).await.unwrap();
    let transaction = first.read_transaction().await.unwrap().unwrap();
    assert!(matches!(transaction.operation, Operation::Clone { ref_version: 2, .. }), "{transaction:?}");
}

/// Rule: a branch that was made anew at the version of the old one is told apart by its time, and read anew.
async fn a_clone_has_a_time_of_its_own(graph: Graph) {
    graph.branch(FEATURE).await;
    graph.fork(PERSON, FEATURE).await;
    let time = async |branch| graph.open(&path_of(PERSON), branch).await.manifest().timestamp_nanos;
    assert!(time(FEATURE).await > time(MAIN).await);
}

/// Rule: pinned versions are tagged while an undoing waits for its window.
async fn a_tag_keeps_a_version_from_cleanup(graph: Graph) {
    for table in [PERSON, KNOWS] {
        graph.table(table).append(&["a"]).await;
        graph.table(table).append(&["b"]).await;
    }
    graph.table(PERSON).open().await.tags().create("keep", 1).await.unwrap();
    for (table, kept) in [(PERSON, true), (KNOWS, false)] {
        let dataset = graph.table(table).open().await;
        let policy = CleanupPolicyBuilder::default().retain_n_versions(&dataset, 1).await.unwrap();
        cleanup_old_versions(&dataset, policy.error_if_tagged_old_versions(false).build()).await.unwrap();
        assert_eq!(graph.try_open(&path_of(table), MAIN, Some(1)).await.is_ok(), kept, "{table}");
    }
}

/// Rule: our stores list in order, so Lance neither writes nor trusts a hint of the latest version, which may be stale.
async fn no_hint_of_the_latest_version_is_written(graph: Graph) {
    graph.table(PERSON).append(&["eve"]).await;
    let versions = Key::parse(&format!("{}/_versions", path_of(PERSON))).unwrap();
    let names: Vec<String> = graph
        .place
        .list(&versions)
        .await
        .unwrap()
        .iter()
        .map(|meta| meta.key.file_name().to_owned())
        .collect();
    assert!(names.iter().all(|name| name.ends_with(".manifest")), "{names:?}");
}

/// Rule: the head is found by names that sort newest first; the probe for the next version builds such a name.
async fn a_version_lies_under_the_complement_of_its_number(graph: Graph) {
    let name = format!("{}/_versions/{:020}.manifest", path_of(PERSON), u64::MAX - 2);
    assert_eq!(graph.place.head(&Key::parse(&name).unwrap()).await.unwrap(), None);
    assert_eq!(graph.table(PERSON).append(&["eve"]).await, 2);
    assert!(graph.place.head(&Key::parse(&name).unwrap()).await.unwrap().is_some());
}

/// Rule: commits of ours carry the operation that they belong to, and readers of the history find it.
async fn a_transactions_properties_are_read_back(graph: Graph) {
    graph.table(PERSON).stage_append(&["eve"]).await.of("some-operation").commit().await.unwrap();
    let transaction = graph.table(PERSON).open().await.read_transaction().await.unwrap().unwrap();
    let properties = transaction.transaction_properties.unwrap();
    assert_eq!(properties.get("outrigger.operation").map(String::as_str), Some("some-operation"));
}
