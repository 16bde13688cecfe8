//! Crashes of schema applies. Each leaves the lock branch, so the engine refuses to write until that is gone.

use super::build::*;
use super::{Kind, State};
use crate::fixture;
use crate::program::{Act, Operation};
use crate::surgery::{SidecarEdit, Surgery};

const UNSTAGED: &str = "schema_apply.before_staging_write";
const STAGED: &str = "schema_apply.after_staging_write";
const RENAMING: &str = "schema_apply.after_manifest_commit";
const PUBLISHED: &str = "graph_publish.after_manifest_commit";
const RECORDING: &str = "graph_publish.before_commit_append";
const SIDECAR_WRITE: &str = "recovery.sidecar_write";
const SIDECAR_DELETE: &str = "recovery.sidecar_delete";
const REPAIR_LOCK: &[&[&str]] = &[&["repair", "lock", "--yes", "--exclusive"]];
const LOCK: &str = "the lock branch stays, and no sidecar explains it";

const CHANGED: Act = Operation::ApplySchema { source: fixture::SCHEMA_CHANGED }.on_main();
const WIDENED: Act = Operation::ApplySchema { source: fixture::SCHEMA_WIDENED }.on_main();
const EXTENDED: Act = Operation::ApplySchema { source: fixture::SCHEMA_EXTENDED }.on_main();
const RENAMED: Act = Operation::ApplySchema { source: fixture::SCHEMA_RENAMED }.on_main();
const INDEXED: Act = Operation::ApplySchema { source: fixture::SCHEMA_INDEXED }.on_main();

pub fn states() -> Vec<State> {
    let mut states = vec![
        apply("schema-lock-half-created", CHANGED, "branch_create.after_manifest_branch_create")
            .engines(OLD)
            .held(REPAIR_LOCK)
            .notes("the lock branch has no commit history"),
        apply("schema-before-sidecar", CHANGED, SIDECAR_WRITE).held(REPAIR_LOCK).notes(LOCK),
        apply("schema-unstaged", CHANGED, UNSTAGED).undone(),
        // Finished in a window: no store can check a precondition of files and locks.
        apply("schema-staged", CHANGED, STAGED).forward_in_window(),
        apply("schema-recording", CHANGED, RECORDING).forward_in_window(),
        apply("schema-published", CHANGED, PUBLISHED).forward_in_window(),
        apply("schema-renaming", CHANGED, RENAMING).forward_in_window(),
        apply("schema-before-sidecar-delete", CHANGED, SIDECAR_DELETE).forward_in_window(),
        lock_left(),
        apply("schema-extended-unstaged", EXTENDED, UNSTAGED)
            .undone()
            .notes("the created dataset must go, or the same apply never works again"),
        apply("schema-extended-staged", EXTENDED, STAGED).forward_in_window(),
        apply("schema-widened-unstaged", WIDENED, UNSTAGED).undone(),
        apply("schema-widened-staged", WIDENED, STAGED).forward_in_window(),
        apply("schema-names-unstaged", RENAMED, UNSTAGED)
            .undone()
            .notes("a type and a property are renamed, another property is removed"),
        apply("schema-names-staged", RENAMED, STAGED).forward_in_window(),
        apply("schema-names-published", RENAMED, PUBLISHED).forward_in_window(),
    ];
    states.extend(partial_rewrite());
    states.extend(partial_staging());
    states.extend(partial_renames());
    states.extend(metadata_only());
    states
}

fn apply(name: &str, act: Act, failpoint: &'static str) -> State {
    state(name, Kind::SchemaApply, with(warm(), [crash(act, failpoint)]))
}

/// The crash is between the deletion of the sidecar and that of the lock.
fn lock_left() -> State {
    let steps = with(warm(), [crash(CHANGED, SIDECAR_DELETE), cut(Surgery::Sidecar(SidecarEdit::Remove))]);
    state("schema-lock-left", Kind::SchemaApply, steps)
        .committed()
        .held(REPAIR_LOCK)
        .notes("all is done but that the lock is older than the graph's newest version")
}

fn partial_rewrite() -> Vec<State> {
    let uncommit = Surgery::Uncommit { table: "node:Person", branch: None };
    let steps = with(warm(), [crash(WIDENED, UNSTAGED), cut(uncommit)]);
    vec![state("schema-widened-one-unmoved", Kind::SchemaApply, steps).undone()]
}

/// The crash is between the puts of the staged contract files.
fn partial_staging() -> Vec<State> {
    let cases: [(&str, &'static [&'static str]); 2] = [
        ("schema-staged-source-only", &["_schema.ir.json", "__schema_state.json"]),
        ("schema-staged-without-state", &["__schema_state.json"]),
    ];
    let one = |(name, files)| {
        let steps = with(warm(), [crash(CHANGED, STAGED), cut(Surgery::Unstage { files })]);
        state(name, Kind::SchemaApply, steps)
            .undone()
            .apart(BOTH, "it makes the half set final and then fails its own contract check")
    };
    cases.map(one).into()
}

/// The contract files that are final when the crash comes between their renames.
const RENAMES: [(&str, &[&str]); 2] =
    [("renamed-source", &["_schema.pg"]), ("renamed-source-and-ir", &["_schema.pg", "_schema.ir.json"])];

fn partial_renames() -> Vec<State> {
    let one = |(point, files)| {
        let steps = with(warm(), [crash(CHANGED, RENAMING), cut(Surgery::Promote { files })]);
        state(format!("schema-{point}"), Kind::SchemaApply, steps).forward_in_window()
    };
    RENAMES.map(one).into()
}

/// No table moves, so the writer leaves no sidecar, and nothing is recorded.
fn metadata_only() -> Vec<State> {
    let unopened = "without a sidecar it cannot tell whether the apply was published, and does not open";
    let unnamed = "no sidecar tells whose commit it was, so none is recorded";
    let at = |name: &str, failpoint| apply(name, INDEXED, failpoint).forward_in_window().recorded(&[]);
    let half = Surgery::Unstage { files: &["_schema.ir.json", "__schema_state.json"] };
    let half_staged = with(warm(), [crash(INDEXED, STAGED), cut(half)]);
    let renamed = |(point, files)| {
        let steps = with(warm(), [crash(INDEXED, RENAMING), cut(Surgery::Promote { files })]);
        let state = state(format!("schema-metadata-{point}"), Kind::SchemaApply, steps);
        state.forward_in_window().recorded(&[])
    };
    let mut states = vec![
        apply("schema-metadata-unstaged", INDEXED, UNSTAGED).held(REPAIR_LOCK).notes(LOCK),
        at("schema-metadata-staged", STAGED).apart(BOTH, unopened).history(BOTH, unnamed),
        state("schema-metadata-staged-source-only", Kind::SchemaApply, half_staged)
            .undone()
            .recorded(&[])
            .apart(BOTH, unopened),
        at("schema-metadata-recording", RECORDING).apart(BOTH, unopened).history(BOTH, unnamed),
        at("schema-metadata-published", PUBLISHED).apart(BOTH, unopened).history(OLD, unnamed),
        at("schema-metadata-renaming", RENAMING).apart(BOTH, unopened),
    ];
    states.extend(RENAMES.map(renamed));
    states
}
