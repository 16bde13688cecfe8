//! What a long-running process remembers is what a fresh look sees; what it publishes from memory collides with whoever
//! publishes late.

use crate::support::graph::line::compact;
use crate::support::graph::look::all;
use crate::support::graph::rows::texts;
use crate::support::graph::{COMMITS, COMPANY, Graph, MAIN, MANIFEST, PERSON, RECOVERIES, next_ulid};
use crate::wrecks::{FEATURE, complete, written_on_branch};
use crate::{claims, on_both_dialects};
use outrigger::model::audit::Verdict;
use outrigger::model::manifest::{Change, CommitIntent, Marker, Publish};
use outrigger::model::{Branch, OperationId, TableKey, Timestamp, Version};
use outrigger::passes::report::Outcome;
use outrigger::repo::{Published, Repository};
use std::collections::BTreeMap;

on_both_dialects!(
    memory_follows_other_publishers_ours_and_compaction,
    a_branch_that_was_made_anew_is_read_anew,
    history_follows_other_appenders_and_compaction,
    publishes_of_many_tasks_queue,
    a_writer_that_was_rolled_forward_cannot_publish_late,
    a_first_publish_on_a_branch_collides_with_ours,
    a_version_that_is_handed_to_a_fork_is_one_row,
);

/// Recovers through a repository that was opened long ago.
async fn recover_with(graph: &Graph, repo: &Repository) {
    let told = graph.recoverer().run_on(repo.clone()).await.unwrap();
    assert!(told.report.scopes.iter().all(|scope| scope.outcome == Outcome::Done), "{:#?}", told.report);
}

/// What it believes of a branch, and what is so. Every row id is there once, and the dataset is sound.
async fn believes_what_is_so(graph: &Graph, repo: &Repository, branch: &str) {
    let named = Branch::parse(Some(branch)).unwrap();
    let fresh = graph.recoverer().open().await.unwrap();
    let (known, fresh) = (repo.snapshot(&named).await.unwrap(), fresh.snapshot(&named).await.unwrap());
    let (known, fresh) = (known.unwrap(), fresh.unwrap());
    assert_eq!((known.version, &known.state), (fresh.version, &fresh.state));
    let manifest = graph.open(MANIFEST, branch).await;
    manifest.validate().await.unwrap();
    let mut ids = texts(&all(&manifest).await, "object_id");
    ids.sort();
    let twice: Vec<_> = ids.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

async fn memory_follows_other_publishers_ours_and_compaction(graph: Graph) {
    let repo = graph.recoverer().open().await.unwrap();
    for round in 0..2 {
        graph.table(COMPANY).append(&["other"]).await;
        graph.publish_heads(&[COMPANY]).await;
        believes_what_is_so(&graph, &repo, MAIN).await;
        complete(&graph).await;
        recover_with(&graph, &repo).await;
        believes_what_is_so(&graph, &repo, MAIN).await;
        // Without a look between ours and ours.
        complete(&graph).await;
        recover_with(&graph, &repo).await;
        if round == 0 {
            compact(&mut graph.open(MANIFEST, MAIN).await).await;
        }
        believes_what_is_so(&graph, &repo, MAIN).await;
    }
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.pin(MAIN, COMPANY).await), (5, 3));
    graph.is_settled().await;
}

/// The new branch has a greater version than the old one had: its number alone does not tell it apart.
async fn a_branch_that_was_made_anew_is_read_anew(graph: Graph) {
    let repo = graph.recoverer().open().await.unwrap();
    graph.branch(FEATURE).await;
    written_on_branch(&graph, PERSON, "of the old branch").await;
    believes_what_is_so(&graph, &repo, FEATURE).await;
    graph.delete_branch(FEATURE).await;
    for id in ["a", "b", "c"] {
        graph.table(COMPANY).append(&[id]).await;
        graph.publish_heads(&[COMPANY]).await;
    }
    graph.branch(FEATURE).await;
    believes_what_is_so(&graph, &repo, FEATURE).await;
}

async fn history_follows_other_appenders_and_compaction(graph: Graph) {
    let (one, other) = (graph.recoverer().open().await.unwrap(), graph.recoverer().open().await.unwrap());
    let mut operations = Vec::new();
    for round in 0..3 {
        for repo in [&one, &other] {
            operations.push(complete(&graph).await);
            recover_with(&graph, repo).await;
        }
        graph.table(COMPANY).append(&["other"]).await;
        graph.publish_heads(&[COMPANY]).await;
        if round == 0 {
            compact(&mut graph.open(RECOVERIES, MAIN).await).await;
        }
        if round == 1 && !graph.has_inline_lineage() {
            compact(&mut graph.open(COMMITS, MAIN).await).await;
        }
    }
    let mut audited: Vec<_> = graph.audit().await.into_iter().map(|line| line.operation).collect();
    audited.sort();
    assert_eq!(audited, operations);
    // One commit for each publish, each the parent of the next.
    let history = graph.history(MAIN).await;
    assert_eq!(history.len(), 1 + 6 + 3);
    for pair in history.windows(2) {
        assert_eq!(pair[1].parent.as_ref(), Some(&pair[0].id));
    }
}

/// Each of the tasks has judged the same version, and each publish is made once: none is lost to another of ours.
async fn publishes_of_many_tasks_queue(graph: Graph) {
    let repo = graph.recoverer().open().await.unwrap();
    let base = repo.snapshot(&Branch::main()).await.unwrap().unwrap();
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            let (repo, base) = (repo.clone(), base.clone());
            let publish = settling(commit(&format!("C{n}")));
            tokio::spawn(async move { repo.publish(&base, &publish, "queued").await })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        let Published::Committed(one) = task.await.unwrap().unwrap() else { panic!("refused") };
        made.push(one.version.0);
    }
    made.sort();
    let first = base.version.0 + 1;
    assert_eq!(made, (first..first + 12).collect::<Vec<_>>());
    assert_eq!(graph.markers(MAIN).await.len(), 12);
    believes_what_is_so(&graph, &repo, MAIN).await;
}

fn commit(id: &str) -> CommitIntent {
    let created_at = Timestamp(chrono::Utc::now());
    CommitIntent { id: id.into(), actor: None, merged_parent: None, created_at }
}

/// Settles an operation that nobody knows.
fn settling(commit: CommitIntent) -> Publish {
    let marker = Marker {
        verdict: Verdict::NothingToDo,
        graph_commit_id: commit.id.clone(),
        manifest_version: Version::ABSENT,
        merged_parent: None,
        created_at: commit.created_at.as_micros(),
        outcomes: Vec::new(),
    };
    let operation = OperationId::parse(&next_ulid()).unwrap();
    Publish { markers: BTreeMap::from([(operation, marker)]), commits: vec![commit], ..Publish::default() }
}

/// H1: it is alive after all. Its publish was prepared before ours and comes after it.
async fn a_writer_that_was_rolled_forward_cannot_publish_late(graph: Graph) {
    complete(&graph).await;
    let pin = graph.table(PERSON).head().await;
    let late = graph.stage_publish(MAIN, &[(PERSON, pin)]).await;
    let bystander = graph.table(COMPANY).append(&["other"]).await;
    let bystander = graph.stage_publish(MAIN, &[(COMPANY, bystander)]).await;
    graph.recover_beside_writers().await;
    assert!(late.commit().await.is_err(), "the same row id");
    // graph-v4: every publish writes the head of the history. graph-v3: disjoint rows do not collide, with anyone.
    assert_eq!(bystander.commit().await.is_err(), graph.has_inline_lineage());
    assert_eq!(graph.pin(MAIN, PERSON).await, pin);
    graph.open(MANIFEST, MAIN).await.validate().await.unwrap();
}

/// There is no head of the branch's history yet: both insert it.
async fn a_first_publish_on_a_branch_collides_with_ours(graph: Graph) {
    graph.branch(FEATURE).await;
    for table in [PERSON, COMPANY] {
        graph.fork(table, FEATURE).await;
    }
    let other = graph.table_on(COMPANY, FEATURE).append(&["other"]).await;
    let late_other = graph.stage_publish(FEATURE, &[(COMPANY, other)]).await;
    graph.sidecar("Load").on(FEATURE).of(&[PERSON]).write().await;
    let pin = graph.table_on(PERSON, FEATURE).append(&["eve"]).await;
    let late = graph.stage_publish(FEATURE, &[(PERSON, pin)]).await;
    graph.recover_beside_writers().await;
    assert_eq!(graph.pin(FEATURE, PERSON).await, pin);
    assert!(late.commit().await.is_err());
    assert_eq!(late_other.commit().await.is_err(), graph.has_inline_lineage());
}

/// The first version of a fresh fork has the number of its source: its row takes the place of the source's.
async fn a_version_that_is_handed_to_a_fork_is_one_row(graph: Graph) {
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    graph.branch(FEATURE).await;
    let version = graph.fork(PERSON, FEATURE).await;
    let late = graph.stage_publish(FEATURE, &[(PERSON, version)]).await;
    let repo = graph.recoverer().open().await.unwrap();
    let feature = Branch::parse(Some(FEATURE)).unwrap();
    let base = repo.snapshot(&feature).await.unwrap().unwrap();
    let table = TableKey::parse(PERSON).unwrap();
    let fork = repo.table(&table, &feature).await.unwrap().unwrap();
    let entry = repo.entry_at(&fork, fork.head()).await.unwrap();
    let publish = Publish {
        expected: BTreeMap::from([(table.clone(), entry.version)]),
        changes: vec![Change::Show { table, entry }],
        commits: vec![commit("C1")],
        ..Publish::default()
    };
    let ended = repo.publish(&base, &publish, "handed over").await.unwrap();
    assert!(matches!(ended, Published::Committed(_)), "{ended:?}");
    believes_what_is_so(&graph, &repo, FEATURE).await;
    let shown = &graph.shown(FEATURE).await[PERSON];
    assert_eq!((shown.version, shown.branch.as_deref()), (version, Some(FEATURE)));
    assert!(late.commit().await.is_err(), "both replace the same row");
}
