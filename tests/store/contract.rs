//! What callers may rely on, wherever the repository lies.

use crate::{Place, hold_everywhere, key};
use outrigger::Kind;
use outrigger::store::{Removed, Requests, StoreParts};

hold_everywhere!(
    what_was_written_is_read_looked_at_and_listed,
    a_listing_is_sorted_by_the_bytes_of_the_whole_name,
    what_is_absent_is_none_and_its_deletion_succeeds,
    a_courteous_deletion_leaves_a_changed_object_alone,
    an_oversized_object_is_refused_by_its_size_and_not_fetched,
    each_operation_costs_one_request,
    an_empty_root_is_named_as_missing,
    any_bytes_survive,
);

async fn what_was_written_is_read_looked_at_and_listed(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let name = key("__recovery/lease.beat");
    let etag = store.put(&name, "beat 1".into()).await.unwrap();
    let object = store.get(&name).await.unwrap().unwrap();
    assert_eq!(object.bytes, "beat 1");
    assert_eq!((object.meta.size, &object.meta.key, &object.meta.etag), (6, &name, &etag));
    assert_eq!(store.head(&name).await.unwrap().unwrap().etag, etag);
    let listed = store.list(&key("__recovery")).await.unwrap();
    assert_eq!(
        listed.iter().map(|meta| (&meta.key, meta.size, &meta.etag)).collect::<Vec<_>>(),
        [(&name, 6, &etag)]
    );
    let again = store.put(&name, "beat 2".into()).await.unwrap();
    assert_ne!(again, etag, "another state has another name");
}

async fn a_listing_is_sorted_by_the_bytes_of_the_whole_name(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let names = ["t/a-b", "t/a.json", "t/a/x", "t/a/y/1", "t/a/y/10", "t/a/y/2", "t/a0", "t/b"];
    for name in names.iter().rev().chain(&["tt/x"]) {
        store.put(&key(name), "x".into()).await.unwrap();
    }
    let listed = store.list(&key("t")).await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), names);
    let level = store.list_dir(Some(&key("t"))).await.unwrap();
    assert_eq!(level.prefixes, [key("t/a")]);
    assert_eq!(
        level.objects.iter().map(|meta| meta.key.file_name()).collect::<Vec<_>>(),
        ["a-b", "a.json", "a0", "b"]
    );
    let root = store.list_dir(None).await.unwrap();
    assert_eq!((root.prefixes, root.objects.len()), (vec![key("t"), key("tt")], 0));
}

async fn what_is_absent_is_none_and_its_deletion_succeeds(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let name = key("__recovery/absent");
    assert!(store.get(&name).await.unwrap().is_none());
    assert!(store.head(&name).await.unwrap().is_none());
    assert!(store.list(&key("__recovery")).await.unwrap().is_empty());
    store.delete(&name).await.unwrap();
    store.put(&name, "x".into()).await.unwrap();
    store.delete(&name).await.unwrap();
    assert!(store.get(&name).await.unwrap().is_none());
    store.delete(&name).await.unwrap();
}

async fn a_courteous_deletion_leaves_a_changed_object_alone(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let name = key("__recovery/01JZ0A3V9Q6T1F4C8R2M5N7P0X.json");
    let old = store.put(&name, "one".into()).await.unwrap().unwrap();
    let new = store.put(&name, "another".into()).await.unwrap().unwrap();
    assert_eq!(store.delete_if(&name, &old).await.unwrap(), Removed::Changed);
    assert_eq!(store.delete_if(&name, &new).await.unwrap(), Removed::Deleted);
    assert_eq!(store.delete_if(&name, &new).await.unwrap(), Removed::Absent);
}

async fn an_oversized_object_is_refused_by_its_size_and_not_fetched(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let name = key("__recovery/01JZ0A3V9Q6T1F4C8R2M5N7P0X.json");
    store.put(&name, vec![b' '; 10 << 20].into()).await.unwrap();
    let error = store.get_limited(&name, 1 << 20).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(
        error.to_string().contains("10485760 bytes") && error.to_string().contains(name.as_str()),
        "{error}"
    );
    assert_eq!(store.get_limited(&name, 10 << 20).await.unwrap().unwrap().bytes.len(), 10 << 20);
}

async fn each_operation_costs_one_request(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let name = key("__recovery/x");
    let none = Requests::default();
    assert_eq!(store.requests(), none, "opening asks nothing");

    let mut before = store.requests();
    let mut cost = || {
        let now = store.requests();
        let cost = now - before;
        before = now;
        cost
    };
    store.create(&name, "x".into()).await.unwrap();
    assert_eq!(cost(), Requests { put: 1, ..none });
    store.put(&name, "y".into()).await.unwrap();
    assert_eq!(cost(), Requests { put: 1, ..none });
    store.get(&name).await.unwrap();
    assert_eq!(cost(), Requests { get: 1, ..none });
    store.head(&name).await.unwrap();
    assert_eq!(cost(), Requests { head: 1, ..none });
    store.list(&key("__recovery")).await.unwrap();
    assert_eq!(cost(), Requests { list: 1, ..none });
    store.list_dir(None).await.unwrap();
    assert_eq!(cost(), Requests { list: 1, ..none });
    store.delete(&name).await.unwrap();
    assert_eq!(cost(), Requests { delete: 1, ..none });
    store.create(&name, "x".into()).await.unwrap();
    store.create(&name, "z".into()).await.unwrap();
    assert_eq!(cost(), Requests { put: 2, get: 1, ..none }, "a lost race is read back");
}

async fn an_empty_root_is_named_as_missing(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let error = store.require_root().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
    assert!(error.to_string().contains(store.uri().as_str()), "{error}");
    store.put(&key("readme.txt"), "x".into()).await.unwrap();
    assert_eq!(store.require_root().await.unwrap().objects.len(), 1);
}

async fn any_bytes_survive(place: Place) {
    let store = place.open(StoreParts::real()).await;
    for bytes in [vec![], vec![0xff, 0xfe, 0], b"\r\n".to_vec()] {
        store.put(&key("__recovery/odd.json"), bytes.clone().into()).await.unwrap();
        assert_eq!(store.get(&key("__recovery/odd.json")).await.unwrap().unwrap().bytes, bytes);
    }
}
