//! What is printed about a graph, and the exit codes that scripts rely on.

use crate::program::{Ran, on, outrigger, unread};
use crate::support::graph::{Graph, MAIN, PERSON};
use crate::wrecks;
use outrigger::repo::Dialect;
use serde_json::Value;

const EACH: [Dialect; 2] = [Dialect::GraphV3, Dialect::GraphV4];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_commit_is_due_then_done_then_nothing() {
    for dialect in EACH {
        let graph = Graph::on_disk(dialect).await;
        let operation = wrecks::complete(&graph).await;
        let before = graph.picture().await;
        let plan = on(&graph, &["plan", "--grace", "0s"]);
        assert_eq!(plan.exit, 12, "{plan:?}");
        assert!(plan.out.contains(&operation) && plan.out.contains("roll_forward"), "{}", plan.out);
        assert!(graph.picture().await == before, "plan reads only");

        let once = on(&graph, &["once", "--grace", "0s"]);
        assert_eq!(once.exit, 0, "{once:?}");
        assert!(once.out.contains("done"), "{}", once.out);
        for words in [&["status"][..], &["plan"], &["once"]] {
            let again = on(&graph, words);
            assert_eq!(again.exit, 0, "{again:?}");
            assert!(again.out.contains("nothing"), "{}", again.out);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_for_machines_has_the_documented_shape() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let operation = wrecks::complete(&graph).await;
    let report = on(&graph, &["once", "--grace", "0s", "--format", "json"]).json();
    assert_eq!(keys(&report), ["dialect", "exit", "passes", "repo", "requests"]);
    assert_eq!((&report["dialect"], &report["exit"]), (&"graph-v4".into(), &0.into()));
    assert_eq!(keys(&report["requests"]), ["delete", "get", "head", "list", "put"]);
    assert!(report["requests"]["put"].as_u64().unwrap() > 0);
    let pass = &report["passes"][0];
    assert_eq!(keys(pass), ["pass", "scopes"]);
    let scope = &pass["scopes"][0];
    assert_eq!(scope["scope"], operation);
    assert_eq!((&scope["verdict"], &scope["outcome"]), (&"roll_forward".into(), &"done".into()));
    let table = &scope["tables"][0];
    assert_eq!(keys(table), ["branch", "from", "key", "to"]);
    assert_eq!((&table["from"], &table["to"]), (&1.into(), &2.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_undone_waits_for_the_operators_word() {
    let graph = Graph::on_disk(Dialect::GraphV3).await;
    wrecks::half_done(&graph).await;
    let young = on(&graph, &["once"]);
    assert_eq!(young.exit, 10, "{young:?}");
    let waits = on(&graph, &["once", "--grace", "0s"]);
    assert_eq!(waits.exit, 10, "{waits:?}");
    assert!(waits.out.contains("outrigger window open --for 10m"), "{}", waits.out);
    let json = on(&graph, &["plan", "--grace", "0s", "--format", "json"]);
    assert_eq!(json.exit, 10);
    assert_eq!(json.json()["passes"][0]["scopes"][0]["waits"]["for"], "window");
    let done = on(&graph, &["once", "--grace", "0s", "--exclusive"]);
    assert_eq!(done.exit, 0, "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drifted_table_is_named_once_in_its_line() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    graph.table(PERSON).index().await;
    let plan = on(&graph, &["plan", "--grace", "0s"]).out;
    let moves: Vec<&str> = plan.lines().filter(|line| line.contains('→')).collect();
    assert_eq!(moves, [format!("  drift {PERSON} on main: 1 → 2")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recoveries_are_listed_with_the_commit_that_shows_them() {
    for dialect in EACH {
        let graph = Graph::on_disk(dialect).await;
        assert_eq!(on(&graph, &["audit", "list"]).out, "no recoveries\n");
        let operation = wrecks::complete(&graph).await;
        on(&graph, &["once", "--grace", "0s"]);
        let undone = wrecks::half_done(&graph).await;
        on(&graph, &["once", "--grace", "0s", "--exclusive"]);

        let rows = on(&graph, &["audit", "list", "--format", "json"]).json();
        let of = |row: &Value| (row["operation_id"].clone(), row["recovery_kind"].clone());
        let rows = rows.as_array().unwrap();
        let expected = [(operation.clone(), "RolledForward"), (undone.clone(), "RolledBack")];
        assert_eq!(
            rows.iter().map(of).collect::<Vec<_>>(),
            expected.map(|(operation, kind)| (operation.into(), kind.into()))
        );
        for row in rows {
            assert_eq!(row["commit"]["id"], row["graph_commit_id"]);
            assert_eq!(row["commit"]["actor"], "omnigraph:recovery");
        }
        let shown = rows[1]["commit"]["manifest_version"].as_u64().unwrap();
        assert_eq!(shown, graph.manifest_version(MAIN).await);

        let people = on(&graph, &["audit", "list", "--kind", "RolledForward"]).out;
        assert!(people.contains(&operation) && !people.contains(&undone), "{people}");
        assert!(people.contains(&format!("{PERSON}: 1 → 2")), "{people}");
        for none in [["--actor", "nobody"], ["--since", "2999-01-01"], ["--operation", "x"]] {
            assert_eq!(on(&graph, &[&["audit", "list"], &none[..]].concat()).out, "no recoveries\n");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_listed_newest_first_and_shown_one_by_one() {
    for dialect in EACH {
        let graph = Graph::on_disk(dialect).await;
        graph.table(PERSON).append(&["eve"]).await;
        graph.publish_heads(&[PERSON]).await;
        let listed = on(&graph, &["commits", "list", "--format", "json"]).json();
        let newest = &listed[0];
        assert_eq!(newest["manifest_version"], graph.manifest_version(MAIN).await);
        assert_eq!(newest["parent"], listed[1]["id"]);
        let id = newest["id"].as_str().unwrap();
        assert_eq!(on(&graph, &["commits", "show", id]).json(), *newest);
        assert!(on(&graph, &["commits", "list"]).out.lines().nth(1).unwrap().starts_with(id));
        let missing = on(&graph, &["commits", "show", "nothing"]);
        assert_eq!((missing.exit, missing.out.as_str()), (1, ""));
        assert!(missing.err.contains("commits list"), "{}", missing.err);
        let nowhere = on(&graph, &["commits", "list", "--branch", "nowhere"]);
        assert_eq!(nowhere.exit, 1);
        assert!(nowhere.err.contains("nowhere"), "{}", nowhere.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_output_who_goes_away_is_no_fault() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let root = graph.place.dir().join("graph");
    let root = root.to_str().unwrap();
    for words in [&["commits", "list"][..], &["status", "--format", "json"]] {
        let ran = unread(&[words, &["--repo", root]].concat());
        assert_eq!((ran.exit, ran.err.as_str()), (141, ""));
    }
}

#[test]
fn what_is_not_there_or_not_known_is_named_with_the_next_step() {
    let ended = |words: &[&str], exit: i32, says: &[&str]| {
        let Ran { exit: found, out, err } = outrigger(words);
        assert_eq!((found, out.as_str()), (exit, ""), "{words:?}: {err}");
        for word in says {
            assert!(err.contains(word), "{words:?} does not say {word:?}: {err}");
        }
    };
    let nowhere = std::env::temp_dir().join("outrigger-nothing-is-here");
    let nowhere = nowhere.to_str().unwrap();
    ended(&["status", "--repo", nowhere], 1, &[nowhere]);
    ended(&["status", "--repo", "ftp://host/x"], 78, &["ftp://host/x", "s3://"]);
    ended(&["status"], 2, &["--repo"]);
    ended(&["once", "--repo", nowhere, "--pass", "compaction"], 78, &["compaction", "recovery"]);
    ended(&["once", "--repo", nowhere, "--grace", "soon"], 2, &["5m"]);
    ended(&["repair", "drift", "--repo", nowhere], 2, &["--exclusive"]);
    ended(&["run", "--config", nowhere], 78, &[nowhere]);
}

#[test]
fn help_teaches_every_command() {
    let help = outrigger(&["--help"]);
    assert_eq!(help.exit, 0);
    for line in ["78  refused", "Start with `outrigger status --repo URI`"] {
        assert!(help.out.contains(line), "{}", help.out);
    }
    let commands: Vec<&str> = help
        .out
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let help = outrigger(&[command, "--help"]);
        assert_eq!(help.exit, 0);
        assert!(help.out.contains("Usage: outrigger"), "{command}: {}", help.out);
    }
}
