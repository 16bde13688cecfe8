//! Words to write the list of states with.

use super::{Afterwards, Data, Deed, Exception, Expects, Kind, Refusal, State, Told};
use crate::engine::{Engine, LoadMode, Param};
use crate::fixture;
use crate::program::{Act, Operation, Step};
use crate::surgery::Surgery;

pub const BOTH: &[Engine] = &Engine::ALL;
pub const OLD: &[Engine] = &[Engine::V072];
pub const NEW: &[Engine] = &[Engine::V080];

pub const FEATURE: &str = "feature";

/// The engine cannot write on a branch of a branch that has forked a table twice.
pub const fn fork_of_fork(branch: &'static str) -> Afterwards {
    Afterwards::Limit(Refusal {
        of: Deed::Write(branch),
        error: FORK_OF_FORK,
        why: "its Lance looks for the index of a fork's fork in the wrong directory",
    })
}

const FORK_OF_FORK: &str = "page_lookup.lance not found";

/// Why the engine does not recover a sidecar that came before its fork.
pub const NO_FORK: &str = "it cannot open a graph whose sidecar names a fork that is not there";

// How the audit records what is settled.

pub const FORWARD: &[&str] = &["RolledForward"];
pub const BACK: &[&str] = &["RolledBack"];
pub const ORPHAN: &[&str] = &["OrphanedBranchDiscarded"];

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

/// A warm graph of which two properties have become indexed, and nothing has been written since.
pub fn unindexed() -> Vec<Step> {
    with(warm(), [run(Operation::ApplySchema { source: fixture::SCHEMA_INDEXED }.on_main())])
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
        once: Told::Same("0 -"),
        exclusive: Told::Same("0 -"),
        data: Data::Before,
        recorded: &[],
        person: &[],
        afterwards: Afterwards::WritesOn,
        apart: None,
        history: None,
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

    /// The rows are those of the finished operation.
    pub fn committed(mut self) -> Self {
        self.expects.data = Data::Committed;
        self
    }

    /// What `once` answers, where it needs no window.
    pub fn once(mut self, answer: &'static str) -> Self {
        self.expects.once = Told::Same(answer);
        self
    }

    /// The same, where the crash finds the two engines at different points.
    pub fn once_each(mut self, answers: [&'static str; 2]) -> Self {
        self.expects.once = Told::Each(answers);
        self
    }

    /// What `once` answers without a window and then in one.
    pub fn answers(mut self, once: &'static str, exclusive: &'static str) -> Self {
        self.expects.once = Told::Same(once);
        self.expects.exclusive = Told::Same(exclusive);
        self
    }

    pub fn recorded(mut self, recorded: &'static [&'static str]) -> Self {
        self.expects.recorded = recorded;
        self
    }

    /// All tables have moved and none is shown: it is finished, without a window.
    pub fn forward(self) -> Self {
        self.committed().once("0 roll_forward").recorded(FORWARD)
    }

    /// All is shown: only the record is missing.
    pub fn published(self) -> Self {
        self.committed().once("0 already_published").recorded(FORWARD)
    }

    /// 0.7.2 dies between its publish and the commit's record, 0.8.0 before the publish, which is one with the record.
    pub fn recording(self) -> Self {
        self.forward().once_each(["0 already_published", "0 roll_forward"])
    }

    /// There is a sidecar, and nothing has moved.
    pub fn nothing_to_do(self) -> Self {
        self.once("0 nothing_to_do").recorded(BACK)
    }

    /// It waits for a window and is undone in it.
    pub fn undone(self) -> Self {
        self.answers("10 roll_back waits", "0 roll_back").recorded(BACK)
    }

    /// It is finished, in a window.
    pub fn forward_in_window(self) -> Self {
        self.committed().answers("10 roll_forward waits", "0 roll_forward").recorded(FORWARD)
    }

    /// The branch that it wrote is gone.
    pub fn discarded(self) -> Self {
        self.once("0 discard_orphan").recorded(ORPHAN)
    }

    /// It is held for a person, who settles it with these commands.
    pub fn held(mut self, person: &'static [&'static [&'static str]]) -> Self {
        self.expects.person = person;
        self.answers("11 hold", "11 hold")
    }

    /// Several tables are worked on side by side, and each has come as far as it has.
    pub fn raced(mut self) -> Self {
        self.expects.once = Told::Among(&["nothing_to_do", "roll_forward", "already_published"]);
        self.committed()
    }

    /// The engine's own recovery ends with other rows.
    pub fn apart(mut self, engines: &'static [Engine], why: &'static str) -> Self {
        self.expects.apart = Some(Exception { engines, why });
        self
    }

    /// The commits are not those of the twin.
    pub fn history(mut self, engines: &'static [Engine], why: &'static str) -> Self {
        self.expects.history = Some(Exception { engines, why });
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
