//! What a writer meets: others at the same place in the same moment, and its own end.

use crate::support::faults::Meanwhile;
use crate::support::graph::next_ulid;
use crate::support::repos::faulty;
use crate::world::{ACCOUNTS, Beside, JOURNAL, MAIN, World, accounts, journal, transfer};
use async_trait::async_trait;
use outrigger::host::{Clock, ManualClock, SystemClock};
use outrigger::model::{TableKey, Version};
use outrigger::store::layout::recovery_dir;
use outrigger::store::{Call, ControlObject, Fault, StoreParts, Verb};
use outrigger::writer::{Error, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const TRIAL: &str = "trial";

fn creates(part: &'static str) -> impl Fn(&Call) -> bool + Send + Sync + 'static {
    move |call| call.verb == Verb::Create && call.path.as_ref().contains(part)
}

/// The first beat of a commit is stored, no later one is; `then` happens before its first table moves.
struct Unheard {
    beats: AtomicUsize,
    then: Meanwhile,
}

impl std::fmt::Debug for Unheard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unheard")
    }
}

#[async_trait]
impl Fault for Unheard {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        let is_beat = call.verb == Verb::Put && call.path.as_ref().contains("beat.");
        if is_beat && self.beats.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(crate::support::faults::denied());
        }
        self.then.before(call).await
    }
}

/// A writer whose beats are not heard for four seconds, in which something happens; how its commit ends, and where its tables are.
async fn unheard(world: &Arc<World>, happens: impl Future<Output = ()> + Send + 'static) -> (Error, Version) {
    let clock = ManualClock::new(SystemClock::new().now());
    let passes = clock.clone();
    let then = Meanwhile::at(creates("accounts.lance/_versions"), async move {
        passes.advance(Duration::from_secs(4));
        happens.await;
    });
    let fault = Arc::new(Unheard { beats: AtomicUsize::new(0), then });
    let bank = world.open_on(&clock, faulty(fault.clone())).await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    let error = tx.commit().await.unwrap_err();
    assert!(fault.then.happened());
    let journal = TableKey::parse(JOURNAL).unwrap();
    let head = world.repo().await.table(&journal, &outrigger::model::Branch::main()).await.unwrap().unwrap();
    (error, head.head())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_not_heard_of_stops_if_its_record_is_gone_or_the_gate_is_closed() {
    let world = Arc::new(World::on_disk().await);
    let store = world.place.store.clone();
    let (error, head) = unheard(&world, async move {
        for meta in store.list(&recovery_dir()).await.unwrap() {
            if meta.key.file_name().ends_with(".json") {
                store.delete(&meta.key).await.unwrap();
            }
        }
    })
    .await;
    assert!(matches!(error, Error::PendingRecovery { .. }), "{error}");
    assert_eq!(head, Version(1), "it has not touched the next table");

    let world = Arc::new(World::on_disk().await);
    let store = world.place.store.clone();
    let closes = async move {
        let closing =
            r#"{"format":1,"nonce":"n","holder":"a test","position":"closing","at":"2026-01-01T00:00:00Z"}"#;
        store.put(&ControlObject::Gate(1).key(), closing.into()).await.unwrap();
    };
    let (error, head) = unheard(&world, closes).await;
    assert!(matches!(error, Error::PendingRecovery { .. }), "{error}");
    assert_eq!(head, Version(1), "it has not touched the next table");
    world.recover().await;
    world.is_settled().await;

    let world = Arc::new(World::on_disk().await);
    let clock = ManualClock::new(SystemClock::new().now());
    let passes = clock.clone();
    let nothing = Meanwhile::at(creates("accounts.lance/_versions"), async move {
        passes.advance(Duration::from_secs(4));
    });
    let fault = Unheard { beats: AtomicUsize::new(0), then: nothing };
    let bank = world.open_on(&clock, faulty(Arc::new(fault))).await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().expect("nobody has taken it for dead");
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_beats_as_long_as_it_takes() {
    let world = World::on_disk().await;
    let clock = ManualClock::new(SystemClock::new().now());
    let (store, passes) = (world.place.store.clone(), clock.clone());
    let slow = Arc::new(Meanwhile::at(creates("journal.lance/_versions"), async move {
        for beats in 1..=3_u64 {
            passes.until_asleep(1).await;
            passes.advance(Duration::from_secs(2));
            let heard = async {
                loop {
                    let listed = store.list(&recovery_dir()).await.unwrap();
                    let beat = listed.iter().find(|meta| meta.key.file_name().starts_with("beat.")).unwrap();
                    let found = store.get(&beat.key).await.unwrap().unwrap();
                    let found: serde_json::Value = serde_json::from_slice(&found.bytes).unwrap();
                    if found["count"] == beats {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), heard).await.expect("it beats again");
        }
    }));
    let bank = world.open_on(&clock, faulty(slow.clone())).await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().unwrap();
    assert!(slow.happened());
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_not_waited_for_gives_its_room_back() {
    let world = World::on_disk().await;
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let stuck = Arc::new(Meanwhile::at(creates("accounts.lance/_versions"), std::future::pending()));
    let mut tx = world.open_within(limits, faulty(stuck)).await.begin(MAIN).await.unwrap().by("ann");
    tx.append(ACCOUNTS, accounts(&[("dan", 0)])).await.unwrap();
    let bank = world.open_within(limits, StoreParts::real()).await;
    let mut next = bank.begin(MAIN).await.unwrap().by("ann");
    next.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    {
        let mut commit = std::pin::pin!(tx.commit());
        tokio::select! {
            ended = &mut commit => panic!("{ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        let error = next.commit().await.unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{error}");
    }
    next.commit().await.unwrap().expect("there is room again");
    let error = tx.commit().await.unwrap_err();
    assert!(error.to_string().contains("was not waited for"), "{error}");
    world.recover().await;
    world.is_settled().await;
}

/// A commit of one row to the accounts of a branch that has no fork of them yet; as it makes the fork, somebody else has.
async fn met_at_the_fork(world: &Arc<World>, other: Beside) -> outrigger::writer::Result<()> {
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let beside = world.clone();
    let forks = Arc::new(Meanwhile::at(creates("accounts.lance/tree/trial/_versions"), async move {
        beside.append_beside(TRIAL, ACCOUNTS, accounts(&[("dan", 4)]), other).await;
    }));
    let mut tx = world.open_under(forks.clone()).await.unwrap().begin(TRIAL).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("eve", 5)])).await.unwrap();
    let ended = tx.commit().await;
    assert!(forks.happened());
    ended.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_that_somebody_else_has_made_and_shown_is_used() {
    let world = Arc::new(World::on_disk().await);
    met_at_the_fork(&world, Beside::Shows).await.unwrap();
    let both = world.balances_on(TRIAL).await;
    assert_eq!((both["dan"], both["eve"]), (4, 5));
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_of_a_commit_that_has_not_come_to_its_end_is_named_by_its_record() {
    let world = Arc::new(World::on_disk().await);
    let operation = next_ulid();
    let error = met_at_the_fork(&world, Beside::Dies { operation: operation.clone() }).await.unwrap_err();
    assert!(matches!(&error, Error::PendingRecovery { sidecar } if sidecar.as_str() == operation), "{error}");
    world.recover().await;
    let shown = world.balances_on(TRIAL).await;
    assert_eq!((shown.get("dan"), shown.get("eve")), (Some(&4), None));
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_that_nobody_explains_is_named_with_its_repair() {
    let world = Arc::new(World::on_disk().await);
    let error = met_at_the_fork(&world, Beside::LeavesNoRecord).await.unwrap_err();
    assert!(matches!(&error, Error::OrphanedFork { table, .. } if table.as_str() == ACCOUNTS), "{error}");
    assert!(error.to_string().contains("`outrigger repair fork --table accounts --exclusive`"), "{error}");
    assert_eq!(world.records().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_on_a_branch_that_is_gone_is_taken_back() {
    let world = Arc::new(World::on_disk().await);
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let (deletes, store) = (bank.clone(), world.place.store.clone());
    // Its record is gone, as of a writer that was taken for dead, and then the branch.
    let publishing = Arc::new(Meanwhile::at(creates("__manifest/tree/trial/_versions"), async move {
        for meta in store.list(&recovery_dir()).await.unwrap() {
            store.delete(&meta.key).await.unwrap();
        }
        deletes.delete_branch(TRIAL).await.unwrap();
    }));
    let mut tx = world.open_under(publishing.clone()).await.unwrap().begin(TRIAL).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("dan", 4)])).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(publishing.happened());
    assert!(matches!(error, Error::PendingRecovery { .. }), "{error}");
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    assert_eq!(bank.commits(TRIAL).await.unwrap(), bank.commits(MAIN).await.unwrap());
    assert_eq!(world.balances_on(TRIAL).await, world.balances().await);
}
