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
    /// One line for each row, and what was not as expected.
    said: String,
}

/// The matrix on disk with the stand-in, which commits `fault` on purpose.
fn matrix(name: &str, filter: &str, fault: &str, more: &[&str]) -> Matrix {
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stand-in");
    let output = Command::new(INTEROP)
        .args(["matrix", "--outrigger", text(&stand_in), "--filter", filter])
        .args(["--work", text(&place(name).join("work"))])
        .args(more)
        .env_remove("OUTRIGGER_TEST_S3")
        .env("INTEROP", INTEROP)
        .env("FAULT", fault)
        .output()
        .expect("interop starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    Matrix { success: output.status.success(), said }
}

/// The rows of one state on the newer engine, and that they are not explained but said to be wrong like this.
fn notices(name: &str, state: &str, fault: &str, wrong: &str) {
    let filter = format!("^{state}$");
    let matrix = matrix(name, &filter, fault, &["--engine", "0.8.0", "--place", "disk"]);
    assert!(!matrix.success, "{}", matrix.said);
    assert!(matrix.said.contains("1 rows in") && matrix.said.contains("1 unexplained"), "{}", matrix.said);
    assert!(matrix.said.contains(wrong), "{}", matrix.said);
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
fn the_matrix_explains_a_recovery_that_is_right_and_agrees_with_the_page_it_wrote() {
    let page = place("matrix-page").join("page.md");
    let marks = "<!-- begin of the table: written by `interop matrix --update` --><!-- end of the table -->";
    std::fs::write(&page, marks).expect("a page");
    let states = "^(load-append-finalized|load-append-one-unmoved)$";
    let run = |name: &str, more: &[&str]| {
        let more = [&["--place", "disk", "--document", text(&page)], more].concat();
        let matrix = matrix(name, states, "", &more);
        assert!(matrix.success, "{}", matrix.said);
        assert!(matrix.said.contains("0 unexplained"), "{}", matrix.said);
    };
    run("matrix-right", &["--update"]);
    let written = std::fs::read_to_string(&page).expect("a page");
    let line = "| committed | 0 roll_forward | 0 - | committed |";
    assert!(written.lines().any(|row| row.starts_with("| `load-append-finalized` |") && row.contains(line)));
    run("matrix-again", &["--engine", "0.7.2"]);
}

#[test]
fn the_matrix_says_where_the_page_is_wrong() {
    let page = place("matrix-wrong-page").join("page.md");
    let row = "| `load-append-finalized` | x | committed | 10 roll_back waits | 0 - | committed |  |";
    let marks = "<!-- begin of the table: written by `interop matrix --update` -->";
    std::fs::write(&page, format!("{marks}\n{row}\n<!-- end of the table -->")).expect("a page");
    let more = ["--engine", "0.8.0", "--place", "disk", "--document", text(&page)];
    let matrix = matrix("matrix-differs", "^load-append-finalized$", "", &more);
    assert!(!matrix.success);
    assert!(matrix.said.contains("the table says \"10 roll_back waits\""), "{}", matrix.said);
}

#[test]
fn the_matrix_refuses_to_leave_out_s3_unless_asked_to() {
    let matrix = matrix("matrix-no-server", "^update-finalized$", "", &[]);
    assert!(!matrix.success);
    assert!(matrix.said.contains("2 rows are on S3"), "{}", matrix.said);
}

#[test]
fn the_matrix_notices_a_commit_that_is_dropped() {
    notices("matrix-dropped", "first-load-index-5", "", "the rows are not those of the twin: Before");
}

#[test]
fn the_matrix_notices_a_plan_that_writes() {
    notices("matrix-plan", "load-append-finalized", "plan-writes", "plan changed");
}

#[test]
fn the_matrix_notices_a_restore_without_a_window() {
    notices("matrix-window", "load-append-one-unmoved", "restores-early", "restored without a window");
}

#[test]
fn the_matrix_notices_a_write_while_something_waits() {
    notices("matrix-litter", "load-append-one-unmoved", "litters", "changed [\"+ touched\"]");
}

#[test]
fn the_matrix_notices_a_write_to_what_is_refused() {
    notices("matrix-refused", "init-contract-only", "litters", "once answered 78 refused and changed");
}

#[test]
fn the_matrix_notices_a_sidecar_that_is_deleted_while_it_waits() {
    notices("matrix-forget", "load-append-one-unmoved", "forgets", "changed [\"- __recovery/");
}

#[test]
fn the_matrix_notices_that_what_is_said_to_be_done_is_not() {
    notices("matrix-claim", "load-append-finalized", "claims", "what once has done is not whole: Before");
}

#[test]
fn the_matrix_notices_another_verdict_than_expected() {
    let wrong = "once --exclusive answered 0 already_undone, expected 0 roll_back";
    notices("matrix-verdict", "load-append-one-unmoved", "misnames", wrong);
}

/// The engine records its own undoing as finished, if it died before it could record it as undone.
#[test]
fn the_matrix_notices_a_wrong_record() {
    let wrong = "recorded as [\"RolledForward\"], not as [\"RolledBack\"]";
    notices("matrix-record", "recovery-back-unrecorded", "", wrong);
}

#[test]
fn the_matrix_notices_that_nothing_was_done() {
    let wrong = "the engine does not write on: sidecars are left";
    notices("matrix-idle", "load-append-finalized", "idle", wrong);
}

#[test]
fn the_matrix_notices_that_nothing_was_done_where_the_engine_is_known_to_fail() {
    let wrong = "the engine does not write on: sidecars are left";
    notices("matrix-idle-limit", "indices-before-fork", "idle", wrong);
}
