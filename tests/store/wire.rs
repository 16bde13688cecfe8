//! The same endings over the wire: what the S3 client makes of lost answers and of 409, and that it repeats nothing.

use crate::key;
use crate::support::ministack;
use crate::support::proxy::{Proxy, Trick};
use crate::support::repos::s3_settings;
use lance::Dataset;
use lance::dataset::WriteParams;
use outrigger::store::{RepoUri, Store, StoreParts, StoreSettings, Written};

async fn behind(tricks: &[Trick]) -> (Store, Proxy) {
    let server = ministack::server();
    let proxy = Proxy::before(server.address(), tricks);
    let settings = StoreSettings { endpoint: Some(proxy.endpoint()), ..s3_settings() };
    let uri = RepoUri::parse(&format!("s3://{}/graph", server.bucket())).unwrap();
    (Store::open(&uri, &settings, StoreParts::real()).await.unwrap(), proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_answer_a_creation_that_happened_is_a_commit() {
    for (tricks, writes) in [
        (vec![Trick::DropAfter], 1),
        (vec![Trick::ServerErrorAfter], 1),
        (vec![Trick::ConflictBefore], 2),
        (vec![Trick::SlowDownBefore, Trick::SlowDownBefore], 3),
        (vec![Trick::DropAfter, Trick::SlowDownBefore, Trick::ConflictBefore], 3),
    ] {
        let (store, proxy) = behind(&tricks).await;
        let name = key("__recovery/01JZ0A3V9Q6T1F4C8R2M5N7P0X.fence");
        let ending = store.create(&name, "ours".into()).await.unwrap();
        assert!(matches!(ending, Written::Committed { .. }), "{tricks:?}: {ending:?}");
        assert_eq!(store.get(&name).await.unwrap().unwrap().bytes, "ours");
        assert!(proxy.all_played());
        assert_eq!(
            proxy.conditional_writes(),
            writes,
            "{tricks:?}: nobody repeats a write that may have happened"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_was_committed_is_not_committed_again() {
    for trick in [Trick::DropAfter, Trick::ServerErrorAfter] {
        let (store, proxy) = behind(&[trick]).await;
        let uri = store.dataset_uri(&key("nodes/40d76f1f51639ec0"));
        let params = WriteParams { session: Some(store.session()), ..WriteParams::default() };
        let dataset =
            Dataset::write(crate::datasets::rows(&[1, 2]), uri.as_str(), Some(params)).await.unwrap();
        assert_eq!((dataset.version().version, dataset.count_rows(None).await.unwrap()), (1, 2));
        assert_eq!(proxy.conditional_writes(), 1, "{trick:?}");
        let versions = store.list(&key("nodes/40d76f1f51639ec0/_versions")).await.unwrap();
        assert_eq!(versions.len(), 1, "{versions:?}");
    }
}
