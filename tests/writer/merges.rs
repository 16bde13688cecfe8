//! Merges: what each side has done, put together row by row.

use super::everywhere;
use crate::support::faults::{Dies, DiesAt, Meanwhile};
use crate::world::{ACCOUNTS, JOURNAL, MAIN, World, accounts, journal, orders_table, transfer};
use arrow::array::AsArray;
use outrigger::model::sidecar::Sidecar;
use outrigger::store::{Key, Verb};
use outrigger::writer::{At, Error, MergeConflict, MergeOutcome, Repository};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

everywhere!(
    both_sides_are_put_together_row_by_row,
    a_merge_that_dies_anywhere_is_shown_as_a_whole_or_not_at_all,
    a_merge_brings_the_tables_that_its_target_lacks,
);

const TRIAL: &str = "trial";
const MOST_WRITES: usize = 50;

fn map(rows: &[(&str, i64)]) -> BTreeMap<String, i64> {
    rows.iter().map(|(id, balance)| (id.to_string(), *balance)).collect()
}

async fn upsert(bank: &Repository, branch: &str, rows: &[(&str, i64)]) {
    let mut tx = bank.begin(branch).await.unwrap();
    tx.upsert(ACCOUNTS, accounts(rows)).await.unwrap();
    tx.commit().await.unwrap().unwrap();
}

async fn note(bank: &Repository, branch: &str, payer: &str) {
    let mut tx = bank.begin(branch).await.unwrap();
    tx.append(JOURNAL, journal(&[(payer, "x", 1)])).await.unwrap();
    tx.commit().await.unwrap().unwrap();
}

async fn delete(bank: &Repository, branch: &str, id: &str) {
    let mut tx = bank.begin(branch).await.unwrap();
    assert_eq!(tx.delete(ACCOUNTS, &format!("id = '{id}'")).await.unwrap(), 1);
    tx.commit().await.unwrap().unwrap();
}

pub async fn both_sides_are_put_together_row_by_row(world: World) {
    let bank = world.open().await;
    upsert(&bank, MAIN, &[("dan", 4), ("eve", 5), ("fay", 6)]).await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    // The source changes ann, adds gus, drops dan; the target changes bob, adds hal, drops eve; both set cid and drop fay.
    upsert(&bank, TRIAL, &[("ann", 1), ("gus", 7), ("cid", 3)]).await;
    delete(&bank, TRIAL, "dan").await;
    delete(&bank, TRIAL, "fay").await;
    let mut tx = bank.begin(TRIAL).await.unwrap();
    tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    let source = tx.commit().await.unwrap().unwrap();
    upsert(&bank, MAIN, &[("bob", 2), ("hal", 8), ("cid", 3)]).await;
    delete(&bank, MAIN, "eve").await;
    delete(&bank, MAIN, "fay").await;
    let target = bank.commits(MAIN).await.unwrap().remove(0);

    let MergeOutcome::Merged(committed) = bank.merge(TRIAL, MAIN, Some("ann")).await.unwrap() else {
        panic!("both had moved")
    };
    assert_eq!(world.balances().await, map(&[("ann", 1), ("bob", 2), ("cid", 3), ("gus", 7), ("hal", 8)]));
    assert_eq!(world.transfers().await, 1);
    let recorded = bank.commit(&committed.id).await.unwrap();
    assert_eq!((recorded.parent, recorded.merged_parent), (Some(target.id), Some(source.id)));
    assert_eq!(recorded.actor.as_deref(), Some("ann"));
    world.is_settled().await;

    assert_eq!(bank.merge(TRIAL, MAIN, None).await.unwrap(), MergeOutcome::AlreadyUpToDate);
    // The other way round main brings what trial lacks, and what trial does next is all that is merged again.
    assert!(matches!(bank.merge(MAIN, TRIAL, None).await.unwrap(), MergeOutcome::FastForward(_)));
    assert_eq!(world.balances_on(TRIAL).await, world.balances().await);
    upsert(&bank, TRIAL, &[("ann", 11)]).await;
    upsert(&bank, MAIN, &[("bob", 12)]).await;
    assert!(matches!(bank.merge_and_delete(TRIAL, MAIN, None).await.unwrap(), MergeOutcome::Merged(_)));
    assert_eq!(world.balances().await, map(&[("ann", 11), ("bob", 12), ("cid", 3), ("gus", 7), ("hal", 8)]));
    assert_eq!(bank.branches().await.unwrap(), [MAIN]);
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_both_have_changed_are_listed_by_their_keys() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    upsert(&bank, TRIAL, &[("ann", 1), ("bob", 2), ("new", 9)]).await;
    delete(&bank, TRIAL, "cid").await;
    upsert(&bank, MAIN, &[("ann", 3), ("bob", 2), ("cid", 4), ("new", 8)]).await;
    let before = world.balances().await;
    let error = bank.merge(TRIAL, MAIN, None).await.unwrap_err();
    assert!(error.to_string().ends_with("accounts ann, cid, new"), "{error}");
    let Error::MergeConflicts(conflicts) = error else { panic!("{error}") };
    let [MergeConflict { table, keys }] = &conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!(table.as_str(), ACCOUNTS);
    assert_eq!(keys, &[["ann"], ["cid"], ["new"]].map(Vec::from).map(|key| key.map_to_strings()));
    assert_eq!(world.balances().await, before, "nothing is merged");
    world.is_settled().await;
}

trait Strings {
    fn map_to_strings(self) -> Vec<String>;
}

impl Strings for Vec<&str> {
    fn map_to_strings(self) -> Vec<String> {
        self.into_iter().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_table_without_a_key_are_counted() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    note(&bank, MAIN, "a").await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    note(&bank, TRIAL, "b").await;
    assert!(matches!(bank.merge(TRIAL, MAIN, None).await.unwrap(), MergeOutcome::FastForward(_)));
    assert_eq!(world.transfers().await, 2);
    let mut tx = bank.begin(TRIAL).await.unwrap();
    assert_eq!(tx.delete(JOURNAL, "payer = 'a'").await.unwrap(), 1);
    tx.commit().await.unwrap().unwrap();
    bank.merge(TRIAL, MAIN, None).await.unwrap();
    assert_eq!(world.transfers().await, 1, "a deletion is taken over, too");
    note(&bank, TRIAL, "c").await;
    note(&bank, MAIN, "d").await;
    bank.merge(TRIAL, MAIN, None).await.unwrap();
    let payers = async |branch: &str| {
        let rows = bank.snapshot(branch).await.unwrap().rows(JOURNAL, None).await.unwrap();
        let payers = rows.column(0).as_string::<i32>();
        let mut payers: Vec<String> = payers.iter().map(|payer| payer.unwrap().to_owned()).collect();
        payers.sort();
        payers
    };
    assert_eq!(payers(MAIN).await, ["b", "c", "d"], "what both have appended is there from both");
    for branch in [TRIAL, MAIN] {
        let mut tx = bank.begin(branch).await.unwrap();
        assert_eq!(tx.delete(JOURNAL, "payer = 'b'").await.unwrap(), 1);
        tx.commit().await.unwrap().unwrap();
    }
    note(&bank, MAIN, "e").await;
    bank.merge(TRIAL, MAIN, None).await.unwrap();
    assert_eq!(
        payers(MAIN).await,
        ["c", "d", "e"],
        "what both have taken away is gone once, and nothing else"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_in_which_no_row_differs_is_recorded() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    upsert(&bank, TRIAL, &[("ann", 1)]).await;
    upsert(&bank, TRIAL, &[("ann", 100)]).await;
    let versions = bank.snapshot(MAIN).await.unwrap().version_of(ACCOUNTS).unwrap();
    let MergeOutcome::FastForward(committed) = bank.merge(TRIAL, MAIN, None).await.unwrap() else {
        panic!("main had not moved")
    };
    assert!(committed.tables.is_empty());
    assert_eq!(bank.snapshot(MAIN).await.unwrap().version_of(ACCOUNTS).unwrap(), versions);
    assert_eq!(bank.merge(TRIAL, MAIN, None).await.unwrap(), MergeOutcome::AlreadyUpToDate);
    let error = bank.merge("nope", MAIN, None).await.unwrap_err();
    assert!(error.to_string().contains("no branch nope"), "{error}");
}

pub async fn a_merge_that_dies_anywhere_is_shown_as_a_whole_or_not_at_all(world: World) {
    let bank = world.open().await;
    for lives in 0..MOST_WRITES {
        let branch = format!("b{lives}");
        bank.create_branch(&branch, MAIN).await.unwrap();
        let before = world.balances().await["ann"];
        let noted = world.transfers().await;
        let mut tx = bank.begin(&branch).await.unwrap();
        transfer(&mut tx, "ann", "bob", 1).await;
        tx.commit().await.unwrap().unwrap();
        upsert(&bank, MAIN, &[("new", lives as i64)]).await;

        let dies = Arc::new(Dies::after_writes(lives));
        let merged = world.open_under(dies.clone()).await.unwrap().merge(&branch, MAIN, None).await;
        world.recover().await;
        world.is_settled().await;
        let (paid, new) = (before - world.balances().await["ann"], world.transfers().await - noted);
        assert_eq!(paid, new as i64, "after {lives} writes: both tables, or none");
        assert!(new == 1 || merged.is_err(), "after {lives} writes: what was acknowledged is shown");
        // Whatever came of it, merging again gives what was meant, and once.
        let again = bank.merge(&branch, MAIN, None).await.unwrap();
        assert_eq!(again == MergeOutcome::AlreadyUpToDate, new == 1, "after {lives} writes: {again:?}");
        assert_eq!(before - world.balances().await["ann"], 1, "after {lives} writes");
        assert_eq!(world.transfers().await - noted, 1, "after {lives} writes");
        if dies.survived() {
            return;
        }
    }
    panic!("a merge makes more than {MOST_WRITES} writes");
}

/// A table that main has and branches made before have not.
async fn add_orders(bank: &Repository, rows: &[(&str, i64)]) {
    bank.create_table(&orders_table()).await.unwrap();
    order(bank, MAIN, rows).await;
}

async fn order(bank: &Repository, branch: &str, rows: &[(&str, i64)]) {
    let mut tx = bank.begin(branch).await.unwrap();
    tx.upsert("orders", accounts(rows)).await.unwrap();
    tx.commit().await.unwrap().unwrap();
}

async fn orders(bank: &Repository, branch: &str) -> BTreeMap<String, i64> {
    let snapshot = bank.snapshot(branch).await.unwrap();
    crate::world::balances(&snapshot.rows("orders", None).await.unwrap())
}

pub async fn a_merge_brings_the_tables_that_its_target_lacks(world: World) {
    let bank = world.open().await;
    let branches: Vec<String> = (0..MOST_WRITES).map(|lives| format!("b{lives}")).collect();
    for branch in &branches[..MOST_WRITES.min(30)] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    add_orders(&bank, &[("o1", 1)]).await;
    upsert(&bank, MAIN, &[("ann", 7)]).await;
    let mut orphaned = 0;
    for (lives, branch) in branches.iter().enumerate() {
        let dies = Arc::new(Dies::after_writes(lives));
        let merged = world.open_under(dies.clone()).await.unwrap().merge(MAIN, branch, None).await;
        world.recover().await;
        world.is_settled().await;
        let shown = bank.snapshot(branch.as_str()).await.unwrap();
        let has_orders = shown.tables().contains(&"orders".to_owned());
        let has_row = world.balances_on(branch).await["ann"] == 7;
        assert_eq!(has_orders, has_row, "after {lives} writes: all of it, or nothing");
        assert!(has_row || merged.is_err(), "after {lives} writes: what was acknowledged is shown");
        let again = bank.merge(MAIN, branch, None).await;
        if let Err(Error::OrphanedFork { .. }) = &again {
            orphaned += 1;
            continue;
        }
        assert_eq!(again.unwrap() == MergeOutcome::AlreadyUpToDate, has_row, "after {lives} writes");
        assert_eq!(orders(&bank, branch).await, map(&[("o1", 1)]));
        if dies.survived() {
            assert!(orphaned <= 2, "half of a fork, of the one table that has one: {orphaned}");
            // What is done on it from now on is merged back as of any table.
            order(&bank, branch, &[("o2", 2)]).await;
            order(&bank, MAIN, &[("o3", 3)]).await;
            bank.merge(branch, MAIN, None).await.unwrap();
            assert_eq!(orders(&bank, MAIN).await, map(&[("o1", 1), ("o2", 2), ("o3", 3)]));
            assert_eq!(orders(&bank, branch).await, map(&[("o1", 1), ("o2", 2)]));
            world.is_settled().await;
            return;
        }
    }
    panic!("a merge makes more than {MOST_WRITES} writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_alone_is_brought_and_one_that_only_a_branch_has_written_is_named() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch("old", MAIN).await.unwrap();
    add_orders(&bank, &[("o1", 1)]).await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    order(&bank, TRIAL, &[("o2", 2)]).await;
    let error = bank.merge(TRIAL, "old", None).await.unwrap_err();
    assert!(error.to_string().contains("merge main into old first"), "{error}");
    assert!(matches!(bank.merge(MAIN, "old", None).await.unwrap(), MergeOutcome::FastForward(_)));
    assert_eq!(orders(&bank, "old").await, map(&[("o1", 1)]));
    bank.merge(TRIAL, "old", None).await.unwrap();
    assert_eq!(orders(&bank, "old").await, map(&[("o1", 1), ("o2", 2)]));
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_whose_table_was_brought_by_another_is_shown_and_not_taken_for_all_of_it() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch("old", MAIN).await.unwrap();
    bank.create_table(&orders_table()).await.unwrap();
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    order(&bank, MAIN, &[("o1", 1)]).await;
    upsert(&bank, MAIN, &[("ann", 7)]).await;
    // All of its tables have moved when it dies: it has only recorded from which commits it comes.
    let published = AtomicUsize::new(0);
    let dies = DiesAt::call(move |call| {
        let is_publish =
            call.verb == Verb::Create && call.path.as_ref().contains("__manifest/tree/old/_versions");
        is_publish && published.fetch_add(1, Ordering::Relaxed) == 1
    });
    let ended = world.open_under(Arc::new(dies)).await.unwrap().merge(MAIN, "old", None).await;
    let Err(Error::PendingRecovery { sidecar }) = ended else { panic!("{ended:?}") };
    let key = Key::parse(&format!("__recovery/{sidecar}.json")).unwrap();
    let record = world.place.get(&key).await.unwrap().unwrap();
    let record = Sidecar::parse(sidecar.as_str(), &record.bytes).unwrap();
    assert!(record.pins.iter().all(|pin| pin.confirmed == Some(pin.post_commit)), "{record:?}");
    assert_eq!((record.pins.len(), record.brought.len()), (1, 1), "all that the merge does is told");
    bank.merge(TRIAL, "old", None).await.unwrap();
    assert_eq!(orders(&bank, "old").await, map(&[]), "as the other has shown it");
    world.recover().await;
    world.is_settled().await;
    assert_eq!(world.balances_on("old").await["ann"], 7, "what it has committed is shown");
    assert_ne!(bank.merge(MAIN, "old", None).await.unwrap(), MergeOutcome::AlreadyUpToDate);
    assert_eq!(orders(&bank, "old").await, map(&[("o1", 1)]), "and the rest comes with the next merge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_to_the_source_meanwhile_is_merged_before_it_is_deleted() {
    let world = Arc::new(World::on_disk().await);
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    upsert(&bank, TRIAL, &[("ann", 1)]).await;
    let commits = bank.clone();
    let publishing = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().contains("__manifest/_versions"),
        async move { upsert(&commits, TRIAL, &[("bob", 2)]).await },
    ));
    let merges = world.open_under(publishing.clone()).await.unwrap();
    let outcome = merges.merge_and_delete(TRIAL, MAIN, None).await.unwrap();
    assert!(publishing.happened());
    assert!(matches!(outcome, MergeOutcome::Merged(_) | MergeOutcome::FastForward(_)), "{outcome:?}");
    assert_eq!(world.balances().await, map(&[("ann", 1), ("bob", 2), ("cid", 100)]));
    assert_eq!(bank.branches().await.unwrap(), [MAIN]);

    // Later than that nobody commits to it any more.
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    upsert(&bank, TRIAL, &[("ann", 3)]).await;
    let mut late = bank.begin(TRIAL).await.unwrap();
    late.upsert(ACCOUNTS, accounts(&[("bob", 4)])).await.unwrap();
    let (says, hears) = tokio::sync::oneshot::channel();
    let deleting = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Delete && call.path.as_ref().ends_with("/trial.json"),
        async move { drop(says.send(tokio::spawn(async move { late.commit().await }))) },
    ));
    let merges = world.open_under(deleting.clone()).await.unwrap();
    merges.merge_and_delete(TRIAL, MAIN, None).await.unwrap();
    let error = hears.await.unwrap().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("there is no branch trial"), "{error}");
    assert_eq!(world.balances().await, map(&[("ann", 3), ("bob", 2), ("cid", 100)]));
    world.is_settled().await;

    let error = bank.merge_and_delete(MAIN, MAIN, None).await.unwrap_err();
    assert!(error.to_string().contains("main is always there"), "{error}");
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    upsert(&bank, TRIAL, &[("dan", 5)]).await;
    for error in [
        bank.merge_and_delete(TRIAL, TRIAL, None).await.unwrap_err(),
        bank.merge(TRIAL, TRIAL, None).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("cannot be merged into itself"), "{error}");
    }
    assert_eq!(world.balances_on(TRIAL).await["dan"], 5, "it is there as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_into_a_branch_that_is_deleted_meanwhile_leaves_nothing_to_the_next_of_its_name() {
    let world = Arc::new(World::on_disk().await);
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    // A commit of main in which no row differs in the end: the merge is one publish.
    upsert(&bank, MAIN, &[("ann", 1)]).await;
    upsert(&bank, MAIN, &[("ann", 100)]).await;
    let deletes = bank.clone();
    let late = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().contains("__manifest/tree/trial/_versions"),
        async move { deletes.delete_branch(TRIAL).await.unwrap() },
    ));
    let error = world.open_under(late.clone()).await.unwrap().merge(MAIN, TRIAL, None).await.unwrap_err();
    assert!(late.happened());
    assert!(error.to_string().contains("there is no branch trial"), "{error}");
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let (of_main, of_trial) = (bank.commits(MAIN).await.unwrap(), bank.commits(TRIAL).await.unwrap());
    assert_eq!(of_main, of_trial, "nothing of the merge is in it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_does_not_bring_back_a_record_that_a_person_has_put_aside() {
    let world = Arc::new(World::on_disk().await);
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    upsert(&bank, TRIAL, &[("ann", 1)]).await;
    let puts_aside = world.clone();
    let landed = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Head && call.path.as_ref().ends_with(".json"),
        async move {
            let name = puts_aside.records().await.into_iter().find(|name| name.ends_with(".json")).unwrap();
            puts_aside.place.delete(&Key::parse(&format!("__recovery/{name}")).unwrap()).await.unwrap();
        },
    ));
    let ended = world.open_under(landed.clone()).await.unwrap().merge(TRIAL, MAIN, None).await;
    assert!(landed.happened());
    assert!(matches!(ended, Err(Error::PendingRecovery { .. })), "{ended:?}");
    assert!(!world.records().await.iter().any(|name| name.ends_with(".json")), "it stays away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_by_an_earlier_merge_comes_once_however_far_it_is() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    bank.create_branch("f", MAIN).await.unwrap();
    bank.create_branch("g", MAIN).await.unwrap();
    note(&bank, MAIN, "m1").await;
    upsert(&bank, MAIN, &[("ann", 1)]).await;
    bank.merge(MAIN, "f", None).await.unwrap();
    upsert(&bank, "f", &[("ann", 100)]).await;
    for payer in ["m2", "m3", "m4", "m5"] {
        note(&bank, MAIN, payer).await;
    }
    bank.merge(MAIN, "g", None).await.unwrap();
    bank.merge("f", "g", None).await.unwrap();
    assert_eq!(bank.snapshot("g").await.unwrap().count(JOURNAL).unwrap(), 5, "m1 is there once");
    assert_eq!(world.balances_on("g").await["ann"], 100, "what f has taken back is taken back");
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_a_key_that_both_have_from_a_branch_that_is_gone_do_not_come_twice() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["x", "f", "g"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    upsert(&bank, "x", &[("ann", 1)]).await;
    note(&bank, "x", "x1").await;
    bank.merge("x", "f", None).await.unwrap();
    note(&bank, "x", "x2").await;
    bank.merge("x", "g", None).await.unwrap();
    bank.delete_branch("x").await.unwrap();
    note(&bank, "f", "f1").await;
    bank.merge("f", "g", None).await.unwrap();
    assert_eq!(bank.snapshot("g").await.unwrap().count(JOURNAL).unwrap(), 3, "x1, x2, f1");
    // What one side has taken away does not come back from the other.
    let mut tx = bank.begin("f").await.unwrap();
    assert_eq!(tx.delete(JOURNAL, "payer = 'x1'").await.unwrap(), 1);
    tx.commit().await.unwrap();
    bank.merge("g", "f", None).await.unwrap();
    assert_eq!(bank.snapshot("f").await.unwrap().count(JOURNAL).unwrap(), 2, "x2, f1");
    bank.delete_branch("f").await.unwrap();
    bank.create_branch("f", MAIN).await.unwrap();
    // Rows with a key are told apart; and what only one of both has changed is as it is.
    bank.merge(MAIN, "f", None).await.unwrap();
    bank.create_branch("h", MAIN).await.unwrap();
    upsert(&bank, "h", &[("bob", 2)]).await;
    bank.merge("h", "f", None).await.unwrap();
    bank.create_branch("y", MAIN).await.unwrap();
    upsert(&bank, "y", &[("cid", 3)]).await;
    for target in ["h", MAIN] {
        bank.merge("y", target, None).await.unwrap();
    }
    bank.delete_branch("y").await.unwrap();
    note(&bank, MAIN, "m").await;
    bank.merge("h", MAIN, None).await.unwrap();
    assert_eq!(world.balances().await, map(&[("ann", 100), ("bob", 2), ("cid", 3)]));
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_is_one_publish_is_worked_out_anew_when_others_commit_meanwhile() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    upsert(&bank, MAIN, &[("ann", 1)]).await;
    upsert(&bank, MAIN, &[("ann", 100)]).await;
    let commits = bank.clone();
    let publishing = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().contains("__manifest/tree/trial/_versions"),
        async move { upsert(&commits, TRIAL, &[("bob", 2)]).await },
    ));
    let merged = world.open_under(publishing.clone()).await.unwrap().merge(MAIN, TRIAL, None).await.unwrap();
    assert!(publishing.happened());
    assert!(matches!(merged, MergeOutcome::Merged(_)), "{merged:?}");
    assert_eq!(world.balances_on(TRIAL).await, map(&[("ann", 100), ("bob", 2), ("cid", 100)]));
    assert_eq!(bank.merge(MAIN, TRIAL, None).await.unwrap(), MergeOutcome::AlreadyUpToDate);
    world.is_settled().await;
}

#[tokio::test]
async fn a_key_that_is_there_twice_is_named() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let mut tx = bank.begin(TRIAL).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("dan", 1), ("dan", 2)])).await.unwrap();
    let error = tx.upsert(ACCOUNTS, accounts(&[("eve", 1), ("eve", 2)])).await.unwrap_err().to_string();
    assert!(error.contains("the key eve"), "{error}");
    tx.commit().await.unwrap();
    let dan = bank.snapshot(TRIAL).await.unwrap().row(ACCOUNTS, &["dan".into()]).await.unwrap().unwrap();
    assert_eq!(dan.num_rows(), 2, "nothing is hidden");
    let error = bank.merge(TRIAL, MAIN, None).await.unwrap_err().to_string();
    assert!(error.contains("the key dan") && error.contains("append one"), "{error}");
    upsert(&bank, TRIAL, &[("dan", 3)]).await;
    bank.merge(TRIAL, MAIN, None).await.unwrap();
    assert_eq!(world.balances().await["dan"], 3);
}

/// Both sides have merged the same branch, which is gone, and one of them has taken back what came with it since: what came is the base.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_from_a_branch_that_is_gone_and_was_taken_back_does_not_come_again() {
    for (side, taken_back) in [(MAIN, "gus"), ("a", "gus"), (MAIN, "ann"), ("a", "ann")] {
        let world = World::in_memory().await;
        let bank = world.open().await;
        bank.create_branch("f", MAIN).await.unwrap();
        bank.create_branch("a", MAIN).await.unwrap();
        upsert(&bank, "f", &[("gus", 7), ("ann", 1), ("hal", 8)]).await;
        bank.merge("f", "a", None).await.unwrap();
        bank.merge_and_delete("f", MAIN, None).await.unwrap();
        match taken_back {
            "gus" => delete(&bank, side, "gus").await,
            _ => upsert(&bank, side, &[("ann", 100)]).await,
        }
        upsert(&bank, "a", &[("bob", 2)]).await;
        bank.merge("a", MAIN, None).await.unwrap();
        bank.merge(MAIN, "a", None).await.unwrap();
        let mut held = map(&[("ann", 1), ("bob", 2), ("cid", 100), ("gus", 7), ("hal", 8)]);
        match taken_back {
            "gus" => drop(held.remove("gus")),
            _ => drop(held.insert("ann".into(), 100)),
        }
        assert_eq!(world.balances().await, held, "{side} {taken_back}");
        assert_eq!(world.balances_on("a").await, held, "{side} {taken_back}");
        world.is_settled().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_that_are_merged_and_deleted_one_after_the_other_leave_nothing_to_refuse() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    bank.create_branch("dev", MAIN).await.unwrap();
    for (short, target, payer) in [("hotfix", MAIN, "fix"), ("feature", "dev", "new")] {
        bank.create_branch(short, target).await.unwrap();
        note(&bank, short, payer).await;
        upsert(&bank, short, &[(payer, 1)]).await;
        bank.merge_and_delete(short, target, None).await.unwrap();
    }
    bank.merge("dev", MAIN, None).await.unwrap();
    assert_eq!(bank.snapshot(MAIN).await.unwrap().count(JOURNAL).unwrap(), 2);
    assert_eq!(world.balances().await.len(), 5);
    world.is_settled().await;
}

/// The branch that is gone had merged the target itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_a_key_that_came_from_the_target_by_a_branch_that_is_gone_do_not_come_twice() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["short", "long"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    note(&bank, MAIN, "m1").await;
    bank.merge(MAIN, "short", None).await.unwrap();
    bank.merge_and_delete("short", "long", None).await.unwrap();
    note(&bank, "long", "l1").await;
    bank.merge("long", MAIN, None).await.unwrap();
    assert_eq!(bank.snapshot(MAIN).await.unwrap().count(JOURNAL).unwrap(), 2);
}

/// The same with a key: what the target has done with its own rows since is nobody else's change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_came_from_the_target_by_a_branch_that_is_gone_are_its_own() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["short", "long"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    upsert(&bank, MAIN, &[("eve", 5), ("fay", 6), ("ann", 1)]).await;
    bank.merge(MAIN, "short", None).await.unwrap();
    let merged = bank.commits("short").await.unwrap().remove(0);
    bank.merge_and_delete("short", "long", None).await.unwrap();
    upsert(&bank, "long", &[("gus", 7)]).await;
    delete(&bank, MAIN, "eve").await;
    upsert(&bank, MAIN, &[("fay", 60), ("ann", 100)]).await;
    bank.merge("long", MAIN, None).await.unwrap();
    assert_eq!(
        world.balances().await,
        map(&[("ann", 100), ("bob", 100), ("cid", 100), ("fay", 60), ("gus", 7)])
    );
    // The history still knows the commit, of which nothing else is left.
    assert_eq!(bank.commit(&merged.id).await.unwrap(), merged);
    let error = bank.snapshot(At::Commit(merged.id)).await.unwrap_err().to_string();
    assert!(error.contains("was made on branch short, which is deleted"), "{error}");
    assert!(bank.commits(MAIN).await.unwrap().iter().all(|commit| commit.branch.is_main()));
    world.is_settled().await;
}

/// Rows that came to both and were taken away by one before they parted for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_a_key_from_a_branch_that_is_gone_stay_away_where_they_were_deleted() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["x", "f"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    for payer in ["x1", "x2"] {
        note(&bank, "x", payer).await;
    }
    bank.merge("x", "f", None).await.unwrap();
    bank.merge_and_delete("x", MAIN, None).await.unwrap();
    let mut tx = bank.begin(MAIN).await.unwrap();
    assert_eq!(tx.delete(JOURNAL, "payer = 'x1'").await.unwrap(), 1);
    tx.commit().await.unwrap();
    note(&bank, "f", "f1").await;
    bank.merge("f", MAIN, None).await.unwrap();
    assert_eq!(bank.snapshot(MAIN).await.unwrap().count(JOURNAL).unwrap(), 2, "x2, f1");
    world.is_settled().await;
}

/// A branch went on after one side had merged it, and is gone: what came later is no news to that side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_branch_that_is_gone_did_after_the_first_merge_is_of_the_second_alone() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["x", "f"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    upsert(&bank, "x", &[("gus", 7)]).await;
    bank.merge("x", "f", None).await.unwrap();
    upsert(&bank, "x", &[("hal", 8), ("gus", 70)]).await;
    bank.merge_and_delete("x", MAIN, None).await.unwrap();
    upsert(&bank, "f", &[("ivy", 9)]).await;
    bank.merge("f", MAIN, None).await.unwrap();
    let held = map(&[("ann", 100), ("bob", 100), ("cid", 100), ("gus", 70), ("hal", 8), ("ivy", 9)]);
    assert_eq!(world.balances().await, held);
    bank.merge(MAIN, "f", None).await.unwrap();
    assert_eq!(world.balances_on("f").await, held);
    world.is_settled().await;
}

/// One side had a row already that came to the other: what both had in common is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_one_side_had_before_it_came_from_a_branch_that_is_gone_is_in_the_base() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["f", "a"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    upsert(&bank, "a", &[("gus", 7)]).await;
    upsert(&bank, "f", &[("gus", 7), ("hal", 8)]).await;
    bank.merge("f", "a", None).await.unwrap();
    bank.merge_and_delete("f", MAIN, None).await.unwrap();
    delete(&bank, MAIN, "gus").await;
    upsert(&bank, "a", &[("ivy", 9)]).await;
    bank.merge("a", MAIN, None).await.unwrap();
    let held = map(&[("ann", 100), ("bob", 100), ("cid", 100), ("hal", 8), ("ivy", 9)]);
    assert_eq!(world.balances().await, held);
    world.is_settled().await;
}

/// Each side has merged what went on from the lost commit, so nothing tells what that was: the keys are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_base_nothing_tells_are_a_conflict() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["x", "a"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    upsert(&bank, "x", &[("gus", 7)]).await;
    note(&bank, "x", "x1").await;
    bank.create_branch("y", "x").await.unwrap();
    upsert(&bank, "y", &[("hal", 8)]).await;
    upsert(&bank, "x", &[("ivy", 9)]).await;
    bank.merge_and_delete("y", "a", None).await.unwrap();
    bank.merge_and_delete("x", MAIN, None).await.unwrap();
    delete(&bank, MAIN, "gus").await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    assert_eq!(tx.delete(JOURNAL, "payer = 'x1'").await.unwrap(), 1);
    tx.commit().await.unwrap();
    for (source, target) in [("a", MAIN), (MAIN, "a")] {
        let before = world.balances_on(target).await;
        let error = bank.merge(source, target, None).await.unwrap_err();
        assert!(error.to_string().contains("journal has no key, and 1 of its rows"), "{error}");
        assert_eq!(world.balances_on(target).await, before);
    }
    let mut tx = bank.begin("a").await.unwrap();
    assert_eq!(tx.delete(JOURNAL, "payer = 'x1'").await.unwrap(), 1);
    tx.commit().await.unwrap();
    for (source, target) in [("a", MAIN), (MAIN, "a")] {
        let error = bank.merge(source, target, None).await.unwrap_err();
        let Error::MergeConflicts(conflicts) = &error else { panic!("{error}") };
        let keys: BTreeSet<&str> = conflicts[0].keys.iter().map(|key| key[0].as_str()).collect();
        assert!(keys.contains("gus"), "{source}: {keys:?}");
    }
    delete(&bank, "a", "gus").await;
    for (branch, other) in [("a", MAIN), (MAIN, "a")] {
        let all = world.balances_on(branch).await;
        let rows: Vec<_> = all.iter().map(|(id, balance)| (id.as_str(), *balance)).collect();
        upsert(&bank, other, &rows).await;
    }
    bank.merge("a", MAIN, None).await.unwrap();
    assert_eq!(world.balances().await, world.balances_on("a").await);
    world.is_settled().await;
}

/// A branch of the same name is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_made_anew_is_not_read_for_the_one_that_is_gone() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for branch in ["f", "a"] {
        bank.create_branch(branch, MAIN).await.unwrap();
    }
    upsert(&bank, "f", &[("gus", 7)]).await;
    bank.merge("f", "a", None).await.unwrap();
    bank.merge_and_delete("f", MAIN, None).await.unwrap();
    bank.create_branch("f", MAIN).await.unwrap();
    for n in 0..4 {
        upsert(&bank, "f", &[("gus", n)]).await;
    }
    delete(&bank, MAIN, "gus").await;
    bank.merge(MAIN, "a", None).await.unwrap();
    assert!(!world.balances_on("a").await.contains_key("gus"));
    world.is_settled().await;
}
