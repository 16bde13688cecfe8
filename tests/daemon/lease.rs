//! Reconcilers take turns; whoever dies is followed; nobody's clock matters.

use crate::harness::{Daemon, TTL, clock, keeping_with};
use crate::support::graph::Graph;
use crate::wrecks;
use outrigger::host::{Clock, ManualClock};
use outrigger::model::Timestamp;
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::runtime::queue::Reason;
use std::time::Duration;

const SHORT_GRACE: &str = "grace = \"1s\"";

/// Two reconcilers whose wall clocks are an hour apart; the first has just settled something and leads.
async fn two(graph: &Graph) -> (Daemon, Daemon) {
    wrecks::complete(graph).await;
    let first = keeping_with(graph, clock(), SHORT_GRACE);
    first.clock.advance(Duration::from_secs(2));
    first.look_because(Reason::Start).await;
    assert!(first.status().leads);
    beat(graph).await;
    let hour = chrono::Duration::hours(1);
    let ahead = ManualClock::new(Timestamp(first.clock.now().0 + hour));
    let second = keeping_with(graph, ahead, SHORT_GRACE);
    second.look_because(Reason::Start).await;
    (first, second)
}

/// Lets the leader's first beat reach the store: it is written by a task of its own.
async fn beat(graph: &Graph) {
    for _ in 0..1000 {
        if graph.controls().await.iter().any(|name| name == "lease.beat") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no beat");
}

/// A second commit that is to be finished.
async fn more_work(graph: &Graph) -> String {
    let operation = graph.sidecar("Load").of(&[crate::support::graph::COMPANY]).write().await;
    graph.table(crate::support::graph::COMPANY).append(&["three"]).await;
    operation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_waits_its_turn_while_the_first_beats() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let (first, second) = two(&graph).await;
    let operation = more_work(&graph).await;
    second.clock.advance(Duration::from_secs(2));
    second.look_because(Reason::Request).await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Waits)));
    assert_eq!(second.metric("outrigger_scopes_waiting{reason=\"turn\""), 1.0);
    assert!(!second.status().leads);

    first.clock.advance(Duration::from_secs(2));
    first.look_because(Reason::Request).await;
    assert_eq!(first.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_falls_silent_is_followed_after_the_ttl_of_the_watchers_own_clock() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let (first, second) = two(&graph).await;
    // Dies without a word: its beats end with it.
    drop(first);
    let operation = more_work(&graph).await;
    second.clock.advance(TTL - Duration::from_secs(1));
    second.look_because(Reason::Request).await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Waits)));
    second.clock.advance(Duration::from_secs(2));
    second.look_because(Reason::Request).await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
    assert!(second.status().leads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_taken_for_dead_steps_back() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let (first, second) = two(&graph).await;
    let operation = more_work(&graph).await;
    // The first stands still, as on a host that is suspended.
    second.clock.advance(TTL + Duration::from_secs(1));
    second.look_because(Reason::Request).await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
    first.look().await;
    assert!(!first.status().leads);
    assert!(second.status().leads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_in_order_leaves_the_turn_to_the_next_at_once() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let (first, second) = two(&graph).await;
    first.keeper.release().await;
    let operation = more_work(&graph).await;
    second.clock.advance(Duration::from_secs(2));
    second.look_because(Reason::Request).await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_states_are_removed_and_an_unreadable_one_counts_until_it_has_stood_still() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let key = outrigger::store::ControlObject::Lease(7).key();
    graph.place.put(&key, "not a lease".into()).await.unwrap();
    let operation = wrecks::complete(&graph).await;
    let daemon = keeping_with(&graph, clock(), SHORT_GRACE);
    daemon.clock.advance(Duration::from_secs(2));
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollForward, Outcome::Waits)));
    daemon.clock.advance(TTL);
    daemon.look_because(Reason::Request).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
    let leases: Vec<_> =
        graph.controls().await.into_iter().filter(|name| name.starts_with("lease.0")).collect();
    assert_eq!(leases, ["lease.00000000000000000008"]);
}
