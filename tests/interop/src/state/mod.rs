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
use crate::program::{Act, Operation, Step};

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
    /// What `once` is to answer without a window, and then in one.
    pub once: Told,
    pub exclusive: Told,
    /// The rows at the end.
    pub data: Data,
    /// How the operations that had a sidecar are recorded once they are settled, sorted. What a person puts aside is not.
    pub recorded: &'static [&'static str],
    /// Outrigger commands by which a person settles the hold; [`NAME`] is the sidecar's.
    pub person: &'static [&'static [&'static str]],
    pub afterwards: Afterwards,
    /// Why the engine's own recovery ends with other rows. Without it, other rows are a mistake of one of the two.
    pub apart: Option<Exception>,
    /// Why the commits at the end are not those of the twin.
    pub history: Option<Exception>,
}

/// Something that is not as it is everywhere else, and why that is right.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub engines: &'static [Engine],
    pub why: &'static str,
}

impl Exception {
    /// The reason, if this engine needs one.
    pub fn of(exception: Option<&Self>, engine: Engine) -> Option<&'static str> {
        exception.filter(|exception| exception.engines.contains(&engine)).map(|exception| exception.why)
    }
}

/// An answer of Outrigger: exit code and verdicts, in the words of the table.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    Same(&'static str),
    /// On 0.7.2 and on 0.8.0, which have come further or less far at the crash.
    Each([&'static str; 2]),
    /// Exit code 0 and these verdicts, each any number of times: how far the crash has come is chance.
    Among(&'static [&'static str]),
}

impl Told {
    /// Whether an answer is as expected, by its exit code, its verdicts and the words for both.
    pub fn is(self, engine: Engine, exit: i32, verdicts: &[&str], words: &str) -> bool {
        match self {
            Self::Among(set) => exit == 0 && verdicts.iter().all(|verdict| set.contains(verdict)),
            _ => words == self.words(engine),
        }
    }

    pub fn words(self, engine: Engine) -> String {
        match self {
            Self::Same(said) => said.to_owned(),
            Self::Each([old, _]) if engine == Engine::V072 => old.to_owned(),
            Self::Each([_, new]) => new.to_owned(),
            Self::Among(set) => format!("0 any of {}", set.join(", ")),
        }
    }
}

/// Whether the engine can write on at the end.
#[derive(Debug, Clone, Copy)]
pub enum Afterwards {
    WritesOn,
    /// Not everywhere: something is left that recovery does not touch.
    Left(Refusal),
    /// Not everywhere, and it cannot after the same program without a crash either.
    Limit(Refusal),
}

impl Afterwards {
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::WritesOn => None,
            Self::Left(refusal) | Self::Limit(refusal) => Some(refusal),
        }
    }
}

/// The one thing that the engine cannot do. Everything else it must be able to.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    pub of: Deed,
    /// In the engine's error.
    pub error: &'static str,
    /// For the table.
    pub why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Open,
    /// The first load on this branch.
    Write(&'static str),
    /// The creation of a branch of this name.
    Create(&'static str),
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

/// States that show their kind best: they are run on S3 too.
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
        let Expects { afterwards, apart, history, .. } = &self.expects;
        let apart = apart.map(|apart| format!("the engine ends elsewhere: {}", apart.why));
        let history = history.map(|history| format!("its history is its own: {}", history.why));
        let afterwards = match afterwards {
            Afterwards::WritesOn => None,
            Afterwards::Left(refusal) => Some(format!("the engine cannot write: {}", refusal.why)),
            Afterwards::Limit(refusal) => {
                Some(format!("the engine cannot write, nor could it without the crash: {}", refusal.why))
            }
        };
        let notes = (!self.notes.is_empty()).then(|| self.notes.to_owned());
        [notes, apart, history, afterwards].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// The merge, source and target, that is finished at the end and must stay so.
    pub fn merge(&self) -> Option<(&'static str, &'static str)> {
        let merge = |step: &Step| match step {
            Step::Crash { act: Act { branch, operation: Operation::Merge { source } }, .. } => {
                Some((*source, *branch))
            }
            _ => None,
        };
        let kept = matches!(self.expects.data, Data::Committed);
        self.steps.iter().rev().find_map(merge).filter(|_| kept)
    }

    /// Whether the engine works on several tables side by side, so that how far each has come at the crash is chance.
    pub fn races(&self) -> bool {
        self.kind == Kind::Optimize
    }

    pub fn is_sample(&self) -> bool {
        SAMPLES.contains(&self.name.as_str())
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
        let Expects { once, exclusive, data, recorded, person, afterwards, apart, history } = &state.expects;
        json!({
            "name": state.name,
            "engine": engine.version(),
            "kind": state.kind,
            "branch": state.branch,
            "expects": {
                "once": once.words(*engine),
                "exclusive": exclusive.words(*engine),
                "data": data.name(),
                "recorded": recorded,
                "person": person,
                "writes_on": matches!(afterwards, Afterwards::WritesOn),
                "apart": Exception::of(apart.as_ref(), *engine),
                "history": Exception::of(history.as_ref(), *engine),
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
    fn an_answer_is_told_by_its_words_and_a_race_by_its_verdicts() {
        let each = Told::Each(["0 already_published", "0 roll_forward"]);
        assert!(each.is(Engine::V080, 0, &["roll_forward"], "0 roll_forward"));
        assert!(!each.is(Engine::V072, 0, &["roll_forward"], "0 roll_forward"));
        assert!(!Told::Same("0 -").is(Engine::V080, 0, &["roll_forward"], "0 roll_forward"));
        let race = Told::Among(&["roll_forward", "nothing_to_do"]);
        assert!(race.is(Engine::V080, 0, &["roll_forward", "roll_forward"], "0 roll_forward ×2"));
        assert!(!race.is(Engine::V080, 0, &["already_undone"], "0 already_undone"));
        assert!(!race.is(Engine::V080, 10, &["roll_forward"], "10 roll_forward waits"));
    }

    #[test]
    fn what_is_undone_is_not_asked_for_its_merge() {
        let merge = |name: &str| find(name, Engine::V080).expect(name).merge();
        assert_eq!(merge("merge-confirmed"), Some(("feature", "main")));
        assert_eq!(merge("merge-unconfirmed"), None);
        assert_eq!(merge("load-append-finalized"), None);
    }

    #[test]
    fn a_state_damages_its_graph() {
        for state in all() {
            let damage = state.steps.iter().any(|step| matches!(step, Step::Crash { .. } | Step::Surgery(_)));
            assert!(damage || state.kind == Kind::Drift, "{} is sound", state.name);
        }
    }
}
