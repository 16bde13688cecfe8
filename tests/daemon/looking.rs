//! When it looks, what that costs, and what it does about what it sees.

use crate::harness::{GRACE, INTERVAL, clock, keeping, keeping_under, keeping_with};
use crate::support::faults::{Breaks, denied};
use crate::support::graph::create::stamp;
use crate::support::graph::{COMPANY, Graph, KNOWS, MAIN, MANIFEST, PERSON, next_ulid, path_of};
use crate::wrecks;
use outrigger::host::Clock;
use outrigger::model::audit::Verdict;
use outrigger::model::manifest::{Change, CommitIntent, Publish};
use outrigger::model::{Branch, TableKey, Timestamp};
use outrigger::passes::report::Outcome;
use outrigger::repo::{Dialect, Published, Repository};
use outrigger::runtime::queue::{Reason, Requeue};
use outrigger::runtime::watch::Watch;
use outrigger::store::{Call, Fault, Verb};
use outrigger::telemetry::labels::ActivationOutcome;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_look_costs_two_requests_and_writes_nothing() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let before = graph.picture().await;
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    for _ in 0..20 {
        daemon.clock.advance(INTERVAL);
        let (read, _) = daemon.requests();
        assert_eq!(daemon.look().await, INTERVAL);
        assert_eq!(daemon.requests().0 - read, 2);
    }
    assert_eq!(daemon.requests().1, 0);
    assert_eq!(daemon.status().outcome, Some(ActivationOutcome::Converged));
    assert!(graph.picture().await == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_commit_is_finished_when_its_grace_ends_and_then_nothing_is_written() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    let operation = wrecks::complete(&graph).await;
    daemon.run_for(GRACE - Duration::from_secs(20)).await;
    assert_eq!(graph.controls().await, [format!("{operation}.json")], "it is its writer's business");
    assert_eq!(daemon.requests().1, 0);

    daemon.run_for(Duration::from_secs(40)).await;
    assert_eq!(graph.pin(MAIN, PERSON).await, 2);
    assert_eq!(daemon.metric("outrigger_actions_total{action=\"publish\",outcome=\"committed\""), 1.0);
    assert!(daemon.status().leads);

    daemon.run_for(Duration::from_secs(90)).await;
    assert!(!daemon.status().leads);
    assert_eq!(graph.controls().await, ["lease.00000000000000000002"]);
    let (_, written) = daemon.requests();
    daemon.run_for(Duration::from_secs(1200)).await;
    assert_eq!(daemon.requests().1, written, "an idle daemon writes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_young_sidecar_wakes_its_keeper_at_the_end_of_its_grace() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = keeping_with(&graph, clock(), "interval = \"60s\"\ngrace = \"20s\"");
    daemon.look_because(Reason::Start).await;
    let operation = wrecks::complete(&graph).await;
    daemon.catch_up();
    let next = daemon.look().await;
    assert!(next <= Duration::from_secs(21), "{next:?}");
    daemon.clock.advance(Duration::from_secs(21));
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_is_read_at_the_next_look() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    let (read, written) = daemon.requests();
    daemon.look().await;
    let (read, written) = (daemon.requests().0 - read, daemon.requests().1 - written);
    assert!((3..=10).contains(&read), "{read}");
    assert_eq!(written, 0);
    let (read, _) = daemon.requests();
    daemon.look().await;
    assert_eq!(daemon.requests().0 - read, 2);
}

/// One more version of one table, shown by somebody who knows the newest manifest.
async fn publish(writer: &Repository) {
    let main = writer.snapshot(&Branch::main()).await.unwrap().unwrap();
    let table = TableKey::parse(PERSON).unwrap();
    let mut entry = main.state.entry(&table).unwrap().clone();
    let expected = BTreeMap::from([(table.clone(), entry.version)]);
    entry.version = entry.version.next();
    let created_at = Timestamp(chrono::Utc::now());
    let commits = vec![CommitIntent { id: next_ulid(), actor: None, merged_parent: None, created_at }];
    let publish =
        Publish { expected, changes: vec![Change::Show { table, entry }], commits, ..Publish::default() };
    assert!(matches!(writer.publish(&main, &publish, "test").await.unwrap(), Published::Committed(_)));
}

/// What a look that finds one publish asks of the store: the kinds of its requests, and the data files that it reads.
async fn finding_one_publish(
    writer: &Repository,
    repo: &Repository,
    watch: &mut Watch,
    calls: &Breaks,
) -> (Vec<Verb>, Vec<String>) {
    publish(writer).await;
    let before = calls.seen().len();
    assert!(watch.look(repo).await.unwrap().published);
    let asked = calls.seen().split_off(before);
    let files = asked.iter().map(|call| call.path.to_string()).filter(|path| path.contains("/data/"));
    let mut files: Vec<String> = files.collect();
    files.dedup();
    (asked.into_iter().map(|call| call.verb).collect(), files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_reads_what_a_publish_has_added_however_many_came_before() {
    for dialect in [Dialect::GraphV4, Dialect::GraphV3] {
        let graph = Graph::in_memory(dialect).await;
        let calls = Arc::new(Breaks::watching());
        let writer = graph.recoverer().open().await.unwrap();
        let repo = graph.recoverer().under(calls.clone()).open().await.unwrap();
        let mut watch = Watch::default();
        watch.look(&repo).await.unwrap();
        let (few, files) = finding_one_publish(&writer, &repo, &mut watch, &calls).await;
        assert_eq!(files.len(), 1, "{files:?}");
        for _ in 0..30 {
            publish(&writer).await;
        }
        watch.look(&repo).await.unwrap();
        let (many, files) = finding_one_publish(&writer, &repo, &mut watch, &calls).await;
        assert_eq!(files.len(), 1, "{files:?}");
        // The file of a version that names many fragments is read in three parts, not in one.
        assert!(few.len() == 5 && many.len() <= 7, "{few:?}, then {many:?}");
        let before = calls.seen().len();
        watch.look(&repo).await.unwrap();
        assert_eq!(calls.seen().len() - before, 2, "and an idle one stays idle");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_without_a_sidecar_is_found_within_ten_minutes_and_at_once_on_request() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    graph.table(PERSON).append(&["eve"]).await;
    daemon.run_for(Duration::from_secs(500)).await;
    assert_eq!(daemon.of(PERSON), None);
    daemon.run_for(Duration::from_secs(120)).await;
    assert_eq!(daemon.of(PERSON), Some((Verdict::Hold, Outcome::Held)));
    assert_eq!(daemon.metric("outrigger_scopes_held"), 1.0);

    graph.table(COMPANY).append(&["three"]).await;
    daemon.look_because(Reason::Request).await;
    assert_eq!(daemon.of(COMPANY), Some((Verdict::Hold, Outcome::Held)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_host_has_slept_everything_is_looked_at() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    graph.table(PERSON).append(&["eve"]).await;
    daemon.clock.advance(INTERVAL * 5);
    daemon.look().await;
    assert_eq!(daemon.of(PERSON), None, "a long run or a backoff is no sleep");
    // The steady clock stands still meanwhile.
    daemon.clock.set_wall(Timestamp(daemon.clock.now().0 + chrono::Duration::minutes(5)));
    daemon.clock.advance(INTERVAL);
    daemon.look().await;
    assert_eq!(daemon.of(PERSON), Some((Verdict::Hold, Outcome::Held)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_look_failed_is_answered_by_the_next() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let denies = Arc::new(Denies::default());
    let daemon = keeping_under(&graph, clock(), "", Some(denies.clone()));
    daemon.look_because(Reason::Start).await;
    graph.table(PERSON).append(&["eve"]).await;
    denies.0.store(0, Ordering::Relaxed);
    daemon.look_because(Reason::Request).await;
    assert!(daemon.status().error.is_some());
    denies.0.store(usize::MAX, Ordering::Relaxed);
    daemon.clock.advance(INTERVAL);
    daemon.look().await;
    assert!(daemon.of(PERSON).is_some());
    let (read, _) = daemon.requests();
    daemon.clock.advance(INTERVAL);
    daemon.look().await;
    assert_eq!(daemon.requests().0 - read, 2, "answered once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_of_a_run_that_failed_is_news_to_the_next() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let denies = Arc::new(Denies::default());
    let daemon = keeping_under(&graph, clock(), "grace = \"1s\"", Some(denies.clone()));
    let operation = wrecks::half_done(&graph).await;
    daemon.clock.advance(Duration::from_secs(2));
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    // Its writer settles it, and the run that would see so fails after the look has.
    graph.remove_sidecar(&operation).await;
    denies.0.store(2, Ordering::Relaxed);
    daemon.look().await;
    assert!(daemon.status().error.is_some());
    denies.0.store(usize::MAX, Ordering::Relaxed);
    daemon.clock.advance(INTERVAL);
    daemon.look().await;
    assert_eq!(daemon.of(&operation), None);
}

/// Credentials that are taken away after so many calls, and given back.
#[derive(Debug)]
struct Denies(AtomicUsize);

impl Default for Denies {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

#[async_trait::async_trait]
impl Fault for Denies {
    async fn before(&self, _: &Call) -> object_store::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        if left < usize::MAX {
            self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        }
        if left == 0 { Err(denied()) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_sidecar_is_held_and_the_others_go_on() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let operation = wrecks::complete(&graph).await;
    let poison = next_ulid();
    graph.put_sidecar(&poison, "{").await;
    let daemon = keeping_with(&graph, clock(), "grace = \"1s\"");
    daemon.clock.advance(Duration::from_secs(5));
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
    assert_eq!(daemon.of(&poison), Some((Verdict::Hold, Outcome::Held)));
    assert_eq!(daemon.metric("outrigger_scopes_held"), 1.0);
    assert!(daemon.metric("outrigger_oldest_pending_seconds") >= 5.0);
    let last = daemon.metric("outrigger_last_success_timestamp_seconds");
    assert!(last > 0.0, "that something is held is not the run's failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_format_that_is_not_known_is_refused_told_and_asked_for_again() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("5")).await;
    let before = graph.picture().await;
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.status().outcome, Some(ActivationOutcome::Refused));
    assert_eq!(daemon.metric("outrigger_repository_refused"), 1.0);
    assert!(daemon.status().error.unwrap().contains("stamp 5"));
    assert!(graph.picture().await == before);

    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("4")).await;
    daemon.look().await;
    assert_eq!(daemon.status().outcome, Some(ActivationOutcome::Converged));
    assert_eq!((daemon.metric("outrigger_repository_refused"), daemon.status().error), (0.0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_that_is_upgraded_under_us_is_left_alone() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = keeping_with(&graph, clock(), "grace = \"1s\"");
    daemon.look_because(Reason::Start).await;
    wrecks::complete(&graph).await;
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("6")).await;
    let before = graph.picture().await;
    daemon.run_for(Duration::from_secs(60)).await;
    assert_eq!(daemon.status().outcome, Some(ActivationOutcome::Refused));
    assert!(graph.picture().await == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_of_a_repository_that_was_let_go() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    // One to be finished, one to wait for a window.
    graph.sidecar("Load").of(&[COMPANY]).write().await;
    graph.table(COMPANY).append(&["three"]).await;
    graph.sidecar("Load").of(&[PERSON, KNOWS]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    let daemon = keeping_with(&graph, clock(), "grace = \"1s\"");
    daemon.clock.advance(Duration::from_secs(2));
    daemon.look_because(Reason::Start).await;
    let shown = [
        "outrigger_lease_held",
        "outrigger_scopes_waiting{reason=\"window\"",
        "outrigger_scopes_pending{repository=\"graph\",verdict=\"roll_back\"",
        "outrigger_oldest_pending_seconds",
    ];
    for metric in shown {
        assert!(daemon.metric(metric) > 0.0, "{metric}: the test shows nothing");
    }
    stamp(&mut graph.open(MANIFEST, MAIN).await, Some("6")).await;
    daemon.look().await;
    for metric in shown {
        assert_eq!(daemon.metric(metric), 0.0, "{metric}");
    }
    let status = daemon.status();
    assert_eq!((status.leads, status.scopes, status.oldest_pending_seconds), (false, Vec::new(), None));
    assert!(status.looked_at.is_some() && status.error.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_counted_and_is_no_unknown_format() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let root = graph.place.dir().join("graph");
    std::fs::rename(&root, root.with_extension("away")).unwrap();
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    let (once, _) = daemon.requests();
    daemon.look().await;
    assert!(once > 0 && daemon.requests().0 == 2 * once, "{once}, then {}", daemon.requests().0);

    std::fs::write(&root, "a file").unwrap();
    daemon.look().await;
    assert!(daemon.status().error.is_some());
    assert_eq!(daemon.status().outcome, Some(ActivationOutcome::Failed));
    assert_eq!(daemon.metric("outrigger_repository_refused"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_panics_comes_back_ever_later() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = keeping(&graph);
    let waits: Vec<Requeue> = (0..10).map(|_| daemon.keeper.panicked("a defect")).collect();
    assert_eq!(waits[0], Requeue::After(INTERVAL));
    assert!(matches!(waits[9], Requeue::After(wait) if wait > INTERVAL * 4), "{waits:?}");
    assert_eq!(daemon.look().await, INTERVAL);
    assert_eq!(daemon.keeper.panicked("a defect"), Requeue::After(INTERVAL), "a good look begins anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_asked_ever_more_rarely() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = keeping(&graph);
    daemon.look_because(Reason::Start).await;
    let root = graph.place.dir().join("graph");
    std::fs::rename(&root, root.with_extension("away")).unwrap();
    daemon.clock.advance(Duration::from_secs(600));
    let mut waits = Vec::new();
    for _ in 0..12 {
        waits.push(daemon.look().await);
        daemon.clock.advance(*waits.last().unwrap());
    }
    assert!(waits.is_sorted() && waits[11] >= Duration::from_secs(100), "{waits:?}");
    assert!(daemon.status().error.is_some());

    std::fs::rename(root.with_extension("away"), &root).unwrap();
    assert_eq!(daemon.look().await, INTERVAL);
    assert_eq!(daemon.status().error, None);
}

/// A defect of this program that shows whenever one table is touched.
#[derive(Debug)]
struct Panics(String);

#[async_trait::async_trait]
impl Fault for Panics {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        assert!(!call.path.as_ref().contains(&self.0), "a defect");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_stays_in_its_scope() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let operation = wrecks::complete(&graph).await;
    let broken = graph.sidecar("Load").of(&[COMPANY]).write().await;
    let panics = Arc::new(Panics(path_of(COMPANY)));
    let daemon = keeping_under(&graph, clock(), "grace = \"1s\"", Some(panics));
    daemon.clock.advance(Duration::from_secs(5));
    let next = daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
    assert_eq!(daemon.of(&broken), Some((Verdict::Unknown, Outcome::Failed)));
    assert_eq!(daemon.metric("outrigger_panics_total"), 1.0);
    assert!(next <= Duration::from_secs(1), "it is tried again after a backoff: {next:?}");
}
