//! What it keeps for a roll back that waits, and what it forgets afterwards.

use crate::harness::{Daemon, clock, keeping_with};
use crate::recoverer::Hands;
use crate::support::graph::{Graph, KNOWS, PERSON, path_of};
use crate::wrecks;
use lance::dataset::cleanup::CleanupPolicyBuilder;
use outrigger::model::audit::Verdict;
use outrigger::passes::recovery::quarantine;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::runtime::queue::Reason;
use outrigger::store::Key;
use std::time::Duration;

const SHORT_GRACE: &str = "grace = \"1s\"";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A graph with a commit that must be undone, and a keeper that has seen it wait.
async fn waiting(graph: &Graph) -> (String, Daemon) {
    let operation = wrecks::half_done(graph).await;
    let daemon = keeping_with(graph, clock(), SHORT_GRACE);
    daemon.clock.advance(Duration::from_secs(2));
    daemon.look_because(Reason::Start).await;
    (operation, daemon)
}

/// Tags of a table, each with its version.
async fn tags(graph: &Graph, table: &str) -> Vec<(String, u64)> {
    let tags = graph.table(table).open().await.tags().list().await.unwrap();
    tags.into_iter().map(|(name, tag)| (name, tag.version)).collect()
}

async fn undone(graph: &Graph, daemon: &Daemon) {
    daemon.open_window(graph, DAY).await;
    daemon.look().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_leaves_what_a_waiting_roll_back_will_restore() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let (operation, daemon) = waiting(&graph).await;
    assert_eq!(tags(&graph, PERSON).await, [(format!("outrigger-{operation}-0"), 1)]);
    // The engines clean up by number and age, and do not know the pins of a crashed commit.
    let policy =
        CleanupPolicyBuilder::default().retain_n_versions(&graph.table(PERSON).open().await, 1).await;
    let policy = policy.unwrap().error_if_tagged_old_versions(false).build();
    lance::dataset::cleanup::cleanup_old_versions(&graph.table(PERSON).open().await, policy).await.unwrap();
    assert!(graph.try_open(&path_of(PERSON), "main", Some(1)).await.is_ok());

    undone(&graph, &daemon).await;
    assert_eq!(graph.rows("main", PERSON).await.len(), 2);
    daemon.look_because(Reason::Request).await;
    assert_eq!(tags(&graph, PERSON).await, []);
    assert!(!graph.controls().await.iter().any(|name| name.ends_with(".tags")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_go_when_somebody_else_settles_the_commit() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let (operation, daemon) = waiting(&graph).await;
    assert_eq!(tags(&graph, PERSON).await.len(), 1);
    graph.remove_sidecar(&operation).await;
    daemon.look().await;
    assert_eq!(tags(&graph, PERSON).await, []);
    assert!(!graph.controls().await.iter().any(|name| name.ends_with(".tags")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_tags_that_cannot_be_read_is_held_and_keeps_no_other_tags() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let (operation, daemon) = waiting(&graph).await;
    let other = crate::support::graph::next_ulid();
    let unreadable = Key::parse(&format!("__recovery/{other}.tags")).unwrap();
    graph.place.create(&unreadable, "{".into()).await.unwrap();
    graph.remove_sidecar(&operation).await;
    daemon.look().await;
    assert_eq!(tags(&graph, PERSON).await, []);
    assert_eq!(daemon.of(&other), Some((Verdict::Hold, Outcome::Held)));
    let lists = graph.controls().await.into_iter().filter(|name| name.ends_with(".tags"));
    assert_eq!(lists.collect::<Vec<_>>(), [format!("{other}.tags")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_put_on_once() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let (_, daemon) = waiting(&graph).await;
    let (_, written) = daemon.requests();
    for _ in 0..5 {
        daemon.look_because(Reason::Request).await;
    }
    assert_eq!(daemon.requests().1, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_fence_record_is_forgotten_after_a_week_once_every_table_has_moved_on() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let (operation, daemon) = waiting(&graph).await;
    undone(&graph, &daemon).await;
    let fences = async || {
        let names = graph.controls().await;
        names.into_iter().filter(|name| name.starts_with(&operation)).collect::<Vec<_>>()
    };
    let both = [format!("{operation}.fence"), format!("{operation}.fence.closed")];
    daemon.clock.advance(DAY * 8);
    daemon.look_because(Reason::Request).await;
    assert_eq!(fences().await, both, "its tables have not moved since");

    for table in [PERSON, KNOWS] {
        graph.table(table).append(&["new"]).await;
        graph.publish_heads(&[table]).await;
    }
    graph.table(crate::support::graph::COMPANY).append(&["new"]).await;
    graph.publish_heads(&[crate::support::graph::COMPANY]).await;
    daemon.look_because(Reason::Request).await;
    assert_eq!(fences().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_fence_record_is_kept_for_a_week_though_every_table_has_moved_on() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let (operation, daemon) = waiting(&graph).await;
    undone(&graph, &daemon).await;
    for table in crate::support::graph::TABLES {
        graph.table(table).append(&["new"]).await;
    }
    graph.publish_heads(&crate::support::graph::TABLES).await;
    daemon.clock.advance(DAY * 6);
    daemon.look_because(Reason::Request).await;
    assert!(graph.controls().await.contains(&format!("{operation}.fence")));
}

/// Who is surprised by the commit later, whether shown or not, finds when it was put aside and why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_on_a_record_that_a_person_has_put_aside_is_kept_however_old_it_is() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let operation = wrecks::complete(&graph).await;
    let repo = graph.recoverer().open().await.unwrap();
    quarantine::quarantine(&repo, &operation, "its writer is being looked at", &Hands).await.unwrap();
    let key = |name: String| Key::parse(&format!("__recovery/{name}")).unwrap();
    // An ending whose record went first: that it is gone afterwards tells that old ones were looked for.
    let other = format!("{}.fence.closed", crate::support::graph::next_ulid());
    graph.place.create(&key(other.clone()), "{}".into()).await.unwrap();

    let daemon = keeping_with(&graph, clock(), SHORT_GRACE);
    daemon.look_because(Reason::Start).await;
    assert!(graph.controls().await.contains(&other));
    daemon.clock.advance(DAY * 8);
    let is_kept = async || {
        daemon.look_because(Reason::Request).await;
        let note = graph.place.get(&key(format!("{operation}.fence.closed"))).await.unwrap();
        let note = note.expect("the note is kept").bytes;
        let note: serde_json::Value = serde_json::from_slice(&note).unwrap();
        assert_eq!(note["quarantined"], operation.as_str(), "{note}");
        assert_eq!(note["reason"], "its writer is being looked at", "{note}");
        assert!(graph.controls().await.contains(&format!("{operation}.fence")));
    };
    is_kept().await;
    assert!(!graph.controls().await.contains(&other));
    // The copy may be moved elsewhere.
    graph.place.delete(&key(format!("{operation}.json.quarantined"))).await.unwrap();
    is_kept().await;
}
