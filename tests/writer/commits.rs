//! What a transaction does, and what it refuses.

use super::everywhere;
use crate::support::faults::{Breaks, FailsAlways, LosesAnswer, Meanwhile, is_write};
use crate::world::{
    ACCOUNTS, Beside, JOURNAL, MAIN, TOTAL, World, accounts, balances, journal, orders_table, transfer,
};
use arrow::datatypes::{DataType, Field, Schema};
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::{InsertBuilder, WriteParams};
use lance_file::version::LanceFileVersion;
use outrigger::Kind;
use outrigger::model::audit::Verdict;
use outrigger::model::{Branch, OperationId};
use outrigger::store::{Key, StoreParts, Verb};
use outrigger::writer::{Error, NewTable, Parts, Repository};
use std::sync::Arc;

everywhere!(
    several_tables_move_together,
    operations_on_a_table_are_one_commit,
    what_was_read_and_has_changed_is_a_conflict,
    appends_and_upserts_are_repeated_on_what_is_there,
);

pub async fn several_tables_move_together(world: World) {
    let bank = world.open().await;
    let before = bank.snapshot(MAIN).await.unwrap();
    let mut tx = bank.begin(MAIN).await.unwrap().by("ann");
    transfer(&mut tx, "ann", "bob", 30).await;
    assert_eq!(balances(&tx.rows(ACCOUNTS, None).await.unwrap())["ann"], 70, "it reads its own rows");
    let committed = tx.commit().await.unwrap().unwrap();
    assert_eq!(committed.tables.len(), 2);
    assert!(!committed.by_recovery);

    assert_eq!(world.balances().await["bob"], 130);
    assert_eq!(world.transfers().await, 1);
    assert_eq!(balances(&before.rows(ACCOUNTS, None).await.unwrap())["bob"], 100, "a snapshot stays");
    let head = bank.commits(MAIN).await.unwrap().remove(0);
    assert_eq!((head.id, head.actor.as_deref()), (committed.id, Some("ann")));
    world.is_settled().await;
}

pub async fn operations_on_a_table_are_one_commit(world: World) {
    let bank = world.open().await;
    let version = bank.snapshot(MAIN).await.unwrap().version_of(ACCOUNTS).unwrap();
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("dan", 1)])).await.unwrap();
    tx.upsert(ACCOUNTS, accounts(&[("dan", 2), ("ann", 7)])).await.unwrap();
    assert_eq!(tx.update(ACCOUNTS, "balance < 10", &[("balance", "balance * 10")]).await.unwrap(), 2);
    assert_eq!(tx.delete(ACCOUNTS, "id = 'bob' OR id = 'nobody'").await.unwrap(), 1);
    let staged = balances(&tx.rows(ACCOUNTS, Some("balance > 15")).await.unwrap());
    let expected = [("ann", 70), ("cid", 100), ("dan", 20)].map(|(id, balance)| (id.to_owned(), balance));
    assert_eq!(staged, expected.clone().into());
    let committed = tx.commit().await.unwrap().unwrap();
    assert_eq!(committed.tables[ACCOUNTS], version + 1);
    assert_eq!(world.balances().await, expected.into());

    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("eve", 1)])).await.unwrap();
    tx.overwrite(ACCOUNTS, accounts(&[("fay", 300)])).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("gus", 0)])).await.unwrap();
    tx.commit().await.unwrap().unwrap();
    assert_eq!(world.balances().await, [("fay".to_owned(), 300), ("gus".to_owned(), 0)].into());
    world.is_settled().await;
}

pub async fn what_was_read_and_has_changed_is_a_conflict(world: World) {
    let (one, other) = (world.open().await, world.open().await);
    let mut late = one.begin(MAIN).await.unwrap();
    transfer(&mut late, "ann", "bob", 100).await;
    let mut first = other.begin(MAIN).await.unwrap();
    transfer(&mut first, "ann", "cid", 100).await;
    first.commit().await.unwrap().unwrap();

    let error = late.commit().await.unwrap_err();
    let Error::Conflict { table, expected, actual } = &error else { panic!("{error}") };
    assert_eq!(table.as_str(), ACCOUNTS);
    assert_eq!(actual.0, expected.0 + 1);
    assert_eq!(world.total().await, TOTAL);
    assert_eq!(world.transfers().await, 1, "nothing of the late one is there");
    world.is_settled().await;
}

#[tokio::test]
async fn a_deletion_and_an_overwrite_need_the_version_that_they_have_read() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    for overwrites in [false, true] {
        let mut late = bank.begin(MAIN).await.unwrap();
        match overwrites {
            true => late.overwrite(ACCOUNTS, accounts(&[("eve", 1)])).await.unwrap(),
            false => assert_eq!(late.delete(ACCOUNTS, "id = 'ann'").await.unwrap(), 1),
        }
        // What comes after it in the same table does not make it repeatable.
        late.append(ACCOUNTS, accounts(&[("fay", 1)])).await.unwrap();
        let mut first = bank.begin(MAIN).await.unwrap();
        first.upsert(ACCOUNTS, accounts(&[("cid", 100)])).await.unwrap();
        first.commit().await.unwrap().unwrap();
        let error = late.commit().await.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
    }
    assert_eq!(world.balances().await.len(), 3);
    world.is_settled().await;
}

pub async fn appends_and_upserts_are_repeated_on_what_is_there(world: World) {
    let (one, other) = (world.open().await, world.open().await);
    let mut late = one.begin(MAIN).await.unwrap();
    late.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    late.upsert(ACCOUNTS, accounts(&[("ann", 1), ("dan", 4)])).await.unwrap();
    let mut first = other.begin(MAIN).await.unwrap();
    first.upsert(ACCOUNTS, accounts(&[("ann", 2), ("bob", 2), ("dan", 2)])).await.unwrap();
    first.append(JOURNAL, journal(&[("b", "c", 2)])).await.unwrap();
    first.commit().await.unwrap().unwrap();
    late.commit().await.unwrap().unwrap();
    let expected = [("ann", 1), ("bob", 2), ("cid", 100), ("dan", 4)];
    assert_eq!(world.balances().await, expected.map(|(id, balance)| (id.to_owned(), balance)).into());
    assert_eq!(world.transfers().await, 2);
    world.is_settled().await;
}

#[test]
fn the_guide_shows_the_example_that_is_compiled() {
    let guide = include_str!("../../docs/guide-multi-table-commits.md");
    let example = include_str!("../../examples/multi_table_commit.rs");
    assert!(guide.contains(&format!("```rust\n{example}```")), "docs/guide-multi-table-commits.md");
    assert!(example.lines().count() <= 30, "the title promises 30 lines");
}

#[tokio::test]
async fn no_change_writes_nothing() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    let version = bank.snapshot(MAIN).await.unwrap().version();
    let mut tx = bank.begin(MAIN).await.unwrap();
    assert_eq!(tx.update(ACCOUNTS, "balance > 1000", &[("balance", "0")]).await.unwrap(), 0);
    assert_eq!(tx.delete(ACCOUNTS, "id = 'nobody'").await.unwrap(), 0);
    tx.append(JOURNAL, journal(&[])).await.unwrap();
    tx.overwrite(JOURNAL, journal(&[])).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), None);
    // Beside a real change the table of which no row is changed keeps its version (H10).
    let accounts_at = bank.snapshot(MAIN).await.unwrap().version_of(ACCOUNTS).unwrap();
    let mut tx = bank.begin(MAIN).await.unwrap();
    assert_eq!(tx.delete(ACCOUNTS, "id = 'nobody'").await.unwrap(), 0);
    tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    assert_eq!(tx.commit().await.unwrap().unwrap().tables.len(), 1);
    assert_eq!(bank.snapshot(MAIN).await.unwrap().version_of(ACCOUNTS).unwrap(), accounts_at);
    let version = version + 1;
    assert_eq!(bank.begin(MAIN).await.unwrap().commit().await.unwrap(), None);
    assert_eq!(bank.snapshot(MAIN).await.unwrap().version(), version);
    world.is_settled().await;
}

#[tokio::test]
async fn a_batch_that_does_not_fit_is_refused_at_once() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    let invalid = |error: Error, said: &str| match &error {
        Error::Other(inner) if inner.kind() == Kind::Invalid => {
            assert!(error.to_string().contains(said), "{error}")
        }
        _ => panic!("{error:?}"),
    };
    invalid(tx.append(ACCOUNTS, journal(&[("a", "b", 1)])).await.unwrap_err(), "payer Utf8");
    invalid(tx.overwrite(JOURNAL, accounts(&[("a", 1)])).await.unwrap_err(), "balance Int64");
    invalid(tx.upsert(ACCOUNTS, accounts(&[("a", 1), ("a", 2)])).await.unwrap_err(), "more than once");
    invalid(tx.upsert(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap_err(), "without a key");
    invalid(tx.update(ACCOUNTS, "true", &[("id", "'x'")]).await.unwrap_err(), "key");
    invalid(tx.update(ACCOUNTS, "true", &[("credit", "1")]).await.unwrap_err(), "no column credit");
    invalid(tx.update(ACCOUNTS, "credit = 1", &[("balance", "1")]).await.unwrap_err(), "credit");
    invalid(tx.delete(ACCOUNTS, "balance + 1").await.unwrap_err(), "balance + 1");
    let error = tx.append("orders", accounts(&[])).await.unwrap_err();
    assert!(error.to_string().contains("no table orders"), "{error}");
    assert_eq!(tx.commit().await.unwrap(), None, "what was refused has left nothing");
}

#[tokio::test]
async fn a_table_is_added_once_and_only_under_a_proper_name() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    let orders = orders_table();
    bank.create_table(&orders).await.unwrap();
    let error = bank.create_table(&orders).await.unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    for name in ["Orders", "", "../x", "a.b", "1a"] {
        let error = bank.create_table(&NewTable { name: name.into(), ..orders.clone() }).await.unwrap_err();
        assert!(error.to_string().contains("no name of a table"), "{error}");
    }
    let keyless = NewTable { name: "other".into(), key: vec!["nope".into()], ..orders.clone() };
    let error = bank.create_table(&keyless).await.unwrap_err();
    assert!(error.to_string().contains("no column nope"), "{error}");
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append("orders", accounts(&[("a", 1)])).await.unwrap();
    tx.commit().await.unwrap().unwrap();
    for (nth, then) in (1..8).flat_map(|nth| [0, 2].map(|then| (nth, then))) {
        let loses = Arc::new(LosesAnswer::to_write(nth).and_calls(then));
        let losing = world.open_under(loses.clone()).await.unwrap();
        let table = NewTable { name: format!("t{nth}_{then}"), ..orders.clone() };
        losing.create_table(&table).await.unwrap_or_else(|error| panic!("write {nth}, {then} more: {error}"));
        assert!(loses.happened() || nth > 4, "a table takes more writes than {nth}");
    }
    let error = Repository::create_with(world.parts(StoreParts::real()).await, &[]).await;
    assert!(error.unwrap_err().to_string().contains("is a repository already"));
}

#[tokio::test]
async fn a_dataset_that_lies_there_is_taken_over_only_if_it_is_as_ours_would_be() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    let orders = NewTable { name: "orders".into(), ..crate::world::tables()[1].clone() };
    let make = async |stable: bool, version: LanceFileVersion| {
        let params = WriteParams {
            enable_stable_row_ids: stable,
            data_storage_version: Some(version),
            session: Some(world.place.store.session()),
            ..WriteParams::default()
        };
        let at = world.place.dataset_uri(&Key::parse("tables/orders.lance").unwrap());
        let batch = journal(&[]);
        InsertBuilder::new(at.as_str()).with_params(&params).execute(vec![batch]).await.unwrap();
    };
    for (stable, version) in [(false, LanceFileVersion::V2_2), (true, LanceFileVersion::V2_0)] {
        make(stable, version).await;
        let error = bank.create_table(&orders).await.unwrap_err();
        assert!(error.to_string().contains("is not as ours would be"), "{stable} {version}: {error}");
        std::fs::remove_dir_all(world.place.dir().join("graph/tables/orders.lance")).unwrap();
    }
    make(true, LanceFileVersion::V2_2).await;
    bank.create_table(&orders).await.unwrap();
}

/// An update of accounts and an append to the journal, which another process appends to between the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_writer_has_undone_itself_is_no_conflict_when_it_tries_again() {
    let world = Arc::new(World::in_memory().await);
    let other = world.clone();
    let between = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().contains("journal.lance/_versions"),
        async move { other.append_beside(MAIN, JOURNAL, journal(&[("x", "y", 1)]), Beside::Shows).await },
    ));
    let mut tx = world.open_under(between.clone()).await.unwrap().begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().expect("nobody has touched the accounts");
    assert!(between.happened());
    assert_eq!((world.balances().await["ann"], world.transfers().await), (99, 2));
    world.is_settled().await;
    // The first attempt was undone as a recovery would have done it: restored, shown again, and recorded.
    let repo = world.repo().await;
    let [audit] = &repo.audit_rows().await.unwrap()[..] else { panic!("one undoing") };
    assert_eq!(audit.recovery_kind, "RolledBack");
    let shown = repo.snapshot(&Branch::main()).await.unwrap().unwrap();
    let marker = shown.state.marker(&OperationId::parse(&audit.operation_id).unwrap()).expect("it is fenced");
    assert_eq!(marker.verdict, Verdict::RollBack);

    // Somebody who has touched them is a conflict.
    let (bank, other) = (world.open().await, world.clone());
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    other.append_beside(MAIN, ACCOUNTS, accounts(&[("dan", 1)]), Beside::Shows).await;
    assert!(matches!(tx.commit().await, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn a_record_of_the_same_id_is_left_alone() {
    let world = World::in_memory().await;
    let operation = world.half_landed().await;
    let parts = world.parts(StoreParts::real()).await;
    let same = operation.clone();
    let bank =
        Repository::open_with(Parts { ids: Arc::new(move || same.clone()), ..parts }, false).await.unwrap();
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    assert!(world.records().await.contains(&format!("{operation}.json")));
}

/// The order of the writes that others look at: beat, record, fork, table, manifest; record, beat (H7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_a_branch_writes_in_the_order_of_the_protocol() {
    let world = World::in_memory().await;
    world.open().await.create_branch("trial", MAIN).await.unwrap();
    let calls = Arc::new(Breaks::watching());
    let mut tx = world.open_under(calls.clone()).await.unwrap().begin("trial").await.unwrap();
    tx.update(ACCOUNTS, "id = 'ann'", &[("balance", "0")]).await.unwrap();
    tx.commit().await.unwrap().unwrap();
    let told = calls.seen().into_iter().filter(is_write).filter_map(|call| {
        let path = call.path.to_string();
        let what = [
            ("/beat.", "beat"),
            ("__recovery/", "record"),
            ("__manifest/tree/trial/_versions", "manifest"),
            ("accounts.lance/_refs/branches/trial.json", "fork's record"),
            ("accounts.lance/tree/trial/_versions", "table"),
        ];
        let (_, what) = what.into_iter().find(|(part, _)| path.contains(part))?;
        Some(format!("{:?} {what}", call.verb))
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "Put beat",
            "Create record",
            "Create table",
            "Create fork's record",
            "Create table",
            "Create manifest",
            "Delete record",
            "Delete beat"
        ]
    );
}

#[tokio::test]
async fn a_new_repository_bears_both_stamps() {
    let world = World::in_memory().await;
    let at = world.place.dataset_uri(&Key::parse("__manifest").unwrap());
    let manifest =
        DatasetBuilder::from_uri(&at).with_session(world.place.store.session()).load().await.unwrap();
    let stamps = manifest.checkout_version(1).await.unwrap().schema().metadata.clone();
    assert_eq!(stamps["outrigger:format_version"], "1");
    assert_eq!(
        stamps["omnigraph:internal_schema_version"], "1000000",
        "engines refuse it, and do not stamp it"
    );
}

#[tokio::test]
async fn an_operation_that_fails_changes_nothing_of_the_transaction() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("dan", 4)])).await.unwrap();
    for wrong in ["balance / 0", "NULL"] {
        tx.update(ACCOUNTS, "id <> 'bob'", &[("balance", wrong)]).await.unwrap_err();
    }
    assert_eq!(balances(&tx.rows(ACCOUNTS, None).await.unwrap()).len(), 4);
    tx.commit().await.unwrap().unwrap();
    assert_eq!(world.total().await, TOTAL + 4);
}

#[tokio::test]
async fn what_could_not_be_written_to_is_no_table() {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let table = |name: &str, kind: DataType| NewTable {
        name: "odd".into(),
        schema: Arc::new(Schema::new(vec![Field::new(name, kind, false)])),
        key: vec![name.to_owned()],
    };
    for (odd, why) in [
        (table("a\"b", DataType::Utf8), "quotation mark"),
        (table("a`b", DataType::Utf8), "quotation mark"),
        (table("a", DataType::Utf8View), "is Utf8View"),
    ] {
        let error = bank.create_table(&odd).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    bank.create_table(&table("a", DataType::Utf8)).await.expect("nothing is in the way");
}

/// A put whose connection broke may arrive later: there has to be a record then that explains it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_connection_broke_is_left_to_a_recovery() {
    let world = World::in_memory().await;
    let breaks = FailsAlways(|call| {
        call.verb == Verb::Create && call.path.as_ref().contains("journal.lance/_versions")
    });
    let mut tx = world.open_under(Arc::new(breaks)).await.unwrap().begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    let Err(Error::PendingRecovery { sidecar }) = tx.commit().await else { panic!("it may come") };
    assert!(world.records().await.contains(&format!("{sidecar}.json")));
    world.recover().await;
    assert_eq!((world.total().await, world.transfers().await), (TOTAL, 0));
    world.is_settled().await;
}
