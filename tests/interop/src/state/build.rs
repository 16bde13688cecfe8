//! Words to write the list of states with.

use super::{Afterwards, Data, Expects, Kind, State};
use crate::engine::{Engine, LoadMode, Param};
use crate::fixture;
use crate::program::{Act, Operation, Step};
use crate::surgery::Surgery;

pub const BOTH: &[Engine] = &Engine::ALL;
pub const OLD: &[Engine] = &[Engine::V072];
pub const NEW: &[Engine] = &[Engine::V080];

pub const FEATURE: &str = "feature";

/// The twin without a crash fails alike, which the matrix checks.
pub const FORK_OF_FORK: Afterwards =
    Afterwards::Limit("its Lance looks for the index of a fork's fork in the wrong directory");

// Operations on the fixture graph.

pub const SEED: Operation = load(fixture::SEED, LoadMode::Append);
pub const ADD: Operation = load(fixture::ADDITION, LoadMode::Append);
pub const UPSERT: Operation = load(fixture::UPSERT, LoadMode::Merge);
pub const REPLACE: Operation = load(fixture::REPLACEMENT, LoadMode::Overwrite);
pub const ADD_COMPANY: Operation = load(fixture::ONE_COMPANY, LoadMode::Append);
pub const ADD_DRAFT: Operation = load(fixture::ONE_DRAFT, LoadMode::Append);
pub const ADD_PERSONS: Operation = load(fixture::TWO_PERSONS, LoadMode::Append);
pub const BRANCH_LOAD: Operation = load(fixture::BRANCH_ROWS, LoadMode::Append);
pub const INSERT_BOTH: Operation = Operation::Mutate {
    query: "insert_both",
    params: &[
        ("person", Param::Text("Mallory")),
        ("age", Param::Int(33)),
        ("company", Param::Text("Giga")),
        ("size", Param::Int(70)),
    ],
};
pub const SET_BOTH: Operation = Operation::Mutate {
    query: "set_both",
    params: &[
        ("person", Param::Text("Alice")),
        ("age", Param::Int(99)),
        ("company", Param::Text("Acme")),
        ("size", Param::Int(99)),
    ],
};
/// Dave has an edge of each type, so that every incident table really loses a row.
pub const REMOVE_DAVE: Operation =
    Operation::Mutate { query: "remove_person", params: &[("person", Param::Text("Dave"))] };
/// Bob has no `WorksAt` edge.
pub const REMOVE_BOB: Operation =
    Operation::Mutate { query: "remove_person", params: &[("person", Param::Text("Bob"))] };
pub const REMOVE_TWO: Operation = Operation::Mutate {
    query: "remove_two",
    params: &[("person", Param::Text("Dave")), ("other", Param::Text("Alice"))],
};

pub const fn load(rows: &'static str, mode: LoadMode) -> Operation {
    Operation::Load { rows, mode }
}

// Steps.

pub fn run(act: Act) -> Step {
    Step::Run(act)
}

pub fn crash(act: Act, failpoint: &'static str) -> Step {
    crash_at(act, failpoint, 1)
}

pub fn crash_at(act: Act, failpoint: &'static str, hit: u32) -> Step {
    Step::Crash { act, failpoint, hit }
}

/// The engine's own recovery dies.
pub fn crash_open(failpoint: &'static str) -> Step {
    crash(Operation::Open.on_main(), failpoint)
}

pub fn cut(surgery: Surgery) -> Step {
    Step::Surgery(surgery)
}

/// An initialised graph without rows.
pub fn cold() -> Vec<Step> {
    vec![run(Operation::Init { schema: fixture::SCHEMA }.on_main())]
}

/// A graph with rows in each table and all its indexes.
pub fn warm() -> Vec<Step> {
    with(cold(), [run(SEED.on_main())])
}

/// A warm graph with a branch that has not written yet.
pub fn branched() -> Vec<Step> {
    with(warm(), [run(Operation::BranchCreate { from: "main" }.on(FEATURE))])
}

/// A warm graph with a branch that owns a fork of each table.
pub fn owned() -> Vec<Step> {
    with(branched(), [run(BRANCH_LOAD.on(FEATURE))])
}

/// A warm graph whose small appends have left two tables fragments to compact.
pub fn fragmented() -> Vec<Step> {
    with(warm(), [ADD, ADD_COMPANY, ADD_PERSONS].map(|operation| run(operation.on_main())))
}

pub fn with(mut steps: Vec<Step>, more: impl IntoIterator<Item = Step>) -> Vec<Step> {
    steps.extend(more);
    steps
}

// States.

/// A state of both engines on main, of which nothing is expected yet but that nothing is to do.
pub fn state(name: impl Into<String>, kind: Kind, steps: Vec<Step>) -> State {
    let expects = Expects {
        without_window: 0,
        exclusive: 0,
        data: Data::Before,
        person: &[],
        afterwards: Afterwards::WritesOn,
    };
    State { name: name.into(), engines: BOTH, kind, branch: "main", steps, expects, notes: "" }
}

impl State {
    pub fn engines(mut self, engines: &'static [Engine]) -> Self {
        self.engines = engines;
        self
    }

    pub fn branch(mut self, branch: &'static str) -> Self {
        self.branch = branch;
        self
    }

    pub fn notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// It is finished, or was, and needs no window.
    pub fn committed(mut self) -> Self {
        self.expects.data = Data::Committed;
        self
    }

    /// It waits for a window and is undone in it.
    pub fn undone(mut self) -> Self {
        self.expects.without_window = 10;
        self
    }

    /// It is held for a person, who settles it with these commands.
    pub fn held(mut self, person: &'static [&'static [&'static str]]) -> Self {
        self.expects.without_window = 11;
        self.expects.exclusive = 11;
        self.expects.person = person;
        self
    }

    /// Other exit codes than those implied.
    pub fn exits(mut self, without_window: i32, exclusive: i32) -> Self {
        self.expects.without_window = without_window;
        self.expects.exclusive = exclusive;
        self
    }

    pub fn data(mut self, data: Data) -> Self {
        self.expects.data = data;
        self
    }

    pub fn afterwards(mut self, afterwards: Afterwards) -> Self {
        self.expects.afterwards = afterwards;
        self
    }
}
