//! What is printed about a graph, and the exit codes that scripts rely on.

use crate::program::{Ran, on, outrigger, root_of, typed, unread, with_variables};
use crate::support::graph::{Graph, MAIN, PERSON, TABLES, path_of};
use crate::wrecks;
use outrigger::repo::Dialect;
use outrigger::store::Key;
use serde_json::Value;
use std::path::Path;

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
async fn what_waits_for_a_window_names_the_setting_that_gives_one() {
    for dialect in EACH {
        let graph = Graph::on_disk(dialect).await;
        wrecks::half_done(&graph).await;
        for words in [&["status"][..], &["plan", "--grace", "0s"]] {
            let said = on(&graph, words);
            assert_eq!(said.exit, 10, "{said:?}");
            assert!(said.out.contains("`windows.schedules`") && !said.out.contains("--gate"), "{}", said.out);
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
    assert_eq!(table["branch"], "main");
    let status = on(&graph, &["status", "--format", "json"]).json();
    assert_eq!(keys(&status), ["dialect", "exit", "recovery", "repo", "stamp", "tables", "writable"]);
    assert_eq!(keys(&status["recovery"]), ["pass", "scopes"]);
    assert_eq!((&status["stamp"], &status["tables"]), (&4.into(), &3.into()));
    assert_eq!(status["writable"], true);
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
async fn tables_that_are_gone_are_named_one_by_one() {
    for dialect in EACH {
        let graph = Graph::on_disk(dialect).await;
        let root = root_of(&graph);
        for folder in ["nodes", "edges"] {
            std::fs::remove_dir_all(Path::new(&root).join(folder)).unwrap();
        }
        let status = on(&graph, &["status"]);
        assert_eq!(status.exit, 11, "{status:?}");
        for table in TABLES {
            let said = format!("the graph shows version 1 of {table}, and it is gone");
            assert!(status.out.contains(&said), "{table}: {}", status.out);
        }
        let repair = on(&graph, &["repair", "drift", "--exclusive", "--table", PERSON, "--to", "pin"]);
        assert_eq!(repair.exit, 1, "{repair:?}");
        assert!(repair.out.contains("backup") && repair.out.contains(PERSON), "{}", repair.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shown_version_that_is_gone_is_told_although_others_are_there() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    let newest = format!("{}/_versions/{:020}.manifest", path_of(PERSON), u64::MAX - 2);
    graph.place.delete(&Key::parse(&newest).unwrap()).await.unwrap();
    let status = on(&graph, &["status"]);
    assert_eq!(status.exit, 11, "{status:?}");
    let said = format!("the graph shows {PERSON} at 2, above its newest version 1");
    assert!(status.out.contains(&said), "{}", status.out);
    let repair = on(&graph, &["repair", "drift", "--exclusive", "--to", "head"]);
    assert_eq!(repair.exit, 1, "what the graph shows is never taken back: {repair:?}");
}

/// What a shell makes of every command that `status` and `once` tell a person to type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_can_be_typed_as_they_stand() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let root = root_of(&graph);
    wrecks::half_done(&graph).await;
    let odd = "it's an odd `name`.json";
    graph.place.put(&Key::parse(&format!("__recovery/{odd}")).unwrap(), "{".into()).await.unwrap();
    let held = on(&graph, &["once", "--grace", "0s"]);
    let aside = held.out.split("then `").nth(1).unwrap().split(r#"graph`"#).next().unwrap();
    let aside = typed(&format!("{aside}graph"), &[]);
    assert_eq!(aside.exit, 0, "{aside:?} of {}", held.out);
    assert!(aside.out.contains("is quarantined"), "{}", aside.out);

    let waits = on(&graph, &["once", "--grace", "0s"]);
    let hints = waits.hints();
    assert_eq!(hints.len(), 2, "{}", waits.out);
    for hint in &hints {
        let ran = typed(hint, &[]);
        assert!([0, 10].contains(&ran.exit), "{hint}: {ran:?}");
    }
    on(&graph, &["once", "--grace", "0s", "--exclusive"]);
    graph.table(PERSON).append(&["foreign"]).await;
    let named = [("OUTRIGGER_REPO", root.as_str())];
    let held = with_variables(&named, &["status"]);
    let hints = held.hints();
    assert_eq!(hints.len(), 2, "{}", held.out);
    for hint in &hints {
        assert!(!hint.contains("--repo"), "it is named already: {hint}");
        let ran = typed(hint, &named);
        assert_eq!(ran.exit, 11, "{hint}: {ran:?}");
        assert!(ran.out.starts_with("would "), "{hint}: {ran:?}");
    }
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
            assert_eq!(row["commit"]["branch"], "main");
            assert!(row["tables"][0]["to_version"].is_u64(), "{row}");
        }
        let shown = rows[1]["commit"]["manifest_version"].as_u64().unwrap();
        assert_eq!(shown, graph.manifest_version(MAIN).await);

        let people = on(&graph, &["audit", "list", "--kind", "RolledForward"]).out;
        assert!(people.contains(&operation) && !people.contains(&undone), "{people}");
        assert!(people.contains(&format!("{PERSON}: 1 → 2")), "{people}");
        assert_eq!(on(&graph, &["audit", "list", "--kind", "rolledforward"]).out, people);
        let misspelt = on(&graph, &["audit", "list", "--kind", "rolled-back"]);
        assert_eq!(misspelt.exit, 2);
        assert!(misspelt.err.contains("RolledForward, RolledBack"), "{}", misspelt.err);
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
        assert_eq!(newest["branch"], "main");
        assert_eq!(on(&graph, &["commits", "show", id, "--format", "json"]).json(), *newest);
        let shown = on(&graph, &["commits", "show", id]).out;
        assert!(shown.starts_with("COMMIT") && shown.contains(id) && shown.lines().count() == 2, "{shown}");
        assert!(on(&graph, &["commits", "list"]).out.lines().nth(1).unwrap().starts_with(id));
        let missing = on(&graph, &["commits", "show", "nothing"]);
        assert_eq!((missing.exit, missing.out.as_str()), (1, ""));
        assert!(missing.err.contains("commits list"), "{}", missing.err);
        graph.branch("feature").await;
        let nowhere = on(&graph, &["commits", "list", "--branch", "nowhere"]);
        assert_eq!(nowhere.exit, 1);
        assert!(nowhere.err.contains("no branch nowhere; there are: main, feature"), "{}", nowhere.err);
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
fn a_store_that_cannot_be_reached_is_named_within_seconds() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ];
    let began = std::time::Instant::now();
    let ran = with_variables(&variables, &["status", "--repo", "s3://bucket/graph"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!((ran.exit, ran.out.as_str()), (1, ""));
    let place = format!("s3://bucket/graph at {endpoint}: ");
    assert!(ran.err.contains(&place) && ran.err.contains("check the endpoint"), "{}", ran.err);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
}

#[test]
fn an_address_in_which_there_can_be_no_repository_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwd");
    std::fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    let ran = outrigger(&["status", "--repo", file]);
    assert_eq!(ran.exit, 78, "{ran:?}");
    assert!(ran.err.starts_with(&format!("outrigger: {file}: ")), "{}", ran.err);
}

#[test]
fn machines_are_told_why_there_is_no_result() {
    let nowhere = std::env::temp_dir().join("outrigger-nothing-is-here");
    let nowhere = nowhere.to_str().unwrap();
    let told = |words: &[&str]| outrigger(&[words, &["--format", "json"]].concat());
    for (words, exit) in [(["once", "--pass", "recovery"], 1), (["plan", "--pass", "compaction"], 78)] {
        let ran = told(&[&words[..], &["--repo", nowhere]].concat());
        let json = ran.json();
        assert_eq!(keys(&json), ["dialect", "error", "exit", "passes", "repo", "requests"]);
        assert_eq!((ran.exit, &json["exit"], &json["repo"]), (exit, &exit.into(), &nowhere.into()));
        assert_eq!(json["passes"], serde_json::json!([]));
        assert_eq!(ran.err, format!("outrigger: {}\n", json["error"].as_str().unwrap()));
    }
    let ran = told(&["status", "--repo", nowhere]);
    assert_eq!(keys(&ran.json()), ["error", "exit", "repo"]);
    // An address that is refused may hold a password.
    let ran = told(&["once", "--repo", "s3://me:hunter2@bucket/graph"]);
    assert_eq!((ran.exit, &ran.json()["repo"]), (78, &Value::Null));
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
}

#[test]
fn help_does_not_repeat_what_the_environment_holds() {
    let held = "s3://me:hunter2@bucket/graph";
    let variables = [("OUTRIGGER_REPO", held), ("OUTRIGGER_CONFIG", held)];
    for (command, variable) in [("once", "OUTRIGGER_REPO"), ("run", "OUTRIGGER_CONFIG")] {
        let help = with_variables(&variables, &[command, "--help"]);
        assert_eq!(help.exit, 0, "{help:?}");
        assert!(help.out.contains(variable) && !help.out.contains("hunter2"), "{}", help.out);
    }
}

/// The lines of a help page between a heading and the next empty line.
fn section<'a>(help: &'a str, heading: &str) -> Vec<&'a str> {
    let from = help.lines().skip_while(|line| *line != heading).skip(1);
    from.take_while(|line| !line.is_empty()).collect()
}

/// Every command at or below `words` has a line that says what it does, its usage, and an example or where to begin.
fn teaches(words: &[&str], taught: &mut usize) {
    let help = outrigger(&[words, &["--help"]].concat());
    assert_eq!(help.exit, 0, "{words:?}");
    let usage = format!("Usage: outrigger {}", words.join(" "));
    assert!(help.out.contains(usage.trim_end()), "{words:?}: {}", help.out);
    assert!(help.out.lines().next().is_some_and(|about| about.len() > 10), "{words:?}: {}", help.out);
    let shown = help.out.split("Example").nth(1).or_else(|| help.out.split("with `").nth(1));
    assert!(shown.is_some_and(|shown| shown.contains("outrigger")), "{words:?} has no example: {}", help.out);
    *taught += 1;
    let commands = section(&help.out, "Commands:");
    // A name and what it is for; continued lines are indented further.
    let named = commands.iter().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for line in named.filter(|line| !line.starts_with("  help ")) {
        let (name, about) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        assert!(!about.trim().is_empty(), "{words:?} {name} has no line");
        teaches(&[words, &[name]].concat(), taught);
    }
}

#[test]
fn help_teaches_every_command() {
    let help = outrigger(&["--help"]).out;
    assert!(help.contains("78  refused"), "{help}");
    let mut taught = 0;
    teaches(&[], &mut taught);
    assert!(taught > 20, "only {taught} commands were found");
}
