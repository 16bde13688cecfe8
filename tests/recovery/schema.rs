//! Schema changes: all of tables, datasets and contract files, or nothing of them; and the write lock goes with them.

use crate::harness::Hands;
use crate::support::faults::{Meanwhile, denied, is_write};
use crate::support::graph::branch::SCHEMA_LOCK;
use crate::support::graph::create::{contract, contract_of, create_table, stamp, write_contract};
use crate::support::graph::publish::{table_row, tombstone_row, version_row};
use crate::support::graph::{COMMITS, COMPANY, Graph, KNOWS, MAIN, MANIFEST, PERSON, TABLES, path_of};
use crate::wrecks::{self, TAG};
use crate::{claims, on_both_dialects, on_s3};
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::act::Acted;
use outrigger::passes::recovery::decide::Window;
use outrigger::passes::recovery::{quarantine, repair};
use outrigger::passes::report::{Outcome, WaitReason};
use outrigger::store::{Call, Fault, Key};
use serde_json::json;
use std::sync::Arc;

on_both_dialects!(
    a_complete_change_is_shown_promoted_and_unlocked,
    an_incomplete_change_is_undone_to_the_last_file,
    a_change_waits_for_a_window_that_a_person_opens,
    any_part_of_the_staged_files_alone_is_not_complete,
    files_that_were_promoted_in_part_are_promoted_to_the_end,
    a_window_that_closes_between_two_files_leaves_the_rest_to_the_next,
    a_published_change_is_promoted,
    a_change_that_only_drops_is_complete_without_a_rewrite,
    a_staged_schema_without_a_record_is_settled_by_its_completeness,
    a_staged_schema_beside_a_record_that_is_not_judged_is_left,
    a_staged_schema_of_other_columns_is_held,
    a_staged_schema_of_a_graph_that_is_never_written_stays,
    a_change_that_drops_what_was_written_since_is_undone,
    the_lock_of_a_held_change_can_be_removed_by_hand,
    a_staged_schema_without_a_record_is_promoted_to_the_end_wherever_its_writer_died,
    a_staged_schema_without_a_record_that_fits_other_tables_is_held,
    a_lock_without_a_record_is_held_and_stops_commits_on_main,
    a_lock_stops_drift_on_main_and_nothing_on_branches,
    what_another_change_has_staged_since_is_left_to_it,
    a_change_that_is_published_while_its_undoing_begins_keeps_its_files,
);
on_s3!(a_complete_change_is_shown_promoted_and_unlocked, an_incomplete_change_is_undone_to_the_last_file);

const CHANGED: [&str; 3] = [PERSON, COMPANY, TAG];

async fn text(graph: &Graph, name: &str) -> Option<String> {
    let object = graph.place.get(&Key::parse(name).unwrap()).await.unwrap()?;
    Some(String::from_utf8(object.bytes.to_vec()).unwrap())
}

/// The final contract files are of these tables, and nothing is staged.
async fn has_contract(graph: &Graph, tables: &[&str]) {
    for (name, expected) in contract(tables) {
        assert_eq!(text(graph, name).await.as_ref(), Some(&expected), "{name}");
        assert_eq!(text(graph, &format!("{name}.staging")).await, None, "{name}");
    }
}

async fn is_unlocked(graph: &Graph) {
    for dataset in [MANIFEST, COMMITS] {
        if dataset == COMMITS && graph.has_inline_lineage() {
            continue;
        }
        let branches = graph.open(dataset, MAIN).await.list_branches().await.unwrap();
        assert!(!branches.contains_key(SCHEMA_LOCK), "{dataset}");
        graph.try_open(dataset, SCHEMA_LOCK, None).await.unwrap_err();
    }
}

async fn a_complete_change_is_shown_promoted_and_unlocked(graph: Graph) {
    let operation = wrecks::schema_complete(&graph).await;
    graph.recovers_by(Verdict::RollForward).await;
    let shown = graph.shown(MAIN).await;
    assert_eq!(shown.keys().collect::<Vec<_>>(), [COMPANY, PERSON, TAG], "one dropped, one new");
    assert_eq!((shown[PERSON].version, shown[TAG].version, shown[TAG].row_count), (2, 1, 2));
    has_contract(&graph, &CHANGED).await;
    is_unlocked(&graph).await;
    assert_eq!(graph.controls().await, [""; 0]);
    let [line] = &graph.audit().await[..] else { panic!("one operation, one line") };
    assert_eq!((line.kind.as_str(), line.writer.as_str()), ("RolledForward", "SchemaApply"));
    assert_eq!((&line.operation, &line.actor), (&operation, &None));
    let moved =
        |table: &str, from: u64, to: u64| json!({"table_key": table, "from_version": from, "to_version": to});
    assert_eq!(line.outcomes, json!([moved(PERSON, 1, 2), moved(TAG, 0, 1)]));
}

async fn an_incomplete_change_is_undone_to_the_last_file(graph: Graph) {
    let before = graph.content(MAIN).await;
    let operation = wrecks::schema_half_done(&graph).await;
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, before);
    has_contract(&graph, &TABLES).await;
    is_unlocked(&graph).await;
    let left = graph.place.list(&Key::parse(&path_of(TAG)).unwrap()).await.unwrap();
    assert_eq!(left, [], "so that the same change can be tried again");
    assert_eq!(graph.controls().await, [format!("{operation}.fence"), format!("{operation}.fence.closed")]);
}

async fn a_change_waits_for_a_window_that_a_person_opens(graph: Graph) {
    let complete = wrecks::schema_complete(&graph).await;
    let before = graph.picture().await;
    for run in [graph.recoverer().without_window(), graph.recoverer().in_window(Window::Schedule)] {
        assert_eq!(run.run().await.unwrap().ended(&complete), (Verdict::RollForward, Outcome::Waits));
        assert!(graph.picture().await == before);
    }
    let told = graph.recoverer().in_window(Window::Manual).run().await.unwrap();
    assert_eq!(told.ended(&complete), (Verdict::RollForward, Outcome::Done));
}

/// The writer stages source, compiled form and state, in this order, and may die between them.
async fn any_part_of_the_staged_files_alone_is_not_complete(graph: Graph) {
    let before = graph.content(MAIN).await;
    for staged in 1..=2 {
        let operation = wrecks::schema_half_done(&graph).await;
        for (name, text) in contract(&CHANGED).into_iter().take(staged) {
            let key = Key::parse(&format!("{name}.staging")).unwrap();
            graph.place.put(&key, text.into()).await.unwrap();
        }
        let told = graph.recover().await;
        assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Done), "{staged} staged");
        assert_eq!(graph.content(MAIN).await, before);
        has_contract(&graph, &TABLES).await;
        is_unlocked(&graph).await;
    }
}

/// Source, compiled form and state become final in this order, and whoever does it may die between them.
async fn promote(graph: &Graph, files: usize) {
    for (name, _) in contract(&CHANGED).into_iter().take(files) {
        let staged = Key::parse(&format!("{name}.staging")).unwrap();
        let text = graph.place.get(&staged).await.unwrap().unwrap().bytes;
        graph.place.put(&Key::parse(name).unwrap(), text).await.unwrap();
        graph.place.delete(&staged).await.unwrap();
    }
}

async fn files_that_were_promoted_in_part_are_promoted_to_the_end(graph: Graph) {
    wrecks::schema_complete(&graph).await;
    promote(&graph, 1).await;
    graph.recovers_by(Verdict::RollForward).await;
    has_contract(&graph, &CHANGED).await;
}

/// Each file takes a permit, and so does the lock.
async fn a_window_that_closes_between_two_files_leaves_the_rest_to_the_next(graph: Graph) {
    let operation = wrecks::schema_complete(&graph).await;
    let one_act = || graph.recoverer().permitted(1).run();
    for promoted in 1..=3 {
        assert_eq!(one_act().await.unwrap().ended(&operation), (Verdict::Finish, Outcome::Waits));
        for (nth, (name, expected)) in contract(&CHANGED).into_iter().enumerate() {
            let last = text(&graph, name).await.as_ref() == Some(&expected);
            let staged = text(&graph, &format!("{name}.staging")).await.is_some();
            assert_eq!((last, staged), (nth < promoted, nth >= promoted), "{name} after {promoted}");
        }
    }
    assert_eq!(one_act().await.unwrap().ended(&operation), (Verdict::Finish, Outcome::Done));
    has_contract(&graph, &CHANGED).await;
    is_unlocked(&graph).await;
    graph.is_settled().await;
}

/// The writer died between its publish and the renaming of its files.
async fn a_published_change_is_promoted(graph: Graph) {
    use crate::support::graph::publish::{table_row, tombstone_row, version_row};
    let operation = wrecks::schema_complete(&graph).await;
    let rows = vec![
        version_row(&graph, PERSON, MAIN, 2).await,
        table_row(TAG),
        version_row(&graph, TAG, MAIN, 1).await,
        tombstone_row(KNOWS, 2),
    ];
    graph.publish_rows(MAIN, rows, None).await;
    let shown = graph.shown(MAIN).await;
    let told = graph.recover().await;
    assert_eq!(told.of(&operation).outcome, Outcome::Done, "{:?}", told.of(&operation));
    assert_eq!(graph.shown(MAIN).await, shown);
    assert_eq!(graph.audit().await[0].kind, "RolledForward");
    has_contract(&graph, &CHANGED).await;
    is_unlocked(&graph).await;
    graph.is_settled().await;
}

async fn a_change_that_only_drops_is_complete_without_a_rewrite(graph: Graph) {
    wrecks::lock(&graph).await;
    graph.sidecar("SchemaApply").drops(KNOWS, 2).write().await;
    write_contract(&graph, &[PERSON, COMPANY], true).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(graph.shown(MAIN).await.keys().collect::<Vec<_>>(), [COMPANY, PERSON]);
    has_contract(&graph, &[PERSON, COMPANY]).await;
    is_unlocked(&graph).await;
}

/// H14: a change of annotations or indexes alone writes no sidecar.
async fn a_staged_schema_without_a_record_is_settled_by_its_completeness(graph: Graph) {
    // Complete: another source text for the same tables.
    write_contract(&graph, &TABLES, true).await;
    let source = Key::parse("_schema.pg.staging").unwrap();
    graph.place.put(&source, "// annotated\n".into()).await.unwrap();
    wrecks::lock(&graph).await;
    let before = graph.picture().await;
    assert_eq!(graph.recover_beside_writers().await.only().outcome, Outcome::Waits);
    assert!(graph.picture().await == before);
    let told = graph.recover().await;
    assert_eq!((told.only().verdict, told.only().outcome), (Verdict::RollForward, Outcome::Done));
    assert_eq!(text(&graph, "_schema.pg").await.as_deref(), Some("// annotated\n"));
    assert_eq!(text(&graph, "_schema.pg.staging").await, None);
    is_unlocked(&graph).await;
    graph.is_settled().await;
    // Incomplete: the state is staged last.
    graph.place.put(&source, "// half\n".into()).await.unwrap();
    let told = graph.recover().await;
    assert_eq!((told.only().verdict, told.only().outcome), (Verdict::RollBack, Outcome::Done));
    assert_eq!(text(&graph, "_schema.pg").await.as_deref(), Some("// annotated\n"));
    assert_eq!(text(&graph, "_schema.pg.staging").await, None);
    graph.is_settled().await;
}

async fn a_staged_schema_without_a_record_is_promoted_to_the_end_wherever_its_writer_died(graph: Graph) {
    for files in 0..3 {
        write_contract(&graph, &TABLES, true).await;
        promote(&graph, files).await;
        graph.recovers_by(Verdict::RollForward).await;
        has_contract(&graph, &TABLES).await;
    }
}

/// A change that rewrites tables has a record; who took this one's away cannot be told.
async fn a_staged_schema_without_a_record_that_fits_other_tables_is_held(graph: Graph) {
    for files in 0..3 {
        write_contract(&graph, &CHANGED, true).await;
        promote(&graph, files).await;
        let before = graph.picture().await;
        let told = graph.recover().await;
        assert_eq!((told.only().verdict, told.only().outcome), (Verdict::Hold, Outcome::Held), "{files}");
        assert!(told.only().reason.contains("other tables than the graph has"), "{:?}", told.only());
        assert!(graph.picture().await == before);
    }
}

async fn a_lock_stops_drift_on_main_and_nothing_on_branches(graph: Graph) {
    let operation = wrecks::complete_on_a_branch(&graph).await;
    graph.table(KNOWS).index().await;
    wrecks::lock(&graph).await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done));
    let waits = told.of(KNOWS).waits.map(|wait| wait.reason);
    assert_eq!((told.ended(KNOWS).0, waits), (Verdict::RollForward, Some(WaitReason::Lock)));
    assert_eq!(graph.pin(MAIN, KNOWS).await, 1);
}

async fn a_lock_without_a_record_is_held_and_stops_commits_on_main(graph: Graph) {
    wrecks::lock(&graph).await;
    let operation = wrecks::complete(&graph).await;
    let before = graph.picture().await;
    let told = graph.recover().await;
    assert_eq!(
        told.ended(&operation),
        (Verdict::RollForward, Outcome::Waits),
        "a live change would lose its turn"
    );
    assert!(told.of(&operation).reason.contains("repair lock"), "{:?}", told.of(&operation));
    assert_eq!(told.ended("schema"), (Verdict::Hold, Outcome::Held));
    assert!(graph.picture().await == before);
}

async fn stage(graph: &Graph, files: [(&'static str, String); 3]) {
    for (name, text) in files {
        graph.place.put(&Key::parse(&format!("{name}.staging")).unwrap(), text.into()).await.unwrap();
    }
}

/// Staged files may be those of a crash record that cannot be read, or that a person has put aside.
async fn a_staged_schema_beside_a_record_that_is_not_judged_is_left(graph: Graph) {
    stage(&graph, contract(&TABLES)).await;
    let operation = graph.sidecar("SchemaApply").of(&[PERSON]).write().await;
    let good = graph.place.get(&Graph::sidecar_key(&operation)).await.unwrap().unwrap().bytes;
    for text in [bytes::Bytes::from("{"), good] {
        graph.put_sidecar(&operation, text).await;
        let repo = graph.recoverer().open().await.unwrap();
        quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap();
        let before = graph.picture().await;
        let told = graph.recover().await;
        assert_eq!(told.ended("schema"), (Verdict::Hold, Outcome::Held));
        assert!(told.of("schema").reason.contains(&operation), "{:?}", told.of("schema"));
        assert!(graph.picture().await == before);
        quarantine::restore(&repo, &operation).await.unwrap();
    }
    graph.put_sidecar(&operation, "{").await;
    assert_eq!(graph.recover().await.ended("schema"), (Verdict::Hold, Outcome::Held));
    // Another writer's record says nothing of the schema.
    graph.place.delete(&Graph::sidecar_key(&operation)).await.unwrap();
    let load = graph.sidecar("Load").of(&[PERSON]).write().await;
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &load, "a test", &Hands).await.unwrap();
    assert_eq!(graph.recover().await.ended("schema"), (Verdict::RollForward, Outcome::Done));
}

async fn a_staged_schema_of_other_columns_is_held(graph: Graph) {
    stage(&graph, contract_of(&TABLES, &["age", "name", "nickname"])).await;
    let before = graph.picture().await;
    let told = graph.recover().await;
    assert_eq!(told.ended("schema"), (Verdict::Hold, Outcome::Held));
    assert!(told.of("schema").reason.contains("other columns"), "{:?}", told.of("schema"));
    assert!(graph.picture().await == before);
}

async fn a_staged_schema_of_a_graph_that_is_never_written_stays(graph: Graph) {
    stage(&graph, contract(&TABLES)).await;
    wrecks::lock(&graph).await;
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("2")).await;
    let before = graph.picture().await;
    let told = graph.recover().await;
    assert_eq!((told.only().scope.as_str(), told.only().outcome), ("branch main", Outcome::Held));
    assert!(graph.picture().await == before, "a graph of stamp 2 was written");
}

async fn a_change_that_drops_what_was_written_since_is_undone(graph: Graph) {
    let operation = wrecks::schema_complete(&graph).await;
    graph.table(KNOWS).append(&["three"]).await;
    graph.publish_heads(&[KNOWS]).await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&operation), (Verdict::RollBack, Outcome::Done), "{:?}", told.of(&operation));
    assert!(told.of(&operation).reason.contains("edge:Knows was written to since"));
    assert_eq!(graph.pin(MAIN, KNOWS).await, 2);
    has_contract(&graph, &TABLES).await;
    is_unlocked(&graph).await;
}

async fn the_lock_of_a_held_change_can_be_removed_by_hand(graph: Graph) {
    wrecks::lock(&graph).await;
    stage(&graph, contract(&TABLES)).await;
    let repo = graph.recoverer().open().await.unwrap();
    let refused = repair::lock(&repo).await.unwrap_err();
    assert!(refused.to_string().contains("once --exclusive"), "{refused}");
    stage(&graph, contract_of(&TABLES, &["age"])).await;
    assert_eq!(graph.recover().await.ended("schema"), (Verdict::Hold, Outcome::Held));
    let proposal = repair::lock(&repo).await.unwrap().expect("nothing else takes it off");
    assert!(matches!(repair::carry_out(&repo, &proposal, &Hands).await.unwrap(), Acted::Settled));
    is_unlocked(&graph).await;
    assert!(text(&graph, "_schema.pg.staging").await.is_some());
}

/// All is done but the last step.
#[derive(Debug)]
struct NeverCloses;

#[async_trait::async_trait]
impl Fault for NeverCloses {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        if call.path.as_ref().ends_with(".fence.closed") { Err(denied()) } else { Ok(()) }
    }
}

/// Files and lock do not say whose they are. The armed record of the first change is older than those of the second; and what
/// the second one's record names is the second's, whatever the clocks said.
async fn what_another_change_has_staged_since_is_left_to_it(graph: Graph) {
    for is_clock_wrong in [false, true] {
        let graph = Graph::on_disk(graph.dialect).await;
        let first = wrecks::schema_half_done(&graph).await;
        let told = graph.recoverer().under(Arc::new(NeverCloses)).run().await.unwrap();
        assert_eq!(told.only().outcome, Outcome::Failed, "{:?}", told.only());
        assert_eq!(graph.controls().await, [format!("{first}.fence")]);
        let second = wrecks::schema_complete(&graph).await;
        if is_clock_wrong {
            let fence = graph.place.dir().join(format!("graph/__recovery/{first}.fence"));
            let file = std::fs::File::options().write(true).open(fence).unwrap();
            file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(3600)).unwrap();
        }
        let told = graph.recover().await;
        assert_eq!(told.ended(&first), (Verdict::Finish, Outcome::Done), "{:?}", told.report.scopes);
        assert_eq!(told.ended(&second), (Verdict::RollForward, Outcome::Done), "{:?}", told.report.scopes);
        has_contract(&graph, &CHANGED).await;
        is_unlocked(&graph).await;
        graph.is_settled().await;
    }
}

/// Nothing of it has moved when it is looked at; then its writer, who was promised to be dead, goes on. Whose the files are
/// that were staged after its record was armed cannot be told: a person decides.
async fn a_change_that_is_published_while_its_undoing_begins_keeps_its_files(graph: Graph) {
    wrecks::lock(&graph).await;
    let draft = graph.sidecar("SchemaApply").registers(&[TAG]).drops(KNOWS, 2);
    let operation = draft.write().await;
    let graph = Arc::new(graph);
    let writer = graph.clone();
    let publishes = async move {
        create_table(&writer, TAG).await;
        write_contract(&writer, &CHANGED, true).await;
        let version = version_row(&writer, TAG, MAIN, 1).await;
        writer.publish_rows(MAIN, vec![table_row(TAG), version, tombstone_row(KNOWS, 2)], None).await;
    };
    let of_manifest = |call: &Call| is_write(call) && call.path.as_ref().contains("__manifest/data");
    let fault = Arc::new(Meanwhile::at(of_manifest, publishes));
    let told = graph.recoverer().under(fault.clone()).run().await.unwrap();
    assert!(fault.happened());
    assert_eq!(told.ended(&operation), (Verdict::Hold, Outcome::Held), "{:?}", told.report.scopes);
    assert!(graph.markers(MAIN).await.is_empty());
    for (name, expected) in contract(&CHANGED) {
        assert_eq!(text(&graph, &format!("{name}.staging")).await, Some(expected), "{name}");
    }
    // Put aside, and looked at: the files fit what is shown.
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap();
    let aside = Key::parse(&format!("__recovery/{operation}.json.quarantined")).unwrap();
    graph.place.delete(&aside).await.unwrap();
    assert_eq!(graph.recover().await.ended("schema"), (Verdict::RollForward, Outcome::Done));
    has_contract(&graph, &CHANGED).await;
    is_unlocked(&graph).await;
}
