//! Bad input and bad days, as a daemon tells them: named, with the next step, counted; the rest goes on and nothing is lost.

use crate::harness::{Daemon, clock, keeping_under};
use crate::support::faults::{Breaks, denied, no_bucket, no_space, slow_down};
use crate::support::graph::publish::version_row;
use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, MANIFEST, PERSON, path_of};
use crate::wrecks;
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::runtime::queue::Reason;
use outrigger::store::{Key, Verb};
use std::sync::Arc;
use std::time::Duration;

const SHORT_GRACE: &str = "grace = \"1s\"";
const EVERYTHING: &[Verb] = &[Verb::Get, Verb::Head, Verb::List, Verb::Put, Verb::Create, Verb::Delete];
const FAILED: &str = "outrigger_activations_total{outcome=\"failed\"";

/// A graph with a commit that is to be finished.
async fn crashed() -> (Graph, String) {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let operation = wrecks::complete(&graph).await;
    (graph, operation)
}

/// A keeper that finds the grace over, through a store that breaks some calls.
fn keeping_broken(graph: &Graph, breaks: Arc<Breaks>) -> Daemon {
    let daemon = keeping_under(graph, clock(), SHORT_GRACE, Some(breaks));
    daemon.clock.advance(Duration::from_secs(60));
    daemon
}

/// The first look fails as a whole: counted, and told with these words. When that is mended the next look finishes what had
/// crashed.
async fn fails_until(
    mended: impl AsyncFnOnce(),
    graph: &Graph,
    daemon: &Daemon,
    counted: &str,
    words: &[&str],
) {
    daemon.look_because(Reason::Start).await;
    let told = daemon.status().error.expect("it is told");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(daemon.metric(counted), 1.0);
    mended().await;
    daemon.clock.advance(Duration::from_secs(600));
    daemon.look().await;
    assert_eq!((daemon.status().error, graph.pin(MAIN, PERSON).await), (None, 2));
    assert_eq!(daemon.metric(counted), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_us_is_told_counted_and_asked_again() {
    for (answer, words) in [
        (denied as fn() -> _, ["access denied", "check the credentials and that they have this right"]),
        (no_bucket, ["does not exist", "check the address, the endpoint and the region"]),
    ] {
        let (graph, _) = crashed().await;
        let breaks = Arc::new(Breaks::before(EVERYTHING, usize::MAX, answer));
        let daemon = keeping_broken(&graph, breaks.clone());
        fails_until(async || breaks.mend(), &graph, &daemon, FAILED, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_or_a_manifest_that_is_missing_is_told_counted_and_asked_for_again() {
    for (lost, words) in [
        ("", ["no repository at graph", "check the address"]),
        ("/__manifest", ["no __manifest", "restore it from a backup"]),
    ] {
        let (graph, _) = crashed().await;
        let root = graph.place.dir().join("graph").to_str().unwrap().to_owned();
        let (there, away) = (format!("{root}{lost}"), graph.place.dir().join("away"));
        std::fs::rename(&there, &away).unwrap();
        let daemon = keeping_broken(&graph, Arc::new(Breaks::watching()));
        fails_until(async || std::fs::rename(&away, &there).unwrap(), &graph, &daemon, FAILED, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_row_is_told_counted_and_waited_for() {
    let (graph, _) = crashed().await;
    let manifest = graph.place.dir().join("graph").join(MANIFEST).join("_versions");
    let versions = || std::fs::read_dir(&manifest).unwrap().map(|file| file.unwrap().path());
    let known: Vec<_> = versions().collect();
    let mut broken = version_row(&graph, COMPANY, MAIN, 1).await;
    broken.object_id = format!("{COMPANY}$99");
    (broken.table_version, broken.row_count) = (None, None);
    graph.publish_rows(MAIN, vec![broken], None).await;
    let daemon = keeping_broken(&graph, Arc::new(Breaks::watching()));
    // A person takes the version back that nobody can read.
    let mended = async || {
        versions().filter(|file| !known.contains(file)).for_each(|file| std::fs::remove_file(file).unwrap())
    };
    let words = ["node:Company$99", "until a person mends it"];
    fails_until(mended, &graph, &daemon, FAILED, &words).await;
}

/// Records of every bad shape, one of a table that nobody knows, and one of a table whose directory is gone; and a keeper
/// that has seen them.
async fn holding(graph: &Graph) -> (Vec<String>, Daemon) {
    let mut held: Vec<_> = wrecks::spoiled(graph).await.into_iter().map(|one| one.operation).collect();
    held.push(graph.sidecar("Load").pin("node:Ghost", 1, 2).write().await);
    held.push(graph.sidecar("Load").of(&[COMPANY]).write().await);
    for object in graph.place.list(&Key::parse(&path_of(COMPANY)).unwrap()).await.unwrap() {
        graph.place.delete(&object.key).await.unwrap();
    }
    let daemon = keeping_broken(graph, Arc::new(Breaks::watching()));
    daemon.look_because(Reason::Start).await;
    (held, daemon)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_counted_and_kept_and_the_others_go_on() {
    let (graph, good) = crashed().await;
    let (held, daemon) = holding(&graph).await;
    assert_eq!(daemon.of(&good), Some((Verdict::RollForward, Outcome::Done)));
    for counted in ["outrigger_scopes_held", "outrigger_scopes_pending{repository=\"graph\",verdict=\"hold\""]
    {
        assert_eq!(daemon.metric(counted), held.len() as f64);
    }
    let controls = graph.controls().await;
    for operation in &held {
        assert_eq!(daemon.of(operation), Some((Verdict::Hold, Outcome::Held)));
        assert!(controls.contains(&format!("{operation}.json")), "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_says_what_a_person_does_next() {
    let (graph, _) = crashed().await;
    graph.table(KNOWS).append(&["foreign"]).await;
    let (_, daemon) = holding(&graph).await;
    let held = daemon.status().scopes.into_iter().filter(|scope| scope.outcome == Outcome::Held);
    let silent: Vec<_> = held.filter(|scope| !scope.reason.contains("`outrigger ")).collect();
    assert!(silent.is_empty(), "no next step: {silent:#?}");
}

/// The store says to slow down: each repetition is a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_throttles_is_asked_again_and_each_time_counts() {
    let mut read = Vec::new();
    for throttled in [0, 3] {
        let graph = Graph::on_disk(Dialect::GraphV4).await;
        let daemon = keeping_broken(&graph, Arc::new(Breaks::before(EVERYTHING, throttled, slow_down)));
        daemon.look_because(Reason::Start).await;
        assert_eq!(daemon.status().error, None);
        read.push(daemon.requests().0);
    }
    assert_eq!(read[1], read[0] + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_counted_and_tried_again() {
    let (graph, operation) = crashed().await;
    let daemon = keeping_broken(&graph, Arc::new(Breaks::before(&[Verb::Create], 1, no_space)));
    daemon.look_because(Reason::Start).await;
    let told = daemon.status().scopes;
    assert!(told[0].reason.contains("make room and run again, nothing is lost"), "{told:?}");
    assert_eq!(daemon.metric("outrigger_actions_total{action=\"lease\",outcome=\"failed\""), 1.0);
    assert_eq!(daemon.metric(FAILED), 1.0);
    daemon.clock.advance(Duration::from_secs(600));
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
}
