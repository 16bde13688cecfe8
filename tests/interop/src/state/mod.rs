//! Every crash state: how it is made, and what is to be expected of it.

mod branch;
mod build;
mod coverage;
mod drift;
mod init;
mod maintenance;
mod merge;
mod recovery;
mod schema;
mod sidecar;
mod write;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::program::Step;

/// One crash state.
#[derive(Debug, Clone)]
pub struct State {
    pub name: String,
    pub engines: &'static [Engine],
    pub kind: Kind,
    /// The graph branch that the crashed writer wrote.
    pub branch: &'static str,
    pub steps: Vec<Step>,
    pub expects: Expects,
    pub notes: &'static str,
}

/// Whose crash it was; the S3 run takes at least one state of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    Load,
    Mutation,
    BranchMerge,
    SchemaApply,
    EnsureIndices,
    Optimize,
    Branch,
    Init,
    Drift,
    Sidecar,
    Recovery,
}

/// In a person's command, the file name of the one sidecar.
pub const NAME: &str = "NAME";

impl Kind {
    /// The heading of its part of the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Load => "Loads",
            Self::Mutation => "Mutations",
            Self::BranchMerge => "Merges",
            Self::SchemaApply => "Schema changes",
            Self::EnsureIndices => "Index builds",
            Self::Optimize => "Compaction",
            Self::Branch => "Branches",
            Self::Init => "Creation of a graph",
            Self::Drift => "Drift without a sidecar",
            Self::Sidecar => "Sidecars that cannot be read, or several",
            Self::Recovery => "A recovery that died",
        }
    }
}

/// What Outrigger is to do with a state.
#[derive(Debug, Clone)]
pub struct Expects {
    /// The exit code without a window.
    pub without_window: i32,
    /// The exit code with `--exclusive`; 11 is a documented hold.
    pub exclusive: i32,
    /// The rows at the end.
    pub data: Data,
    /// Outrigger commands by which a person settles the hold; [`NAME`] is the sidecar's.
    pub person: &'static [&'static [&'static str]],
    pub afterwards: Afterwards,
}

/// Whether the engine can write on at the end.
#[derive(Debug, Clone, Copy)]
pub enum Afterwards {
    WritesOn,
    /// Something is left that recovery does not touch.
    Left(&'static str),
    /// It cannot after the same program without a crash either.
    Limit(&'static str),
}

/// The rows that a state ends in.
#[derive(Debug, Clone)]
pub enum Data {
    /// As if the operation had not been started.
    Before,
    /// As if it had not crashed.
    Committed,
    /// As this program, which does not crash, leaves them, and what to call that.
    Program { steps: Vec<Step>, said: &'static str },
    /// No reader can open the graph, before and after.
    Unreadable,
}

impl Data {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Committed => "committed",
            Self::Program { said, .. } => said,
            Self::Unreadable => "no graph",
        }
    }
}

/// States that show their kind best: they are run on S3 too, and in each sample.
const SAMPLES: [&str; 19] = [
    "init-complete",
    "load-append-one-unmoved",
    "load-append-branch-finalized",
    "insert-branch-one-unmoved",
    "update-finalized",
    "merge-adopt-upserted",
    "merge-main-into-branch-confirmed",
    "schema-staged",
    "schema-unstaged",
    "indices-one-built",
    "indices-before-fork",
    "optimize-done",
    "optimize-before-compaction",
    "orphan",
    "branch-deleted-forks-left",
    "drift-foreign-compaction",
    "drift-foreign-append",
    "poison-beside-load",
    "recovery-restored-one-of-many",
];

impl State {
    /// What else there is to say in the table.
    pub fn remark(&self) -> String {
        let why = match self.expects.afterwards {
            Afterwards::WritesOn => return self.notes.to_owned(),
            Afterwards::Left(why) => format!("the engine cannot write: {why}"),
            Afterwards::Limit(why) => {
                format!("the engine cannot write, nor could it without the crash: {why}")
            }
        };
        if self.notes.is_empty() { why } else { format!("{}; {why}", self.notes) }
    }

    /// Whether the engine works on several tables side by side, so that how far each has come at the crash is chance.
    pub fn races(&self) -> bool {
        self.kind == Kind::Optimize
    }

    pub fn is_sample(&self) -> bool {
        self.sample().is_some()
    }

    /// Its number among those that show their kind best.
    pub fn sample(&self) -> Option<usize> {
        SAMPLES.iter().position(|name| *name == self.name)
    }
}

/// All states, in the order of the table.
pub fn all() -> Vec<State> {
    let rooms = [
        init::states(),
        write::states(),
        merge::states(),
        schema::states(),
        maintenance::states(),
        branch::states(),
        drift::states(),
        sidecar::states(),
        recovery::states(),
    ];
    rooms.into_iter().flatten().collect()
}

/// The state of this name, as the engine makes it.
pub fn find(name: &str, engine: Engine) -> Result<State> {
    let state = all().into_iter().find(|state| state.name == name && state.engines.contains(&engine));
    state.with_context(|| format!("engine {engine} has no state {name:?}; `interop states` lists them"))
}

/// The list for programs, one entry per state and engine.
pub fn listing() -> Vec<Value> {
    let entry = |state: &State, engine: &Engine| {
        let Expects { without_window, exclusive, data, person, afterwards } = &state.expects;
        json!({
            "name": state.name,
            "engine": engine.version(),
            "kind": state.kind,
            "branch": state.branch,
            "expects": {
                "without_window": without_window,
                "exclusive": exclusive,
                "data": data.name(),
                "person": person,
                "writes_on": matches!(afterwards, Afterwards::WritesOn),
            },
            "notes": state.notes,
        })
    };
    let states = all();
    states.iter().flat_map(|state| state.engines.iter().map(|engine| entry(state, engine))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_engine_has_one_state_of_a_name() {
        let mut seen = BTreeSet::new();
        for state in all() {
            for engine in state.engines {
                assert!(seen.insert((state.name.clone(), *engine)), "{} twice on {engine}", state.name);
            }
        }
    }

    #[test]
    fn every_kind_has_a_sample_on_every_engine() {
        let states = all();
        for sample in SAMPLES {
            assert!(states.iter().any(|state| state.name == sample), "there is no state {sample}");
        }
        let kinds: BTreeSet<Kind> = states.iter().map(|state| state.kind).collect();
        for (kind, engine) in kinds.iter().flat_map(|kind| Engine::ALL.map(|engine| (kind, engine))) {
            let shown =
                |state: &&State| state.kind == *kind && state.is_sample() && state.engines.contains(&engine);
            assert!(states.iter().any(|state| shown(&state)), "no sample of {kind:?} on engine {engine}");
        }
    }

    #[test]
    fn a_state_damages_its_graph() {
        for state in all() {
            let damage = state.steps.iter().any(|step| matches!(step, Step::Crash { .. } | Step::Surgery(_)));
            assert!(damage || state.kind == Kind::Drift, "{} is sound", state.name);
        }
    }
}
