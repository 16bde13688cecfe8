//! Crashes of index builds, compaction and repair. They change no row, so before and committed are the same.

use super::build::*;
use super::{Kind, State};
use crate::program::{Act, Operation, Step};
use crate::surgery::Surgery;

const SIDECAR_WRITE: &str = "recovery.sidecar_write";
const SIDECAR_DELETE: &str = "recovery.sidecar_delete";
const PUBLISHED: &str = "graph_publish.after_manifest_commit";
const RECORDING: &str = "graph_publish.before_commit_append";
const INDEX: &str = "ensure_indices.post_stage_pre_commit_btree";
const BUILT: &str = "ensure_indices.post_phase_b_pre_manifest_commit";
const CHILD: &str = "child";

pub fn states() -> Vec<State> {
    let mut states = ensure_indices();
    states.extend(ensure_indices_on_branch());
    states.extend(optimize());
    states.extend(repair());
    states
}

fn ensure_indices() -> Vec<State> {
    let one = |name: &str, failpoint, hit| {
        let steps = with(unindexed(), [crash_at(Operation::EnsureIndices.on_main(), failpoint, hit)]);
        state(name, Kind::EnsureIndices, steps)
    };
    vec![
        one("indices-before-sidecar", SIDECAR_WRITE, 1),
        one("indices-none-built", INDEX, 1).nothing_to_do(),
        one("indices-one-built", INDEX, 2).forward(),
        one("indices-built", BUILT, 1).forward(),
        one("indices-recording", RECORDING, 1).recording(),
        one("indices-published", PUBLISHED, 1).published(),
        one("indices-before-sidecar-delete", SIDECAR_DELETE, 1).published(),
    ]
}

/// The branch owns a table whose index is missing.
fn unindexed_branch() -> Vec<Step> {
    let drop = Surgery::DropIndex { table: "node:Person", branch: Some(FEATURE), index: "age_idx" };
    let publish = Operation::PublishHead { table: "node:Person" }.on(FEATURE);
    with(owned(), [Step::Prepare(drop), run(publish)])
}

fn ensure_indices_on_branch() -> Vec<State> {
    let on = |name: &str, act: Act, prepared, failpoint| {
        let branch = act.branch;
        state(name, Kind::EnsureIndices, with(prepared, [crash(act, failpoint)])).branch(branch)
    };
    let own =
        |name: &str, failpoint| on(name, Operation::EnsureIndices.on(FEATURE), unindexed_branch(), failpoint);
    let child = || with(unindexed_branch(), [run(Operation::BranchCreate { from: FEATURE }.on(CHILD))]);
    let forked = with(child(), [crash(Operation::EnsureIndices.on(CHILD), INDEX)]);
    let unforked = with(forked, [cut(Surgery::DropFork { table: "node:Person", branch: CHILD })]);
    vec![
        own("indices-branch-none-built", INDEX).nothing_to_do(),
        own("indices-branch-built", BUILT).forward(),
        own("indices-branch-published", PUBLISHED).published(),
        on("indices-grandchild-none-built", Operation::EnsureIndices.on(CHILD), child(), INDEX)
            .nothing_to_do()
            .afterwards(fork_of_fork(CHILD)),
        on("indices-grandchild-built", Operation::EnsureIndices.on(CHILD), child(), BUILT)
            .forward()
            .afterwards(fork_of_fork(CHILD)),
        state("indices-before-fork", Kind::EnsureIndices, unforked)
            .branch(CHILD)
            .nothing_to_do()
            .afterwards(fork_of_fork(CHILD))
            .apart(BOTH, NO_FORK)
            .notes("the sidecar pins a fork that does not exist yet"),
    ]
}

fn optimize() -> Vec<State> {
    let killed = |name: &str, prepared, failpoint, hit| {
        let steps = with(prepared, [crash_at(Operation::Optimize.on_main(), failpoint, hit)]);
        let unfinished = "tables that the compaction had not come to are as before";
        state(name, Kind::Optimize, steps).raced().history(BOTH, unfinished)
    };
    vec![
        killed("optimize-before-sidecar", fragmented(), SIDECAR_WRITE, 1),
        killed("optimize-before-compaction", fragmented(), "optimize.before_compact", 1),
        killed("optimize-compacted", fragmented(), "optimize.inject_reindex_conflict", 1)
            .notes("compacted, the indexes do not cover the new fragments yet"),
        killed("optimize-done", fragmented(), "optimize.post_phase_b_pre_manifest_commit", 1),
        killed("optimize-second-table-done", fragmented(), "optimize.post_phase_b_pre_manifest_commit", 2),
        killed("optimize-index-staged", unindexed(), INDEX, 1),
        killed("optimize-recording", fragmented(), RECORDING, 1),
        killed("optimize-published", fragmented(), PUBLISHED, 1),
        killed("optimize-before-sidecar-delete", fragmented(), SIDECAR_DELETE, 1),
    ]
}

fn repair() -> Vec<State> {
    let drifted = with(fragmented(), [Step::Prepare(Surgery::ForeignCompaction { table: "node:Company" })]);
    let one = |name: &str, failpoint| {
        let steps = with(drifted.clone(), [crash(Operation::Repair.on_main(), failpoint)]);
        state(name, Kind::Drift, steps).committed().notes("a repair has no sidecar")
    };
    // 0.8.0 dies before its publish, so the drift is still there.
    vec![
        one("repair-recording", RECORDING).once_each(["0 -", "0 roll_forward"]),
        one("repair-published", PUBLISHED),
    ]
}
