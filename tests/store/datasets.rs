//! Lance through the store: every request of its is seen, counted and conditional where it must be.

use crate::support::faults::{self, Breaks};
use crate::support::repos::{TestStore, faulty};
use crate::{Place, hold_everywhere, key};
use arrow::array::{Int32Array, RecordBatch, RecordBatchIterator};
use arrow::datatypes::{DataType, Field, Schema};
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::{Operation, Transaction};
use lance::dataset::{CommitBuilder, WriteDestination, WriteMode, WriteParams};
use outrigger::store::{StoreParts, Verb};
use std::sync::Arc;

hold_everywhere!(
    a_dataset_is_written_and_read_and_every_request_is_seen,
    a_manifest_is_committed_by_create_if_absent,
    no_version_hint_is_written_or_followed,
    a_commit_whose_answer_is_lost_is_recognised_by_lance,
    lance_survives_throttled_reads,
    of_six_appenders_none_loses_its_row,
    a_branch_reads_its_parents_data_through_the_store,
    a_dataset_outside_the_root_cannot_be_written,
);

const TABLE: &str = "nodes/40d76f1f51639ec0";

pub fn rows(
    values: &[i32],
) -> RecordBatchIterator<std::vec::IntoIter<Result<RecordBatch, arrow::error::ArrowError>>> {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(Int32Array::from(values.to_vec()))]).unwrap();
    RecordBatchIterator::new(vec![Ok(batch)].into_iter(), schema)
}

async fn write(store: &TestStore, mode: WriteMode, values: &[i32]) -> lance::Result<Dataset> {
    let params = WriteParams { mode, session: Some(store.session()), ..WriteParams::default() };
    Dataset::write(rows(values), store.dataset_uri(&key(TABLE)).as_str(), Some(params)).await
}

async fn open(store: &TestStore) -> Dataset {
    let uri = store.dataset_uri(&key(TABLE));
    DatasetBuilder::from_uri(uri).with_session(store.session()).load().await.unwrap()
}

async fn a_dataset_is_written_and_read_and_every_request_is_seen(place: Place) {
    let watch = Arc::new(Breaks::watching());
    let store = place.open(faulty(watch.clone())).await;
    write(&store, WriteMode::Create, &[1, 2, 3]).await.unwrap();
    let written = store.requests();
    assert!(written.put >= 2, "a data file and a manifest: {written:?}");

    assert_eq!(open(&store).await.scan().try_into_batch().await.unwrap().num_rows(), 3);
    assert_eq!(store.requests().put, written.put, "reading writes nothing");

    let seen = watch.seen();
    let puts = seen.iter().filter(|call| matches!(call.verb, Verb::Put | Verb::Create)).count();
    assert_eq!(puts as u64, written.put);
    let objects = store.list(&key(TABLE)).await.unwrap();
    assert_eq!(objects.len() as u64, written.put, "whatever lies there was seen being written: {objects:?}");
}

#[tokio::test]
async fn reading_a_dataset_through_a_new_store_is_counted() {
    for place in [Place::Disk, Place::S3] {
        let written = place.open(StoreParts::real()).await;
        write(&written, WriteMode::Create, &[1, 2, 3]).await.unwrap();
        let store = TestStore::of(written.reopen(StoreParts::real()).await, &written);
        assert_eq!(open(&store).await.scan().try_into_batch().await.unwrap().num_rows(), 3);
        let cost = store.requests();
        assert!(cost.get >= 1 && cost.list == 1 && cost.put + cost.delete == 0, "{place:?}: {cost:?}");
    }
}

async fn a_manifest_is_committed_by_create_if_absent(place: Place) {
    let watch = Arc::new(Breaks::watching());
    let store = place.open(faulty(watch.clone())).await;
    write(&store, WriteMode::Create, &[1]).await.unwrap();
    write(&store, WriteMode::Append, &[2]).await.unwrap();
    let manifests: Vec<_> =
        watch.seen().into_iter().filter(|call| call.path.as_ref().ends_with(".manifest")).collect();
    let written: Vec<_> = manifests
        .iter()
        .filter(|call| matches!(call.verb, Verb::Put | Verb::Create | Verb::Rename | Verb::Copy))
        .collect();
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written.iter().all(|call| call.verb == Verb::Create), "{written:?}");
}

async fn no_version_hint_is_written_or_followed(place: Place) {
    let store = place.open(StoreParts::real()).await;
    write(&store, WriteMode::Create, &[1]).await.unwrap();
    write(&store, WriteMode::Append, &[2]).await.unwrap();
    let versions = store.list(&key(&format!("{TABLE}/_versions"))).await.unwrap();
    assert_eq!(versions.len(), 2, "{versions:?}");
    // What another Lance may have left: a hint at the first of many versions.
    let hint = key(&format!("{TABLE}/_versions/latest_version_hint.json"));
    store.put(&hint, r#"{"version":1}"#.into()).await.unwrap();
    write(&store, WriteMode::Append, &[3]).await.unwrap();
    store.delete(&versions[0].key).await.unwrap();
    assert!(versions[0].key < versions[1].key, "the newest version is listed first");
    assert_eq!(open(&store).await.version().version, 3);
}

async fn a_commit_whose_answer_is_lost_is_recognised_by_lance(place: Place) {
    let store = place.open(faulty(Arc::new(Breaks::after(&[Verb::Create], 1, faults::lost)))).await;
    let dataset = write(&store, WriteMode::Create, &[1]).await.unwrap();
    assert_eq!(dataset.version().version, 1);
    let manifests = store.list(&key(&format!("{TABLE}/_versions"))).await.unwrap();
    assert_eq!(manifests.len(), 1, "committed once");
}

async fn lance_survives_throttled_reads(place: Place) {
    let time = crate::support::repos::Sleepless::default();
    let fault = Arc::new(Breaks::before(&[Verb::Get, Verb::List, Verb::Put], 5, faults::slow_down));
    let store = place.open(StoreParts { host: time.host(), ..faulty(fault) }).await;
    write(&store, WriteMode::Create, &[1, 2]).await.unwrap();
    assert_eq!(open(&store).await.count_rows(None).await.unwrap(), 2);
}

async fn of_six_appenders_none_loses_its_row(place: Place) {
    let store = Arc::new(place.open(StoreParts::real()).await);
    write(&store, WriteMode::Create, &[0]).await.unwrap();
    let appenders = (1..=6).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { write(&store, WriteMode::Append, &[n]).await.map(drop) })
    });
    for appender in futures::future::join_all(appenders).await {
        appender.unwrap().unwrap();
    }
    let dataset = open(&store).await;
    assert_eq!(dataset.count_rows(None).await.unwrap(), 7);
    assert_eq!(dataset.version().version, 7);
}

async fn a_branch_reads_its_parents_data_through_the_store(place: Place) {
    let watch = Arc::new(Breaks::watching());
    let store = place.open(faulty(watch.clone())).await;
    write(&store, WriteMode::Create, &[1, 2, 3]).await.unwrap();
    let uri = store.dataset_uri(&key(&format!("{TABLE}/tree/feature")));
    fork(&store, &uri).await;

    let branch = DatasetBuilder::from_uri(uri).with_session(store.session()).load().await.unwrap();
    let before = watch.seen().len();
    assert_eq!(branch.scan().try_into_batch().await.unwrap().num_rows(), 3);
    let read = &watch.seen()[before..];
    let data = format!("{TABLE}/data/");
    assert!(read.iter().any(|call| call.verb == Verb::Get && call.path.as_ref().contains(&data)), "{read:?}");
    // A branch remembers where its parent lies, in the spelling that the engines write.
    let bases: Vec<_> = branch.manifest().base_paths.values().map(|base| base.path.clone()).collect();
    assert_eq!(bases, [store.dataset_uri(&key(TABLE))]);
}

/// What `Dataset::create_branch` does, but with our session: Lance's own looks for the branch through a session and a
/// registry of its own, past our store.
async fn fork(store: &TestStore, uri: &str) {
    let clone = Operation::Clone {
        is_shallow: true,
        ref_name: None,
        ref_version: 1,
        ref_path: store.dataset_uri(&key(TABLE)),
        branch_name: Some("feature".into()),
    };
    let commit = CommitBuilder::new(WriteDestination::Uri(uri)).with_session(store.session());
    commit.execute(Transaction::new(1, clone, None)).await.unwrap();
}

async fn a_dataset_outside_the_root_cannot_be_written(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let outside = format!("{}-neighbour/table", store.uri());
    let params = WriteParams { session: Some(store.session()), ..WriteParams::default() };
    let error = Dataset::write(rows(&[1]), outside.as_str(), Some(params)).await.unwrap_err();
    assert!(error.to_string().contains("outside the repository"), "{error}");
}

#[tokio::test]
async fn a_dataset_in_another_bucket_is_refused() {
    let store = Place::S3.open(StoreParts::real()).await;
    let opened = DatasetBuilder::from_uri("s3://elsewhere/table").with_session(store.session()).load().await;
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("refers to bucket \"elsewhere\""), "{error}");
}
