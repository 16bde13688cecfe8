//! Crashes of loads and mutations.

use super::build::*;
use super::{Data, Kind, NAME, State};
use crate::program::{Act, Operation, Step};
use crate::surgery::Surgery;

const SIDECAR_WRITE: &str = "recovery.sidecar_write";
const SIDECAR_DELETE: &str = "recovery.sidecar_delete";
const FINALIZED: &str = "mutation.post_finalize_pre_publisher";
const PUBLISHED: &str = "graph_publish.after_manifest_commit";
const RECORDING: &str = "graph_publish.before_commit_append";
const INDEX: &str = "ensure_indices.post_stage_pre_commit_btree";
/// What a place is called, its failpoint, and what is right there.
type Place = (&'static str, &'static str, fn(State) -> State);
/// Where every load and mutation passes.
const WALK: [Place; 5] = [
    ("before-sidecar", SIDECAR_WRITE, |untouched| untouched),
    ("finalized", FINALIZED, State::forward),
    ("recording", RECORDING, State::recording),
    ("published", PUBLISHED, State::published),
    ("before-sidecar-delete", SIDECAR_DELETE, State::published),
];
/// Of a complete commit with some of its indexes.
const INDEXED: &str = "it undoes a complete commit because an index build has followed it";
const NESTED: &str = "team/feature";
const DELETE_DRIFT: &[&[&str]] = &[&["repair", "drift", "--to", "pin", "--yes", "--exclusive"]];

const ASIDE_TO_HEAD: &[&[&str]] =
    &[&["sidecars", "quarantine", NAME], &["repair", "drift", "--to", "head", "--yes", "--exclusive"]];

pub fn states() -> Vec<State> {
    let mut states = Vec::new();
    states.extend(walk("load-append", Kind::Load, warm, ADD.on_main()));
    states.extend(walk("load-append-branch", Kind::Load, owned, ADD.on(FEATURE)));
    states.extend(walk("load-append-branch-first", Kind::Load, branched, ADD.on(FEATURE)));
    states.extend(walk("insert", Kind::Mutation, warm, INSERT_BOTH.on_main()));
    states.extend(walk("insert-branch", Kind::Mutation, owned, INSERT_BOTH.on(FEATURE)));
    states.push(finalized("insert-branch-first", Kind::Mutation, branched(), INSERT_BOTH.on(FEATURE)));
    states.push(finalized("update", Kind::Mutation, warm(), SET_BOTH.on_main()));
    states.push(finalized("update-branch", Kind::Mutation, owned(), SET_BOTH.on(FEATURE)));
    states.push(finalized("load-merge", Kind::Load, warm(), UPSERT.on_main()));
    states.push(finalized("load-merge-branch", Kind::Load, owned(), UPSERT.on(FEATURE)));
    states.push(finalized("load-overwrite", Kind::Load, warm(), REPLACE.on_main()));
    states.push(finalized("load-append-nested-branch", Kind::Load, nested(), ADD.on(NESTED)));
    states.extend(index_builds());
    states.extend(between_tables());
    states.extend(deletes());
    states.extend(shown_by_others());
    states
}

/// The operation killed at each failpoint that every load and mutation passes.
fn walk(name: &str, kind: Kind, prepared: fn() -> Vec<Step>, act: Act) -> Vec<State> {
    let one = |(point, failpoint, expected): (&str, &'static str, fn(State) -> State)| {
        let steps = with(prepared(), [crash(act.clone(), failpoint)]);
        expected(state(format!("{name}-{point}"), kind, steps).branch(act.branch))
    };
    WALK.into_iter().map(one).collect()
}

/// A branch whose name has two parts, with a sibling.
fn nested() -> Vec<Step> {
    let create = |name| run(Operation::BranchCreate { from: "main" }.on(name));
    with(
        warm(),
        [create(NESTED), create("team/other"), run(BRANCH_LOAD.on(NESTED)), run(ADD_DRAFT.on("team/other"))],
    )
}

fn finalized(name: &str, kind: Kind, prepared: Vec<Step>, act: Act) -> State {
    let branch = act.branch;
    state(format!("{name}-finalized"), kind, with(prepared, [crash(act, FINALIZED)])).branch(branch).forward()
}

/// All tables have moved; the crash is in the index builds before the publish.
fn index_builds() -> Vec<State> {
    let one = |name: &str, kind, prepared: Vec<Step>, act: Act, hit| {
        let branch = act.branch;
        let steps = with(prepared, [crash_at(act, INDEX, hit)]);
        let state = state(format!("{name}-index-{hit}"), kind, steps).branch(branch).forward();
        let state = state.notes("the commit is complete: only index builds were still to do");
        if hit > 1 { state.apart(BOTH, INDEXED) } else { state }
    };
    let cold_branch = || with(cold(), [run(Operation::BranchCreate { from: "main" }.on(FEATURE))]);
    let first_load = |hit| one("first-load", Kind::Load, cold(), SEED.on_main(), hit);
    let on_branch = |hit| one("first-load-branch", Kind::Load, cold_branch(), SEED.on(FEATURE), hit);
    let overwrite = |hit| one("load-overwrite", Kind::Load, warm(), REPLACE.on_main(), hit);
    let insert = |hit| one("insert", Kind::Mutation, cold(), INSERT_BOTH.on_main(), hit);
    let update = |hit| one("update", Kind::Mutation, unindexed(), SET_BOTH.on_main(), hit);
    let delete = one("delete", Kind::Mutation, unindexed(), REMOVE_DAVE.on_main(), 1);
    let whole = [finalized("first-load", Kind::Load, cold(), SEED.on_main())];
    let loads = [1, 2, 5, 9].map(first_load).into_iter().chain([1, 3].map(on_branch));
    let mutations = [1, 3].map(insert).into_iter().chain([1, 2].map(update)).chain([delete]);
    whole.into_iter().chain(loads).chain([1, 2, 3].map(overwrite)).chain(mutations).collect()
}

/// The process dies between the commits of two tables.
fn between_tables() -> Vec<State> {
    let uncommit = |table, branch| cut(Surgery::Uncommit { table, branch });
    let partial = |name: &str, kind, prepared: Vec<Step>, act: Act, unmoved: Vec<Step>| {
        let branch = act.branch;
        let steps = with(with(prepared, [crash(act, FINALIZED)]), unmoved);
        state(name, kind, steps).branch(branch).undone().notes("some tables have moved, some have not")
    };
    let feature = Some(FEATURE);
    vec![
        partial(
            "load-append-one-unmoved",
            Kind::Load,
            warm(),
            ADD.on_main(),
            vec![uncommit("edge:WorksAt", None)],
        ),
        partial(
            "load-append-one-moved",
            Kind::Load,
            warm(),
            ADD.on_main(),
            vec![
                uncommit("edge:WorksAt", None),
                uncommit("edge:Knows", None),
                uncommit("node:Company", None),
            ],
        ),
        partial(
            "load-append-branch-one-unmoved",
            Kind::Load,
            owned(),
            ADD.on(FEATURE),
            vec![uncommit("edge:WorksAt", feature)],
        ),
        partial(
            "load-append-branch-first-one-unmoved",
            Kind::Load,
            branched(),
            ADD.on(FEATURE),
            vec![uncommit("edge:WorksAt", feature)],
        ),
        partial(
            "load-overwrite-one-unmoved",
            Kind::Load,
            warm(),
            REPLACE.on_main(),
            vec![uncommit("node:Person", None)],
        ),
        partial(
            "load-merge-one-unmoved",
            Kind::Load,
            warm(),
            UPSERT.on_main(),
            vec![uncommit("node:Company", None)],
        ),
        partial(
            "update-one-unmoved",
            Kind::Mutation,
            warm(),
            SET_BOTH.on_main(),
            vec![uncommit("node:Company", None)],
        ),
        partial(
            "delete-edges-unmoved",
            Kind::Mutation,
            warm(),
            REMOVE_DAVE.on_main(),
            vec![uncommit("edge:WorksAt", None), uncommit("edge:Knows", None)],
        )
        .engines(NEW)
        .notes("the node is gone, its edges are not; 0.7.2 deletes before there is a sidecar"),
        partial(
            "insert-one-unmoved",
            Kind::Mutation,
            warm(),
            INSERT_BOTH.on_main(),
            vec![uncommit("node:Company", None)],
        ),
        partial(
            "insert-branch-one-unmoved",
            Kind::Mutation,
            owned(),
            INSERT_BOTH.on(FEATURE),
            vec![uncommit("node:Company", feature)],
        ),
        state(
            "load-append-none-moved",
            Kind::Load,
            with(with(warm(), [crash(ADD_COMPANY.on_main(), FINALIZED)]), [uncommit("node:Company", None)]),
        )
        .answers("10 nothing_to_do waits", "0 nothing_to_do")
        .recorded(BACK)
        .notes("nothing has moved; it goes away by itself after an hour"),
    ]
}

/// The heads of a load's tables are shown by somebody who found them there: all by an index build, or one alone.
fn shown_by_others() -> Vec<State> {
    let build = run(Operation::EnsureIndices.on_main());
    let publish = run(Operation::PublishHead { table: "node:Person" }.on_main());
    let loaded = Data::Program { steps: with(warm(), [run(ADD.on_main())]), said: "committed" };
    vec![
        state(
            "load-shown-by-index-build",
            Kind::Load,
            with(unindexed(), [crash(ADD.on_main(), FINALIZED), build]),
        )
        .published()
        .notes("an index build shows whatever heads it finds"),
        state("load-half-shown", Kind::Load, with(warm(), [crash(ADD.on_main(), FINALIZED), publish]))
            .held(ASIDE_TO_HEAD)
            .data(loaded)
            .apart(BOTH, "it undoes the tables that are not shown and keeps the one that is")
            .notes("somebody has shown one of four tables, and nobody can prove whose commit that was"),
    ]
}

fn deletes() -> Vec<State> {
    let old = |name: &str, steps| state(name, Kind::Mutation, steps).engines(OLD);
    let new = |name: &str, steps| state(name, Kind::Mutation, steps).engines(NEW);
    let inline = "this release deletes inline: the heads move before the sidecar exists";
    let staged = "this release stages deletes: nothing moves before the sidecar";
    vec![
        finalized("delete", Kind::Mutation, warm(), REMOVE_DAVE.on_main()),
        finalized("delete-branch", Kind::Mutation, owned(), REMOVE_DAVE.on(FEATURE)),
        finalized("delete-two", Kind::Mutation, warm(), REMOVE_TWO.on_main())
            .apart(OLD, "it expects one commit on each table, and each deletion has made one"),
        finalized("delete-without-edges", Kind::Mutation, warm(), REMOVE_BOB.on_main())
            .once_each(["0 roll_forward ×2", "0 roll_forward"])
            .notes("0.7.2 also leaves an empty delete on the edge table that had no match"),
        old("delete-before-sidecar", with(warm(), [crash(REMOVE_DAVE.on_main(), SIDECAR_WRITE)]))
            .held(DELETE_DRIFT)
            .answers("11 hold ×3", "11 hold ×3")
            .notes(inline),
        new("delete-before-sidecar", with(warm(), [crash(REMOVE_DAVE.on_main(), SIDECAR_WRITE)]))
            .notes(staged),
        old("delete-second-statement", with(warm(), [crash_at(REMOVE_TWO.on_main(), DELETE_STATEMENT, 2)]))
            .held(DELETE_DRIFT)
            .answers("11 hold ×3", "11 hold ×3")
            .notes(inline),
        new("delete-second-statement", with(warm(), [crash_at(REMOVE_TWO.on_main(), DELETE_STATEMENT, 2)]))
            .notes(staged),
        state("delete-published", Kind::Mutation, with(warm(), [crash(REMOVE_DAVE.on_main(), PUBLISHED)]))
            .published(),
    ]
}

const DELETE_STATEMENT: &str = "mutation.delete_node_pre_primary_delete";
