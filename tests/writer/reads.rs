//! Snapshots and history.

use crate::support::faults::{Breaks, is_write};
use crate::support::repos::faulty;
use crate::world::{ACCOUNTS, JOURNAL, MAIN, World, accounts, balances, transfer};
use outrigger::Kind;
use outrigger::writer::{At, Error, KeyPart, Repository};
use std::sync::Arc;

#[tokio::test]
async fn the_past_is_read_by_version_and_by_commit() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    let before = bank.snapshot(MAIN).await.unwrap();
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 10).await;
    let committed = tx.commit().await.unwrap().unwrap();
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 10).await;
    tx.commit().await.unwrap().unwrap();

    let ann =
        async |at: At| balances(&bank.snapshot(at).await.unwrap().rows(ACCOUNTS, None).await.unwrap())["ann"];
    assert_eq!(ann(At::Version { branch: MAIN.into(), version: before.version() }).await, 100);
    assert_eq!(ann(At::Commit(committed.id.clone())).await, 90);
    assert_eq!(ann(At::from(MAIN)).await, 80);
    assert_eq!(bank.commit(&committed.id).await.unwrap().manifest_version.0, committed.manifest_version);
    assert_eq!(bank.commits(MAIN).await.unwrap().len(), 4, "with the creation and the first rows");
    for at in [At::Commit("nope".into()), At::from("nope"), At::Version { branch: MAIN.into(), version: 99 }]
    {
        let error = bank.snapshot(at.clone()).await.unwrap_err();
        assert!(matches!(&error, Error::Other(inner) if inner.kind() == Kind::Missing), "{at:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_row_is_read_by_its_key() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("o'neil", 7)])).await.unwrap();
    tx.commit().await.unwrap().unwrap();
    let snapshot = bank.snapshot(MAIN).await.unwrap();
    let row = snapshot.row(ACCOUNTS, &["o'neil".into()]).await.unwrap().unwrap();
    assert_eq!(balances(&row)["o'neil"], 7);
    assert!(snapshot.row(ACCOUNTS, &["nobody".into()]).await.unwrap().is_none());
    for (table, key) in [(JOURNAL, vec![KeyPart::from("a")]), (ACCOUNTS, vec!["a".into(), 1.into()])] {
        let error = snapshot.row(table, &key).await.unwrap_err();
        assert!(error.to_string().contains("key"), "{error}");
    }
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let world = World::on_disk().await;
    let calls = Arc::new(Breaks::watching());
    let reader = Repository::open_with(world.parts(faulty(calls.clone())).await, true).await.unwrap();
    assert_eq!(reader.snapshot(MAIN).await.unwrap().count(ACCOUNTS).unwrap(), 3);
    assert_eq!(reader.snapshot(MAIN).await.unwrap().rows(ACCOUNTS, None).await.unwrap().num_rows(), 3);
    assert_eq!(reader.commits(MAIN).await.unwrap().len(), 2);
    reader.refresh().await.unwrap();
    for error in [
        reader.begin(MAIN).await.map(|_| ()).unwrap_err(),
        reader.heal().await.map(|_| ()).unwrap_err(),
        reader.create_table(&crate::world::tables()[0]).await.unwrap_err(),
        reader.create_branch("x", MAIN).await.unwrap_err(),
        reader.delete_branch("x").await.unwrap_err(),
        reader.merge(MAIN, MAIN, None).await.map(|_| ()).unwrap_err(),
        reader.merge_and_delete("x", MAIN, None).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("read only"), "{error}");
    }
    let calls = calls.seen();
    assert!(calls.len() > 3, "{calls:?}");
    assert!(!calls.iter().any(is_write), "{calls:?}");
    let mut dataset = reader.snapshot(MAIN).await.unwrap().open(ACCOUNTS).await.unwrap();
    assert!(dataset.delete("true").await.is_err(), "a reader's handle commits nothing");
    world.is_settled().await;
}

/// Handles go from task to task, and so does everything that they are asked.
#[allow(dead_code, reason = "that it compiles is what is tested")]
fn what_is_asked_of_a_handle_may_go_to_another_task(bank: Repository) {
    fn may_go<T: Send>(_: T) {}
    fn shared<T: Clone + Send + Sync>(_: &T) {}
    shared(&bank);
    may_go(bank.snapshot(MAIN));
    may_go(bank.begin(MAIN));
    may_go(bank.heal());
    may_go(bank.commits(MAIN));
    may_go(bank.create_branch("x", MAIN));
    may_go(bank.delete_branch("x"));
    may_go(bank.merge_and_delete("x", MAIN, None));
    may_go(async {
        let mut tx = bank.begin(MAIN).await.unwrap();
        tx.upsert(ACCOUNTS, accounts(&[])).await.unwrap();
        tx.update(ACCOUNTS, "true", &[("balance", "1")]).await.unwrap();
        tx.rows(ACCOUNTS, None).await.unwrap();
        tx.commit().await.unwrap();
    });
}
