//! Whose clock counts: the server's on S3, the host's on disk.

use crate::support::repos::{self, Sleepless, off_by};
use crate::{Place, key};
use chrono::{TimeDelta, Utc};
use outrigger::model::StoreTime;
use outrigger::store::StoreParts;
use std::time::Duration;

fn about(time: StoreTime, expected: chrono::DateTime<Utc>) -> bool {
    (time.0 - expected).abs() < TimeDelta::seconds(10)
}

#[tokio::test]
async fn on_s3_it_is_the_date_of_the_latest_answer_whatever_the_host_believes() {
    let store = Place::S3.open(off_by(1)).await;
    assert_eq!(store.now(), None, "the server has told nothing yet");
    store.put(&key("x"), "x".into()).await.unwrap();
    let now = store.now().unwrap();
    assert!(about(now, Utc::now()), "{now}");
    let object = store.head(&key("x")).await.unwrap().unwrap();
    assert!(store.now().unwrap().since(object.last_modified) < Duration::from_secs(10));
}

#[tokio::test]
async fn between_two_answers_the_time_at_the_store_passes() {
    let time = Sleepless::default();
    let store = Place::S3.open(StoreParts { host: time.host(), ..StoreParts::real() }).await;
    store.put(&key("x"), "x".into()).await.unwrap();
    let before = store.now().unwrap();
    time.pass(Duration::from_secs(90));
    assert_eq!(store.now().unwrap().since(before), Duration::from_secs(90));
    store.head(&key("x")).await.unwrap();
    assert!(store.now().unwrap() < before.plus(Duration::from_secs(80)), "the next answer corrects it");
}

#[tokio::test]
async fn on_disk_it_is_the_hosts_clock_and_a_future_file_has_age_zero() {
    for hours in [1, -1] {
        let offset = TimeDelta::hours(hours);
        let store = repos::on_disk(off_by(hours)).await;
        store.put(&key("x"), "x".into()).await.unwrap();
        assert!(about(store.now().unwrap(), Utc::now() + offset));
        let written = store.head(&key("x")).await.unwrap().unwrap().last_modified;
        let age = store.now().unwrap().since(written);
        assert_eq!(age > Duration::from_secs(3500), offset > TimeDelta::zero(), "{age:?}");
        assert!(offset > TimeDelta::zero() || age == Duration::ZERO);
    }
}
