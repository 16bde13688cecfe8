//! Commands by which a person decides: each says what it would do, does it when told to, and can be told from the store.

use crate::program::{on, outrigger};
use crate::support::graph::branch::SCHEMA_LOCK;
use crate::support::graph::{Graph, MAIN, MANIFEST, PERSON, path_of};
use crate::wrecks::{self, FEATURE};
use outrigger::repo::Dialect;
use serde_json::Value;

async fn record(graph: &Graph, operation: &str) -> Value {
    let object = graph.place.get(&Graph::sidecar_key(operation)).await.unwrap().unwrap();
    serde_json::from_slice(&object.bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_listed_shown_put_aside_and_brought_back() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    let operation = wrecks::complete(&graph).await;
    let stored = record(&graph, &operation).await;
    let listed = on(&graph, &["sidecars", "list", "--format", "json"]).json();
    assert_eq!(listed[0]["name"], operation);
    assert_eq!((&listed[0]["kind"], &listed[0]["problem"]), (&"Load".into(), &Value::Null));
    for name in [operation.clone(), format!("{operation}.json")] {
        assert_eq!(on(&graph, &["sidecars", "show", &name, "--format", "json"]).json(), stored);
    }

    let words = ["sidecars", "quarantine", &operation, "--reason", "ticket 12", "--format", "json"];
    let moved = on(&graph, &words).json();
    assert_eq!(moved, serde_json::json!({ "name": operation, "state": "quarantined" }));
    let aside = format!("{operation}.json.quarantined");
    let listed = on(&graph, &["sidecars", "list", "--format", "json"]).json();
    assert_eq!((&listed[0]["name"], &listed[0]["kind"]), (&aside.into(), &"Load".into()));
    assert!(listed[0]["tables"].as_u64() > Some(0), "{listed}");
    assert!(listed[0]["problem"].as_str().unwrap().contains("put aside (ticket 12)"), "{listed}");
    // By each name that `restore` takes.
    for ending in ["", ".json", ".fence", ".quarantined", ".json.quarantined"] {
        let shown = on(&graph, &["sidecars", "show", &format!("{operation}{ending}"), "--format", "json"]);
        let another = ending == ".fence";
        assert_eq!((shown.exit, shown.json() == stored), (0, !another), "{ending}: {shown:?}");
    }

    let moved = on(&graph, &["sidecars", "restore", &format!("{operation}.json"), "--format", "json"]).json();
    assert_eq!(moved["state"], "counts");
    assert_eq!(record(&graph, &operation).await, stored);
    assert_eq!(on(&graph, &["once", "--grace", "0s"]).exit, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_nobody_can_read_can_be_looked_at_and_put_aside() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let operation = wrecks::unreadable(&graph).await;
    let held = on(&graph, &["once", "--grace", "0s"]);
    assert_eq!(held.exit, 11, "{held:?}");
    assert!(held.out.contains(&operation), "{}", held.out);
    assert_eq!(on(&graph, &["sidecars", "show", &operation]).out, "{\n");
    let refused = on(&graph, &["sidecars", "show", &operation, "--format", "json"]);
    assert_eq!(refused.exit, 1);
    assert!(refused.json()["error"].as_str().unwrap().contains("not JSON"), "{}", refused.out);
    assert!(refused.err.contains("not JSON"), "{}", refused.err);
    assert_eq!(on(&graph, &["sidecars", "quarantine", &operation]).exit, 0);
    let nothing = on(&graph, &["sidecars", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    assert_eq!(nothing.exit, 1);
    assert!(nothing.err.contains("sidecars list"), "{}", nothing.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_settled_as_a_person_chooses_and_only_on_yes() {
    for (to, kept) in [("pin", false), ("head", true)] {
        let graph = Graph::on_disk(Dialect::GraphV3).await;
        graph.table(PERSON).append(&["foreign"]).await;
        let held = on(&graph, &["once", "--grace", "0s", "--exclusive"]);
        assert_eq!(held.exit, 11, "{held:?}");
        assert!(held.out.contains("repair drift --exclusive"), "{}", held.out);
        let undecided = on(&graph, &["repair", "drift", "--exclusive"]);
        assert_eq!(undecided.exit, 78);
        assert!(undecided.err.contains("--to pin or --to head"), "{}", undecided.err);

        let before = graph.picture().await;
        let words = ["repair", "drift", "--exclusive", "--table", PERSON, "--to", to];
        let asked = on(&graph, &words);
        assert_eq!(asked.exit, 11, "{asked:?}");
        assert!(asked.out.starts_with("would ") && asked.out.contains("--yes"), "{}", asked.out);
        let json = on(&graph, &[&words[..], &["--format", "json"]].concat()).json();
        assert_eq!((&json["repairs"][0]["outcome"], &json["exit"]), (&"proposed".into(), &11.into()));
        let misspelt =
            on(&graph, &["repair", "drift", "--exclusive", "--table", "node:person", "--to", to, "--yes"]);
        assert_eq!(misspelt.exit, 1, "{misspelt:?}");
        assert!(misspelt.err.contains("did you mean node:Person?"), "{}", misspelt.err);
        assert!(graph.picture().await == before, "without --yes nothing is done");

        let done = on(&graph, &[&words[..], &["--yes", "--format", "json"]].concat());
        assert_eq!(done.exit, 0, "{done:?}");
        assert_eq!(done.json()["repairs"][0]["outcome"], "done");
        assert_eq!(graph.rows(MAIN, PERSON).await.iter().any(|row| row.contains("foreign")), kept);
        assert_eq!(on(&graph, &words).out, "nothing to repair\n");
        assert_eq!(on(&graph, &["plan"]).exit, 0);
    }
}

#[test]
fn an_option_that_a_repair_would_not_heed_is_refused_before_anything_is_read() {
    let nowhere = std::env::temp_dir().join("outrigger-nothing-is-here");
    for (kind, option, value) in [
        ("lock", "--table", PERSON),
        ("lock", "--to", "pin"),
        ("branch", "--table", PERSON),
        ("branch", "--to", "head"),
        ("missing-ref", "--to", "pin"),
    ] {
        let words = ["repair", kind, "--exclusive", option, value, "--repo", nowhere.to_str().unwrap()];
        let refused = outrigger(&words);
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{refused:?}");
        let told = format!("repair {kind} takes no {option}");
        assert!(refused.err.contains(&told) && refused.err.contains("Usage: "), "{}", refused.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_nobody_holds_is_removed_on_yes() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    wrecks::lock(&graph).await;
    let held = on(&graph, &["once", "--grace", "0s", "--exclusive"]);
    assert_eq!(held.exit, 11, "{held:?}");
    assert_eq!(on(&graph, &["repair", "lock", "--exclusive"]).exit, 11);
    assert_eq!(graph.branches_of(MANIFEST).await, [SCHEMA_LOCK]);
    assert_eq!(on(&graph, &["repair", "lock", "--exclusive", "--yes"]).exit, 0);
    assert!(graph.branches_of(MANIFEST).await.is_empty());
    assert_eq!(on(&graph, &["repair", "lock", "--exclusive"]).out, "nothing to repair\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_open_lets_once_undo() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    wrecks::half_done(&graph).await;
    assert_eq!(on(&graph, &["window", "show"]).out, "no manual window is open\n");
    let too_long = on(&graph, &["window", "open", "--for", "25h"]);
    assert_eq!(too_long.exit, 78, "{too_long:?}");
    let opened = on(&graph, &["window", "open", "--for", "10m", "--reason", "writers are stopped"]);
    assert_eq!(opened.exit, 0, "{opened:?}");
    let shown = on(&graph, &["window", "show", "--format", "json"]).json();
    assert_eq!(shown[0]["reason"], "writers are stopped");
    assert!((1..=600).contains(&shown[0]["seconds_left"].as_u64().unwrap()), "{shown}");
    assert_eq!(on(&graph, &["once", "--grace", "0s"]).exit, 0);
    assert_eq!(on(&graph, &["window", "close"]).out, "closed\n");
    assert_eq!(on(&graph, &["window", "close"]).out, "no manual window is open\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_tables_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("people.lance/_versions")).unwrap();
    let root = dir.path().to_str().unwrap();
    let status = outrigger(&["status", "--repo", root]);
    assert_eq!(status.exit, 0, "{status:?}");
    assert!(status.out.contains("directory") && status.out.contains("maintenance only"), "{}", status.out);
    for words in [&["once"][..], &["window", "open", "--for", "10m"], &["audit", "list"]] {
        let refused = outrigger(&[words, &["--repo", root]].concat());
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains("directory"), "{}", refused.err);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn the_demo_mends_two_real_wrecks_and_kills_writers_at_every_step() {
    let began = std::time::Instant::now();
    let ran = outrigger(&["demo"]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert!(
        began.elapsed() < std::time::Duration::from_secs(90),
        "{:?}; alone it takes 43 s",
        began.elapsed()
    );
    for word in [
        "roll_forward",
        "roll_back",
        "plan",
        "status",
        "once --gate",
        "undone, behind the gate",
        "ROWS BEFORE",
    ] {
        assert!(ran.out.contains(word), "the demo does not show {word}: {}", ran.out);
    }
    // What is unpacked is as young as the demo: the grace of a crash record has just begun.
    assert!(ran.out.contains("waits 4m") || ran.out.contains("waits 5m"), "{}", ran.out);
}

/// The fork's fork comes first by name, and cannot be told without the record of its parent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_fails_is_told_and_the_others_are_made() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    graph.branch(FEATURE).await;
    wrecks::written_on_branch(&graph, PERSON, "fay").await;
    graph.branch_from(FEATURE, "deeper").await;
    graph.fork(PERSON, "deeper").await;
    let version = graph.table_on(PERSON, "deeper").append(&["gil"]).await;
    graph.publish("deeper", &[(PERSON, version)]).await;
    for branch in [FEATURE, "deeper"] {
        let record = format!("{}/_refs/branches/{branch}.json", path_of(PERSON));
        graph.place.delete(&outrigger::store::Key::parse(&record).unwrap()).await.unwrap();
    }
    let words = ["repair", "missing-ref", "--exclusive", "--yes", "--format", "json"];
    let told = on(&graph, &words);
    assert_eq!(told.exit, 1, "{told:?}");
    let json = told.json();
    let outcomes: Vec<_> =
        json["repairs"].as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "done"], "{json}");
    assert!(json["repairs"][0]["reason"].as_str().unwrap().contains("it comes first"), "{json}");
    let again = on(&graph, &words);
    assert_eq!((again.exit, again.json()["repairs"].as_array().unwrap().len()), (0, 1), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_cannot_be_read_does_not_stand_in_the_way_of_another_ones_table() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    graph.branch(FEATURE).await;
    crate::support::graph::create::stamp(&mut graph.open(MANIFEST, FEATURE).await, Some("9")).await;
    graph.table(PERSON).append(&["foreign"]).await;
    let repair = |table| on(&graph, &["repair", "drift", "--exclusive", "--to", "head", "--table", table]);
    let proposed = repair(PERSON);
    assert_eq!(proposed.exit, 11, "{proposed:?}");
    let unknown = repair("node:Ghost");
    assert_eq!(unknown.exit, 78, "it may be that branch's: {unknown:?}");
    assert!(unknown.err.contains(FEATURE) && unknown.err.contains("node:Ghost"), "{}", unknown.err);
}
