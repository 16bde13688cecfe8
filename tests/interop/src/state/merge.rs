//! Crashes of branch merges.

use super::build::*;
use super::{Kind, State};
use crate::program::{Act, Operation, Step};
use crate::surgery::{SidecarEdit, Surgery};

const CONFIRM: &str = "recovery.sidecar_confirm";
const CONFIRMED: &str = "branch_merge.post_phase_b_pre_manifest_commit";
const PUBLISHED: &str = "graph_publish.after_manifest_commit";
const RECORDING: &str = "graph_publish.before_commit_append";
const INDEX: &str = "ensure_indices.post_stage_pre_commit_btree";
const OTHER: &str = "other";
const CHILD: &str = "child";

pub fn states() -> Vec<State> {
    let mut states = Vec::new();
    states.extend(fast_forward());
    states.extend(three_way());
    states.extend(into_branch());
    states.extend(before_fork());
    states.extend(version_1());
    states
}

/// A branch with new, changed and removed rows, and a target that has not moved.
fn ahead() -> Vec<Step> {
    let writes = [UPSERT, ADD, REMOVE_DAVE].map(|operation| run(operation.on(FEATURE)));
    with(branched(), writes)
}

/// The same, and the target has rows of its own in two tables.
fn diverged() -> Vec<Step> {
    with(ahead(), [run(ADD_PERSONS.on_main()), run(ADD_COMPANY.on_main())])
}

fn merge(source: &'static str, target: &'static str) -> Act {
    Operation::Merge { source }.on(target)
}

fn one(name: &str, prepared: Vec<Step>, act: Act, failpoint: &'static str) -> State {
    nth(name, prepared, act, failpoint, 1)
}

fn nth(name: &str, prepared: Vec<Step>, act: Act, failpoint: &'static str, hit: u32) -> State {
    let branch = act.branch;
    state(name, Kind::BranchMerge, with(prepared, [crash_at(act, failpoint, hit)])).branch(branch)
}

fn fast_forward() -> Vec<State> {
    let into_main = |name: &str, failpoint| one(name, ahead(), merge(FEATURE, "main"), failpoint);
    vec![
        into_main("merge-before-sidecar", "recovery.sidecar_write"),
        into_main("merge-adopt-appended", "branch_merge.adopt_after_append_pre_upsert").undone(),
        into_main("merge-adopt-upserted", "branch_merge.adopt_after_upsert_pre_delete").undone(),
        nth(
            "merge-adopt-last-table",
            ahead(),
            merge(FEATURE, "main"),
            "branch_merge.adopt_after_append_pre_upsert",
            4,
        )
        .undone()
        .notes("the tables before the last are whole"),
        into_main("merge-unconfirmed", CONFIRM).undone(),
        into_main("merge-confirmed", CONFIRMED).forward(),
        into_main("merge-recording", RECORDING).engines(OLD).committed().history(
            OLD,
            "published without a merge commit, and the sidecar is gone: the merge parent is lost",
        ),
        into_main("merge-recording", RECORDING).engines(NEW).forward(),
        into_main("merge-published", PUBLISHED).published(),
        into_main("merge-before-sidecar-delete", "recovery.sidecar_delete").published(),
    ]
}

/// The same, and the target lacks an index.
fn diverged_unindexed() -> Vec<Step> {
    let drop = Surgery::DropIndex { table: "node:Person", branch: None, index: "age_idx" };
    let publish = Operation::PublishHead { table: "node:Person" }.on_main();
    with(diverged(), [Step::Prepare(drop), run(publish)])
}

fn three_way() -> Vec<State> {
    let into_main = |name: &str, failpoint| one(name, diverged(), merge(FEATURE, "main"), failpoint);
    vec![
        into_main("merge-three-way-upserted", "branch_merge.rewrite_after_merge_pre_delete").undone(),
        into_main("merge-three-way-deleted", "branch_merge.rewrite_after_delete_pre_index").undone(),
        one("merge-three-way-index", diverged_unindexed(), merge(FEATURE, "main"), INDEX)
            .undone()
            .notes("the merge builds an index that the target lacks"),
        into_main("merge-three-way-unconfirmed", CONFIRM).undone(),
        into_main("merge-three-way-confirmed", CONFIRMED).forward(),
        into_main("merge-three-way-published", PUBLISHED).published(),
    ]
}

/// Main has moved, the branch owns one table only.
fn behind() -> Vec<Step> {
    with(branched(), [run(ADD_PERSONS.on(FEATURE)), run(ADD.on_main())])
}

/// Two branches: the source owns every table, the target only one.
fn siblings() -> Vec<Step> {
    let other = run(Operation::BranchCreate { from: "main" }.on(OTHER));
    with(owned(), [other, run(ADD_PERSONS.on(OTHER)), run(ADD.on(FEATURE))])
}

fn into_branch() -> Vec<State> {
    let partial = "the sidecar pins one table; the others are switched or forked, and no pin says so";
    let half = "it shows the tables that the sidecar names, and none of those that the merge takes over";
    vec![
        one("merge-main-into-branch-upserted", behind(), merge("main", FEATURE), REWRITTEN).undone(),
        one("merge-main-into-branch-confirmed", behind(), merge("main", FEATURE), CONFIRMED)
            .forward()
            .apart(BOTH, half)
            .notes(partial),
        one("merge-main-into-branch-published", behind(), merge("main", FEATURE), PUBLISHED).published(),
        one("merge-branch-into-branch-confirmed", siblings(), merge(FEATURE, OTHER), CONFIRMED)
            .forward()
            .afterwards(fork_of_fork(OTHER))
            .apart(BOTH, half)
            .notes(partial),
        one("merge-branch-into-branch-unconfirmed", siblings(), merge(FEATURE, OTHER), CONFIRM).undone(),
        one("merge-branch-into-branch-published", siblings(), merge(FEATURE, OTHER), PUBLISHED)
            .published()
            .afterwards(fork_of_fork(OTHER)),
        one("merge-switch-only", with(branched(), [run(ADD.on_main())]), merge("main", FEATURE), CONFIRMED)
            .notes("only pointers would move: there is no sidecar and nothing has changed"),
    ]
}

const REWRITTEN: &str = "branch_merge.rewrite_after_merge_pre_delete";

/// The target inherits a table from another branch than main and forks it inside the merge. Main has no rows and so no
/// index: this Lance release cannot read an index over two forks.
fn grandchild() -> Vec<Step> {
    let create = |from, name| run(Operation::BranchCreate { from }.on(name));
    let writes =
        [create("main", FEATURE), create("main", OTHER), run(ADD_COMPANY.on(FEATURE)), run(SEED.on(OTHER))];
    with(with(cold(), writes), [create(OTHER, CHILD)])
}

fn before_fork() -> Vec<State> {
    let crashed = with(grandchild(), [crash(merge(FEATURE, CHILD), REWRITTEN)]);
    let unforked = with(crashed.clone(), [cut(Surgery::DropFork { table: "node:Company", branch: CHILD })]);
    vec![
        state("merge-into-grandchild-upserted", Kind::BranchMerge, crashed).branch(CHILD).undone(),
        state("merge-before-fork", Kind::BranchMerge, unforked)
            .branch(CHILD)
            .nothing_to_do()
            .apart(BOTH, NO_FORK)
            .notes("the sidecar pins a fork that does not exist yet"),
    ]
}

fn version_1() -> Vec<State> {
    let as_version_1 = |steps| with(steps, [cut(Surgery::Sidecar(SidecarEdit::AsVersion1))]);
    let merged = merge(FEATURE, "main");
    let confirmed = with(ahead(), [crash(merged.clone(), CONFIRMED)]);
    let partial = with(ahead(), [crash(merged, "branch_merge.adopt_after_append_pre_upsert")]);
    vec![
        state("merge-version-1-whole", Kind::BranchMerge, as_version_1(confirmed))
            .undone()
            .apart(BOTH, "it finishes whatever has moved, be the merge whole or not")
            .notes("a version-1 sidecar never says whether the merge was whole"),
        state("merge-version-1-partial", Kind::BranchMerge, as_version_1(partial)).undone(),
    ]
}
