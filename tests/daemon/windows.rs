//! What must be undone waits for a window, and a window is what the store says it is.

use crate::harness::{Daemon, clock, keeping_under, keeping_with};
use crate::support::faults::{Meanwhile, is_write};
use crate::support::graph::{Graph, MAIN, next_ulid};
use crate::wrecks;
use outrigger::app::Leave;
use outrigger::host::{Clock, ManualClock};
use outrigger::model::Timestamp;
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::runtime::queue::Reason;
use outrigger::runtime::windows::{self, ManualWindow, Which};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);
const SHORT_GRACE: &str = "grace = \"1s\"";

/// A graph with a commit that must be undone, and a keeper that has seen it wait.
async fn waiting(dialect: Dialect) -> (Graph, String, Daemon) {
    let graph = Graph::on_disk(dialect).await;
    let operation = wrecks::half_done(&graph).await;
    let daemon = keeping_with(&graph, clock(), SHORT_GRACE);
    daemon.clock.advance(Duration::from_secs(2));
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    (graph, operation, daemon)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_back_is_made_in_a_manual_window_and_not_before() {
    let (graph, operation, daemon) = waiting(Dialect::GraphV3).await;
    let heads = graph.heads().await;
    let manifest = graph.manifest_version(MAIN).await;
    daemon.run_for(MINUTE * 5).await;
    assert_eq!((graph.heads().await, graph.manifest_version(MAIN).await), (heads, manifest));
    assert_eq!(daemon.metric("outrigger_scopes_waiting{reason=\"window\""), 1.0);

    daemon.open_window(&graph, MINUTE * 60).await;
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Done)));
    assert_eq!(daemon.metric("outrigger_window_open"), 1.0);
    assert_eq!(daemon.status().window.unwrap().kind.as_str(), "manual");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_was_closed_allows_nothing() {
    let (graph, operation, daemon) = waiting(Dialect::GraphV4).await;
    daemon.open_window(&graph, MINUTE * 60).await;
    assert_eq!(windows::close(&graph.place).await.unwrap().len(), 1);
    daemon.run_for(MINUTE * 15).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
}

async fn opened(graph: &Graph, length: Duration) -> ManualWindow {
    windows::open(&graph.place, length, "maintenance", next_ulid).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_closed_meanwhile_ends_the_run_and_the_next_look_takes_another() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let operation = wrecks::half_done(&graph).await;
    let heads = graph.heads().await;
    for length in [MINUTE * 60, MINUTE * 50] {
        opened(&graph, length).await;
    }
    let place = graph.place.store.clone();
    let armed = |call: &outrigger::store::Call| is_write(call) && call.path.as_ref().ends_with(".fence");
    let closes = Arc::new(Meanwhile::at(armed, async move {
        assert_eq!(windows::close(&place).await.unwrap().len(), 2);
    }));
    let daemon = keeping_under(&graph, clock(), SHORT_GRACE, Some(closes.clone()));
    daemon.clock.advance(Duration::from_secs(2));
    daemon.look_because(Reason::Start).await;
    assert!(closes.happened());
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    assert_eq!(graph.heads().await, heads, "nothing was restored under a window that is closed");

    daemon.open_window(&graph, MINUTE * 60).await;
    daemon.clock.advance(Duration::from_secs(15));
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Done)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_window_is_not_hidden_by_a_long_one_that_is_about_to_end() {
    let (graph, operation, daemon) = waiting(Dialect::GraphV4).await;
    let long = opened(&graph, MINUTE * 60 * 24).await;
    let file = graph.place.dir().join(format!("graph/__recovery/window.{}", long.id));
    let hours_ago = SystemTime::now() - MINUTE * 60 * 22;
    std::fs::File::options().write(true).open(file).unwrap().set_modified(hours_ago).unwrap();
    assert!(matches!(Leave::of(false, &graph.place).await.unwrap(), Leave::None));

    let fresh = opened(&graph, MINUTE * 10).await;
    let leave = Leave::of(false, &graph.place).await.unwrap();
    assert!(matches!(&leave, Leave::Within(Which::Manual(window)) if window.id == fresh.id), "{leave:?}");
    daemon.catch_up();
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Done)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_lengthen_a_window() {
    let (graph, operation, daemon) = waiting(Dialect::GraphV4).await;
    daemon.open_window(&graph, MINUTE * 10).await;
    daemon.clock.advance(MINUTE * 10);
    let restarted = keeping_with(&graph, daemon.clock.clone(), SHORT_GRACE);
    restarted.look_because(Reason::Start).await;
    assert_eq!(restarted.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    assert_eq!(restarted.status().window, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_in_a_windows_last_tenth() {
    let (graph, operation, daemon) = waiting(Dialect::GraphV4).await;
    daemon.open_window(&graph, MINUTE * 10).await;
    daemon.clock.advance(MINUTE * 9 + Duration::from_secs(10));
    daemon.look().await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    assert!(daemon.status().window.is_some(), "it is still open for what has begun");
}

const NIGHTLY: &str =
    "grace = \"1s\"\n[[repositories.windows.schedules]]\ncron = \"0 3 * * *\"\nlength = \"30m\"";

/// A clock at the next three o'clock of UTC, moved by some minutes: in the future of every file.
fn at_three_and(minutes: i64) -> ManualClock {
    let tomorrow = (chrono::Utc::now() + chrono::Duration::days(1)).date_naive();
    let three = tomorrow.and_hms_opt(3, 0, 0).unwrap().and_utc();
    ManualClock::new(Timestamp(three + chrono::Duration::minutes(minutes)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_by_the_calendar_opens_when_the_schedule_says() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let operation = wrecks::half_done(&graph).await;
    let daemon = keeping_with(&graph, at_three_and(-5), NIGHTLY);
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    daemon.run_for(MINUTE * 4).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    daemon.run_for(MINUTE * 2).await;
    assert!(graph.controls().await.iter().any(|name| *name == format!("{operation}.fence.closed")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_by_the_calendar_covers_nothing_that_the_store_cannot_guard() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let operation = wrecks::schema_half_done(&graph).await;
    let daemon = keeping_with(&graph, at_three_and(1), NIGHTLY);
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
    assert_eq!(daemon.metric("outrigger_scopes_waiting{reason=\"manual_window\""), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_is_set_back_opens_no_window_anew() {
    let (graph, operation, daemon) = waiting(Dialect::GraphV4).await;
    opened(&graph, MINUTE * 10).await;
    daemon.clock.advance(MINUTE * 11);
    daemon.look().await;
    assert_eq!(daemon.status().window, None);
    daemon.clock.set_wall(Timestamp(daemon.clock.now().0 - chrono::Duration::minutes(6)));
    daemon.run_for(MINUTE).await;
    assert_eq!(daemon.status().window, None);
    assert_eq!(daemon.of(&operation), Some((Verdict::RollBack, Outcome::Waits)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_from_the_future_is_closed() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let window = windows::open(&graph.place, MINUTE * 10, "maintenance", next_ulid).await.unwrap();
    let back = ManualClock::new(Timestamp(window.opened.0 - chrono::Duration::hours(1)));
    let daemon = keeping_with(&graph, back.clone(), SHORT_GRACE);
    daemon.look_because(Reason::Start).await;
    assert_eq!(daemon.status().window, None, "a window from the future is closed: {:?}", back.now());
}
