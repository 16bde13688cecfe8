//! Reconcilers take turns; whoever dies is followed; nobody's clock matters.

use crate::harness::{Daemon, INTERVAL, TTL, clock, keeping_with};
use crate::support::graph::Graph;
use crate::support::graph::next_ulid;
use crate::wrecks;
use outrigger::config::LeaseSettings;
use outrigger::host::{Clock, ManualClock};
use outrigger::model::Timestamp;
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::runtime::lease::{Lease, Taken};
use outrigger::runtime::queue::Reason;
use outrigger::store::layout::recovery_dir;
use outrigger::store::{ControlObject, ETag};
use std::sync::Arc;
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
    second.clock.advance(Duration::from_secs(2));
    second.look().await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Waits)));
    second.clock.advance(INTERVAL);
    let (read, _) = second.requests();
    second.look().await;
    assert_eq!(second.requests().0 - read, 2, "who waits for its turn does not look through everything");
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Waits)));
    second.clock.advance(INTERVAL);
    second.look().await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
    assert!(second.status().leads);
}

/// Somebody's part in a graph's lease, and the clock that it goes by.
fn part(graph: &Graph, holder: &str) -> (Lease, ManualClock) {
    let clock = clock();
    let settings = LeaseSettings { ttl: TTL, release_after: TTL * 2 };
    let store = graph.place.store.clone();
    (Lease::new(store, Arc::new(clock.clone()), settings, holder.into(), Arc::new(next_ulid)), clock)
}

/// The state of the beat, once it is another one.
async fn next_beat(graph: &Graph, before: Option<&ETag>) -> Option<ETag> {
    for _ in 0..1000 {
        let beat =
            graph.place.head(&ControlObject::LeaseBeat.key()).await.unwrap().and_then(|beat| beat.etag);
        if beat.as_ref() != before {
            return beat;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no beat");
}

/// A run that takes long: its look is older than the TTL when it asks for its turn.
#[tokio::test]
async fn whoever_has_beaten_since_the_last_look_is_not_followed() {
    let graph = Graph::in_memory(Dialect::GraphV4).await;
    let (leader, leaders_time) = part(&graph, "the leader");
    let (other, others_time) = part(&graph, "the other");
    assert_eq!(leader.take().await.unwrap(), Taken::Held);
    let first = next_beat(&graph, None).await;
    other.look(&graph.place.list(&recovery_dir()).await.unwrap()).await;
    assert_eq!(other.take().await.unwrap(), Taken::By("the leader".into()));
    leaders_time.until_asleep(1).await;
    leaders_time.advance(TTL / 3);
    next_beat(&graph, first.as_ref()).await;
    others_time.advance(TTL * 2);
    assert_eq!(other.take().await.unwrap(), Taken::By("the leader".into()));
    others_time.advance(TTL - Duration::from_secs(1));
    assert_eq!(other.take().await.unwrap(), Taken::By("the leader".into()));
    others_time.advance(Duration::from_secs(1));
    assert_eq!(other.take().await.unwrap(), Taken::Held, "no beat for the TTL");
}

#[tokio::test]
async fn a_leader_whose_lease_was_removed_does_not_lead() {
    let graph = Graph::in_memory(Dialect::GraphV4).await;
    let (leader, _) = part(&graph, "the leader");
    assert_eq!(leader.take().await.unwrap(), Taken::Held);
    leader.look(&graph.place.list(&recovery_dir()).await.unwrap()).await;
    assert!(leader.is_held().await);
    graph.place.delete(&ControlObject::Lease(1).key()).await.unwrap();
    leader.look(&graph.place.list(&recovery_dir()).await.unwrap()).await;
    assert!(!leader.is_held().await);
}

#[tokio::test]
async fn a_repository_that_has_gone_is_not_made_anew_by_its_leader() {
    let graph = Graph::in_memory(Dialect::GraphV4).await;
    let (leader, time) = part(&graph, "the leader");
    assert_eq!(leader.take().await.unwrap(), Taken::Held);
    next_beat(&graph, None).await;
    time.until_asleep(1).await;
    for object in graph.place.list(&recovery_dir()).await.unwrap() {
        graph.place.delete(&object.key).await.unwrap();
    }
    let asked = graph.place.requests().total();
    time.advance(TTL / 3);
    for _ in 0..1000 {
        if graph.place.requests().total() > asked {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leader.release().await;
    assert_eq!(graph.place.list(&recovery_dir()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_run_that_lost_its_turn_is_made_when_the_turn_comes() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    wrecks::complete(&graph).await;
    let first = keeping_with(&graph, clock(), SHORT_GRACE);
    first.clock.advance(Duration::from_secs(2));
    first.look_because(Reason::Start).await;
    let nightly = "grace = \"1s\"\npasses.recovery.schedule = \"0 3 * * *\"";
    let second = keeping_with(&graph, first.clock.clone(), nightly);
    second.look_because(Reason::Start).await;
    let operation = more_work(&graph).await;
    second.clock.advance(Duration::from_secs(2));
    second.look().await;
    assert_eq!(second.of(&operation), None, "it is not three o'clock");
    second.look_because(Reason::Schedule).await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Waits)));
    first.keeper.release().await;
    second.look().await;
    assert_eq!(second.of(&operation), Some((Verdict::RollForward, Outcome::Done)));
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
