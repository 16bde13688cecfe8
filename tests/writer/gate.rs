//! The writers' gate: who is kept out, who is waited for, and who opens it if its holder is gone.

use super::everywhere;
use crate::support::faults::Meanwhile;
use crate::support::graph::next_ulid;
use crate::support::repos::faulty;
use crate::world::{ACCOUNTS, JOURNAL, MAIN, TOTAL, World, accounts, journal, orders_table, transfer};
use outrigger::app::{self, Leave};
use outrigger::host::{Clock, ManualClock, SystemClock};
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::decide::Policy;
use outrigger::passes::recovery::run::run;
use outrigger::passes::report::Outcome;
use outrigger::repo;
use outrigger::runtime::gate::{Closing, Held, Keeper, Watcher};
use outrigger::store::{Store, StoreParts, Verb};
use outrigger::writer::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

everywhere!(
    a_commit_meets_a_closed_gate_and_leaves_nothing,
    what_must_be_undone_is_undone_behind_the_gate_after_those_at_work_have_ended,
);

const GRACE: Duration = Duration::from_secs(300);

fn keeper(store: &Store) -> Keeper {
    let watcher = Watcher::new(store.clone(), Arc::new(SystemClock::new()), Arc::new(next_ulid));
    Keeper::new(Arc::new(watcher), "a test".into())
}

async fn closed(world: &World) -> Box<Held> {
    match keeper(&world.place).close(GRACE).await.unwrap() {
        Closing::Held(held) => held,
        Closing::Not(why) => panic!("{why}"),
    }
}

/// A gate whose holder is gone: its last beat is as it will stay.
async fn abandoned(world: &World) {
    let held = closed(world).await;
    let beat = outrigger::store::Key::parse("__recovery/gate.beat").unwrap();
    let of_the_second = |object: outrigger::store::Object| {
        serde_json::from_slice::<serde_json::Value>(&object.bytes).is_ok_and(|beat| beat["gate"] == 2)
    };
    for _ in 0..1000 {
        if world.place.get(&beat).await.unwrap().is_some_and(of_the_second) {
            drop(held);
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not beat");
}

pub async fn a_commit_meets_a_closed_gate_and_leaves_nothing(world: World) {
    let bank = world.open().await;
    let held = closed(&world).await;
    assert!(held.is_still_held().await.unwrap());
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    let error = tx.commit().await.unwrap_err();
    assert!(
        matches!(error, Error::Paused { retry_after } if retry_after <= Duration::from_secs(6)),
        "{error}"
    );
    assert_eq!(world.records().await, ["gate.beat"]);
    assert!(matches!(keeper(&world.place).close(GRACE).await.unwrap(), Closing::Not(_)), "one at a time");

    held.open().await;
    assert!(!held.is_still_held().await.unwrap(), "whoever has opened it holds it no more");
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().unwrap();
    world.is_settled().await;
    closed(&world).await.open().await;
}

pub async fn what_must_be_undone_is_undone_behind_the_gate_after_those_at_work_have_ended(world: World) {
    let bank = world.open().await;
    bank.create_table(&orders_table()).await.unwrap();
    let operation = world.half_landed().await;
    // Its beat stands still from now on.
    tokio::time::sleep(Duration::from_millis(6200)).await;

    // Another writer is at work on another table, and takes its time.
    let (at_work, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (says, waits) = (at_work.clone(), go_on.clone());
    let slow = Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().contains("orders.lance/_versions"),
        async move {
            says.notify_one();
            waits.notified().await;
        },
    );
    let slow = world.open_under(Arc::new(slow)).await.unwrap();
    let writing = tokio::spawn(async move {
        let mut tx = slow.begin(MAIN).await.unwrap();
        tx.append("orders", accounts(&[("o1", 1)])).await.unwrap();
        tx.commit().await
    });
    at_work.notified().await;
    let store = world.place.store.clone();
    let has_closed = Arc::new(AtomicBool::new(false));
    let (says, closes) = (has_closed.clone(), keeper(&store));
    let closing = tokio::spawn(async move {
        let closing = closes.close(GRACE).await.unwrap();
        says.store(true, Ordering::Relaxed);
        closing
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!has_closed.load(Ordering::Relaxed), "it waits for the writer that is at work");
    let mut paused = bank.begin(MAIN).await.unwrap();
    paused.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    assert!(matches!(paused.commit().await, Err(Error::Paused { .. })), "nobody begins meanwhile");
    go_on.notify_one();
    writing.await.unwrap().unwrap().expect("who was at work is acknowledged");
    let Closing::Held(held) = closing.await.unwrap() else { panic!("everybody has ended") };

    let held: Arc<Held> = held.into();
    let graph = repo::Repository::open(world.place.reopen(StoreParts::real()).await).await.unwrap();
    let behind = Leave::Behind(held.clone());
    let recovery = app::one_shot(Policy::default(), false, behind, graph.store(), Arc::new(|_, _| {}));
    let report = run(&graph, &recovery).await.unwrap();
    held.open().await;
    let scope = report.scopes.iter().find(|scope| scope.scope == operation).expect("the dead writer's");
    assert_eq!((scope.verdict, scope.outcome), (Verdict::RollBack, Outcome::Done), "{scope:?}");
    world.is_settled().await;
    assert_eq!((world.total().await, world.transfers().await), (TOTAL, 0));
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().expect("writers go on");
}

fn clock() -> ManualClock {
    ManualClock::new(SystemClock::new().now())
}

#[tokio::test]
async fn a_gate_whose_holder_is_gone_is_opened_by_a_writer() {
    let world = World::on_disk().await;
    abandoned(&world).await;
    let clock = clock();
    let bank = world.open_on(&clock, StoreParts::real()).await;
    let pay = async || {
        let mut tx = bank.begin(MAIN).await.unwrap();
        tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
        tx.commit().await
    };
    assert!(matches!(pay().await, Err(Error::Paused { .. })));
    clock.advance(Duration::from_secs(5));
    assert!(matches!(pay().await, Err(Error::Paused { .. })), "it may only be slow");
    clock.advance(Duration::from_secs(2));
    pay().await.unwrap().unwrap();
    assert!(matches!(keeper(&world.place).close(GRACE).await.unwrap(), Closing::Held(_)));
}

#[tokio::test]
async fn a_holder_that_was_only_slow_finds_that_the_gate_is_no_longer_its_own() {
    let world = World::on_disk().await;
    let held = closed(&world).await;
    let clock = clock();
    let watcher = Watcher::new(world.place.store.clone(), Arc::new(clock.clone()), Arc::new(next_ulid));
    let listing = async || world.place.list(&outrigger::store::layout::recovery_dir()).await.unwrap();
    let stale = listing().await;
    watcher.passage(&stale).await.unwrap();
    clock.advance(Duration::from_secs(7));
    // As it looks to somebody whose listings are old.
    watcher.passage(&stale).await.unwrap();
    assert!(!held.is_still_held().await.unwrap());
}

#[tokio::test]
async fn a_writer_that_never_ends_keeps_the_gate_open() {
    let world = World::on_disk().await;
    let clock = clock();
    let operation = next_ulid();
    for name in [format!("{operation}.json"), format!("beat.{operation}")] {
        let key = outrigger::store::Key::parse(&format!("__recovery/{name}")).unwrap();
        world.place.put(&key, "{}".into()).await.unwrap();
    }
    let beats = Meanwhile::whenever(|call| call.verb == Verb::List, {
        let (place, beat) = (world.place.store.clone(), format!("__recovery/beat.{operation}"));
        let clock = clock.clone();
        move || {
            let (place, clock) = (place.clone(), clock.clone());
            let beat = outrigger::store::Key::parse(&beat).unwrap();
            Box::pin(async move {
                place.put(&beat, next_ulid().into()).await.unwrap();
                // Time goes on only once somebody waits for it.
                tokio::spawn(async move {
                    clock.until_asleep(2).await;
                    clock.advance(Duration::from_secs(1));
                });
            })
        }
    });
    let store = world.place.reopen(faulty(Arc::new(beats))).await;
    let watcher = Watcher::new(store, Arc::new(clock.clone()), Arc::new(next_ulid));
    let closing = Keeper::new(Arc::new(watcher), "a test".into()).close(GRACE).await.unwrap();
    let Closing::Not(why) = closing else { panic!("somebody is at work") };
    assert!(why.contains(&operation), "{why}");
    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("new", 0)])).await.unwrap();
    tx.commit().await.unwrap().expect("it is open again");
}

/// A pass without a window, as `once` and `plan` make one.
async fn pass(world: &World, grace: Duration, dry: bool) {
    let graph = repo::Repository::open(world.place.reopen(StoreParts::real()).await).await.unwrap();
    let policy = Policy { grace, ..Policy::default() };
    let recovery = app::one_shot(policy, dry, Leave::None, graph.store(), Arc::new(|_, _| {}));
    run(&graph, &recovery).await.unwrap();
}

#[tokio::test]
async fn a_beat_that_belongs_to_nobody_is_removed_once_it_stands_still() {
    let world = World::on_disk().await;
    let operation = world.half_landed().await;
    let nobodys = format!("beat.{}", next_ulid());
    let key = outrigger::store::Key::parse(&format!("__recovery/{nobodys}")).unwrap();
    world.place.put(&key, "{}".into()).await.unwrap();
    pass(&world, GRACE, false).await;
    assert!(world.records().await.contains(&nobodys), "its record may be on its way");
    pass(&world, Duration::ZERO, true).await;
    assert!(world.records().await.contains(&nobodys), "a plan changes nothing");
    pass(&world, Duration::ZERO, false).await;
    assert_eq!(world.records().await, [format!("{operation}.json"), format!("beat.{operation}")]);
}

/// Another keeper, on a clock that is moved by hand.
fn keeper_on(world: &World, clock: &ManualClock) -> (Arc<Watcher>, Keeper) {
    let watcher = Watcher::new(world.place.store.clone(), Arc::new(clock.clone()), Arc::new(next_ulid));
    let watcher = Arc::new(watcher);
    (watcher.clone(), Keeper::new(watcher, "another test".into()))
}

/// Names of the gate's own objects.
async fn states(world: &World) -> Vec<String> {
    let listed = world.place.list(&outrigger::store::layout::recovery_dir()).await.unwrap();
    let names = listed.iter().map(|meta| meta.key.file_name().to_owned());
    names.filter(|name| name.starts_with("gate.")).collect()
}

#[tokio::test]
async fn a_holder_that_slept_through_others_turns_finds_that_the_gate_is_no_longer_its_own() {
    let world = World::on_disk().await;
    let held = closed(&world).await;
    let clock = clock();
    let (watcher, others) = keeper_on(&world, &clock);
    let stale = world.place.list(&outrigger::store::layout::recovery_dir()).await.unwrap();
    watcher.passage(&stale).await.unwrap();
    clock.advance(Duration::from_secs(7));
    watcher.passage(&stale).await.unwrap();
    // It has been opened; somebody else closes and opens it, and forgets what is over.
    let Closing::Held(theirs) = others.close(GRACE).await.unwrap() else { panic!("it is open") };
    assert!(!held.is_still_held().await.unwrap(), "others hold it");
    theirs.open().await;
    assert!(!held.is_still_held().await.unwrap(), "others have held it");
    held.open().await;
    assert!(!theirs.is_still_held().await.unwrap());
    let mut tx = world.open().await.begin(MAIN).await.unwrap();
    tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    tx.commit().await.unwrap().expect("it is open");
}

#[tokio::test]
async fn of_a_gate_that_is_open_one_state_stays() {
    let world = World::on_disk().await;
    abandoned(&world).await;
    let clock = clock();
    let (watcher, others) = keeper_on(&world, &clock);
    for _ in 0..2 {
        let listing = world.place.list(&outrigger::store::layout::recovery_dir()).await.unwrap();
        watcher.passage(&listing).await.unwrap();
        clock.advance(Duration::from_secs(7));
    }
    for _ in 0..2 {
        let Closing::Held(held) = others.close(GRACE).await.unwrap() else { panic!("it is open") };
        held.open().await;
    }
    assert_eq!(states(&world).await.len(), 1, "{:?}", states(&world).await);
}

#[tokio::test]
async fn a_gate_is_open_after_half_a_minute_whatever_its_holder_does() {
    let world = World::on_disk().await;
    let clock = clock();
    let (_, keeper) = keeper_on(&world, &clock);
    let Closing::Held(held) = keeper.close(GRACE).await.unwrap() else { panic!("nobody is at work") };
    let bank = world.open().await;
    let pay = async || {
        let mut tx = bank.begin(MAIN).await.unwrap();
        tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
        tx.commit().await
    };
    for _ in 0..29 {
        until_it_sleeps(&clock).await;
        clock.advance(Duration::from_secs(1));
    }
    assert!(held.is_still_held().await.unwrap());
    assert!(matches!(pay().await, Err(Error::Paused { .. })), "its time is not up");
    until_it_sleeps(&clock).await;
    clock.advance(Duration::from_secs(1));
    let opened = async {
        while states(&world).await.len() > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), opened).await.expect("it opens by itself");
    assert!(!held.is_still_held().await.unwrap());
    pay().await.unwrap().expect("it is open");
    held.open().await;
    pay().await.unwrap().expect("it stays open");
    assert_eq!(states(&world).await.len(), 1, "{:?}", states(&world).await);
}

/// Lets the holder's beat go to the store.
async fn until_it_sleeps(clock: &ManualClock) {
    while clock.sleepers() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
