//! A native repository, whose writers know a gate: nothing has to wait for a window.

use crate::harness::{Daemon, clock, keeping_place};
use crate::world::{MAIN, TOTAL, World, transfer};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::runtime::queue::Reason;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A commit whose writer died between its tables, and a daemon that has seen it.
async fn waiting(more: &str) -> (World, String, Daemon) {
    let world = World::on_disk().await;
    let operation = world.half_landed().await;
    let daemon = keeping_place(&world.place, clock(), more, None);
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)), "its writer may be alive");
    (world, operation, daemon)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_landed_commit_is_undone_behind_the_gate_once_its_beat_has_stood_still() {
    let (world, operation, daemon) = waiting("").await;
    daemon.clock.advance(Duration::from_secs(3));
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)), "two beats are not three");
    daemon.clock.advance(Duration::from_secs(4));
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Done)));
    assert_eq!(world.total().await, TOTAL);
    world.is_settled().await;

    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().expect("the gate is open again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_back_when_the_beat_has_stood_still_and_not_after_the_whole_grace() {
    let (_world, operation, daemon) = waiting("interval = \"1m\"").await;
    daemon.run_for(Duration::from_secs(15)).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Done)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_gate_it_waits_and_says_what_gives_a_window() {
    let (world, operation, daemon) = waiting("gate = \"off\"").await;
    daemon.run_for(MINUTE * 5).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    let status = daemon.status();
    let scope = status.scopes.iter().find(|scope| scope.scope == operation).unwrap();
    for way in ["gate = \"auto\"", "`outrigger once --gate`"] {
        assert!(scope.reason.contains(way), "{}", scope.reason);
    }
    assert_eq!(daemon.metric("outrigger_scopes_waiting{reason=\"window\""), 1.0);
    assert!(!world.records().await.iter().any(|name| name.starts_with("gate")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_nobody_holds_is_opened_at_a_look() {
    let world = World::on_disk().await;
    let gate = outrigger::store::Key::parse("__recovery/gate.00000000000000000001").unwrap();
    world.place.put(&gate, "{}".into()).await.unwrap();
    let daemon = keeping_place(&world.place, clock(), "", None);
    daemon.look_because(Reason::Start).await;
    daemon.clock.advance(Duration::from_secs(7));
    daemon.look().await;
    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().expect("it is open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_could_not_be_had_is_tried_again_a_minute_later() {
    let (world, operation, daemon) = waiting("").await;
    // Somebody else has just closed it.
    let gate = outrigger::store::Key::parse("__recovery/gate.00000000000000000001").unwrap();
    world.place.put(&gate, "{}".into()).await.unwrap();
    daemon.clock.advance(Duration::from_secs(7));
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    daemon.run_for(Duration::from_secs(30)).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)), "writers have a rest");
    daemon.run_for(MINUTE).await;
    assert_eq!(daemon.status().scopes, [], "it is undone, and forgotten");
    assert_eq!(daemon.metric("outrigger_actions_total{action=\"gate\",outcome=\"conflict\""), 1.0);
    assert_eq!(daemon.metric("outrigger_actions_total{action=\"gate\",outcome=\"committed\""), 1.0);
    world.is_settled().await;
}
