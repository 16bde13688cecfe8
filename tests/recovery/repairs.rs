//! What only a person may decide.

use crate::harness::Hands;
use crate::support::faults::{Dies, Meanwhile, denied};
use crate::support::graph::branch::SCHEMA_LOCK;
use crate::support::graph::create::stamp;
use crate::support::graph::{Graph, MAIN, MANIFEST, PERSON, path_of};
use crate::wrecks::{self, FEATURE};
use crate::{claims, on_both_dialects};
use outrigger::Kind;
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::act::Acted;
use outrigger::passes::recovery::decide::drift::Choice;
use outrigger::passes::recovery::{quarantine, repair};
use outrigger::passes::report::Outcome;
use outrigger::store::Fault;
use outrigger::store::{Call, Key, Verb};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

on_both_dialects!(
    a_fork_that_lost_its_record_gets_it_back,
    a_fork_whose_files_are_gone_is_beyond_repair,
    with_all_records_there_is_nothing_to_repair,
    a_lost_record_is_told_and_left_to_a_person,
    a_record_that_is_written_anew_is_still_the_parent_of_its_forks,
    the_rest_of_a_lock_without_a_record_is_removed,
    a_lock_that_somebody_else_has_taken_meanwhile_is_left_alone,
    maintenance_is_shown_only_after_a_person_was_asked_if_the_policy_says_so,
    what_was_published_to_a_branch_that_is_deleted_meanwhile_is_taken_back,
    a_graph_that_is_never_written_is_not_repaired,
    drift_that_was_published_in_part_meanwhile_is_not_restored,
    the_table_of_a_held_record_can_be_repaired,
    a_table_that_recovery_settles_is_left_to_it,
    a_branch_made_anew_under_a_publish_is_left_as_it_was_made,
    a_quarantined_record_comes_back_with_the_fence_of_the_undoing_that_had_begun,
    a_lock_that_is_taken_anew_while_it_is_removed_keeps_its_record,
    a_record_that_its_writer_changes_is_not_put_aside,
    what_was_put_aside_stays_a_persons_though_the_copy_is_moved_away,
    a_lost_record_under_a_crash_record_is_told_with_its_remedy,
    a_record_of_a_branch_that_was_made_anew_stays_aside,
    what_was_restored_on_a_branch_that_is_gone_is_taken_back_whatever_ended_the_act,
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
    let proposals = repair::missing_records(&repo, None).await.unwrap().made;
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
    let proposals = repair::missing_records(&repo, None).await.unwrap();
    assert!(proposals.made.is_empty());
    let [(what, why)] = &proposals.lost[..] else { panic!("{proposals:?}") };
    assert!(what.contains(PERSON) && why.contains("backup"), "{proposals:?}");
    assert!(graph.picture().await == before);
}

async fn with_all_records_there_is_nothing_to_repair(graph: Graph) {
    forked(&graph).await;
    assert_eq!(graph.pin(MAIN, PERSON).await, 1);
    let repo = graph.recoverer().open().await.unwrap();
    assert!(repair::missing_records(&repo, None).await.unwrap().made.is_empty());
}

async fn a_lost_record_is_told_and_left_to_a_person(graph: Graph) {
    forked(&graph).await;
    graph.place.delete(&record()).await.unwrap();
    let before = graph.picture().await;
    let told = graph.recover().await;
    let scope = told.only();
    assert_eq!((scope.outcome, &scope.scope), (Outcome::Held, &format!("record of {PERSON} on {FEATURE}")));
    assert!(scope.reason.contains("repair missing-ref --exclusive --table node:Person"), "{}", scope.reason);
    assert!(graph.picture().await == before);
    let repo = graph.recoverer().open().await.unwrap();
    let proposals = repair::missing_records(&repo, None).await.unwrap().made;
    repair::carry_out(&repo, &proposals[0], &Hands).await.unwrap();
    graph.is_settled().await;
}

async fn a_record_that_is_written_anew_is_still_the_parent_of_its_forks(graph: Graph) {
    forked(&graph).await;
    graph.branch_from(FEATURE, "deeper").await;
    graph.fork(PERSON, "deeper").await;
    let version = graph.table_on(PERSON, "deeper").append(&["gil"]).await;
    graph.publish("deeper", &[(PERSON, version)]).await;
    let identity = async || {
        let records = graph.table(PERSON).open().await.list_branches().await.unwrap();
        (records[FEATURE].identifier.clone(), records["deeper"].identifier.clone())
    };
    let before = identity().await;
    graph.place.delete(&record()).await.unwrap();
    let repo = graph.recoverer().open().await.unwrap();
    let proposals = repair::missing_records(&repo, None).await.unwrap().made;
    let [proposal] = &proposals[..] else { panic!("{proposals:?}") };
    repair::carry_out(&repo, proposal, &Hands).await.unwrap();
    assert_eq!(identity().await, before);
}

async fn the_rest_of_a_lock_without_a_record_is_removed(graph: Graph) {
    wrecks::lock(&graph).await;
    let record = Key::parse(&format!("{MANIFEST}/_refs/branches/{SCHEMA_LOCK}.json")).unwrap();
    graph.place.delete(&record).await.unwrap();
    let tree = Key::parse(&format!("{MANIFEST}/tree/{SCHEMA_LOCK}")).unwrap();
    assert!(!graph.place.list(&tree).await.unwrap().is_empty());
    let repo = graph.recoverer().open().await.unwrap();
    let proposal = repair::lock(&repo).await.unwrap().unwrap();
    assert!(matches!(repair::carry_out(&repo, &proposal, &Hands).await.unwrap(), Acted::Settled));
    assert_eq!(graph.place.list(&tree).await.unwrap(), []);
    assert!(repair::lock(&repo).await.unwrap().is_none());
}

async fn a_lock_that_somebody_else_has_taken_meanwhile_is_left_alone(graph: Graph) {
    wrecks::lock(&graph).await;
    let repo = graph.recoverer().open().await.unwrap();
    let proposal = repair::lock(&repo).await.unwrap().unwrap();
    graph.delete_branch(SCHEMA_LOCK).await;
    wrecks::lock(&graph).await;
    let ended = repair::carry_out(&repo, &proposal, &Hands).await.unwrap();
    assert!(matches!(&ended, Acted::LookAgain(why) if why.contains("another schema change")), "{ended:?}");
    assert!(graph.open(MANIFEST, MAIN).await.list_branches().await.unwrap().contains_key(SCHEMA_LOCK));

    let proposal = repair::lock(&repo).await.unwrap().unwrap();
    assert!(matches!(repair::carry_out(&repo, &proposal, &Hands).await.unwrap(), Acted::Settled));
    assert!(graph.open(MANIFEST, MAIN).await.list_branches().await.unwrap().is_empty());
}

async fn maintenance_is_shown_only_after_a_person_was_asked_if_the_policy_says_so(graph: Graph) {
    graph.table(PERSON).index().await;
    let before = graph.picture().await;
    let told = graph.recoverer().asking().run().await.unwrap();
    assert_eq!(told.only().outcome, Outcome::Held);
    assert!(told.only().reason.contains("repair drift"), "{}", told.only().reason);
    assert!(graph.picture().await == before);
    assert_eq!(graph.recover().await.only().outcome, Outcome::Done);
}

async fn what_was_published_to_a_branch_that_is_deleted_meanwhile_is_taken_back(graph: Graph) {
    let graph = Arc::new(graph);
    let operation = wrecks::complete_on_a_branch(&graph).await;
    let (other, tree) = (graph.clone(), format!("{MANIFEST}/tree/{FEATURE}/_versions"));
    let publishes = move |call: &Call| call.verb == Verb::Create && call.path.as_ref().contains(&tree);
    let deleted = Meanwhile::at(publishes, async move { other.delete_branch(FEATURE).await });
    let told = graph.recoverer().under(Arc::new(deleted)).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::DiscardOrphan, Outcome::Done), "{:#?}", told.report);
    let versions = Key::parse(&format!("{MANIFEST}/tree/{FEATURE}/_versions")).unwrap();
    assert_eq!(graph.place.list(&versions).await.unwrap(), []);
    graph.branch(FEATURE).await;
    assert_eq!(graph.content(FEATURE).await, graph.content(MAIN).await);
}

async fn a_quarantined_record_comes_back_with_the_fence_of_the_undoing_that_had_begun(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    // Dies after the fence record.
    let _ = graph.recoverer().under(Arc::new(Dies::after_writes(1))).run().await;
    let names = [format!("{operation}.fence"), format!("{operation}.json")];
    assert_eq!(graph.controls().await, names);
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &operation, "to be looked at", &Hands).await.unwrap();
    assert_eq!(graph.recover().await.report.scopes.len(), 2, "two tables are ahead, and nobody undoes them");
    quarantine::restore(&repo, &operation).await.unwrap();
    assert_eq!(graph.controls().await, names);
    graph.recovers_by(Verdict::RollBack).await;
}

async fn a_graph_that_is_never_written_is_not_repaired(graph: Graph) {
    graph.table(PERSON).append(&["foreign"]).await;
    let repo = graph.recoverer().open().await.unwrap();
    let [proposal] = &repair::drift(&repo, None, Choice::Pin).await.unwrap().made[..] else {
        panic!("one drifted")
    };
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("2")).await;
    let before = graph.picture().await;
    assert_eq!(repair::carry_out(&repo, proposal, &Hands).await.unwrap_err().kind(), Kind::Refused);
    assert!(graph.picture().await == before, "a graph of stamp 2 was written");
    let operation = wrecks::complete(&graph).await;
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some(&graph.stamp().to_string())).await;
    quarantine::quarantine(&graph.recoverer().open().await.unwrap(), &operation, "a test", &Hands)
        .await
        .unwrap();
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("2")).await;
    let before = graph.picture().await;
    let repo = graph.recoverer().open().await.unwrap();
    assert_eq!(quarantine::restore(&repo, &operation).await.unwrap_err().kind(), Kind::Refused);
    assert!(graph.picture().await == before, "a graph of stamp 2 was written");
}

/// Its writer was alive: restored to what was shown at the look, the table would lose what was published since.
async fn drift_that_was_published_in_part_meanwhile_is_not_restored(graph: Graph) {
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(PERSON).append(&["fay"]).await;
    let repo = graph.recoverer().open().await.unwrap();
    let [proposal] = &repair::drift(&repo, None, Choice::Pin).await.unwrap().made[..] else {
        panic!("one drifted")
    };
    graph.publish(MAIN, &[(PERSON, 2)]).await;
    let before = graph.picture().await;
    let ended = repair::carry_out(&repo, proposal, &Hands).await.unwrap();
    assert!(matches!(ended, Acted::LookAgain(_)), "{ended:?}");
    assert!(graph.picture().await == before);
}

/// Row 11 promises it.
async fn the_table_of_a_held_record_can_be_repaired(graph: Graph) {
    let operation = wrecks::unexplained(&graph).await;
    let repo = graph.recoverer().open().await.unwrap();
    let [proposal] = &repair::drift(&repo, None, Choice::Head).await.unwrap().made[..] else {
        panic!("one drifted")
    };
    assert!(matches!(repair::carry_out(&repo, proposal, &Hands).await.unwrap(), Acted::Settled));
    assert_eq!(graph.pin(MAIN, PERSON).await, 3);
    assert_eq!(graph.recover().await.of(&operation).outcome, Outcome::Done);
    graph.is_settled().await;
}

async fn a_table_that_recovery_settles_is_left_to_it(graph: Graph) {
    wrecks::complete(&graph).await;
    let repo = graph.recoverer().open().await.unwrap();
    assert!(repair::drift(&repo, None, Choice::Pin).await.unwrap().made.is_empty());
}

/// The same name and the same newest version, another branch: what we had judged must not become a version of it.
async fn a_branch_made_anew_under_a_publish_is_left_as_it_was_made(graph: Graph) {
    wrecks::complete_on_a_branch(&graph).await;
    let graph = Arc::new(graph);
    let anew = graph.clone();
    let event = async move {
        anew.delete_branch(FEATURE).await;
        anew.branch(FEATURE).await;
        wrecks::written_on_branch(&anew, PERSON, "gil").await;
    };
    let tree = format!("{MANIFEST}/tree/{FEATURE}/_versions");
    let publishes = move |call: &Call| call.verb == Verb::Create && call.path.as_ref().contains(&tree);
    let fault = Arc::new(Meanwhile::at(move |call| publishes(call), event));
    graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    let rows = graph.rows(FEATURE, PERSON).await;
    let has = |id: &str| rows.iter().any(|row| row.starts_with(&format!("{id}|")));
    assert!(has("gil") && !has("eve") && !has("fay"), "{rows:?}");
    assert!(graph.markers(FEATURE).await.is_empty());
    graph.table_on(PERSON, FEATURE).append(&["hal"]).await;
    graph.publish(FEATURE, &[(PERSON, graph.table_on(PERSON, FEATURE).open().await.version().version)]).await;
}

async fn a_lock_that_is_taken_anew_while_it_is_removed_keeps_its_record(graph: Graph) {
    wrecks::lock(&graph).await;
    let graph = Arc::new(graph);
    let other = graph.clone();
    let record = Key::parse(&format!("{MANIFEST}/_refs/branches/{SCHEMA_LOCK}.json")).unwrap();
    let taken = record.clone();
    let takes = async move {
        let text = other.place.get(&taken).await.unwrap().unwrap().bytes;
        let anew = [&text[..], b"\n"].concat();
        other.place.put(&taken, anew.into()).await.unwrap();
    };
    let removes = |call: &Call| {
        call.verb == Verb::Delete && call.path.as_ref().contains(&format!("{MANIFEST}/tree/{SCHEMA_LOCK}"))
    };
    let fault = Arc::new(Meanwhile::at(removes, takes));
    let repo = graph.recoverer().under(fault.clone()).open().await.unwrap();
    let proposal = repair::lock(&repo).await.unwrap().unwrap();
    let ended = repair::carry_out(&repo, &proposal, &Hands).await.unwrap();
    assert!(fault.happened());
    assert!(matches!(&ended, Acted::LookAgain(why) if why.contains("anew")), "{ended:?}");
    assert!(graph.place.get(&record).await.unwrap().is_some());
}

/// Something happens to the store, and it refuses to show the branch's manifest from then on until its branches are listed.
#[derive(Debug)]
struct ThenDenies {
    event: Meanwhile,
    is_over: AtomicBool,
}

#[async_trait::async_trait]
impl Fault for ThenDenies {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        if self.event.happened() {
            let path = call.path.as_ref();
            if path.contains(&format!("{MANIFEST}/_refs/branches")) {
                self.is_over.store(true, Ordering::Relaxed);
            }
            if path.contains(&format!("{MANIFEST}/tree")) && !self.is_over.load(Ordering::Relaxed) {
                return Err(denied());
            }
        }
        self.event.before(call).await
    }
}

/// Left there, it would come back as files without a record.
async fn what_was_restored_on_a_branch_that_is_gone_is_taken_back_whatever_ended_the_act(graph: Graph) {
    for is_denied in [false, true] {
        let graph = Arc::new(Graph::in_memory(graph.dialect).await);
        wrecks::half_done_on_a_branch(&graph).await;
        let (other, tree) = (graph.clone(), format!("{}/tree/{FEATURE}/_versions", path_of(PERSON)));
        let versions = Key::parse(&tree).unwrap();
        let restores = move |call: &Call| call.verb == Verb::Create && call.path.as_ref().contains(&tree);
        let event = Meanwhile::at(restores, async move { other.delete_branch(FEATURE).await });
        let fault = Arc::new(ThenDenies { event, is_over: AtomicBool::new(!is_denied) });
        let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
        assert!(fault.event.happened());
        let failed = told.report.scopes.iter().any(|scope| scope.outcome == Outcome::Failed);
        assert_eq!(failed, is_denied, "{:?}", told.report.scopes);
        assert_eq!(graph.place.list(&versions).await.unwrap(), []);
    }
}

/// The copy would lack what the writer has added.
async fn a_record_that_its_writer_changes_is_not_put_aside(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let key = Graph::sidecar_key(&operation);
    let graph = Arc::new(graph);
    let (writer, name) = (graph.clone(), operation.clone());
    let changes = async move {
        let text = writer.place.get(&Graph::sidecar_key(&name)).await.unwrap().unwrap().bytes;
        writer.put_sidecar(&name, [&text[..], b"\n"].concat()).await;
    };
    let closes = |call: &Call| call.path.as_ref().ends_with(".fence.closed");
    let fault = Arc::new(Meanwhile::at(closes, changes));
    let repo = graph.recoverer().under(fault.clone()).open().await.unwrap();
    let refused = quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap_err();
    assert!(fault.happened());
    assert!(refused.to_string().contains("alive"), "{refused}");
    assert_eq!(graph.controls().await, [key.file_name().to_owned()]);
    graph.recovers_by(Verdict::RollForward).await;
}

/// The note tells it, which stays.
async fn what_was_put_aside_stays_a_persons_though_the_copy_is_moved_away(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap();
    let aside = Key::parse(&format!("__recovery/{operation}.json.quarantined")).unwrap();
    graph.place.delete(&aside).await.unwrap();
    let told = graph.recover().await;
    assert_eq!(told.report.scopes.len(), 2, "{:?}", told.report.scopes);
    assert!(
        told.report.scopes.iter().all(|scope| scope.outcome == Outcome::Held),
        "{:?}",
        told.report.scopes
    );
}

/// Back under its name it would be younger than that branch, and pass for a commit on it.
async fn a_record_of_a_branch_that_was_made_anew_stays_aside(graph: Graph) {
    let operation = wrecks::half_done_on_a_branch(&graph).await;
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap();
    graph.delete_branch(FEATURE).await;
    graph.branch(FEATURE).await;
    let before = graph.controls().await;
    let refused = quarantine::restore(&repo, &operation).await.unwrap_err();
    assert!(refused.kind() == Kind::Refused && refused.to_string().contains("anew"), "{refused}");
    assert_eq!(graph.controls().await, before);
}

/// Its files are healthy: an old backup over them would lose what is newer.
async fn a_lost_record_under_a_crash_record_is_told_with_its_remedy(graph: Graph) {
    let operation = wrecks::half_done_on_a_branch(&graph).await;
    graph.place.delete(&record()).await.unwrap();
    let told = graph.recover().await;
    let scope = told.of(&operation);
    assert_eq!((scope.verdict, scope.outcome), (Verdict::Hold, Outcome::Held), "{scope:?}");
    assert!(scope.reason.contains("repair missing-ref --exclusive --table node:Person"), "{scope:?}");
    assert!(!scope.reason.contains("backup") && !scope.reason.contains("quarantine"), "{scope:?}");
}
