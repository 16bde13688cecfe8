//! `--gate`: writers of a native repository are kept out for an undoing; writers of graphs know no gate.

use crate::program::{on, outrigger};
use crate::support::graph::Graph;
use crate::world::{TOTAL, World};
use crate::wrecks;
use outrigger::repo::Dialect;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_landed_commit_is_undone_behind_the_gate() {
    let world = World::on_disk().await;
    let operation = world.half_landed().await;
    let root = world.place.dir().join("graph");
    let once = |more: &[&str]| outrigger(&[&["once", "--repo", root.to_str().unwrap()], more].concat());
    let young = once(&["--gate"]);
    assert_eq!(young.exit, 10, "{young:?}");
    // Its beat stands still from now on.
    tokio::time::sleep(Duration::from_millis(6200)).await;
    let waits = once(&[]);
    assert_eq!(waits.exit, 10, "{waits:?}");
    assert!(waits.out.contains("`outrigger once --gate"), "{}", waits.out);
    let ran = once(&["--gate", "--format", "json"]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    let scope = &ran.json()["passes"][0]["scopes"][0];
    assert_eq!((&scope["scope"], &scope["outcome"]), (&operation.into(), &"done".into()));
    assert_eq!(world.total().await, TOTAL);
    world.is_settled().await;
    assert_eq!(once(&["--gate"]).exit, 0, "nothing waits, and nothing is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_somebody_has_abandoned_is_opened_first() {
    let world = World::on_disk().await;
    world.half_landed().await;
    let gate = outrigger::store::Key::parse("__recovery/gate.00000000000000000001").unwrap();
    world.place.put(&gate, "{}".into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(6200)).await;
    let root = world.place.dir().join("graph");
    let ran = outrigger(&["once", "--gate", "--repo", root.to_str().unwrap()]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphs_know_no_gate_and_nothing_is_done_before_that_is_said() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    wrecks::complete(&graph).await;
    let before = graph.picture().await;
    for command in ["once", "plan"] {
        let refused = on(&graph, &[command, "--gate", "--grace", "0s"]);
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains("window open --for 10m"), "{}", refused.err);
        assert!(graph.picture().await == before, "{command} has changed something");
    }
}
