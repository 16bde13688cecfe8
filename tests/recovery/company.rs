//! Several sidecars on one table: all forward only if each is complete however the commits are dealt out.

use crate::harness::Hands;
use crate::support::faults::{Dies, Meanwhile, is_write};
use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, PERSON, path_of};
use crate::wrecks;
use crate::{claims, on_both_dialects};
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::quarantine;
use outrigger::passes::report::Outcome;
use outrigger::store::{Call, Verb};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

on_both_dialects!(
    as_many_commits_as_writers_are_shown_together,
    fewer_commits_than_writers_are_undone_together,
    one_that_was_published_does_not_hold_back_the_other,
    strangers_go_on_whatever_happens_to_the_others,
    twenty_sidecars_are_settled_in_one_run,
    a_writer_that_begins_during_the_look_completes_nobody_else,
    a_record_that_another_recoverer_has_put_in_the_sidecars_place_is_judged,
    a_writer_that_publishes_during_the_look_is_not_recorded_as_undone,
    a_merge_that_is_confirmed_during_the_look_is_shown,
    writers_that_come_and_come_end_the_run,
    a_record_on_its_way_to_quarantine_is_still_a_claim_on_its_tables,
    maintenance_whose_writer_begins_during_the_look_is_left_to_it,
    a_record_that_is_put_aside_during_the_look_is_left,
    a_merge_that_is_confirmed_while_its_undoing_begins_is_shown,
    a_merge_that_is_published_while_its_undoing_begins_is_already_published,
    a_schema_change_that_begins_during_the_look_is_not_published_under,
    a_branch_that_is_deleted_during_the_look_leaves_an_orphan,
);

async fn as_many_commits_as_writers_are_shown_together(graph: Graph) {
    let one = graph.sidecar("Load").of(&[PERSON]).write().await;
    let two = graph.sidecar("Mutation").of(&[PERSON]).write().await;
    let (first, second) =
        (graph.table(PERSON).stage_append(&["eve"]).await, graph.table(PERSON).stage_append(&["fay"]).await);
    first.commit().await.unwrap();
    second.commit().await.unwrap();
    let told = graph.recover_beside_writers().await;
    for operation in [&one, &two] {
        assert_eq!(told.ended(operation), (Verdict::RollForward, Outcome::Done));
    }
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.rows(MAIN, PERSON).await.len()), (3, 4));
    assert_eq!(graph.markers(MAIN).await, [one.clone(), two.clone()]);
    let audit = graph.audit().await;
    let mut audited: Vec<_> = audit.iter().map(|line| line.operation.clone()).collect();
    audited.sort();
    assert_eq!(audited, [one, two]);
    // Their commits are a chain, each audit line has its own.
    let history = graph.history(MAIN).await;
    let [.., before, first, second] = &history[..] else { panic!("{history:?}") };
    assert_eq!((&first.parent, &second.parent), (&Some(before.id.clone()), &Some(first.id.clone())));
    graph.is_settled().await;
}

async fn fewer_commits_than_writers_are_undone_together(graph: Graph) {
    let before = graph.content(MAIN).await;
    let one = graph.sidecar("Load").of(&[PERSON]).write().await;
    let two = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    let waits = graph.recover_beside_writers().await;
    for operation in [&one, &two] {
        assert_eq!(waits.ended(operation), (Verdict::RollBack, Outcome::Waits));
    }
    let told = graph.recover().await;
    for operation in [&one, &two] {
        assert_eq!(told.ended(operation), (Verdict::RollBack, Outcome::Done));
    }
    assert_eq!(graph.content(MAIN).await, before);
    assert_eq!(graph.markers(MAIN).await, [one, two]);
    assert!(graph.audit().await.iter().all(|line| line.kind == "RolledBack"));
    assert_eq!(graph.audit().await.len(), 2);
    graph.is_settled().await;
}

async fn one_that_was_published_does_not_hold_back_the_other(graph: Graph) {
    let shown = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    let open = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["fay"]).await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&shown), (Verdict::AlreadyPublished, Outcome::Done));
    assert_eq!(told.ended(&open), (Verdict::RollForward, Outcome::Done));
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.rows(MAIN, PERSON).await.len()), (3, 4));
    graph.is_settled().await;
}

async fn strangers_go_on_whatever_happens_to_the_others(graph: Graph) {
    let held = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["one"]).await;
    graph.table(PERSON).append(&["two"]).await;
    let back = graph.sidecar("Load").of(&[COMPANY]).write().await;
    let late = graph.table(COMPANY).stage_append(&["late"]).await;
    graph.table(COMPANY).append(&["foreign"]).await;
    graph.publish_heads(&[COMPANY]).await;
    late.commit().await.unwrap();
    let forward = graph.sidecar("Load").of(&[KNOWS]).write().await;
    graph.table(KNOWS).append(&["three"]).await;
    let before = graph.content(MAIN).await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&held), (Verdict::Hold, Outcome::Held));
    // If the other's publish came between restore and publish, the next look finds it undone.
    let (verdict, outcome) = told.ended(&back);
    assert!(matches!(verdict, Verdict::RollBack | Verdict::AlreadyUndone), "{verdict:?}");
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(told.ended(&forward), (Verdict::RollForward, Outcome::Done));
    let after = graph.content(MAIN).await;
    assert_eq!((&after[PERSON], &after[COMPANY]), (&before[PERSON], &before[COMPANY]));
    assert_eq!(after[KNOWS].len(), before[KNOWS].len() + 1);
    let (shown, newest) = (graph.pin(MAIN, COMPANY).await, graph.table(COMPANY).head().await);
    assert_eq!((shown, newest), (4, 4), "the late commit is undone");
}

/// Each publish moves the manifest under the others.
async fn twenty_sidecars_are_settled_in_one_run(graph: Graph) {
    let mut operations = Vec::new();
    for round in 0..20 {
        let table = [PERSON, COMPANY, KNOWS][round % 3];
        let head = graph.table(table).append(&[&format!("row {round}")]).await;
        operations.push(graph.sidecar("Load").pin(table, head - 1, head).write().await);
        graph.publish(MAIN, &[(table, head)]).await;
    }
    let told = graph.recover().await;
    for operation in &operations {
        assert_eq!(told.ended(operation), (Verdict::AlreadyPublished, Outcome::Done));
    }
    assert_eq!(graph.markers(MAIN).await.len(), 20);
    assert_eq!(graph.audit().await.len(), 20);
    graph.is_settled().await;
}

/// The dead writer's other commit seems to be there: it is the living one's.
async fn a_writer_that_begins_during_the_look_completes_nobody_else(graph: Graph) {
    let dead = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.table(COMPANY).append(&["three"]).await;
    let graph = Arc::new(graph);
    let writer = graph.clone();
    let begins = async move {
        writer.sidecar("Load").of(&[PERSON]).write().await;
        writer.table(PERSON).append(&["eve"]).await;
    };
    let at_person = |call: &Call| call.path.as_ref().contains(&path_of(PERSON));
    let fault = Arc::new(Meanwhile::at(move |call| at_person(call), begins));
    let told = graph.recoverer().without_window().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_ne!(told.report.scopes[0].outcome, Outcome::Done, "{:?}", told.report.scopes);
    assert!(told.report.scopes[0].scope.contains(&dead));
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.pin(MAIN, COMPANY).await), (1, 1));
}

/// Of a schema change the armed record takes the sidecar's place before anything is restored. Who finds the sidecar gone then
/// must not close the record: nothing would be left that tells of the operation.
async fn a_record_that_another_recoverer_has_put_in_the_sidecars_place_is_judged(graph: Graph) {
    let before = graph.content(MAIN).await;
    let operation = wrecks::schema_half_done(&graph).await;
    let graph = Arc::new(graph);
    let other = graph.clone();
    // It arms the record, deletes the sidecar, and dies.
    let dies = async move { drop(other.recoverer().under(Arc::new(Dies::after_writes(2))).run().await) };
    let fence = format!("__recovery/{operation}.fence");
    let arms = move |call: &Call| is_write(call) && call.path.as_ref().ends_with(&fence);
    let fault = Arc::new(Meanwhile::at(move |call| arms(call), dies));
    let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Done), "{:?}", told.report.scopes);
    assert_eq!(graph.content(MAIN).await, before);
    assert_eq!(graph.markers(MAIN).await, [operation]);
    assert_eq!(graph.audit().await.len(), 1);
    graph.is_settled().await;
}

async fn a_writer_that_publishes_during_the_look_is_not_recorded_as_undone(graph: Graph) {
    let operation = wrecks::not_begun(&graph).await;
    let graph = Arc::new(graph);
    let writer = graph.clone();
    let wakes_up = async move {
        writer.table(PERSON).append(&["eve"]).await;
        writer.table(COMPANY).append(&["three"]).await;
        writer.publish_heads(&[PERSON, COMPANY]).await;
    };
    let publishes = |call: &Call| is_write(call) && call.path.as_ref().contains("__manifest/");
    let fault = Arc::new(Meanwhile::at(move |call| publishes(call), wakes_up));
    let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(
        told.ended(&operation),
        (Verdict::AlreadyPublished, Outcome::Done),
        "{:?}",
        told.report.scopes
    );
    assert_eq!(graph.audit().await[0].kind, "RolledForward");
    graph.is_settled().await;
}

/// A merge whose tables are committed, its operation, and its writer's confirmation that is yet to come.
async fn unconfirmed_merge(graph: Graph) -> (Arc<Graph>, String, impl Future<Output = ()> + Send + 'static) {
    let source = wrecks::merge(&graph).await;
    let draft = || graph.sidecar("BranchMerge").on(wrecks::FEATURE).merging(&source);
    let operation = draft().pin(PERSON, 2, 3).write().await;
    graph.table_on(PERSON, wrecks::FEATURE).upsert(&["eve"]).await;
    let confirmed = draft().confirmed(PERSON, 2, 3).json(&operation).await.to_string();
    let graph = Arc::new(graph);
    let (writer, key) = (graph.clone(), operation.clone());
    let confirms = async move { writer.put_sidecar(&key, confirmed).await };
    (graph, operation, confirms)
}

/// Its record is the same name with other content; undone as unconfirmed, an acknowledged merge would be lost.
async fn a_merge_that_is_confirmed_during_the_look_is_shown(graph: Graph) {
    let (graph, operation, confirms) = unconfirmed_merge(graph).await;
    let at_person = |call: &Call| call.path.as_ref().contains(&path_of(PERSON));
    let fault = Arc::new(Meanwhile::at(at_person, confirms));
    let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done), "{:?}", told.report.scopes);
    graph.is_settled().await;
}

/// Each look settles one operation and finds another: all of them are shown already.
async fn writers_that_come_and_come_end_the_run(graph: Graph) {
    async fn comes(graph: &Graph) {
        let head = graph.table(PERSON).append(&["one more"]).await;
        graph.publish(MAIN, &[(PERSON, head)]).await;
        graph.sidecar("Load").pin(PERSON, head - 1, head).write().await;
    }
    comes(&graph).await;
    comes(&graph).await;
    let graph = Arc::new(graph);
    let writer = graph.clone();
    let more = move || {
        let writer = writer.clone();
        Box::pin(async move { comes(&writer).await }) as futures::future::BoxFuture<'static, ()>
    };
    let ends_one = |call: &Call| call.verb == Verb::Delete && call.path.as_ref().ends_with(".json");
    let fault = Arc::new(Meanwhile::whenever(ends_one, more));
    let run = graph.recoverer().without_window().under(fault.clone()).run();
    let told = tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("it ends").unwrap();
    assert!((2..20).contains(&fault.times()), "{} came", fault.times());
    assert!(told.report.scopes.iter().any(|scope| scope.outcome == Outcome::Waits), "{:?}", told.report);
}

/// What it has committed must not complete another.
async fn a_record_on_its_way_to_quarantine_is_still_a_claim_on_its_tables(graph: Graph) {
    let going = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    let other = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["whose?"]).await;
    // The copy and the note are made; it dies before it deletes the original.
    let repo = graph.recoverer().under(Arc::new(Dies::after_writes(3))).open().await.unwrap();
    quarantine::quarantine(&repo, &going, "a test", &Hands).await.unwrap_err();
    for _ in 0..2 {
        let told = graph.recover().await;
        for operation in [&going, &other] {
            assert_eq!(told.ended(operation), (Verdict::Hold, Outcome::Held), "{:?}", told.report.scopes);
            assert!(told.of(operation).reason.contains("sidecars restore"), "{:?}", told.of(operation));
        }
    }
    assert_eq!(graph.pin(MAIN, PERSON).await, 1);
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &going, "a test", &Hands).await.unwrap();
    assert_eq!(graph.recover().await.ended(&other), (Verdict::RollForward, Outcome::Done));
}

/// Published under it, its own publish would be refused.
async fn maintenance_whose_writer_begins_during_the_look_is_left_to_it(graph: Graph) {
    let graph = Graph::in_memory(graph.dialect).await;
    graph.table(PERSON).index().await;
    let mut waits = 0;
    // Before each look at the records but the first: the later it is, the further the pass has come.
    for nth in 1..10 {
        let graph = Arc::new(graph.copy().await);
        let writer = graph.clone();
        let begins = async move { drop(writer.sidecar("EnsureIndices").of(&[PERSON]).write().await) };
        let looks = AtomicUsize::new(0);
        let at_look = move |call: &Call| {
            let is_look = call.verb == Verb::List && call.path.as_ref().ends_with("__recovery");
            is_look && looks.fetch_add(1, Ordering::Relaxed) == nth
        };
        let fault = Arc::new(Meanwhile::at(at_look, begins));
        let told = graph.recoverer().without_window().under(fault.clone()).run().await.unwrap();
        let scopes = &told.report.scopes;
        if !fault.happened() || graph.pin(MAIN, PERSON).await > 1 {
            assert!(waits > 0, "before it is shown the records are looked at once more: {scopes:#?}");
            return;
        }
        match &scopes[..] {
            // Seen before it was judged.
            [] => {}
            [scope] => {
                assert_eq!(scope.outcome, Outcome::Waits, "{scope:?}");
                assert!(scope.reason.contains("has begun"), "{scope:?}");
                waits += 1;
            }
            more => panic!("{more:#?}"),
        }
    }
    panic!("a pass looks more than ten times");
}

/// A person says that nothing is to be done about it.
async fn a_record_that_is_put_aside_during_the_look_is_left(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let graph = Arc::new(graph);
    let (person, name) = (graph.clone(), operation.clone());
    let puts_aside = async move {
        let repo = person.recoverer().open().await.unwrap();
        quarantine::quarantine(&repo, &name, "a test", &Hands).await.unwrap();
    };
    let at_person = |call: &Call| call.path.as_ref().contains(&path_of(PERSON));
    let fault = Arc::new(Meanwhile::at(at_person, puts_aside));
    let repo = graph.recoverer().under(fault.clone()).open().await.unwrap();
    graph.recoverer().run_on(repo).await.unwrap();
    assert!(fault.happened());
    assert_eq!((graph.pin(MAIN, PERSON).await, graph.markers(MAIN).await.len()), (1, 0));
}

/// Between the second listing and the arming: only the record that is looked at again tells.
async fn a_merge_that_is_confirmed_while_its_undoing_begins_is_shown(graph: Graph) {
    let (graph, operation, confirms) = unconfirmed_merge(graph).await;
    let fence = format!("__recovery/{operation}.fence");
    let arms = move |call: &Call| is_write(call) && call.path.as_ref().ends_with(&fence);
    let fault = Arc::new(Meanwhile::at(arms, confirms));
    let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done), "{:?}", told.report.scopes);
    graph.is_settled().await;
}

/// The record was made of the sidecar as it was before that.
async fn a_merge_that_is_published_while_its_undoing_begins_is_already_published(graph: Graph) {
    let source = wrecks::merge(&graph).await;
    let draft = graph.sidecar("BranchMerge").on(wrecks::FEATURE).merging(&source);
    let operation = draft.pin(PERSON, 2, 3).write().await;
    graph.table_on(PERSON, wrecks::FEATURE).upsert(&["eve"]).await;
    let graph = Arc::new(graph);
    let (writer, name) = (graph.clone(), operation.clone());
    let finishes = async move {
        writer.publish_merge(wrecks::FEATURE, &[(PERSON, 3)], &source).await;
        writer.remove_sidecar(&name).await;
    };
    let fence = format!("__recovery/{operation}.fence");
    let arms = move |call: &Call| is_write(call) && call.path.as_ref().ends_with(&fence);
    let fault = Arc::new(Meanwhile::at(arms, finishes));
    let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(
        told.ended(&operation),
        (Verdict::AlreadyPublished, Outcome::Done),
        "{:?}",
        told.report.scopes
    );
    graph.is_settled().await;
}

/// It writes no record before it publishes.
async fn a_schema_change_that_begins_during_the_look_is_not_published_under(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let graph = Arc::new(graph);
    let writer = graph.clone();
    let at_person = |call: &Call| call.path.as_ref().contains(&path_of(PERSON));
    let fault = Arc::new(Meanwhile::at(at_person, async move { wrecks::lock(&writer).await }));
    let told = graph.recoverer().without_window().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Waits), "{:?}", told.report.scopes);
    assert_eq!(graph.pin(MAIN, PERSON).await, 1);
}

async fn a_branch_that_is_deleted_during_the_look_leaves_an_orphan(graph: Graph) {
    let operation = wrecks::complete_on_a_branch(&graph).await;
    let graph = Arc::new(graph);
    let writer = graph.clone();
    let tree = format!("__manifest/tree/{}", wrecks::FEATURE);
    let reads = move |call: &Call| call.path.as_ref().contains(&tree);
    let deletes = async move { writer.delete_branch(wrecks::FEATURE).await };
    let fault = Arc::new(Meanwhile::at(reads, deletes));
    let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(told.ended(&operation), (Verdict::DiscardOrphan, Outcome::Done), "{:?}", told.report.scopes);
}
