//! Crashes of a recovery, the engine's own or an earlier one.

use super::build::*;
use super::{Data, Kind, State};
use crate::fixture;
use crate::program::{Operation, Step};
use crate::surgery::Surgery;

const FINALIZED: &str = "mutation.post_finalize_pre_publisher";
const AUDIT: &str = "recovery.record_audit";
const FORWARD: &str = "recovery.before_roll_forward_publish";

pub fn states() -> Vec<State> {
    let mut states = unrecorded();
    states.extend(restored());
    states
}

/// A recovery died at one of its failpoints.
fn unrecorded() -> Vec<State> {
    let recovery = |name: &str, steps| state(name, Kind::Recovery, steps);
    let undone_since = |state: State| state.once("0 rolled_back_since").recorded(BACK);
    let publish = |table| run(Operation::PublishHead { table }.on_main());
    let overtaken = with(with(loaded(), [crash_open(FORWARD)]), TABLES.map(publish));
    vec![
        recovery("recovery-forward-overtaken", overtaken)
            .published()
            .data(Data::Program { steps: with(warm(), [run(ADD.on_main())]), said: "committed" })
            .history(BOTH, "each of the four tables was published by itself")
            .notes("somebody else has published the tables that the recovery was about to publish"),
        recovery("recovery-forward-unrecorded", with(loaded(), [crash_open(AUDIT)])).published(),
        undone_since(recovery("recovery-back-unrecorded", with(half_loaded(), [crash_open(AUDIT)])))
            .notes("undone and published; the record is missing"),
        undone_since(recovery(
            "recovery-back-unrecorded-first-load",
            with(first_loaded(), [crash_open(AUDIT)]),
        ))
        .notes("the engine has undone a whole commit; nothing brings it back"),
        undone_since(recovery("recovery-merge-unrecorded", with(half_merged(), [crash_open(AUDIT)]))),
        recovery("recovery-merge-forward-unrecorded", with(confirmed(), [crash_open(AUDIT)]))
            .branch(FEATURE)
            .forward()
            .apart(
                BOTH,
                "it has shown the table that the sidecar names, and none of those that the merge takes over",
            ),
        recovery("recovery-indices-unrecorded", with(indexed(), [crash_open(AUDIT)])).published(),
        recovery("recovery-schema-back-unrecorded", with(unstaged(CHANGE), [crash_open(AUDIT)]))
            .undone()
            .notes("the table is undone; the created dataset and the lock are left"),
        recovery("recovery-schema-unpublished", with(staged(), [crash_open(FORWARD)]))
            .forward_in_window()
            .apart(BOTH, "with no staged files left it undoes the tables, under files that are final")
            .notes("the contract files are final, the tables are not shown"),
        recovery("recovery-schema-unrecorded", with(staged(), [crash_open(AUDIT)])).forward_in_window(),
    ]
}

/// A recovery died between its restores, or before their publish.
fn restored() -> Vec<State> {
    let recovery = |name: &str, steps| state(name, Kind::Recovery, steps);
    let already = |state: State| state.once("0 already_undone").recorded(BACK);
    vec![
        recovery("recovery-restored-one-of-many", with(loaded(), [restore("node:Person")]))
            .undone()
            .notes("one table is restored, the others are not"),
        recovery("recovery-restored-one-of-some", with(half_loaded(), [restore("node:Person")])).undone(),
        already(recovery("recovery-restored-all", with(loaded(), TABLES.map(restore))))
            .notes("every table is restored, nothing is published"),
        already(recovery(
            "recovery-restored-branch",
            with(branch_loaded(), BRANCH_TABLES.map(restore_on_branch)),
        ))
        .branch(FEATURE),
        recovery("recovery-restored-merge", with(half_merged(), [restore("node:Person")])).undone(),
        recovery("recovery-restored-schema", with(unstaged(WIDEN), [restore("node:Person")])).undone(),
        recovery("recovery-restored-schema-all", with(unstaged(WIDEN), BRANCH_TABLES.map(restore))).undone(),
        recovery("recovery-restored-too-far", with(twice_loaded(), [cut(too_far("node:Person"))]))
            .undone()
            .notes("a recovery that knew an older pin restored below the present one"),
        recovery("recovery-restored-without-sidecar", with(one_more(), [cut(too_far("node:Company"))]))
            .undone()
            .recorded(&[])
            .notes("the sidecar of that recovery is gone, and the rows are older than those of the pin"),
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
const WIDEN: Operation = Operation::ApplySchema { source: fixture::SCHEMA_WIDENED };

fn staged() -> Vec<Step> {
    with(warm(), [crash(CHANGE.on_main(), "schema_apply.after_staging_write")])
}

fn unstaged(change: Operation) -> Vec<Step> {
    with(warm(), [crash(change.on_main(), "schema_apply.before_staging_write")])
}

/// Persons and companies whose newest version is a commit of rows, not of an index.
fn one_more() -> Vec<Step> {
    with(warm(), [run(ADD_PERSONS.on_main()), run(ADD_COMPANY.on_main())])
}

fn twice_loaded() -> Vec<Step> {
    with(one_more(), [crash(ADD.on_main(), FINALIZED)])
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
