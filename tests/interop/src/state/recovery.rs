//! Crashes of a recovery, the engine's own or an earlier one.

use super::build::*;
use super::{Kind, State};
use crate::fixture;
use crate::program::{Operation, Step};
use crate::surgery::Surgery;

const FINALIZED: &str = "mutation.post_finalize_pre_publisher";
const AUDIT: &str = "recovery.record_audit";
const FORWARD: &str = "recovery.before_roll_forward_publish";

pub fn states() -> Vec<State> {
    let recovery = |name: &str, steps| state(name, Kind::Recovery, steps);
    vec![
        recovery("recovery-forward-unpublished", with(loaded(), [crash_open(FORWARD)])).committed(),
        recovery("recovery-forward-unrecorded", with(loaded(), [crash_open(AUDIT)])).committed(),
        recovery("recovery-back-unrecorded", with(half_loaded(), [crash_open(AUDIT)]))
            .notes("undone and published; the record is missing"),
        recovery("recovery-back-unrecorded-first-load", with(first_loaded(), [crash_open(AUDIT)]))
            .notes("the engine has undone a whole commit; nothing brings it back"),
        recovery("recovery-merge-unrecorded", with(half_merged(), [crash_open(AUDIT)])),
        recovery("recovery-merge-forward-unrecorded", with(confirmed(), [crash_open(AUDIT)]))
            .branch(FEATURE)
            .committed()
            .notes("the engine has shown the table that the sidecar names, and none of those that the merge takes over"),
        recovery("recovery-indices-unrecorded", with(indexed(), [crash_open(AUDIT)])).committed(),
        recovery("recovery-schema-back-unrecorded", with(unstaged(), [crash_open(AUDIT)]))
            .undone()
            .notes("the table is undone; the created dataset and the lock are left"),
        recovery("recovery-schema-unpublished", with(staged(), [crash_open(FORWARD)]))
            .committed()
            .exits(10, 0)
            .notes("the contract files are final, the tables are not shown"),
        recovery("recovery-schema-unrecorded", with(staged(), [crash_open(AUDIT)])).committed().exits(10, 0),
        recovery("recovery-restored-one-of-many", with(loaded(), [restore("node:Person")]))
            .undone()
            .notes("one table is restored, the others are not"),
        recovery("recovery-restored-one-of-some", with(half_loaded(), [restore("node:Person")])).undone(),
        recovery("recovery-restored-all", with(loaded(), TABLES.map(restore)))
            .notes("every table is restored, nothing is published"),
        recovery("recovery-restored-branch", with(branch_loaded(), BRANCH_TABLES.map(restore_on_branch)))
            .branch(FEATURE),
        recovery("recovery-restored-too-far", with(loaded(), [cut(too_far("node:Person"))]))
            .undone()
            .notes("a recovery that knew an older pin restored below the present one"),
        recovery("recovery-restored-without-sidecar", with(warm(), [cut(too_far("node:Company"))]))
            .notes("the sidecar of that recovery is gone, the rows are those of the pin"),
    ]
}

const TABLES: [&str; 4] = ["node:Person", "node:Company", "edge:Knows", "edge:WorksAt"];
const BRANCH_TABLES: [&str; 2] = ["node:Person", "node:Company"];

fn loaded() -> Vec<Step> {
    with(warm(), [crash(ADD.on_main(), FINALIZED)])
}

fn half_loaded() -> Vec<Step> {
    with(loaded(), [cut(Surgery::Uncommit { table: "edge:WorksAt", branch: None })])
}

/// A whole first load whose index builds were cut short, which the engine rolls back.
fn first_loaded() -> Vec<Step> {
    with(cold(), [crash_at(SEED.on_main(), "ensure_indices.post_stage_pre_commit_btree", 2)])
}

/// An unconfirmed merge.
fn half_merged() -> Vec<Step> {
    let merge = Operation::Merge { source: FEATURE }.on_main();
    with(owned(), [crash(merge, "recovery.sidecar_confirm")])
}

/// A confirmed merge that also takes over tables which its sidecar does not name.
fn confirmed() -> Vec<Step> {
    let merge = Operation::Merge { source: "main" }.on(FEATURE);
    let moved = [run(ADD_PERSONS.on(FEATURE)), run(ADD.on_main())];
    with(with(branched(), moved), [crash(merge, "branch_merge.post_phase_b_pre_manifest_commit")])
}

fn indexed() -> Vec<Step> {
    let declare = Operation::ApplySchema { source: fixture::SCHEMA_INDEXED }.on_main();
    let build = Operation::EnsureIndices.on_main();
    with(warm(), [run(declare), crash(build, "ensure_indices.post_phase_b_pre_manifest_commit")])
}

const CHANGE: Operation = Operation::ApplySchema { source: fixture::SCHEMA_CHANGED };

fn staged() -> Vec<Step> {
    with(warm(), [crash(CHANGE.on_main(), "schema_apply.after_staging_write")])
}

fn unstaged() -> Vec<Step> {
    with(warm(), [crash(CHANGE.on_main(), "schema_apply.before_staging_write")])
}

fn branch_loaded() -> Vec<Step> {
    with(owned(), [crash(INSERT_BOTH.on(FEATURE), FINALIZED)])
}

fn restore(table: &'static str) -> Step {
    cut(Surgery::RestoreToPin { table, branch: None })
}

fn restore_on_branch(table: &'static str) -> Step {
    cut(Surgery::RestoreToPin { table, branch: Some(FEATURE) })
}

fn too_far(table: &'static str) -> Surgery {
    Surgery::RestoreBelowPin { table, branch: None }
}
