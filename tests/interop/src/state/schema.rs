//! Crashes of schema applies. Each leaves the lock branch, so the engine refuses to write until that is gone.

use super::build::*;
use super::{Kind, State};
use crate::fixture;
use crate::program::{Act, Operation, Step};
use crate::surgery::Surgery;

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
const INDEXED: Act = Operation::ApplySchema { source: fixture::SCHEMA_INDEXED }.on_main();

pub fn states() -> Vec<State> {
    let mut states = vec![
        apply("schema-lock-half-created", CHANGED, "branch_create.after_manifest_branch_create")
            .engines(OLD)
            .held(REPAIR_LOCK)
            .notes("the lock branch has no commit history"),
        apply("schema-before-sidecar", CHANGED, SIDECAR_WRITE).held(REPAIR_LOCK).notes(LOCK),
        apply("schema-unstaged", CHANGED, UNSTAGED).undone(),
        forward(apply("schema-staged", CHANGED, STAGED)),
        forward(apply("schema-recording", CHANGED, RECORDING)),
        forward(apply("schema-published", CHANGED, PUBLISHED)),
        forward(apply("schema-renaming", CHANGED, RENAMING)),
        forward(apply("schema-before-sidecar-delete", CHANGED, SIDECAR_DELETE)),
        apply("schema-extended-unstaged", EXTENDED, UNSTAGED)
            .undone()
            .notes("the created dataset must go, or the same apply never works again"),
        forward(apply("schema-extended-staged", EXTENDED, STAGED)),
        apply("schema-widened-unstaged", WIDENED, UNSTAGED).undone(),
        forward(apply("schema-widened-staged", WIDENED, STAGED)),
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

/// Finished, in a window: no store can check a precondition of files and locks.
fn forward(state: State) -> State {
    state.committed().exits(10, 0)
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
            .notes("the engine promotes the half set and then fails its own contract check")
    };
    cases.map(one).into()
}

/// The crash is between the renames of the staged contract files.
fn partial_renames() -> Vec<State> {
    let cases: [(&str, &'static [&'static str]); 2] = [
        ("schema-renamed-source", &["_schema.pg"]),
        ("schema-renamed-source-and-ir", &["_schema.pg", "_schema.ir.json"]),
    ];
    let one = |(name, files)| {
        let steps = with(warm(), [crash(CHANGED, RENAMING), cut(Surgery::Promote { files })]);
        forward(state(name, Kind::SchemaApply, steps))
    };
    cases.map(one).into()
}

/// No table moves, so the writer leaves no sidecar.
fn metadata_only() -> Vec<State> {
    let staged: Vec<Step> = with(warm(), [crash(INDEXED, STAGED)]);
    let half = Surgery::Unstage { files: &["_schema.ir.json", "__schema_state.json"] };
    let settled = |state: State| state.exits(10, 0);
    vec![
        apply("schema-metadata-unstaged", INDEXED, UNSTAGED).held(REPAIR_LOCK).notes(LOCK),
        settled(state("schema-metadata-staged", Kind::SchemaApply, staged.clone()).committed())
            .notes("the engine cannot tell whether the apply was published and refuses to open"),
        settled(state("schema-metadata-staged-source-only", Kind::SchemaApply, with(staged, [cut(half)]))),
        settled(apply("schema-metadata-renaming", INDEXED, RENAMING).committed()),
    ]
}
