//! Branches: made, written to, removed.

use super::everywhere;
use crate::support::faults::{Dies, DiesAt, FailsAfter, Full, Meanwhile, is_write};
use crate::world::{ACCOUNTS, JOURNAL, MAIN, World, accounts, transfer};
use outrigger::app::{self, Leave};
use outrigger::model::TableKey;
use outrigger::passes::recovery::act::Acted;
use outrigger::passes::recovery::repair;
use outrigger::store::{Key, Verb};
use outrigger::writer::{At, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

everywhere!(
    a_branch_forks_a_table_by_the_first_commit_to_it,
    a_branch_commit_that_dies_anywhere_is_shown_as_a_whole_or_not_at_all,
);

const TRIAL: &str = "trial";

/// More than a commit of two tables on a branch writes.
const MOST_WRITES: usize = 50;

/// `outrigger repair fork --exclusive --yes`; what it did.
async fn repair_forks(world: &World, table: Option<&str>) -> Vec<String> {
    let graph = world.repo().await;
    let table = table.map(|table| TableKey::parse(table).unwrap());
    let proposals = repair::forks(&graph, table.as_ref()).await.unwrap();
    assert_eq!(proposals.lost, []);
    let handles = app::handles(Leave::Exclusive, graph.store());
    let mut done = Vec::new();
    for proposal in proposals.made {
        let ended = repair::carry_out(&graph, &proposal, handles.as_ref()).await.unwrap();
        assert!(matches!(ended, Acted::Settled), "{ended:?}");
        done.push(proposal.what);
    }
    done
}

pub async fn a_branch_forks_a_table_by_the_first_commit_to_it(world: World) {
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    assert_eq!(bank.branches().await.unwrap(), [MAIN, TRIAL]);
    let mut tx = bank.begin(TRIAL).await.unwrap();
    tx.upsert(ACCOUNTS, accounts(&[("ann", 1)])).await.unwrap();
    tx.delete(ACCOUNTS, "id = 'bob'").await.unwrap();
    tx.commit().await.unwrap().unwrap();
    let mut tx = bank.begin(TRIAL).await.unwrap();
    tx.update(ACCOUNTS, "id = 'cid'", &[("balance", "balance + 1")]).await.unwrap();
    tx.commit().await.unwrap().unwrap();
    let expected = [("ann", 1), ("cid", 101)].map(|(id, balance)| (id.to_owned(), balance));
    assert_eq!(world.balances_on(TRIAL).await, expected.into());
    assert_eq!(world.balances().await["ann"], 100, "main is as it was");
    let listed = async |table: &str| {
        let key = Key::parse(&format!("tables/{table}.lance/_refs")).unwrap();
        world.place.list(&key).await.unwrap().len()
    };
    assert_eq!((listed(ACCOUNTS).await, listed(JOURNAL).await), (1, 0), "only what was written is forked");

    // Main goes on; the branch does not see it, and what is made from the branch sees the branch.
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 50).await;
    tx.commit().await.unwrap().unwrap();
    assert_eq!(world.balances_on(TRIAL).await["ann"], 1);
    bank.create_branch("trial/two", TRIAL).await.unwrap();
    let mut tx = bank.begin("trial/two").await.unwrap();
    transfer(&mut tx, "cid", "ann", 1).await;
    tx.commit().await.unwrap().unwrap();
    assert_eq!(world.balances_on("trial/two").await["ann"], 2);
    assert_eq!(world.balances_on(TRIAL).await["ann"], 1);
    bank.delete_branch("trial/two").await.unwrap();
    assert_eq!(bank.branches().await.unwrap(), [MAIN, TRIAL]);
    assert_eq!(world.balances_on(TRIAL).await["ann"], 1, "its parent's tree is untouched");
    world.is_settled().await;
}

pub async fn a_branch_commit_that_dies_anywhere_is_shown_as_a_whole_or_not_at_all(world: World) {
    let bank = world.open().await;
    let mut orphaned = 0;
    for lives in 0..MOST_WRITES {
        // A branch of its own each time: the first commit is the one that forks.
        let branch = format!("b{lives}");
        bank.create_branch(&branch, MAIN).await.unwrap();
        let dies = Arc::new(Dies::after_writes(lives));
        let tried = async {
            let mut tx = world.open_under(dies.clone()).await?.begin(&branch).await?;
            transfer(&mut tx, "ann", "bob", 1).await;
            tx.commit().await
        };
        let acknowledged = matches!(tried.await, Ok(Some(_)));
        world.recover().await;
        world.is_settled().await;
        let ann = world.balances_on(&branch).await["ann"];
        let noted = bank.snapshot(branch.as_str()).await.unwrap().count(JOURNAL).unwrap();
        assert_eq!(100 - ann, noted as i64, "after {lives} writes: both tables, or none");
        assert!(noted == 1 || !acknowledged, "after {lives} writes: what was acknowledged is shown");

        // The branch can be written to, whatever is left: an empty fork is taken over, half of one is removed by a person's word.
        let again = async || {
            let mut tx = bank.begin(&branch).await.unwrap();
            transfer(&mut tx, "ann", "bob", 1).await;
            tx.commit().await
        };
        if let Err(error) = again().await {
            orphaned += 1;
            let Error::OrphanedFork { table, .. } = &error else { panic!("after {lives} writes: {error}") };
            assert!(error.to_string().contains("`outrigger repair fork --table "), "{error}");
            world.is_settled().await;
            let done = repair_forks(&world, Some(table.as_str())).await;
            assert_eq!(done, [format!("remove what lies on branch {branch} of {table}")]);
            again().await.unwrap().unwrap();
        }
        assert_eq!(world.balances_on(&branch).await["ann"], ann - 1, "after {lives} writes");
        if dies.survived() {
            assert!((1..=4).contains(&orphaned), "half of a fork, of either table: {orphaned}");
            return;
        }
    }
    panic!("a commit makes more than {MOST_WRITES} writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_fork_a_table_at_once_both_come_to_their_end() {
    let world = World::on_disk().await;
    let (one, other) = (world.open().await, world.open().await);
    one.create_branch(TRIAL, MAIN).await.unwrap();
    let append = async |bank: &outrigger::writer::Repository, id: &str| {
        let mut tx = bank.begin(TRIAL).await.unwrap();
        tx.append(ACCOUNTS, accounts(&[(id, 1)])).await.unwrap();
        tx.commit().await.unwrap().unwrap();
    };
    futures::join!(append(&one, "dan"), append(&other, "eve"));
    assert_eq!(world.balances_on(TRIAL).await.len(), 5);
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_branch_leaves_nothing_to_the_next_of_its_name() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    for _ in 0..3 {
        bank.create_branch(TRIAL, MAIN).await.unwrap();
        for _ in 0..2 {
            let mut tx = bank.begin(TRIAL).await.unwrap();
            transfer(&mut tx, "ann", "bob", 1).await;
            tx.commit().await.unwrap().unwrap();
        }
        assert_eq!(world.balances_on(TRIAL).await["ann"], 98);
        bank.delete_branch(TRIAL).await.unwrap();
        assert!(bank.snapshot(TRIAL).await.is_err());
    }
    assert_eq!(bank.branches().await.unwrap(), [MAIN]);
    assert_eq!(repair_forks(&world, None).await, [""; 0], "nothing is left to repair");
    let mut late = None;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let mut tx = bank.begin(TRIAL).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    late.replace(tx);
    bank.delete_branch(TRIAL).await.unwrap();
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let error = late.unwrap().commit().await.unwrap_err();
    assert!(error.to_string().contains("there is no branch trial"), "{error}");
    assert_eq!(world.balances_on(TRIAL).await["ann"], 100);
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_made_or_removed_is_refused_by_name() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    let said = |ended: outrigger::writer::Result<()>, why: &str| {
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    for name in [MAIN, "__lock", "a..b", "", "a b", "x\n", " x", "x ", "Ünï"] {
        assert!(bank.create_branch(name, MAIN).await.is_err(), "{name:?}");
        assert!(bank.delete_branch(name).await.is_err(), "{name:?}");
    }
    // On a disk the longest name that passes can be written to, closed and deleted.
    for (longest, longer) in
        [("x".repeat(200), "x".repeat(201)), ("x/".repeat(49) + "xxxx", "x/".repeat(50) + "x")]
    {
        bank.create_branch(&longest, MAIN).await.unwrap();
        let mut tx = bank.begin(&longest).await.unwrap();
        tx.append(ACCOUNTS, accounts(&[("dan", 1)])).await.unwrap();
        tx.commit().await.unwrap().unwrap();
        bank.delete_branch(&longest).await.unwrap();
        said(bank.create_branch(&longer, MAIN).await, "at most 200 bytes");
    }
    assert_eq!(bank.branches().await.unwrap(), [MAIN]);
    said(bank.create_branch(TRIAL, "nope").await, "no branch nope");
    said(bank.delete_branch(TRIAL).await, "no branch trial");
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    said(bank.create_branch(TRIAL, MAIN).await, "exists already");
    bank.create_branch("child", TRIAL).await.unwrap();
    said(bank.delete_branch(TRIAL).await, "branch child was made from trial");
    bank.delete_branch("child").await.unwrap();
    bank.delete_branch(TRIAL).await.unwrap();
    let past = bank.commits(MAIN).await.unwrap().pop().unwrap();
    bank.create_branch("past", At::Commit(past.id)).await.unwrap();
    assert_eq!(bank.snapshot("past").await.unwrap().count(ACCOUNTS).unwrap(), 0, "as at the creation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_fails_or_dies_is_made_good() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for after in 0..10 {
        let full = Arc::new(Full::after_writes(after));
        let ended = world.open_under(full.clone()).await.unwrap().create_branch(TRIAL, MAIN).await;
        if !full.happened() {
            ended.unwrap();
            break;
        }
        assert!(ended.is_err());
        bank.create_branch(TRIAL, MAIN).await.unwrap_or_else(|error| panic!("after {after} writes: {error}"));
        bank.delete_branch(TRIAL).await.unwrap();
    }
    bank.delete_branch(TRIAL).await.unwrap();
    for lives in 0..10 {
        let dies = Arc::new(Dies::after_writes(lives));
        let ended = world.open_under(dies.clone()).await.unwrap().create_branch(TRIAL, MAIN).await;
        if dies.survived() {
            ended.unwrap();
            return;
        }
        if bank.branches().await.unwrap().len() > 1 {
            bank.delete_branch(TRIAL).await.unwrap();
        } else if let Err(error) = bank.create_branch(TRIAL, MAIN).await {
            assert!(error.to_string().contains("`outrigger repair fork --exclusive`"), "{error}");
            assert_eq!(
                repair_forks(&world, None).await,
                ["remove what is left of branch trial of the manifest"]
            );
        } else {
            bank.delete_branch(TRIAL).await.unwrap();
        }
    }
    panic!("making a branch takes more than ten writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_dies_leaves_what_a_repair_removes() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for lives in 0..60 {
        let branch = format!("b{lives}");
        bank.create_branch(&branch, MAIN).await.unwrap();
        let mut tx = bank.begin(&branch).await.unwrap();
        transfer(&mut tx, "ann", "bob", 1).await;
        tx.commit().await.unwrap().unwrap();
        let dies = Arc::new(Dies::after_writes(lives));
        let _ = world.open_under(dies.clone()).await.unwrap().delete_branch(&branch).await;
        let is_listed = bank.branches().await.unwrap().contains(&branch);
        assert!(!is_listed || lives < 3, "after its mark and the decision the record goes first");
        if is_listed && lives > 0 {
            // The mark keeps everybody out for a while.
            let mut tx = bank.begin(&branch).await.unwrap();
            tx.append(ACCOUNTS, accounts(&[("dan", 1)])).await.unwrap();
            let error = tokio::time::timeout(Duration::from_millis(300), tx.commit()).await;
            assert!(error.is_err(), "it is tried again and again: {error:?}");
        }
        if !is_listed {
            repair_forks(&world, None).await;
            bank.create_branch(&branch, MAIN).await.unwrap();
            assert_eq!(world.balances_on(&branch).await["ann"], 100, "after {lives} writes");
        }
        bank.delete_branch(&branch).await.unwrap();
        world.is_settled().await;
        if dies.survived() {
            return;
        }
    }
    panic!("a deletion takes more than 60 writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_with_a_pending_commit_is_not_deleted() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let dies = DiesAt::call(|call| {
        is_write(call) && call.path.as_ref().contains("journal.lance/tree/trial/_versions")
    });
    let mut tx = world.open_under(Arc::new(dies)).await.unwrap().begin(TRIAL).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    let Err(Error::PendingRecovery { sidecar }) = tx.commit().await else { panic!("it died") };
    let error = bank.delete_branch(TRIAL).await.unwrap_err();
    assert!(matches!(&error, Error::PendingRecovery { sidecar: named } if *named == sidecar), "{error}");
    world.recover().await;
    bank.delete_branch(TRIAL).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_fails_takes_nothing_of_another_creator_away() {
    let world = Arc::new(World::on_disk().await);
    // The other has made its first version, and not yet the record, when the read of the source fails here.
    let slow = DiesAt::call(|call| is_write(call) && call.path.as_ref().ends_with("/trial.json"));
    let other = world.open_under(Arc::new(slow)).await.unwrap();
    let has_looked = AtomicBool::new(false);
    let fails = FailsAfter(Meanwhile::at(
        move |call| {
            let looked = has_looked.load(Ordering::Relaxed);
            has_looked.fetch_or(call.path.as_ref().ends_with("__manifest/tree"), Ordering::Relaxed);
            looked && call.path.as_ref().contains("__manifest/_versions")
        },
        async move { assert!(other.create_branch(TRIAL, MAIN).await.is_err()) },
    ));
    let fails = Arc::new(fails);
    assert!(world.open_under(fails.clone()).await.unwrap().create_branch(TRIAL, MAIN).await.is_err());
    assert!(fails.0.happened());
    let versions = Key::parse("__manifest/tree/trial/_versions").unwrap();
    assert_eq!(world.place.list(&versions).await.unwrap().len(), 1, "what the other has made is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_branch_and_one_that_is_made_from_it_meanwhile_none_is_broken() {
    let world = Arc::new(World::on_disk().await);
    let bank = world.open().await;
    let record = |name: &'static str, verb: Verb| {
        move |call: &outrigger::store::Call| call.verb == verb && call.path.as_ref().ends_with(name)
    };

    // The deletion has looked for children, and goes on.
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let creates = bank.clone();
    let late = Arc::new(Meanwhile::at(record("/trial.json", Verb::Delete), async move {
        let error = creates.create_branch("child", TRIAL).await.unwrap_err();
        assert!(error.to_string().contains("was deleted while child was made from it"), "{error}");
    }));
    world.open_under(late.clone()).await.unwrap().delete_branch(TRIAL).await.unwrap();
    assert!(late.happened());
    assert_eq!(bank.branches().await.unwrap(), [MAIN]);

    // The creation has looked for its parent, and goes on.
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let deletes = bank.clone();
    let late = Arc::new(Meanwhile::at(record("/child.json", Verb::Create), async move {
        deletes.delete_branch(TRIAL).await.unwrap();
    }));
    let error =
        world.open_under(late.clone()).await.unwrap().create_branch("child", TRIAL).await.unwrap_err();
    assert!(error.to_string().contains("was deleted while child was made from it"), "{error}");
    assert!(late.happened());
    assert_eq!(bank.branches().await.unwrap(), [MAIN]);
    assert_eq!(repair_forks(&world, None).await, [""; 0], "nothing is left to repair");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_is_not_deleted_beside_a_crash_record_that_cannot_be_read() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let key = Key::parse("__recovery/01JZ0A3V9Q6T1F4C8R2M5N7P0X.json").unwrap();
    world.place.put(&key, "{".into()).await.unwrap();
    let error = bank.delete_branch(TRIAL).await.unwrap_err();
    assert!(error.to_string().contains("01JZ0A3V9Q6T1F4C8R2M5N7P0X.json cannot be read"), "{error}");
    world.place.delete(&key).await.unwrap();
    bank.delete_branch(TRIAL).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_a_branch_can_be_deleted() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    for file in world.place.list(&Key::parse("__manifest/tree/trial/_versions").unwrap()).await.unwrap() {
        world.place.delete(&file.key).await.unwrap();
    }
    let bank = world.open().await;
    assert!(bank.snapshot(TRIAL).await.is_err());
    bank.delete_branch(TRIAL).await.unwrap();
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    assert_eq!(world.balances_on(TRIAL).await["ann"], 100);
}

/// A writer that is kept out by the mark of a deletion that does not go on opens the branch again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_slept_finds_the_branch_opened_again() {
    let world = Arc::new(World::on_disk().await);
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let commits = bank.clone();
    let sleeps = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().ends_with(".decided"),
        async move {
            let mut tx = commits.begin(TRIAL).await.unwrap();
            tx.upsert(ACCOUNTS, accounts(&[("dan", 5)])).await.unwrap();
            tx.commit().await.unwrap().expect("after some seconds");
        },
    ));
    let sleeper = world.open_under(sleeps.clone()).await.unwrap();
    let error = sleeper.delete_branch(TRIAL).await.unwrap_err();
    assert!(sleeps.happened());
    assert!(error.to_string().contains("was opened again meanwhile"), "{error}");
    assert_eq!(world.balances_on(TRIAL).await["dan"], 5, "what was acknowledged is there");
    // A merge goes on with what is there now.
    bank.merge_and_delete(TRIAL, MAIN, None).await.unwrap();
    assert_eq!(world.balances().await["dan"], 5);
    let refs = world.place.list(&Key::parse("__manifest/_refs/branches").unwrap()).await.unwrap();
    assert_eq!(refs.len(), 1, "only the decision that overrules the sleeper: {refs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_is_made_over_an_old_mark_is_open_wherever_its_maker_dies() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let mut listed = 0;
    for lives in 0..10 {
        let branch = format!("b{lives}");
        let mark = Key::parse(&format!("__manifest/_refs/branches/{branch}.OLD.closing")).unwrap();
        world.place.put(&mark, "OLD".into()).await.unwrap();
        let dies = Arc::new(Dies::after_writes(lives));
        let ended = world.open_under(dies.clone()).await.unwrap().create_branch(&branch, MAIN).await;
        if bank.branches().await.unwrap().contains(&branch) {
            listed += 1;
            assert!(
                world.place.get(&mark).await.unwrap().is_none(),
                "after {lives} writes: nobody waits for it"
            );
            let mut tx = bank.begin(&branch).await.unwrap();
            tx.append(ACCOUNTS, accounts(&[("dan", 1)])).await.unwrap();
            tx.commit().await.unwrap().expect("nobody closes it");
            bank.delete_branch(&branch).await.unwrap();
        }
        if dies.survived() {
            ended.unwrap();
            assert!(listed > 0);
            return;
        }
    }
    panic!("making a branch takes more than ten writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_branch_is_made_where_the_forks_of_another_are_being_removed() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let mut tx = bank.begin(TRIAL).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().unwrap();
    let makes = bank.clone();
    let removing = Arc::new(Meanwhile::whenever(
        |call| call.verb == Verb::Delete && call.path.as_ref().contains("l.lance/tree/trial/"),
        move || {
            let makes = makes.clone();
            Box::pin(async move {
                let error = makes.create_branch(TRIAL, MAIN).await.unwrap_err().to_string();
                assert!(error.contains("files of an earlier branch trial"), "{error}");
            })
        },
    ));
    world.open_under(removing.clone()).await.unwrap().delete_branch(TRIAL).await.unwrap();
    assert!(removing.times() > 1, "a version and its data, of the last fork");
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    assert_eq!(world.balances_on(TRIAL).await["ann"], 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_slept_after_its_decision_leaves_the_next_branch_of_that_name_alone() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let other = bank.clone();
    let decided = AtomicBool::new(false);
    let slept = Arc::new(Meanwhile::at(
        move |call| {
            let path = call.path.as_ref();
            decided.fetch_or(call.verb == Verb::Create && path.ends_with(".decided"), Ordering::Relaxed);
            call.verb == Verb::List && path.ends_with("_refs/branches") && decided.load(Ordering::Relaxed)
        },
        async move {
            other.delete_branch(TRIAL).await.unwrap();
            other.create_branch(TRIAL, MAIN).await.unwrap();
            let mut tx = other.begin(TRIAL).await.unwrap();
            transfer(&mut tx, "ann", "bob", 1).await;
            tx.commit().await.unwrap().unwrap();
        },
    ));
    let error = world.open_under(slept.clone()).await.unwrap().delete_branch(TRIAL).await.unwrap_err();
    assert!(slept.happened());
    assert!(error.to_string().contains("was made anew meanwhile"), "{error}");
    assert_eq!(world.balances_on(TRIAL).await["ann"], 99, "what was acknowledged is there");
}
