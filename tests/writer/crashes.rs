//! Every write of a commit is a place to die, to lose the answer, or to be refused; afterwards all of the commit is shown or none.

use super::everywhere;
use crate::support::faults::{Dies, FailsAfter, Full, LosesAnswer, Meanwhile};
use crate::world::{MAIN, TOTAL, World, transfer};
use outrigger::store::{Call, Fault, Verb};
use outrigger::writer::{Error, Result};
use std::sync::Arc;

everywhere!(
    a_commit_that_dies_anywhere_is_shown_as_a_whole_or_not_at_all,
    an_answer_that_is_lost_anywhere_is_found_out,
);

/// More than a commit of two tables writes.
const MOST_WRITES: usize = 40;

/// A transfer through a store that breaks: whether it was acknowledged.
async fn try_transfer(world: &World, fault: Arc<dyn Fault>) -> Result<bool> {
    let bank = world.open_under(fault).await?;
    let mut tx = bank.begin(MAIN).await?;
    transfer(&mut tx, "ann", "bob", 1).await;
    Ok(tx.commit().await?.is_some())
}

pub async fn a_commit_that_dies_anywhere_is_shown_as_a_whole_or_not_at_all(world: World) {
    let (mut paid, mut shown_late) = (0, 0);
    for lives in 0..MOST_WRITES {
        let dies = Arc::new(Dies::after_writes(lives));
        let acknowledged = try_transfer(&world, dies.clone()).await.unwrap_or(false);
        let shown_at_once = world.transfers().await - paid;
        world.recover().await;
        world.is_settled().await;
        let balances = world.balances().await;
        let shown = world.transfers().await - paid;
        assert!(shown == 1 || !acknowledged, "after {lives} writes: what was acknowledged is shown");
        assert_eq!(balances.values().sum::<i64>(), TOTAL, "after {lives} writes");
        paid += shown;
        assert_eq!(balances["ann"], 100 - paid as i64, "after {lives} writes: both tables, or none");
        shown_late += shown - shown_at_once;
        if dies.survived() {
            assert!(acknowledged, "after {lives} writes");
            assert!(shown_late > 0, "a complete commit is shown after its writer's death");
            return;
        }
    }
    panic!("a commit makes more than {MOST_WRITES} writes");
}

pub async fn an_answer_that_is_lost_anywhere_is_found_out(world: World) {
    let (mut paid, mut left) = (0, Vec::new());
    for nth in 1..MOST_WRITES {
        let loses = Arc::new(LosesAnswer::to_write(nth));
        let ended = try_transfer(&world, loses.clone()).await;
        world.recover().await;
        world.is_settled().await;
        let shown = world.transfers().await - paid;
        match ended {
            Ok(acknowledged) => assert_eq!((acknowledged, shown), (true, 1), "write {nth}"),
            Err(Error::PendingRecovery { .. }) => left.push(nth),
            Err(error) => assert_eq!(shown, 0, "write {nth}: {error}"),
        }
        paid += shown;
        assert_eq!(world.balances().await["ann"], 100 - paid as i64, "write {nth}");
        if !loses.happened() {
            assert!(left.is_empty(), "all are read back, not {left:?} of {nth}");
            return;
        }
    }
    panic!("a commit makes more than {MOST_WRITES} writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_removed_is_no_error_of_the_commit() {
    let world = World::in_memory().await;
    let removes = |call: &Call| call.verb == Verb::Delete && call.path.as_ref().ends_with(".json");
    let stays = FailsAfter(Meanwhile::at(removes, async {}));
    assert!(try_transfer(&world, Arc::new(stays)).await.unwrap(), "it is shown");
    assert_eq!(world.transfers().await, 1);
    let left = world.records().await;
    assert_eq!(left.iter().filter(|name| name.ends_with(".json")).count(), 1, "{left:?}");
    world.recover().await;
    world.is_settled().await;
    assert_eq!((world.transfers().await, world.total().await), (1, TOTAL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_at_any_write_shows_all_of_a_commit_or_nothing() {
    let world = World::in_memory().await;
    for after in 0..MOST_WRITES {
        let before = (world.balances().await, world.transfers().await);
        let full = Arc::new(Full::after_writes(after));
        let ended = try_transfer(&world, full.clone()).await;
        if !full.happened() {
            ended.unwrap();
            return;
        }
        world.recover().await;
        world.is_settled().await;
        if ended.is_err() && !matches!(ended, Err(Error::PendingRecovery { .. })) {
            assert_eq!((world.balances().await, world.transfers().await), before, "after {after} writes");
        }
        assert_eq!(world.total().await, TOTAL, "after {after} writes");
    }
    panic!("a commit makes more than {MOST_WRITES} writes");
}
