//! What only a person may decide.

use crate::harness::Hands;
use crate::support::graph::{Graph, MAIN, PERSON, path_of};
use crate::wrecks::{self, FEATURE};
use crate::{claims, on_both_dialects};
use outrigger::Kind;
use outrigger::passes::recovery::act::Acted;
use outrigger::passes::recovery::repair;
use outrigger::store::Key;

on_both_dialects!(
    a_fork_that_lost_its_record_gets_it_back,
    a_fork_whose_files_are_gone_is_beyond_repair,
    with_all_records_there_is_nothing_to_repair,
);

fn record() -> Key {
    Key::parse(&format!("{}/_refs/branches/{FEATURE}.json", path_of(PERSON))).unwrap()
}

/// A graph branch with a fork of one table.
async fn forked(graph: &Graph) {
    graph.branch(FEATURE).await;
    wrecks::written_on_branch(graph, PERSON, "fay").await;
}

async fn a_fork_that_lost_its_record_gets_it_back(graph: Graph) {
    forked(&graph).await;
    let rows = graph.rows(FEATURE, PERSON).await;
    let before = graph.table_on(PERSON, FEATURE).open().await.version().version;
    graph.place.delete(&record()).await.unwrap();
    assert!(graph.table(PERSON).open().await.list_branches().await.unwrap().is_empty());

    let repo = graph.recoverer().open().await.unwrap();
    let proposals = repair::missing_records(&repo, None).await.unwrap();
    let [proposal] = &proposals[..] else { panic!("{proposals:?}") };
    assert!(proposal.what.contains("forked from version 1 of main"), "{}", proposal.what);
    assert!(matches!(repair::carry_out(&repo, proposal, &Hands).await.unwrap(), Acted::Settled));

    assert!(graph.table(PERSON).open().await.list_branches().await.unwrap().contains_key(FEATURE));
    let fork = graph.table(PERSON).open().await.checkout_branch(FEATURE).await.unwrap();
    assert_eq!(fork.version().version, before);
    assert_eq!(graph.rows(FEATURE, PERSON).await, rows);
    let again = repair::carry_out(&repo, proposal, &Hands).await.unwrap();
    assert!(matches!(again, Acted::LookAgain(_)), "{again:?}");
}

async fn a_fork_whose_files_are_gone_is_beyond_repair(graph: Graph) {
    forked(&graph).await;
    graph.table(PERSON).open().await.force_delete_branch(FEATURE).await.unwrap();
    let before = graph.picture().await;
    let repo = graph.recoverer().open().await.unwrap();
    let error = repair::missing_records(&repo, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
    assert!(error.to_string().contains(PERSON) && error.to_string().contains("backup"), "{error}");
    assert!(graph.picture().await == before);
}

async fn with_all_records_there_is_nothing_to_repair(graph: Graph) {
    forked(&graph).await;
    assert_eq!(graph.pin(MAIN, PERSON).await, 1);
    let repo = graph.recoverer().open().await.unwrap();
    assert!(repair::missing_records(&repo, None).await.unwrap().is_empty());
}
