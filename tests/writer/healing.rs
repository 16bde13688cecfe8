//! Without a daemon: what a writer heals, what it leaves, and what it is told of others.

use crate::support::faults::DiesAt;
use crate::world::{ACCOUNTS, JOURNAL, MAIN, TOTAL, World, accounts, journal, transfer};
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::{InsertBuilder, WriteMode, WriteParams};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::store::{Key, Verb};
use outrigger::writer::{Error, Limit, Limits, Parts, Repository};
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
    let kept_waiting = match &error {
        Error::PendingRecovery { sidecar: named } => *named == sidecar,
        // Its beat was heard a moment ago.
        Error::Other(error) => error.kind() == outrigger::Kind::Moved,
        _ => false,
    };
    assert!(kept_waiting, "{error}");
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
    assert!(
        error.to_string().contains("accounts has commits on branch main that it does not show"),
        "{error}"
    );
    let mut tx = bank.begin(MAIN).await.unwrap();
    tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
    tx.commit().await.unwrap().expect("other tables are free");
    assert_eq!(world.records().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_of_one_actor_is_rejected_before_anything_is_written() {
    let world = World::on_disk().await;
    let parts = world.parts(outrigger::store::StoreParts::real()).await;
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let bank = Repository::open_with(Parts { limits, ..parts }, false).await.unwrap();
    let commit = async |actor: &str, table: &str| {
        let mut tx = bank.begin(MAIN).await.unwrap().by(actor);
        match table {
            ACCOUNTS => tx.append(ACCOUNTS, accounts(&[(actor, 0)])).await.unwrap(),
            _ => tx.append(JOURNAL, journal(&[(actor, "b", 1)])).await.unwrap(),
        }
        tx.commit().await
    };
    let (one, two, other) =
        futures::join!(commit("ann", ACCOUNTS), commit("ann", JOURNAL), commit("bob", JOURNAL));
    one.unwrap().unwrap();
    other.unwrap().expect("another actor is not in the way");
    let error = two.unwrap_err();
    assert!(matches!(error, Error::Rejected { limit: Limit::InFlight(1), .. }), "{error}");
    assert_eq!(world.transfers().await, 1);
    commit("ann", JOURNAL).await.unwrap().expect("there is room again");
    world.is_settled().await;
}
