//! The grace: evidence must have stood still for so long, by the store's age of it and then by the observer's steady clock.
//! Only evidence starts it anew.

use crate::harness::Told;
use crate::support::graph::{COMPANY, Graph, PERSON, path_of};
use crate::wrecks;
use crate::{claims, on_both_dialects};
use outrigger::passes::recovery::observe::Grace;
use outrigger::passes::report::{Outcome, WaitReason};
use outrigger::store::Key;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

on_both_dialects!(
    the_wait_goes_on_from_look_to_look,
    whoever_comes_late_does_not_wait_again,
    a_sidecar_that_changes_starts_it_anew,
    a_commit_in_a_tail_starts_it_anew,
    a_table_that_others_write_does_not_start_it_anew,
    a_young_commit_under_an_old_sidecar_is_waited_for,
    an_index_that_is_being_built_starts_it_anew_once,
    a_tail_that_no_record_explains_has_a_wait_of_its_own,
    a_table_that_is_written_on_and_on_without_a_record_is_told_to_a_person,
);

/// Far longer than a test takes on the slowest host: the files of a graph have their real age.
const GRACE: u64 = 10_000;
/// What a test may take.
const SLACK: u64 = 2_000;

/// Looks again and again, beside writers.
struct Observer<'g> {
    graph: &'g Graph,
    memory: Arc<Grace>,
}

impl Observer<'_> {
    fn of(graph: &Graph) -> Observer<'_> {
        Observer { graph, memory: Arc::default() }
    }

    async fn told_at(&self, seconds: u64) -> Told {
        let looker = self.graph.recoverer().without_window().waiting(Duration::from_secs(GRACE));
        looker.remembering(self.memory.clone(), Duration::from_secs(seconds)).run().await.unwrap()
    }

    /// A look so many seconds after the first one: how many are left to wait, or `None` if all is done.
    async fn left_at(&self, seconds: u64) -> Option<u64> {
        let told = self.told_at(seconds).await;
        match (told.only().outcome, told.only().waits) {
            (Outcome::Done, None) => None,
            (Outcome::Waits, Some(wait)) if wait.reason == WaitReason::Grace => {
                Some(wait.left.expect("the store tells the age").as_secs())
            }
            other => panic!("{other:?}: {:?}", told.only()),
        }
    }

    /// At this look it waits for about so long.
    async fn waits_at(&self, seconds: u64, about: u64) {
        let left = self.left_at(seconds).await.expect("it waits");
        assert!((about - SLACK..=about).contains(&left), "{left} s left, not about {about}");
    }

    async fn is_done_at(&self, seconds: u64) {
        assert_eq!(self.left_at(seconds).await, None);
    }
}

/// Makes a file as old as if it had been written long ago.
fn age(graph: &Graph, name: &str) {
    let file = File::options().write(true).open(graph.place.dir().join("graph").join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(2 * GRACE)).unwrap();
}

fn manifest(table: &str, version: u64) -> String {
    format!("{}/_versions/{:020}.manifest", path_of(table), u64::MAX - version)
}

/// A complete commit of long ago.
async fn old_commit(graph: &Graph) -> String {
    let operation = wrecks::complete(graph).await;
    age(graph, Graph::sidecar_key(&operation).as_str());
    age(graph, &manifest(PERSON, 2));
    operation
}

async fn index_file(graph: &Graph, table: &str) -> String {
    let name = format!("{}/_indices/0a1b2c3d/part.lance", path_of(table));
    graph.place.put(&Key::parse(&name).unwrap(), "half an index".into()).await.unwrap();
    name
}

async fn the_wait_goes_on_from_look_to_look(graph: Graph) {
    wrecks::complete(&graph).await;
    let observer = Observer::of(&graph);
    observer.waits_at(0, GRACE).await;
    observer.waits_at(GRACE / 2, GRACE / 2).await;
    observer.is_done_at(GRACE).await;
}

/// The store's own age counts.
async fn whoever_comes_late_does_not_wait_again(graph: Graph) {
    old_commit(&graph).await;
    age(&graph, &index_file(&graph, PERSON).await);
    Observer::of(&graph).is_done_at(0).await;
}

async fn a_sidecar_that_changes_starts_it_anew(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    let observer = Observer::of(&graph);
    observer.waits_at(0, GRACE).await;
    // As a merge does that confirms.
    let text = graph.place.get(&Graph::sidecar_key(&operation)).await.unwrap().unwrap().bytes;
    graph.put_sidecar(&operation, text).await;
    observer.waits_at(GRACE, GRACE).await;
    observer.is_done_at(2 * GRACE).await;
}

async fn a_commit_in_a_tail_starts_it_anew(graph: Graph) {
    graph.sidecar("Load").of(&[PERSON]).write().await;
    let observer = Observer::of(&graph);
    observer.waits_at(0, GRACE).await;
    graph.table(PERSON).append(&["eve"]).await;
    observer.waits_at(GRACE, GRACE).await;
    graph.table(PERSON).compact().await;
    observer.waits_at(2 * GRACE, GRACE).await;
    observer.is_done_at(3 * GRACE).await;
}

async fn a_table_that_others_write_does_not_start_it_anew(graph: Graph) {
    graph.sidecar("EnsureIndices").of(&[PERSON]).write().await;
    let observer = Observer::of(&graph);
    observer.waits_at(0, GRACE).await;
    for (nth, id) in ["a", "b", "c"].into_iter().enumerate() {
        graph.table(PERSON).append(&[id]).await;
        graph.publish_heads(&[PERSON]).await;
        let passed = (nth as u64 + 1) * GRACE / 4;
        observer.waits_at(passed, GRACE - passed).await;
    }
    observer.is_done_at(GRACE).await;
}

async fn a_young_commit_under_an_old_sidecar_is_waited_for(graph: Graph) {
    let operation = wrecks::complete(&graph).await;
    age(&graph, Graph::sidecar_key(&operation).as_str());
    Observer::of(&graph).waits_at(0, GRACE).await;
    age(&graph, &manifest(PERSON, 2));
    Observer::of(&graph).is_done_at(0).await;
}

/// It is committed only when it is done, and that may take longer than any wait.
async fn an_index_that_is_being_built_starts_it_anew_once(graph: Graph) {
    old_commit(&graph).await;
    index_file(&graph, COMPANY).await;
    index_file(&graph, PERSON).await;
    let observer = Observer::of(&graph);
    observer.waits_at(0, GRACE).await;
    // By then twice the wait has passed: it is not asked again.
    index_file(&graph, PERSON).await;
    observer.is_done_at(GRACE).await;
}

async fn a_tail_that_no_record_explains_has_a_wait_of_its_own(graph: Graph) {
    graph.table(PERSON).index().await;
    let observer = Observer::of(&graph);
    observer.waits_at(0, GRACE).await;
    graph.table(PERSON).index().await;
    observer.waits_at(GRACE, GRACE).await;
    age(&graph, &manifest(PERSON, 3));
    Observer::of(&graph).is_done_at(0).await;
}

async fn a_table_that_is_written_on_and_on_without_a_record_is_told_to_a_person(graph: Graph) {
    graph.table(PERSON).index().await;
    let observer = Observer::of(&graph);
    observer.waits_at(0, GRACE).await;
    // The wait is that of the first change of rows, not of the index before it.
    graph.table(PERSON).append(&["eve"]).await;
    observer.waits_at(GRACE / 2, GRACE).await;
    graph.table(PERSON).append(&["fay"]).await;
    observer.waits_at(GRACE, GRACE / 2).await;
    graph.table(PERSON).append(&["gil"]).await;
    let told = observer.told_at(2 * GRACE).await;
    assert_eq!(told.only().outcome, Outcome::Held, "{:?}", told.only());
    assert!(told.only().reason.contains("repair drift"), "{:?}", told.only());
}
