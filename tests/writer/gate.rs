//! The writers' gate: who is kept out, who is waited for, and who opens it if its holder is gone.

use super::everywhere;
use crate::support::faults::Meanwhile;
use crate::support::graph::next_ulid;
use crate::support::repos::faulty;
use crate::world::{ACCOUNTS, JOURNAL, MAIN, TOTAL, World, accounts, journal, tables, transfer};
use outrigger::app::{self, Leave};
use outrigger::host::{Clock, Host, ManualClock, SystemClock};
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::decide::Policy;
use outrigger::passes::recovery::run::run;
use outrigger::passes::report::Outcome;
use outrigger::repo;
use outrigger::runtime::gate::{Closing, Held, Keeper, Watcher};
use outrigger::store::{Store, StoreParts, Verb};
use outrigger::writer::{Error, NewTable, Parts, Repository};
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
    let [orders, _] = tables();
    let bank = world.open().await;
    bank.create_table(&NewTable { name: "orders".into(), ..orders }).await.unwrap();
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

/// A handle on a clock that is moved by hand.
async fn on_clock(world: &World, clock: &ManualClock) -> Repository {
    let parts = world.parts(StoreParts::real()).await;
    Repository::open_with(Parts { host: Host::with_clock(clock.clone()), ..parts }, false).await.unwrap()
}

#[tokio::test]
async fn a_gate_whose_holder_is_gone_is_opened_by_a_writer() {
    let world = World::on_disk().await;
    let held = closed(&world).await;
    // It beats no more.
    drop(held);
    let clock = clock();
    let bank = on_clock(&world, &clock).await;
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
