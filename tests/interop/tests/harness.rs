//! The harness tested without Outrigger: wrecks, twins, the judge, and the matrix with a stand-in for the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const INTEROP: &str = env!("CARGO_BIN_EXE_interop");
const ENGINES: [&str; 2] = ["0.7.2", "0.8.0"];

fn interop(arguments: &[&str]) -> Output {
    Command::new(INTEROP).args(arguments).output().expect("interop starts")
}

fn succeeds(arguments: &[&str]) -> String {
    let output = interop(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn fails(arguments: &[&str]) -> String {
    let output = interop(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// An empty directory of this test's own.
fn place(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).expect("the last run's directory goes");
    }
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn made(command: &'static str, engine: &str, state: &str, root: &Path, more: &[&str]) {
    let arguments = [&[command, "--engine", engine, "--state", state, "--root", text(root)], more].concat();
    succeeds(&arguments);
}

fn dump(engine: &str, root: &Path) -> String {
    succeeds(&["dump", "--engine", engine, "--root", text(root)])
}

struct Matrix {
    success: bool,
    table: String,
}

/// The matrix with the stand-in, which commits `fault` on purpose.
fn matrix(name: &str, filter: &str, fault: &str) -> Matrix {
    let folder = place(name);
    let (work, out) = (folder.join("work"), folder.join("table.md"));
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stand-in");
    let output = Command::new(INTEROP)
        .args(["matrix", "--outrigger", text(&stand_in), "--filter", filter])
        .args(["--work", text(&work), "--out", text(&out)])
        .env("INTEROP", INTEROP)
        .env("FAULT", fault)
        .output()
        .expect("interop starts");
    let table = std::fs::read_to_string(&out)
        .unwrap_or_else(|error| panic!("no table ({error}): {}", String::from_utf8_lossy(&output.stderr)));
    Matrix { success: output.status.success(), table }
}

#[test]
fn a_wreck_has_a_sidecar_and_heads_above_the_pins() {
    for engine in ENGINES {
        let root = place(&format!("wreck-{engine}"));
        made("wreck", engine, "load-append-finalized", &root, &[]);
        let facts: Value = serde_json::from_str(&succeeds(&["show", "--root", text(&root)])).expect("JSON");
        assert_eq!(facts["sidecars"].as_object().map(|sidecars| sidecars.len()), Some(1), "{facts}");
        let tables = facts["branches"][0]["tables"].as_array().expect("tables");
        let moved = tables.iter().filter(|table| table["head"].as_u64() > table["pin"].as_u64()).count();
        assert_eq!(moved, 4, "{facts}");
    }
}

#[test]
fn twins_differ_by_what_was_committed_and_by_nothing_else() {
    for engine in ENGINES {
        let folder = place(&format!("twins-{engine}"));
        let twin = |mode: &str| {
            let root = folder.join(mode);
            made("complete", engine, "load-append-finalized", &root, &["--mode", mode]);
            dump(engine, &root)
        };
        let committed = twin("committed");
        assert_eq!(twin("engine-recovery"), committed);
        assert_ne!(twin("before"), committed);
    }
}

#[test]
fn the_judge_refuses_a_wreck_and_accepts_it_recovered() {
    for engine in ENGINES {
        let folder = place(&format!("judge-{engine}"));
        let (wreck, recovered) = (folder.join("wreck"), folder.join("recovered"));
        made("wreck", engine, "insert-finalized", &wreck, &[]);
        let error = fails(&["judge", "--engine", engine, "--root", text(&wreck)]);
        assert!(error.contains("sidecars are left"), "{error}");
        made("complete", engine, "insert-finalized", &recovered, &["--mode", "engine-recovery"]);
        succeeds(&["judge", "--engine", engine, "--root", text(&recovered)]);
    }
}

#[test]
fn the_judge_refuses_a_graph_that_cannot_be_written() {
    let root = place("judge-lock").join("wreck");
    made("wreck", "0.8.0", "schema-metadata-unstaged", &root, &[]);
    let error = fails(&["judge", "--engine", "0.8.0", "--root", text(&root)]);
    assert!(error.contains("schema apply is in progress"), "{error}");
}

#[test]
fn a_root_that_is_not_empty_is_not_overwritten() {
    let root = place("not-empty");
    std::fs::write(root.join("precious"), "data").expect("a file");
    let arguments = ["wreck", "--engine", "0.8.0", "--state", "load-append-finalized", "--root", text(&root)];
    let error = fails(&arguments);
    assert!(error.contains("is not empty"), "{error}");
}

#[test]
fn the_matrix_explains_a_recovery_that_is_right() {
    let matrix = matrix("matrix-right", "^(load-append-finalized|load-append-one-unmoved)$", "");
    assert!(matrix.success, "{}", matrix.table);
    assert!(matrix.table.contains("4 rows, 0 unexplained"), "{}", matrix.table);
}

#[test]
fn the_matrix_notices_a_commit_that_is_dropped() {
    let matrix = matrix("matrix-dropped", "^first-load-index-5$", "");
    assert!(!matrix.success);
    assert!(matrix.table.contains("the rows differ from the twin's"), "{}", matrix.table);
}

#[test]
fn the_matrix_notices_a_plan_that_writes() {
    let matrix = matrix("matrix-plan", "^load-append-finalized$", "plan-writes");
    assert!(!matrix.success);
    assert!(matrix.table.contains("plan changed"), "{}", matrix.table);
}

#[test]
fn the_matrix_notices_a_restore_without_a_window() {
    let matrix = matrix("matrix-window", "^load-append-one-unmoved$", "restores-early");
    assert!(!matrix.success);
    assert!(matrix.table.contains("restored without a window"), "{}", matrix.table);
}

#[test]
fn the_matrix_notices_that_nothing_was_done() {
    let matrix = matrix("matrix-idle", "^load-append-finalized$", "idle");
    assert!(!matrix.success);
    assert!(matrix.table.contains("the engine does not write on: sidecars are left"), "{}", matrix.table);
}
