//! Create-if-absent: who wins, and what is said when the answer is lost.

use crate::support::faults::{self, Breaks};
use crate::support::repos::{Sleepless, faulty};
use crate::{Place, hold_everywhere, key};
use outrigger::Kind;
use outrigger::store::{Requests, Store, StoreParts, Verb, Written};
use std::sync::Arc;

hold_everywhere!(
    of_fifty_racers_exactly_one_creates,
    a_lost_answer_after_the_write_is_a_commit,
    a_lost_answer_after_somebody_elses_write_is_a_conflict,
    a_conflict_that_shows_nothing_is_tried_again,
    when_nothing_can_be_read_back_it_is_unknown,
    a_refusal_is_an_error_because_nothing_was_written,
);

const NAME: &str = "__recovery/lease.00000000000000000001";

fn committed(written: &Written) -> bool {
    matches!(written, Written::Committed { .. })
}

async fn stored(store: &Store) -> Option<bytes::Bytes> {
    store.get(&key(NAME)).await.unwrap().map(|object| object.bytes)
}

async fn of_fifty_racers_exactly_one_creates(place: Place) {
    let store = place.open(StoreParts::real()).await;
    let racers = (0..50).map(|racer| {
        let store = store.store.clone();
        tokio::spawn(async move {
            let nonce = format!("racer {racer}");
            (store.create(&key(NAME), nonce.clone().into()).await.unwrap(), nonce)
        })
    });
    let endings = futures::future::join_all(racers).await.into_iter().map(|racer| racer.unwrap());
    let (winners, losers): (Vec<_>, Vec<_>) = endings.partition(|(ending, _)| committed(ending));
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert!(losers.iter().all(|(ending, _)| matches!(ending, Written::Conflict)), "{losers:?}");
    assert_eq!(stored(&store).await.unwrap(), winners[0].1);
}

async fn a_lost_answer_after_the_write_is_a_commit(place: Place) {
    let lost = Arc::new(Breaks::after(&[Verb::Create], 1, faults::lost));
    let store = place.open(faulty(lost)).await;
    assert!(committed(&store.create(&key(NAME), "ours".into()).await.unwrap()));
    assert_eq!(stored(&store).await.unwrap(), "ours");
    let cost = store.requests();
    assert_eq!((cost.put, cost.get), (1, 2), "written once, read back once, read once by this test");
}

async fn a_lost_answer_after_somebody_elses_write_is_a_conflict(place: Place) {
    let lost = Arc::new(Breaks::before(&[Verb::Create], 1, faults::lost));
    let store = place.open(faulty(lost)).await;
    store.put(&key(NAME), "theirs".into()).await.unwrap();
    assert!(matches!(store.create(&key(NAME), "ours".into()).await.unwrap(), Written::Conflict));
    assert_eq!(stored(&store).await.unwrap(), "theirs");
}

async fn a_conflict_that_shows_nothing_is_tried_again(place: Place) {
    let conflict = Arc::new(Breaks::before(&[Verb::Create], 2, faults::conflict_409));
    let store = place.open(faulty(conflict)).await;
    assert!(committed(&store.create(&key(NAME), "ours".into()).await.unwrap()));
    assert_eq!(store.requests(), Requests { put: 3, get: 2, ..Requests::default() });
}

async fn when_nothing_can_be_read_back_it_is_unknown(place: Place) {
    let time = Sleepless::default();
    let gone = Arc::new(Breaks::before(&[Verb::Create, Verb::Get], usize::MAX, faults::lost));
    let store = place.open(StoreParts { host: time.host(), ..faulty(gone) }).await;
    let Written::Unknown { error } = store.create(&key(NAME), "ours".into()).await.unwrap() else {
        panic!("nothing is known")
    };
    assert!(error.to_string().contains(NAME), "{error}");
}

async fn a_refusal_is_an_error_because_nothing_was_written(place: Place) {
    for (answer, kind) in [(faults::denied as fn() -> _, Kind::Denied), (faults::no_space, Kind::Unavailable)]
    {
        let store = place.open(faulty(Arc::new(Breaks::before(&[Verb::Create], 1, answer)))).await;
        let error = store.create(&key(NAME), "ours".into()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(stored(&store).await, None);
    }
}
