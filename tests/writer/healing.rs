//! Without a daemon: what a writer heals, what it leaves, and what it is told of others.

use crate::support::faults::{DiesAt, Meanwhile};
use crate::support::repos::faulty;
use crate::world::{ACCOUNTS, JOURNAL, MAIN, TOTAL, World, accounts, journal, transfer};
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::{InsertBuilder, WriteMode, WriteParams};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::{Outcome, PassReport};
use outrigger::store::{Key, StoreParts, Verb};
use outrigger::writer::{Error, Limit, Limits};
use std::sync::Arc;
use std::time::Duration;

/// Longer than three missed beats.
const SILENCE: Duration = Duration::from_millis(6200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_commit_is_shown_by_whoever_heals_once_its_beat_has_stood_still() {
    let world = World::on_disk().await;
    let dies =
        DiesAt::call(|call| call.verb == Verb::Create && call.path.as_ref().contains("__manifest/_versions"));
    let mut tx = world.open_under(Arc::new(dies)).await.unwrap().begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    let Err(Error::PendingRecovery { sidecar }) = tx.commit().await else { panic!("it died") };

    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("dan", 0)])).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    // At first its beat was heard a moment ago: the commit waits until it has stood still.
    assert!(matches!(&error, Error::PendingRecovery { sidecar: named } if *named == sidecar), "{error}");
    tokio::time::sleep(SILENCE).await;
    let report = bank.heal().await.unwrap();
    let scope = report.scopes.iter().find(|scope| scope.scope == sidecar.as_str()).unwrap();
    assert_eq!((scope.verdict, scope.outcome), (Verdict::RollForward, Outcome::Done));
    assert_eq!((world.total().await, world.transfers().await), (TOTAL, 1));
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_undone_is_left_and_named_and_other_tables_are_free() {
    let world = World::on_disk().await;
    let operation = world.half_landed().await;
    tokio::time::sleep(SILENCE).await;
    let bank = world.open().await;
    let report = bank.heal().await.unwrap();
    let scope = report.scopes.iter().find(|scope| scope.scope == operation).unwrap();
    assert_eq!((scope.verdict, scope.outcome), (Verdict::RollBack, Outcome::Waits));
    assert!(scope.reason.contains("`outrigger once --gate`"), "{}", scope.reason);
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(ACCOUNTS, accounts(&[("dan", 0)])).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(&error, Error::PendingRecovery { sidecar } if sidecar.as_str() == operation), "{error}");
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    tx.commit().await.unwrap().expect("the table that had not moved is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_another_program_is_held_and_named_and_stops_commits_to_that_table_alone() {
    let world = World::on_disk().await;
    let store = &world.place.store;
    let address = store.dataset_uri(&Key::parse("tables/accounts.lance").unwrap());
    let other = DatasetBuilder::from_uri(&address).with_session(store.session()).load().await.unwrap();
    let params =
        WriteParams { mode: WriteMode::Append, session: Some(store.session()), ..Default::default() };
    let batch = accounts(&[("foreign", 1)]).with_schema(Arc::new(other.schema().into())).unwrap();
    InsertBuilder::new(Arc::new(other)).with_params(&params).execute(vec![batch]).await.unwrap();

    assert_eq!(world.total().await, TOTAL, "it is not shown");
    let report = world.recover().await;
    let scope = report.scopes.iter().find(|scope| scope.scope.contains(ACCOUNTS)).expect("it is named");
    assert_eq!((scope.verdict, scope.outcome), (Verdict::Hold, Outcome::Held), "{scope:?}");
    assert!(
        scope.reason.contains("`outrigger repair drift --exclusive --table accounts --to pin`"),
        "{scope:?}"
    );
    let bank = world.open().await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    let error = tx.commit().await.unwrap_err();
    let Error::Drift { table, branch, shown } = &error else { panic!("{error}") };
    assert_eq!((table.as_str(), branch.is_main(), shown.0), (ACCOUNTS, true, 2));
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    tx.commit().await.unwrap().expect("other tables are free");
    assert_eq!(world.records().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_of_one_actor_is_rejected_before_anything_is_written() {
    let world = Arc::new(World::on_disk().await);
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let bank = world.open_within(limits, StoreParts::real()).await;
    let mut two = bank.begin(MAIN).await.unwrap().by("ann");
    two.append(JOURNAL, journal(&[("ann", "b", 1)])).await.unwrap();
    let two = Arc::new(tokio::sync::Mutex::new(two));

    // While ann's first commit is under way:
    let (meanwhile, hers) = (bank.clone(), two.clone());
    let at_work = Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().contains("accounts.lance/_versions"),
        async move {
            let error = hers.lock().await.commit().await.unwrap_err();
            assert!(matches!(error, Error::Rejected { limit: Limit::InFlight(1), .. }), "{error}");
            let mut his = meanwhile.begin(MAIN).await.unwrap().by("bob");
            his.append(JOURNAL, journal(&[("bob", "b", 1)])).await.unwrap();
            his.commit().await.unwrap().expect("another actor is not in the way");
        },
    );
    let at_work = Arc::new(at_work);
    let mut one =
        world.open_within(limits, faulty(at_work.clone())).await.begin(MAIN).await.unwrap().by("ann");
    one.append(ACCOUNTS, accounts(&[("dan", 0)])).await.unwrap();
    one.commit().await.unwrap().unwrap();
    assert!(at_work.happened());
    assert_eq!(world.transfers().await, 1, "nothing of the second was written");

    let mut two = two.lock().await;
    two.commit().await.unwrap().expect("what was staged is kept, and there is room again");
    assert_eq!(world.transfers().await, 2);
    let error = two.commit().await.unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
    let error = two.append(JOURNAL, journal(&[("ann", "b", 1)])).await.unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
    world.is_settled().await;
}

/// A recovery shows a commit whose writer was too slow, and dies before it has recorded that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_a_recovery_has_shown_is_recorded_as_its_work_whoever_dies() {
    let world = Arc::new(World::on_disk().await);
    let recovers = world.clone();
    let publishing = Arc::new(Meanwhile::at(
        |call| call.verb == Verb::Create && call.path.as_ref().contains("__manifest/_versions"),
        async move {
            let dies = DiesAt::call(|call| call.path.as_ref().contains("_graph_commit_recoveries.lance"));
            recovers.recover_under(StoreParts { fault: Some(Arc::new(dies)), ..StoreParts::real() }).await;
        },
    ));
    let mut tx = world.open_under(publishing.clone()).await.unwrap().begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    let committed = tx.commit().await.unwrap().unwrap();
    assert!(publishing.happened());
    assert!(committed.by_recovery);
    let audit = world.repo().await.audit_rows().await.unwrap();
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!(audit[0].operation_id, committed.operation.to_string());
    world.is_settled().await;
}

/// What a pass says while something happens just before it asks for a key that holds `part`.
async fn looked_at(
    world: &World,
    verb: Verb,
    part: String,
    happens: impl Future<Output = ()> + Send + 'static,
) -> PassReport {
    let meanwhile =
        Arc::new(Meanwhile::at(move |call| call.verb == verb && call.path.as_ref().contains(&part), happens));
    let report = world.recover_under(faulty(meanwhile.clone())).await;
    assert!(meanwhile.happened());
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_work_during_a_look_are_not_taken_for_another_program() {
    let world = Arc::new(World::on_disk().await);
    let bank = world.open().await;
    // The look whether a version follows the shown one.
    let probe = |next: u64| format!("accounts.lance/_versions/{:020}.manifest", u64::MAX - next);
    // One begins and ends between the look at the records and the look at its tables.
    let pays = bank.clone();
    let report = looked_at(&world, Verb::Head, probe(3), async move {
        let mut tx = pays.begin(MAIN).await.unwrap();
        transfer(&mut tx, "ann", "bob", 1).await;
        tx.commit().await.unwrap().unwrap();
    })
    .await;
    assert_eq!(report.scopes, []);
    // One begins, and is half-way.
    let begins = world.clone();
    let report =
        looked_at(&world, Verb::Head, probe(4), async move { drop(begins.half_landed().await) }).await;
    assert_eq!(report.scopes, []);
    world.recover().await;
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_is_deleted_during_a_look_is_nobodys_trouble() {
    let world = World::on_disk().await;
    let bank = world.open().await;
    bank.create_branch("trial", MAIN).await.unwrap();
    let mut tx = bank.begin("trial").await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap().unwrap();
    let deletes = bank.clone();
    let reads = "__manifest/tree/trial/data".to_owned();
    let report =
        looked_at(&world, Verb::Get, reads, async move { deletes.delete_branch("trial").await.unwrap() })
            .await;
    assert_eq!(report.scopes, []);
    world.is_settled().await;
}
