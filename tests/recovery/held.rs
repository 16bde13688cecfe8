//! What is not understood is left untouched and named; everything else goes on.

use crate::harness::Hands;
use crate::support::faults::{Dies, denied, slow_down};
use crate::support::graph::create::stamp;
use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, MANIFEST, PERSON, TABLES, next_ulid, path_of};
use crate::wrecks::{self, FEATURE, Spoiled};
use crate::{claims, on_both_dialects};
use outrigger::Kind;
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::decide::drift::Choice;
use outrigger::passes::recovery::{quarantine, repair};
use outrigger::passes::report::{Exit, Outcome};
use outrigger::store::{Call, Fault, Key, Verb};
use std::sync::Arc;

on_both_dialects!(
    a_sidecar_that_cannot_be_read_is_named_and_the_others_go_on,
    a_name_that_is_no_operation_is_named_and_left,
    rows_that_no_rule_gives_to_the_writer_are_held,
    a_commit_shown_in_half_by_somebody_else_is_held,
    a_table_whose_versions_were_cleaned_up_is_held,
    a_table_shown_above_its_newest_version_is_held,
    a_table_that_the_graph_does_not_know_is_held,
    a_branch_that_was_created_in_half_is_held,
    a_stamp_that_is_not_ours_is_refused_before_any_write,
    a_branch_with_a_foreign_stamp_is_held_and_main_goes_on,
    a_fence_record_that_cannot_be_read_is_named_and_the_others_go_on,
    a_sidecar_that_may_not_be_read_ends_the_look_before_anything_is_published,
    an_armed_record_that_is_held_can_be_put_aside_and_brought_back,
    a_fence_record_that_cannot_be_read_can_be_ended,
    a_branch_whose_manifest_cannot_be_read_holds_nobody_else,
    a_table_for_which_the_store_does_not_answer_fails_alone,
    a_store_that_answers_for_no_table_ends_the_search,
    a_version_that_was_cut_off_holds_its_table_alone,
    a_schema_change_whose_files_may_not_be_read_is_held,
);

/// Everything of this operation and its table is as it was.
async fn is_held(graph: &Graph, operation: &str, word: &str) {
    let before = graph.picture().await;
    let told = graph.recover().await;
    let scope = told.of(operation);
    assert_eq!((scope.verdict, scope.outcome), (Verdict::Hold, Outcome::Held), "{scope:?}");
    assert!(scope.reason.contains(word), "{scope:?}");
    assert_eq!(told.exit(), Exit::Held);
    assert!(graph.picture().await == before, "what is held is untouched");
}

async fn a_sidecar_that_cannot_be_read_is_named_and_the_others_go_on(graph: Graph) {
    let bad = wrecks::spoiled(&graph).await;
    let good = wrecks::complete(&graph).await;

    let told = graph.recover().await;
    assert_eq!(told.ended(&good), (Verdict::RollForward, Outcome::Done));
    assert_eq!(graph.pin(MAIN, PERSON).await, 2);
    for Spoiled { operation, word, bytes } in bad {
        let scope = told.of(&operation);
        assert_eq!((scope.verdict, scope.outcome), (Verdict::Hold, Outcome::Held), "{scope:?}");
        assert!(scope.reason.contains(word), "{word}: {scope:?}");
        assert!(scope.reason.contains("outrigger sidecars quarantine"), "{scope:?}");
        assert!(scope.reason.len() < 1000, "{scope:?}");
        let stored = graph.place.get(&Graph::sidecar_key(&operation)).await.unwrap().unwrap().bytes;
        assert!(stored == bytes, "{word}: a held sidecar was changed");
    }
    assert_eq!(told.exit(), Exit::Held);
}

async fn a_name_that_is_no_operation_is_named_and_left(graph: Graph) {
    let odd = Key::parse("__recovery/notes of last week.json").unwrap();
    graph.place.put(&odd, "{}".into()).await.unwrap();
    for ignored in ["__recovery/readme.txt", "__recovery/old.json.bak", "__recovery/sub/x.json"] {
        graph.place.put(&Key::parse(ignored).unwrap(), "{}".into()).await.unwrap();
    }
    let told = graph.recover().await;
    let scope = told.only();
    assert_eq!((scope.scope.as_str(), scope.outcome), (odd.as_str(), Outcome::Held));
    assert_eq!(graph.controls().await.len(), 4);
}

async fn rows_that_no_rule_gives_to_the_writer_are_held(graph: Graph) {
    let operation = wrecks::unexplained(&graph).await;
    is_held(&graph, &operation, "2 Append, 3 Append").await;
}

async fn a_commit_shown_in_half_by_somebody_else_is_held(graph: Graph) {
    let operation = wrecks::half_shown(&graph).await;
    is_held(&graph, &operation, "on node:Person but not on node:Company").await;
}

async fn a_table_whose_versions_were_cleaned_up_is_held(graph: Graph) {
    let operation = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(PERSON).index().await;
    let middle = format!("{}/_versions/{:020}.manifest", path_of(PERSON), u64::MAX - 2);
    graph.place.delete(&Key::parse(&middle).unwrap()).await.unwrap();
    is_held(&graph, &operation, "cannot be read").await;
}

async fn a_table_shown_above_its_newest_version_is_held(graph: Graph) {
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    let operation = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.table(COMPANY).append(&["three"]).await;
    let newest = format!("{}/_versions/{:020}.manifest", path_of(PERSON), u64::MAX - 2);
    graph.place.delete(&Key::parse(&newest).unwrap()).await.unwrap();
    is_held(&graph, &operation, "above its newest version").await;
}

async fn a_table_that_the_graph_does_not_know_is_held(graph: Graph) {
    let operation = graph.sidecar("Load").pin("node:Ghost", 1, 2).write().await;
    is_held(&graph, &operation, "node:Ghost").await;
}

/// Its history is missing (graph-v3), or its record is there without files: no engine can open it either.
async fn a_branch_that_was_created_in_half_is_held(graph: Graph) {
    graph.branch(FEATURE).await;
    graph.fork(PERSON, FEATURE).await;
    let operation = graph.sidecar("Load").on(FEATURE).of(&[PERSON]).write().await;
    graph.table_on(PERSON, FEATURE).append(&["eve"]).await;
    let lost = if graph.has_inline_lineage() { MANIFEST } else { "_graph_commits.lance" };
    let tree = Key::parse(&format!("{lost}/tree/{FEATURE}")).unwrap();
    for object in graph.place.list(&tree).await.unwrap() {
        graph.place.delete(&object.key).await.unwrap();
    }
    let other = wrecks::complete(&graph).await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&operation), (Verdict::Hold, Outcome::Held));
    assert_eq!(told.ended(&other), (Verdict::RollForward, Outcome::Done));
}

async fn a_stamp_that_is_not_ours_is_refused_before_any_write(graph: Graph) {
    wrecks::complete_on_three_tables(&graph).await;
    wrecks::half_done(&graph).await;
    for foreign in [Some("5"), Some("6"), Some("1000000"), Some("1"), Some("0"), Some("three"), None] {
        stamp(&mut graph.open(MANIFEST, MAIN).await, foreign).await;
        let before = graph.picture().await;
        let error = graph.recoverer().run().await.unwrap_err();
        assert_eq!((error.kind(), Exit::of(&error).code()), (Kind::Refused, 78), "{foreign:?}");
        assert!(error.to_string().contains(foreign.unwrap_or("1")), "{error}");
        assert!(error.to_string().contains("nothing was written"), "{error}");
        assert!(graph.picture().await == before, "{foreign:?}: a refused graph was written");
    }
    // 2 is read, and every scope of it is held.
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("2")).await;
    let before = graph.picture().await;
    let told = graph.recover().await;
    assert!(!told.report.scopes.is_empty());
    for scope in &told.report.scopes {
        assert_eq!(scope.outcome, Outcome::Held, "{scope:?}");
    }
    assert!(told.report.scopes[0].reason.contains("format stamp 2"), "{:?}", told.report.scopes[0]);
    assert!(graph.picture().await == before, "a graph of stamp 2 was written");
}

async fn a_branch_with_a_foreign_stamp_is_held_and_main_goes_on(graph: Graph) {
    let old = wrecks::complete_on_a_branch(&graph).await;
    stamp(&mut graph.open(MANIFEST, FEATURE).await, None).await;
    let new = graph.sidecar("Load").of(&[KNOWS]).write().await;
    graph.table(KNOWS).append(&["three"]).await;
    let version = graph.manifest_version(FEATURE).await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&old), (Verdict::Hold, Outcome::Held));
    assert_eq!(told.ended(&new), (Verdict::RollForward, Outcome::Done));
    assert_eq!(graph.manifest_version(FEATURE).await, version);
    assert_eq!(graph.shown(MAIN).await.len(), TABLES.len());
    // Also what no sidecar explains is looked for on the others.
    graph.table(COMPANY).index().await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&format!("branch {FEATURE}")), (Verdict::Hold, Outcome::Held));
    assert_eq!(told.ended(&format!("drift {COMPANY} on main")), (Verdict::RollForward, Outcome::Done));
}

async fn a_fence_record_that_cannot_be_read_is_named_and_the_others_go_on(graph: Graph) {
    for (ending, text) in
        [("fence", "{".to_owned()), ("fence", " ".repeat(20 << 20)), ("fence.closed", "{}".into())]
    {
        let name = format!("__recovery/{}.{ending}", next_ulid());
        graph.place.put(&Key::parse(&name).unwrap(), text.into()).await.unwrap();
    }
    let good = wrecks::complete(&graph).await;
    graph.table(COMPANY).append(&["foreign"]).await;
    let told = graph.recover().await;
    assert_eq!(told.ended(&good), (Verdict::RollForward, Outcome::Done));
    assert_eq!(told.ended(&format!("drift {COMPANY} on main")), (Verdict::Hold, Outcome::Held));
    let named = told.report.scopes.iter().filter(|scope| scope.reason.contains("fence record"));
    assert_eq!(named.count(), 2, "{:?}", told.report.scopes);
}

/// Refuses every call on names that contain one of these, of one verb or of any.
#[derive(Debug)]
struct Refuses {
    part: String,
    verb: Option<Verb>,
}

#[async_trait::async_trait]
impl Fault for Refuses {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        let is_meant =
            call.path.as_ref().contains(&self.part) && self.verb.is_none_or(|verb| verb == call.verb);
        if is_meant { Err(denied()) } else { Ok(()) }
    }
}

/// Of another owner, or encrypted by a key that is not ours: it may claim any table, and what it has committed must not
/// complete another.
async fn a_sidecar_that_may_not_be_read_ends_the_look_before_anything_is_published(graph: Graph) {
    let hidden = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["whose?"]).await;
    let fault = Refuses { part: format!("{hidden}.json"), verb: Some(Verb::Get) };
    let refused = graph.recoverer().under(Arc::new(fault)).run().await.unwrap_err();
    assert!(refused.kind() == Kind::Denied && refused.to_string().contains(&hidden), "{refused}");
    assert_eq!(graph.pin(MAIN, PERSON).await, 1);
}

async fn an_armed_record_that_is_held_can_be_put_aside_and_brought_back(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    // Dies with its record armed; somebody takes the sidecar away, and commits what nothing explains.
    let _ = graph.recoverer().under(Arc::new(Dies::after_writes(1))).run().await;
    graph.remove_sidecar(&operation).await;
    graph.table(KNOWS).append(&["foreign"]).await;
    is_held(&graph, &operation, "sidecars quarantine").await;
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &operation, "a test", &Hands).await.unwrap();
    let told = graph.recover().await;
    assert!(told.report.scopes.iter().all(|scope| scope.scope.starts_with("drift ")), "{:?}", told.report);
    assert!(told.report.scopes.iter().all(|scope| scope.outcome == Outcome::Held), "{:?}", told.report);
    quarantine::restore(&repo, &operation).await.unwrap();
    assert_eq!(graph.controls().await, [format!("{operation}.fence")]);
    is_held(&graph, &operation, "sidecars quarantine").await;
}

async fn a_fence_record_that_cannot_be_read_can_be_ended(graph: Graph) {
    let operation = next_ulid();
    let fence = format!("{operation}.fence");
    graph.place.put(&Key::parse(&format!("__recovery/{fence}")).unwrap(), "{".into()).await.unwrap();
    let told = graph.recover().await;
    assert!(told.only().reason.contains(&format!("sidecars quarantine {fence}")), "{:?}", told.only());
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &fence, "a test", &Hands).await.unwrap();
    assert!(graph.recover().await.report.scopes.is_empty());
    quarantine::restore(&repo, &fence).await.unwrap();
    assert_eq!(graph.recover().await.only().outcome, Outcome::Held);
}

async fn a_branch_whose_manifest_cannot_be_read_holds_nobody_else(graph: Graph) {
    let merged = wrecks::merge_confirmed(&graph).await;
    graph.branch("lost").await;
    wrecks::written_on(&graph, "lost", KNOWS, "three").await;
    for file in graph.place.list(&Key::parse(&format!("{MANIFEST}/tree/lost/data")).unwrap()).await.unwrap() {
        graph.place.delete(&file.key).await.unwrap();
    }
    graph.table(KNOWS).index().await;
    let told = graph.recover().await;
    assert_eq!(told.ended("branch lost").1, Outcome::Held, "{:?}", told.report.scopes);
    assert_eq!(told.of("drift edge:Knows on main").outcome, Outcome::Done, "{:?}", told.report.scopes);
    // Its history may hold the merge base.
    let expected = if graph.has_inline_lineage() { Outcome::Held } else { Outcome::Done };
    assert_eq!(told.of(&merged).outcome, expected, "{:?}", told.report.scopes);
}

async fn a_table_for_which_the_store_does_not_answer_fails_alone(graph: Graph) {
    graph.table(COMPANY).index().await;
    graph.table(KNOWS).index().await;
    let fault = Refuses { part: format!("{}/_versions", path_of(COMPANY)), verb: None };
    let told = graph.recoverer().under(Arc::new(fault)).run().await.unwrap();
    assert_eq!(told.of("drift node:Company on main").outcome, Outcome::Failed, "{:?}", told.report.scopes);
    assert_eq!(told.of("drift edge:Knows on main").outcome, Outcome::Done, "{:?}", told.report.scopes);
}

/// Asked for each of a thousand tables with all our patience, it would keep us for hours.
async fn a_store_that_answers_for_no_table_ends_the_search(graph: Graph) {
    #[derive(Debug)]
    struct Throttles;
    #[async_trait::async_trait]
    impl Fault for Throttles {
        async fn before(&self, call: &Call) -> object_store::Result<()> {
            let path = call.path.as_ref();
            let is_table = path.contains("nodes/") || path.contains("edges/");
            if is_table { Err(slow_down()) } else { Ok(()) }
        }
    }
    graph.table(KNOWS).index().await;
    let told = graph.recoverer().under(Arc::new(Throttles)).run().await.unwrap();
    let scope = told.only();
    assert_eq!((scope.scope.as_str(), scope.outcome), ("drift", Outcome::Failed), "{scope:?}");
}

/// As a loss of power leaves it.
async fn a_version_that_was_cut_off_holds_its_table_alone(graph: Graph) {
    for length in [0, 100] {
        let graph = Graph::on_disk(graph.dialect).await;
        graph.table(COMPANY).append(&["three"]).await;
        graph.table(KNOWS).index().await;
        let newest = format!("{}/_versions/{:020}.manifest", path_of(COMPANY), u64::MAX - 2);
        let key = Key::parse(&newest).unwrap();
        let whole = graph.place.get(&key).await.unwrap().unwrap().bytes;
        graph.place.put(&key, whole.slice(..length)).await.unwrap();
        let told = graph.recover().await;
        let scope = told.of("drift node:Company on main");
        assert_eq!(scope.outcome, Outcome::Held, "{length} bytes: {scope:?}");
        assert_eq!(
            told.of("drift edge:Knows on main").outcome,
            Outcome::Done,
            "{length}: {:?}",
            told.report.scopes
        );
        let repo = graph.recoverer().open().await.unwrap();
        let proposals = repair::drift(&repo, None, Choice::Head).await.unwrap();
        assert!(proposals.made.is_empty() && proposals.lost.len() == 1, "{proposals:?}");
    }
}

/// Unknown is not incomplete.
async fn a_schema_change_whose_files_may_not_be_read_is_held(graph: Graph) {
    let operation = wrecks::schema_complete(&graph).await;
    let before = graph.picture().await;
    let fault = Refuses { part: "_schema.ir.json".into(), verb: Some(Verb::Get) };
    let told = graph.recoverer().under(Arc::new(fault)).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::Hold, Outcome::Held), "{:?}", told.report.scopes);
    assert!(graph.picture().await == before);
}
