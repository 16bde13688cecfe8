//! Crashes of branch operations, and what they leave for others.

use super::build::*;
use super::{Afterwards, Data, Deed, Kind, Refusal, State};
use crate::layout;
use crate::program::{Operation, Step};
use crate::surgery::Surgery;

const FINALIZED: &str = "mutation.post_finalize_pre_publisher";
const CREATE: Operation = Operation::BranchCreate { from: "main" };
const HALF: &[&[&str]] = &[&["repair", "branch", "--yes", "--exclusive"]];

pub fn states() -> Vec<State> {
    let mut states = vec![
        state(
            "branch-half-created",
            Kind::Branch,
            with(warm(), [crash(CREATE.on(FEATURE), "branch_create.after_manifest_branch_create")]),
        )
        .engines(OLD)
        .branch(FEATURE)
        .held(HALF)
        .apart(
            OLD,
            "it can neither open nor delete a branch without its commit history, nor delete any other",
        ),
        deleted("branch-deleted-history-left", "branch_delete.before_commit_graph_reclaim", 1).engines(OLD),
        deleted("branch-deleted-forks-left", "branch_delete.before_table_cleanup", 1),
        deleted("branch-deleted-some-forks-left", "branch_delete.before_table_cleanup", 3),
    ];
    states.extend(forks());
    states.extend(zombies());
    states.extend(orphans());
    states
}

fn deleted(name: &str, failpoint: &'static str, hit: u32) -> State {
    let steps = with(owned(), [crash_at(Operation::BranchDelete.on(FEATURE), failpoint, hit)]);
    state(name, Kind::Branch, steps)
        .branch(FEATURE)
        .committed()
        .notes("forks of a branch that is gone are no business of recovery")
}

/// Forks that no publish has placed.
fn forks() -> Vec<State> {
    let forked = || with(branched(), [crash(ADD.on(FEATURE), "recovery.sidecar_write")]);
    let zombie = Surgery::DropForkRecord { table: "node:Company", branch: FEATURE };
    let again = |failpoint| with(forked(), [crash(ADD.on(FEATURE), failpoint)]);
    vec![
        state("fork-before-classify", Kind::Branch, again("fork.before_classify")).branch(FEATURE),
        state("fork-before-reclaim", Kind::Branch, again("fork.before_reclaim")).branch(FEATURE),
        state("fork-zombie-tree", Kind::Branch, with(forked(), [cut(zombie)]))
            .branch(FEATURE)
            .afterwards(Afterwards::Left(Refusal {
                of: Deed::Write(FEATURE),
                error: "Clone operation",
                why: "it cannot fork over a tree without a record",
            }))
            .notes("files of a fork that no graph shows are no business of recovery"),
    ]
}

/// Files of a branch without its record: the creation wrote them first, or a late commit wrote them after the deletion.
fn zombies() -> Vec<State> {
    let record = |dataset| cut(Surgery::DropBranchRecord { dataset, branch: FEATURE });
    let whole = |dataset| cut(Surgery::DropBranch { dataset, branch: FEATURE });
    let one = |name: &str, cuts: Vec<Step>, error| {
        state(name, Kind::Branch, with(branched(), cuts))
            .branch(FEATURE)
            .data(Data::Program { steps: warm(), said: "without the branch" })
            .afterwards(Afterwards::Left(Refusal {
                of: Deed::Create(FEATURE),
                error,
                why: "it cannot create a branch over a tree without a record",
            }))
    };
    vec![
        one("branch-zombie-tree", vec![record(layout::MANIFEST), whole(layout::GRAPH_COMMITS)], TREE)
            .engines(OLD),
        one("branch-zombie-tree", vec![record(layout::MANIFEST)], TREE).engines(NEW),
        one("branch-zombie-history", vec![whole(layout::MANIFEST), record(layout::GRAPH_COMMITS)], HISTORY)
            .engines(OLD),
    ]
}

const TREE: &str = "__manifest/tree/feature/_versions";
const HISTORY: &str = "_graph_commits.lance/tree/feature/_versions";

/// The branch of a sidecar is gone, or another one bears its name.
fn orphans() -> Vec<State> {
    let uncommit = Surgery::Uncommit { table: "edge:WorksAt", branch: Some(FEATURE) };
    let stranded = || with(branched(), [crash(ADD.on(FEATURE), FINALIZED), cut(uncommit.clone())]);
    let delete = run(Operation::BranchDelete.on(FEATURE));
    let orphaned = || with(stranded(), [delete.clone()]);
    let without_branch = after(with(branched(), [delete.clone()]));
    let with_new_branch = after(with(branched(), [delete.clone(), run(CREATE.on(FEATURE))]));
    let recreated = with(orphaned(), [run(CREATE.on(FEATURE))]);
    let rewritten: Vec<Step> = with(recreated.clone(), [run(BRANCH_LOAD.on(FEATURE))]);
    let with_written_branch =
        after(with(branched(), [delete.clone(), run(CREATE.on(FEATURE)), run(BRANCH_LOAD.on(FEATURE))]));
    vec![
        state("orphan", Kind::Branch, orphaned())
            .branch(FEATURE)
            .discarded()
            .data(without_branch.clone())
            .notes("a branch was deleted while a sidecar waited for it"),
        state("orphan-half-discarded", Kind::Branch, with(orphaned(), [crash_open(DISCARD)]))
            .branch(FEATURE)
            .discarded()
            .data(without_branch)
            .notes("the engine's recovery died inside the discard"),
        state("orphan-recreated", Kind::Branch, recreated)
            .branch(FEATURE)
            .discarded()
            .data(with_new_branch)
            .notes("a younger branch of the same name"),
        state("orphan-rewritten", Kind::Branch, rewritten)
            .branch(FEATURE)
            .discarded()
            .data(with_written_branch)
            .notes("a younger branch of the same name that has written the same tables"),
    ]
}

/// The load is gone with its branch; what came later is there.
fn after(steps: Vec<Step>) -> Data {
    Data::Program { steps, said: "without the load" }
}

const DISCARD: &str = "recovery.orphan_discard_audit_append";
