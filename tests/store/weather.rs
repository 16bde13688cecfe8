//! Bad days: throttling, a full disk, missing rights, wrong addresses. Each ends well or with a message that names the
//! thing and the next step.

use crate::support::faults::{self, Breaks, Outage};
use crate::support::repos::{self, Sleepless, faulty};
use crate::{Place, hold_everywhere, key};
use object_store::Result as StoreResult;
use outrigger::store::{Call, Credentials, Fault, RepoUri, Store, StoreParts, StoreSettings, Verb, Written};
use outrigger::{Error, Kind};
use std::sync::Arc;
use std::time::Duration;

hold_everywhere!(
    a_minute_of_503_is_waited_out,
    throttling_that_lasts_is_told_with_the_next_step,
    a_listing_cut_off_in_the_middle_goes_on_behind_the_last_name,
    a_full_disk_is_named_and_nothing_is_lost,
    missing_rights_are_named_and_not_insisted_on,
);

const EVERYTHING: &[Verb] = &[Verb::Get, Verb::Head, Verb::List, Verb::Put, Verb::Create, Verb::Delete];

fn says(error: &Error, words: &[&str]) {
    let told = error.chain();
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert!(!told.contains("test-secret"), "{told}");
}

async fn a_minute_of_503_is_waited_out(place: Place) {
    let time = Sleepless::default();
    let outage = Outage { time: time.clone(), length: Duration::from_secs(60) };
    let parts = StoreParts { host: time.host(), fault: Some(Arc::new(outage)), backend: None };
    let store = place.open(parts).await;
    assert!(matches!(
        store.create(&key("__recovery/x"), "x".into()).await.unwrap(),
        Written::Committed { .. }
    ));
    assert!(
        time.slept() >= Duration::from_secs(60) && time.slept() < Duration::from_secs(90),
        "{:?}",
        time.slept()
    );
    assert_eq!(store.get(&key("__recovery/x")).await.unwrap().unwrap().bytes, "x");
}

async fn throttling_that_lasts_is_told_with_the_next_step(place: Place) {
    let time = Sleepless::default();
    let fault = Arc::new(Breaks::before(EVERYTHING, usize::MAX, faults::slow_down));
    let parts = StoreParts { host: time.host(), ..faulty(fault) };
    let store = place.open(parts).await;
    let name = key("__recovery/x");
    let told = ["throttles", "2m", "try later", "__recovery", "SlowDown", "Please reduce your request rate."];
    for error in [
        store.get(&name).await.unwrap_err(),
        store.list(&key("__recovery")).await.unwrap_err(),
        store.put(&name, "x".into()).await.unwrap_err(),
        store.delete(&name).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Unavailable);
        says(&error, &told);
    }
    assert!(time.slept() <= 4 * Duration::from_secs(120), "patience has an end: {:?}", time.slept());
    let Written::Unknown { error } = store.create(&name, "x".into()).await.unwrap() else {
        panic!("cannot be known")
    };
    assert_eq!(error.kind(), Kind::Unavailable);
}

/// Cuts the first listing off behind its second entry, by failing the stream's end: here, the second page.
async fn a_listing_cut_off_in_the_middle_goes_on_behind_the_last_name(place: Place) {
    let time = Sleepless::default();
    let fault = Arc::new(Breaks::after(&[Verb::List], 1, faults::lost));
    let store = place.open(StoreParts { host: time.host(), ..faulty(fault) }).await;
    let names = ["__recovery/a", "__recovery/b", "__recovery/c"];
    for name in names {
        store.put(&key(name), "x".into()).await.unwrap();
    }
    let listed = store.list(&key("__recovery")).await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), names, "each once");
    assert_eq!(store.requests().list, 2);
}

async fn a_full_disk_is_named_and_nothing_is_lost(place: Place) {
    let store = place.open(faulty(Arc::new(Breaks::before(&[Verb::Put], 1, faults::no_space)))).await;
    let name = key("__recovery/lease.beat");
    let error = store.put(&name, "2".into()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    says(&error, &["no space left", "make room", "nothing is lost", "lease.beat", store.uri().as_str()]);
    store.put(&name, "2".into()).await.unwrap();
}

async fn missing_rights_are_named_and_not_insisted_on(place: Place) {
    let store = place.open(faulty(Arc::new(Breaks::before(EVERYTHING, usize::MAX, faults::denied)))).await;
    let name = key("__recovery/x");
    for error in [
        store.get(&name).await.unwrap_err(),
        store.list_dir(None).await.unwrap_err(),
        store.put(&name, "x".into()).await.unwrap_err(),
        store.delete(&name).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Denied);
        says(&error, &["access denied", "check the credentials", store.uri().as_str(), "AccessDenied"]);
    }
    assert_eq!(store.requests().total(), 4, "asked once each");
}

#[tokio::test]
async fn a_wrong_bucket_is_named() {
    let uri = RepoUri::parse("s3://no-such-bucket/graph").unwrap();
    let store = Store::open(&uri, &repos::s3_settings(), StoreParts::real()).await.unwrap();
    let name = key("__recovery/x");
    for error in [
        store.require_root().await.unwrap_err(),
        store.get(&name).await.unwrap_err(),
        store.list(&key("__recovery")).await.unwrap_err(),
        store.put(&name, "x".into()).await.unwrap_err(),
        store.create(&name, "x".into()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Missing, "{error:?}");
        says(&error, &["\"no-such-bucket\" does not exist", "check the address"]);
    }
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_named_within_seconds() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = StoreSettings {
        endpoint: Some(format!("http://{free}")),
        credentials: Some(Credentials {
            key_id: "test".into(),
            secret: "test-secret".into(),
            session_token: None,
        }),
        ..StoreSettings::default()
    };
    let time = Sleepless::default();
    let uri = RepoUri::parse("s3://bucket/graph").unwrap();
    let parts = StoreParts { host: time.host(), ..StoreParts::real() };
    let store = Store::open(&uri, &settings, parts).await.unwrap();
    // Lance asks again, and again: only the first waits whether somebody comes.
    for _ in 0..10 {
        let error = store.get(&key("x")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        says(&error, &["cannot be reached", "check the endpoint", "refused"]);
    }
    assert!(time.slept() < Duration::from_secs(5), "{:?}", time.slept());
    // Whoever comes back after a while begins anew: a server that restarts is waited for.
    time.pass(Duration::from_secs(60));
    let before = time.slept();
    store.get(&key("x")).await.unwrap_err();
    assert!(time.slept() - before > Duration::from_secs(1), "{:?}", time.slept());
}

#[tokio::test]
async fn a_file_in_place_of_the_root_is_an_invalid_address() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("graph");
    std::fs::write(&file, "x").unwrap();
    let uri = RepoUri::parse(file.to_str().unwrap()).unwrap();
    let store = Store::open(&uri, &StoreSettings::default(), StoreParts::real()).await.unwrap();
    let error = store.put(&key("__recovery/x"), "x".into()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
    says(&error, &["check the address"]);
}

/// A hook that only implements what it needs.
#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Fault for Silent {
    async fn before(&self, _: &Call) -> StoreResult<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_hook_that_breaks_nothing_changes_nothing() {
    let store = Place::Memory.open(faulty(Arc::new(Silent))).await;
    store.put(&key("a/b"), "x".into()).await.unwrap();
    assert_eq!(store.list(&key("a")).await.unwrap().len(), 1);
    store.delete(&key("a/b")).await.unwrap();
    assert!(store.list(&key("a")).await.unwrap().is_empty());
}
