//! One small test for each guard that nothing else would miss: what moves just before an act, and what must not be taken away.

use crate::harness::Hands;
use crate::support::faults::{Dies, Meanwhile};
use crate::support::graph::create::contract;
use crate::support::graph::publish::{table_row, version_row};
use crate::support::graph::{
    ACTORS, COMMITS, COMPANY, Graph, KNOWS, MAIN, MANIFEST, PERSON, RECOVERIES, TABLES, next_ulid, path_of,
};
use crate::wrecks::{self, FEATURE, TAG};
use crate::{claims, on_both_dialects};
use outrigger::Kind;
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::act::Acted;
use outrigger::passes::recovery::decide::drift::Choice;
use outrigger::passes::recovery::repair::Proposal;
use outrigger::passes::recovery::{quarantine, repair};
use outrigger::passes::report::Outcome;
use outrigger::repo::Repository;
use outrigger::store::{Call, Key, Verb};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

on_both_dialects!(
    a_strangers_commit_just_before_a_restore_is_neither_shown_nor_hidden,
    a_commit_of_the_writer_just_before_a_restore_is_undone_with_the_rest,
    drift_that_grows_just_before_it_is_restored_is_not_restored,
    the_dataset_of_an_undone_change_stays_where_a_branch_shows_it,
    a_change_that_only_drops_and_staged_nothing_is_undone,
    a_rewrite_with_a_new_column_that_staged_nothing_is_undone,
    a_record_is_not_put_aside_over_another,
    a_record_is_not_put_back_over_another,
    the_record_of_an_old_merge_takes_the_sidecars_place_before_anything_is_restored,
    every_commit_of_a_recovery_names_its_operation,
    a_branch_that_is_made_during_the_look_is_not_taken_for_one_that_is_gone,
    a_fork_of_another_version_than_the_branch_shows_is_none,
);

claims!(half_created on_disk GraphV3
    a_half_created_branch_is_removed_and_can_be_made_anew
    a_branch_that_shows_a_fork_is_not_removed
    a_branch_that_gets_its_history_meanwhile_stays
    a_branch_that_another_was_made_from_is_not_removed
    a_branch_that_a_tag_lies_on_is_not_removed
    branches_in_the_tree_of_a_removed_one_keep_their_files
);

/// A row that a writer commits to a table just before it is restored: once the record is armed, nobody opens the table for
/// anything else.
fn late_row(graph: &Arc<Graph>, operation: &str, table: &'static str) -> Arc<Meanwhile> {
    let (fence, versions) =
        (format!("__recovery/{operation}.fence"), format!("{}/_versions", path_of(table)));
    let is_armed = AtomicBool::new(false);
    let opens = move |call: &Call| {
        let path = call.path.as_ref();
        if call.verb == Verb::Create && path.ends_with(&fence) {
            is_armed.store(true, Ordering::Relaxed);
        }
        is_armed.load(Ordering::Relaxed) && path.contains(&versions)
    };
    let writer = graph.clone();
    let commits = async move {
        writer.table(table).append(&["late"]).await;
    };
    Arc::new(Meanwhile::at(opens, commits))
}

/// It was staged on the crashed commit, so it is not the crashed writer's: whose it is cannot be told.
async fn a_strangers_commit_just_before_a_restore_is_neither_shown_nor_hidden(graph: Graph) {
    let before = graph.content(MAIN).await;
    let operation = wrecks::half_done(&graph).await;
    let graph = Arc::new(graph);
    let late = late_row(&graph, &operation, PERSON);
    let told = graph.recoverer().under(late.clone()).run().await.unwrap();
    assert!(late.happened());
    for told in [told, graph.recover().await] {
        assert_eq!(told.ended(&operation), (Verdict::Hold, Outcome::Held), "{:?}", told.report.scopes);
        assert_eq!(graph.heads().await, [3, 1, 2], "nothing is restored");
        assert_eq!(graph.content(MAIN).await, before);
        assert!(graph.markers(MAIN).await.is_empty());
    }
}

/// On a table that had not moved it may be the very commit that was missing. The first table is restored by then.
async fn a_commit_of_the_writer_just_before_a_restore_is_undone_with_the_rest(graph: Graph) {
    let before = graph.content(MAIN).await;
    let operation = wrecks::half_done(&graph).await;
    let graph = Arc::new(graph);
    let late = late_row(&graph, &operation, COMPANY);
    let told = graph.recoverer().under(late.clone()).run().await.unwrap();
    assert!(late.happened());
    assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Done), "{:?}", told.report.scopes);
    assert_eq!(graph.content(MAIN).await, before);
    assert_eq!(graph.markers(MAIN).await, [operation]);
    graph.is_settled().await;
}

async fn drift_that_grows_just_before_it_is_restored_is_not_restored(graph: Graph) {
    let before = graph.content(MAIN).await;
    graph.table(PERSON).append(&["foreign"]).await;
    let repo = graph.recoverer().open().await.unwrap();
    let proposals = repair::drift(&repo, None, Choice::Pin).await.unwrap().made;
    let [proposal] = &proposals[..] else { panic!("{proposals:?}") };
    let graph = Arc::new(graph);
    let (writer, versions) = (graph.clone(), format!("{}/_versions", path_of(PERSON)));
    let grows = async move {
        writer.table(PERSON).append(&["late"]).await;
    };
    let late = Arc::new(Meanwhile::at(move |call| call.path.as_ref().contains(&versions), grows));
    // A store of its own: what the proposal has read of the table is not to count.
    let repo = graph.recoverer().under(late.clone()).open().await.unwrap();
    let ended = repair::carry_out(&repo, proposal, &Hands).await.unwrap();
    assert!(late.happened());
    assert!(
        matches!(&ended, Acted::LookAgain(why) if why.contains("moved from version 2 to 3")),
        "{ended:?}"
    );
    assert_eq!((graph.table(PERSON).head().await, graph.pin(MAIN, PERSON).await), (3, 1));
    assert_eq!(graph.content(MAIN).await, before);
}

/// No engine lets a branch take anything over while a schema change is under way: this is for those that do not ask.
async fn the_dataset_of_an_undone_change_stays_where_a_branch_shows_it(graph: Graph) {
    graph.branch(FEATURE).await;
    wrecks::schema_half_done(&graph).await;
    let rows = vec![table_row(TAG), version_row(&graph, TAG, MAIN, 1).await];
    graph.publish_rows(FEATURE, rows, None).await;
    let before = graph.content(FEATURE).await;
    assert_eq!(before[TAG].len(), 2);
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(FEATURE).await, before);
    assert!(!graph.shown(MAIN).await.contains_key(TAG));
}

async fn stored(graph: &Graph, name: &str) -> Option<bytes::Bytes> {
    graph.place.get(&Key::parse(name).unwrap()).await.unwrap().map(|object| object.bytes)
}

/// The contract is that of all tables, nothing is staged, and nobody holds the lock.
async fn has_the_old_schema(graph: &Graph) {
    for (name, expected) in contract(&TABLES) {
        assert_eq!(stored(graph, name).await, Some(expected.into()), "{name}");
        assert_eq!(stored(graph, &format!("{name}.staging")).await, None, "{name}");
    }
    assert_eq!(graph.branches_of(MANIFEST).await, [""; 0]);
}

/// The final files still know the table: shown without it, the graph would not fit its schema.
async fn a_change_that_only_drops_and_staged_nothing_is_undone(graph: Graph) {
    let before = graph.content(MAIN).await;
    wrecks::lock(&graph).await;
    graph.sidecar("SchemaApply").drops(KNOWS, 2).write().await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, before);
    assert!(graph.shown(MAIN).await.contains_key(KNOWS));
    has_the_old_schema(&graph).await;
}

/// The final files name the table, and other columns of it.
async fn a_rewrite_with_a_new_column_that_staged_nothing_is_undone(graph: Graph) {
    let before = graph.content(MAIN).await;
    wrecks::lock(&graph).await;
    graph.sidecar("SchemaApply").anonymous().of(&[PERSON]).write().await;
    graph.table(PERSON).overwrite_with(&["ann", "bob"], "nickname").await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, before);
    has_the_old_schema(&graph).await;
}

async fn a_record_is_not_put_aside_over_another(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let aside = Key::parse(&format!("__recovery/{operation}.json.quarantined")).unwrap();
    graph.place.put(&aside, "an older record".into()).await.unwrap();
    let before = graph.picture().await;
    let repo = graph.recoverer().open().await.unwrap();
    let refused = quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Moved);
    assert!(refused.to_string().contains("holds another record"), "{refused}");
    assert!(graph.picture().await == before, "both are left alone");
}

async fn a_record_is_not_put_back_over_another(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap();
    graph.put_sidecar(&operation, "a newer record").await;
    let before = graph.picture().await;
    let refused = quarantine::restore(&repo, &operation).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Moved);
    assert!(refused.to_string().contains("exists again"), "{refused}");
    assert!(graph.picture().await == before, "both are left alone");
}

/// An engine that opens the graph beside the sidecar would roll the merge forward, over what was restored.
async fn the_record_of_an_old_merge_takes_the_sidecars_place_before_anything_is_restored(graph: Graph) {
    let operation = wrecks::merge_unconfirmed(&graph).await;
    let before = graph.content(FEATURE).await;
    // One to arm the record, one to delete the sidecar.
    let _ = graph.recoverer().under(Arc::new(Dies::after_writes(2))).run().await;
    assert_eq!(graph.controls().await, [format!("{operation}.fence")]);
    assert_eq!(graph.table_on(PERSON, FEATURE).head().await, 3, "nothing is restored yet");
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(FEATURE).await, before);
    assert_eq!(graph.markers(FEATURE).await, [operation]);
}

/// The operation that a dataset's newest version belongs to.
async fn named_by(graph: &Graph, dataset: &str) -> Option<String> {
    let newest = graph.open(dataset, MAIN).await.read_transaction().await.unwrap().unwrap();
    newest.transaction_properties.as_ref()?.get("outrigger.operation").cloned()
}

async fn every_commit_of_a_recovery_names_its_operation(graph: Graph) {
    let mut datasets = vec![MANIFEST.to_owned(), RECOVERIES.to_owned()];
    if !graph.has_inline_lineage() {
        datasets.extend([COMMITS.to_owned(), ACTORS.to_owned()]);
    }
    let forward = wrecks::complete_on_three_tables(&graph).await;
    graph.recovers_by(Verdict::RollForward).await;
    for dataset in &datasets {
        assert_eq!(named_by(&graph, dataset).await.as_ref(), Some(&forward), "{dataset}");
    }
    let back = wrecks::half_done(&graph).await;
    graph.recovers_by(Verdict::RollBack).await;
    datasets.extend(TABLES.map(path_of));
    for dataset in &datasets {
        assert_eq!(named_by(&graph, dataset).await.as_ref(), Some(&back), "{dataset}");
    }
}

/// Between the two lists of one look, whichever comes first: a sidecar that was seen must not lack a branch that was not.
async fn a_branch_that_is_made_during_the_look_is_not_taken_for_one_that_is_gone(graph: Graph) {
    let graph = Arc::new(graph);
    let (writer, operation) = (graph.clone(), next_ulid());
    let name = operation.clone();
    let begins = async move {
        writer.branch(FEATURE).await;
        writer.fork(PERSON, FEATURE).await;
        writer.sidecar("Load").on(FEATURE).of(&[PERSON]).write_as(&name).await;
    };
    let lists = AtomicUsize::new(0);
    let second = move |call: &Call| {
        let path = call.path.as_ref();
        let of_the_look = path.ends_with("/__recovery") || path.ends_with("/__manifest/_refs/branches");
        call.verb == Verb::List && of_the_look && lists.fetch_add(1, Ordering::Relaxed) == 1
    };
    let fault = Arc::new(Meanwhile::at(second, begins));
    graph.recoverer().without_window().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(graph.controls().await, [format!("{operation}.json")]);
    for branch in [MAIN, FEATURE] {
        assert!(graph.markers(branch).await.is_empty(), "{branch}");
    }
}

/// Shown, it would hide a row that the branch shows.
async fn a_fork_of_another_version_than_the_branch_shows_is_none(graph: Graph) {
    graph.table(PERSON).append(&["shown"]).await;
    graph.publish_heads(&[PERSON]).await;
    graph.branch(FEATURE).await;
    graph.fork_dataset(&path_of(PERSON), MAIN, Some(1), FEATURE).await;
    graph.sidecar("Load").on(FEATURE).pin(PERSON, 2, 3).write().await;
    // The fork counts on from 1: its second commit has the number that the writer promised.
    for id in ["eve", "fay"] {
        graph.table_on(PERSON, FEATURE).append(&[id]).await;
    }
    let before = (graph.shown(FEATURE).await, graph.content(FEATURE).await);
    let scope = graph.recovers_by(Verdict::NothingToDo).await;
    assert!(scope.reason.contains("was forked from version 1 of main"), "{scope:?}");
    assert_eq!((graph.shown(FEATURE).await, graph.content(FEATURE).await), before);
    assert_eq!(graph.table_on(PERSON, FEATURE).head().await, 3, "the fork is left as it is");
}

/// The manifest's branch alone: its creator died before its part of the history was made.
async fn half_create(graph: &Graph, branch: &str) {
    graph.fork_dataset(MANIFEST, MAIN, None, branch).await;
}

/// The one branch that is proposed to be removed.
async fn proposed(repo: &Repository, branch: &str) -> Proposal {
    let mut proposals = repair::branches(repo).await.unwrap().made;
    assert_eq!(proposals.len(), 1, "{proposals:?}");
    let proposal = proposals.remove(0);
    assert_eq!(proposal.what, format!("remove branch {branch} of the manifest"));
    proposal
}

async fn a_half_created_branch_is_removed_and_can_be_made_anew(graph: Graph) {
    let before = graph.picture().await;
    half_create(&graph, FEATURE).await;
    let repo = graph.recoverer().open().await.unwrap();
    let proposal = proposed(&repo, FEATURE).await;
    assert!(matches!(repair::carry_out(&repo, &proposal, &Hands).await.unwrap(), Acted::Settled));
    assert!(graph.picture().await == before, "to the last file");
    graph.branch(FEATURE).await;
    assert_eq!(graph.content(FEATURE).await, graph.content(MAIN).await);
    assert!(repair::branches(&repo).await.unwrap().made.is_empty());
    graph.is_settled().await;
}

/// Somebody has written to it, so its creation came to its end. It does not stop the repair of another.
async fn a_branch_that_shows_a_fork_is_not_removed(graph: Graph) {
    graph.branch(FEATURE).await;
    wrecks::written_on_branch(&graph, PERSON, "fay").await;
    let before = graph.content(FEATURE).await;
    graph.open(COMMITS, MAIN).await.force_delete_branch(FEATURE).await.unwrap();
    half_create(&graph, "half").await;
    let repo = graph.recoverer().open().await.unwrap();
    let proposal = proposed(&repo, "half").await;
    assert!(matches!(repair::carry_out(&repo, &proposal, &Hands).await.unwrap(), Acted::Settled));
    assert_eq!(graph.branches_of(MANIFEST).await, [FEATURE]);
    assert_eq!(graph.content(FEATURE).await, before);
    let left = repair::branches(&repo).await.unwrap();
    assert!(left.made.is_empty(), "{left:?}");
    assert!(left.lost.iter().any(|(what, _)| what.contains(FEATURE)), "it is told: {left:?}");
}

async fn a_branch_that_gets_its_history_meanwhile_stays(graph: Graph) {
    half_create(&graph, FEATURE).await;
    let repo = graph.recoverer().open().await.unwrap();
    let proposal = proposed(&repo, FEATURE).await;
    graph.fork_dataset(COMMITS, MAIN, None, FEATURE).await;
    let before = graph.picture().await;
    let ended = repair::carry_out(&repo, &proposal, &Hands).await.unwrap();
    assert!(matches!(ended, Acted::LookAgain(_)), "{ended:?}");
    assert!(graph.picture().await == before);
}

/// Carrying it out is refused, by this word, and nothing has changed.
async fn is_refused(graph: &Graph, word: &str) {
    let before = graph.picture().await;
    let repo = graph.recoverer().open().await.unwrap();
    let proposal = proposed(&repo, FEATURE).await;
    let refused = repair::carry_out(&repo, &proposal, &Hands).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.to_string().contains(word), "{refused}");
    assert!(graph.picture().await == before);
}

/// Its files are the other's, too.
async fn a_branch_that_another_was_made_from_is_not_removed(graph: Graph) {
    half_create(&graph, FEATURE).await;
    graph.fork_dataset(MANIFEST, FEATURE, None, "deeper").await;
    graph.fork_dataset(COMMITS, MAIN, None, "deeper").await;
    is_refused(&graph, "branch deeper").await;
}

async fn a_branch_that_a_tag_lies_on_is_not_removed(graph: Graph) {
    half_create(&graph, FEATURE).await;
    let version = graph.manifest_version(FEATURE).await;
    graph.open(MANIFEST, MAIN).await.tags().create("keep", (FEATURE, version)).await.unwrap();
    is_refused(&graph, "tag keep").await;
}

/// One by a name of its own, one by the name of a directory that every branch has, and one whose record is not yet written.
async fn branches_in_the_tree_of_a_removed_one_keep_their_files(graph: Graph) {
    half_create(&graph, FEATURE).await;
    let nested = ["nested", "data"].map(|name| format!("{FEATURE}/{name}"));
    for branch in &nested {
        graph.branch(branch).await;
    }
    let version = graph.manifest_version(MAIN).await;
    graph.clone_files(MANIFEST, MAIN, version, &format!("{FEATURE}/making")).await;
    let mut trees = graph.trees().await;
    let repo = graph.recoverer().open().await.unwrap();
    let proposal = proposed(&repo, FEATURE).await;
    assert!(matches!(repair::carry_out(&repo, &proposal, &Hands).await.unwrap(), Acted::Settled));
    assert!(trees.remove(&format!("{MANIFEST}/tree/{FEATURE}")));
    assert_eq!(graph.trees().await, trees, "no other has lost its versions");
    let mut listed = nested.clone();
    listed.sort();
    assert_eq!(graph.branches_of(MANIFEST).await, listed);
    for branch in &nested {
        assert_eq!(graph.content(branch).await, graph.content(MAIN).await, "{branch}");
    }
}
