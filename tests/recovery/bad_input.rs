//! Bad days for a whole recovery: a clear word that names the thing, nothing lost, and the next run goes on. Sidecars of every
//! bad shape are in `held`; a missing root, a wrong bucket and missing rights in the store's own tests.

use crate::support::faults::{Breaks, Outage, no_space};
use crate::support::graph::publish::version_row;
use crate::support::graph::{COMPANY, Graph, MAIN, PERSON, path_of};
use crate::support::repos::{Sleepless, faulty, off_by};
use crate::wrecks;
use crate::{claims, on_both_dialects, on_s3};
use outrigger::Kind;
use outrigger::model::audit::Verdict;
use outrigger::model::manifest::ManifestRow;
use outrigger::passes::report::{ActionKind, ActionOutcome, Outcome};
use outrigger::store::{Key, StoreParts, Verb};
use std::sync::Arc;
use std::time::Duration;

on_both_dialects!(
    a_root_without_a_graph_is_named,
    a_row_of_an_unknown_kind_is_ignored_and_kept,
    a_broken_row_is_refused_and_named,
    a_table_whose_directory_is_gone_is_held_and_the_others_go_on,
    a_minute_of_503_only_takes_a_minute,
    a_full_disk_loses_nothing,
    a_host_clock_an_hour_slow_only_waits_and_one_an_hour_fast_only_hurries,
);
on_s3!(a_host_clock_that_is_wrong_does_not_matter_where_the_store_has_its_own);

async fn a_root_without_a_graph_is_named(graph: Graph) {
    let objects = graph.place.list(&Key::parse("__manifest").unwrap()).await.unwrap();
    for object in objects {
        graph.place.delete(&object.key).await.unwrap();
    }
    let error = graph.recoverer().run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing, "a graph without its manifest is no folder of tables: {error:?}");
    let told = error.to_string();
    assert!(told.contains(&graph.place.uri().to_string()) && told.contains("no __manifest"), "{told}");
    assert!(told.contains("restore it from a backup"), "{told}");
}

/// An unknown kind takes part in the compare-and-swap and in nothing else.
async fn a_row_of_an_unknown_kind_is_ignored_and_kept(graph: Graph) {
    let unknown = ManifestRow {
        object_id: "tomorrow:1".into(),
        object_type: "tomorrow".into(),
        metadata: Some("not even JSON".into()),
        ..ManifestRow::default()
    };
    graph.publish_rows(MAIN, vec![unknown], None).await;
    wrecks::complete(&graph).await;
    graph.recovers_by(Verdict::RollForward).await;
    assert_eq!(graph.ids_of(MAIN, "tomorrow").await, ["tomorrow:1"]);
}

async fn a_broken_row_is_refused_and_named(graph: Graph) {
    wrecks::complete(&graph).await;
    let mut broken = version_row(&graph, COMPANY, MAIN, 1).await;
    broken.object_id = format!("{COMPANY}$99");
    (broken.table_version, broken.row_count) = (None, None);
    graph.publish_rows(MAIN, vec![broken], None).await;
    let before = graph.picture().await;
    let error = graph.recoverer().run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains(&format!("{COMPANY}$99")), "{error}");
    assert!(graph.picture().await == before);
}

async fn a_table_whose_directory_is_gone_is_held_and_the_others_go_on(graph: Graph) {
    let lost = graph.sidecar("Load").of(&[COMPANY]).write().await;
    let good = wrecks::complete(&graph).await;
    for object in graph.place.list(&Key::parse(&path_of(COMPANY)).unwrap()).await.unwrap() {
        graph.place.delete(&object.key).await.unwrap();
    }
    let told = graph.recover().await;
    assert_eq!(told.ended(&good), (Verdict::RollForward, Outcome::Done));
    let scope = told.of(&lost);
    assert_eq!((scope.verdict, scope.outcome), (Verdict::Hold, Outcome::Held), "{scope:?}");
    assert!(scope.reason.contains(COMPANY), "{scope:?}");
    assert_eq!(graph.controls().await, [format!("{lost}.json")], "its record stays");
}

async fn a_minute_of_503_only_takes_a_minute(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let time = Sleepless::default();
    let outage = Outage { time: time.clone(), length: Duration::from_secs(60) };
    let parts = StoreParts { host: time.host(), ..faulty(Arc::new(outage)) };
    let told = graph.recoverer().with(parts).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done));
    assert!(time.slept() >= Duration::from_secs(60), "{:?}", time.slept());
}

async fn a_full_disk_loses_nothing(graph: Graph) {
    let operation = wrecks::half_done(&graph).await;
    let content = graph.content(MAIN).await;
    let full = Breaks::before(&[Verb::Put, Verb::Create, Verb::StartUpload], usize::MAX, no_space);
    let told = graph.recoverer().under(Arc::new(full)).run().await.unwrap();
    let scope = told.of(&operation);
    assert_eq!(scope.outcome, Outcome::Failed);
    assert!(scope.reason.contains("make room and run again, nothing is lost"), "{scope:?}");
    assert_eq!(told.acts(ActionKind::Fence), [ActionOutcome::Failed]);
    assert_eq!(graph.controls().await, [format!("{operation}.json")]);
    graph.recovers_by(Verdict::RollBack).await;
    assert_eq!(graph.content(MAIN).await, content);
}

/// On disk the host's clock is the only one: a future file has age zero. Nothing is done that would not be right anyway.
async fn a_host_clock_an_hour_slow_only_waits_and_one_an_hour_fast_only_hurries(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let grace = Duration::from_secs(300);
    let told = graph.recoverer().without_window().waiting(grace).with(off_by(-1)).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Waits));
    let told = graph.recoverer().without_window().waiting(grace).with(off_by(1)).run().await.unwrap();
    assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Done));
    assert_eq!(graph.pin(MAIN, PERSON).await, 2);
}

async fn a_host_clock_that_is_wrong_does_not_matter_where_the_store_has_its_own(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    for hours in [-1, 1] {
        let recoverer = graph.recoverer().without_window().waiting(Duration::from_secs(300));
        let told = recoverer.with(off_by(hours)).run().await.unwrap();
        assert_eq!(told.ended(&operation), (Verdict::RollForward, Outcome::Waits), "{hours}");
    }
}
