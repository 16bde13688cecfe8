//! Small worlds in one line per table.
//!
//! `"5 Append@5 | CreateIndex Restore(6)"`: the history is known above version 5; what follows are versions 6, 7, …; the
//! graph shows the version before the bar. `Append@5` was staged on version 5, without `@` on the version before it;
//! `Append#A` names operation A; `?` is a version whose transaction cannot be read. A final `=` says that head and pin
//! have the same rows.

use crate::model::audit::Verdict;
use crate::model::history::{Step, StepKind};
use crate::model::manifest::Marker;
use crate::model::sidecar::{Pin, Registration, Sidecar, Tombstone, WriterKind};
use crate::model::{Branch, OperationId, TableKey, Version};
use crate::passes::recovery::decide::{Decision, Policy, TablePlan, TableWork, Window, decide};
use crate::passes::recovery::observation::{
    BranchSeen, Claim, Component, Lineage, MergeSeen, Origin, SchemaSeen, TableRef, TableSeen,
};
use std::time::Duration;

pub const MAIN: &str = "main";

/// Long enough for every grace.
pub const LONG: Duration = Duration::from_secs(24 * 60 * 60);

pub fn branch(name: &str) -> Branch {
    Branch::parse(Some(name)).unwrap()
}

pub fn key(table: &str) -> TableKey {
    TableKey::parse(&format!("node:{table}")).unwrap()
}

/// The operation of a one-letter name.
pub fn operation(name: &str) -> OperationId {
    OperationId::parse(&format!("01JZ0A3V9Q6T1F4C8R2M5N7P0{name}")).unwrap()
}

fn at(table: &str, on: &str) -> TableRef {
    TableRef { table: key(table), branch: branch(on) }
}

/// Reads the notation.
pub fn lineage(text: &str) -> Lineage {
    let (text, head_equals_pin) = match text.trim().strip_suffix('=') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut words = text.split_whitespace();
    let mut head = Version(words.next().expect("a version first").parse().unwrap());
    let mut pin = None;
    let mut steps = Vec::new();
    for word in words {
        if word == "|" {
            pin = Some(head);
            continue;
        }
        head = head.next();
        if word != "?" {
            steps.push(step(word, head));
        }
    }
    let pin = pin.expect("a bar after the shown version");
    Lineage { pin, pin_branch: Branch::main(), head, steps, head_equals_pin }
}

fn step(word: &str, version: Version) -> Step {
    let (word, operation_name) = word.split_once('#').map_or((word, None), |(word, name)| (word, Some(name)));
    let (word, read) = word
        .split_once('@')
        .map_or((word, version.0 - 1), |(word, read)| (word, read.parse().expect("a version after @")));
    let restored = word.strip_prefix("Restore(").and_then(|rest| rest.strip_suffix(')'));
    let kind = match (word, restored) {
        (_, Some(to)) => StepKind::Restore(Version(to.parse().unwrap())),
        ("Append", _) => StepKind::Append,
        ("Update", _) => StepKind::Update,
        ("Delete", _) => StepKind::Delete,
        ("EmptyDelete", _) => StepKind::EmptyDelete,
        ("Overwrite", _) => StepKind::Overwrite,
        ("CreateIndex", _) => StepKind::CreateIndex,
        ("Rewrite", _) => StepKind::Rewrite,
        ("ReserveFragments", _) => StepKind::ReserveFragments,
        ("UpdateConfig", _) => StepKind::UpdateConfig,
        (other, _) => StepKind::Other(other.into()),
    };
    Step {
        version,
        read_version: Version(read),
        kind,
        operation: operation_name.map(|name| operation(name).to_string()),
        transaction: format!("{version}-{word}"),
    }
}

/// The marker of a recovery that ended so.
pub fn marker(verdict: Verdict) -> Marker {
    Marker {
        verdict,
        graph_commit_id: String::new(),
        manifest_version: Version(1),
        merged_parent: None,
        created_at: 0,
        outcomes: Vec::new(),
    }
}

/// A claim under construction. Its methods describe what differs from a lone, quiet, readable sidecar of format 2 on main.
#[derive(Clone)]
pub struct Wreck(pub Claim);

fn wreck(name: &str, kind: WriterKind) -> Wreck {
    let sidecar = Sidecar {
        format: 2,
        operation: operation(name),
        started_at: None,
        branch: Branch::main(),
        actor: None,
        kind,
        pins: Vec::new(),
        merge_source: (kind == WriterKind::BranchMerge).then(|| "01JYZZ9X2V4B6N8M0Q1W3E5R7T".to_owned()),
        registrations: Vec::new(),
        brought: Vec::new(),
        tombstones: Vec::new(),
        branch_identity: None,
        names_commits: false,
    };
    Wreck(Claim {
        sidecar,
        origin: Origin::Sidecar,
        held: None,
        branch: BranchSeen::Live,
        marker: None,
        quiet_for: Some(LONG),
        beats: false,
        merge: (kind == WriterKind::BranchMerge).then(|| MergeSeen::Completable(Vec::new())),
        schema: (kind == WriterKind::SchemaApply).then(SchemaSeen::default),
    })
}

/// A claim of any kind.
pub fn of_kind(kind: WriterKind, name: &str) -> Wreck {
    wreck(name, kind)
}
pub fn mutation(name: &str) -> Wreck {
    wreck(name, WriterKind::Mutation)
}
pub fn load(name: &str) -> Wreck {
    wreck(name, WriterKind::Load)
}
pub fn merge(name: &str) -> Wreck {
    wreck(name, WriterKind::BranchMerge)
}
pub fn ensure_indices(name: &str) -> Wreck {
    wreck(name, WriterKind::EnsureIndices)
}
pub fn optimize(name: &str) -> Wreck {
    wreck(name, WriterKind::Optimize)
}
pub fn schema_apply(name: &str) -> Wreck {
    wreck(name, WriterKind::SchemaApply)
}

impl Wreck {
    /// A pin: the table, and E.
    pub fn pin(mut self, table: &str, expected: u64) -> Self {
        self.0.sidecar.pins.push(Pin {
            table: key(table),
            recorded_path: String::new(),
            expected: Version(expected),
            post_commit: Version(expected + 1),
            confirmed: None,
            branch: self.0.sidecar.branch.clone(),
        });
        self
    }

    fn last_pin(&mut self) -> &mut Pin {
        self.0.sidecar.pins.last_mut().expect("a pin first")
    }

    /// The last pin promises this version.
    pub fn promising(mut self, version: u64) -> Self {
        self.last_pin().post_commit = Version(version);
        self
    }

    /// The last pin is confirmed.
    pub fn confirmed(mut self, version: u64) -> Self {
        self.last_pin().confirmed = Some(Version(version));
        self
    }

    /// The last pin lands on this Lance branch.
    pub fn landing_on(mut self, name: &str) -> Self {
        self.last_pin().branch = branch(name);
        self
    }

    /// The claim is about this graph branch; before the pins.
    pub fn on(mut self, name: &str) -> Self {
        self.0.sidecar.branch = branch(name);
        self
    }

    /// A sidecar of format 1.
    pub fn v1(mut self) -> Self {
        self.0.sidecar.format = 1;
        self
    }

    pub fn branch(mut self, seen: BranchSeen) -> Self {
        self.0.branch = seen;
        self
    }

    pub fn from(mut self, origin: Origin) -> Self {
        self.0.origin = origin;
        self
    }

    pub fn quiet_for(mut self, quiet: Option<Duration>) -> Self {
        self.0.quiet_for = quiet;
        self
    }

    /// Its writer beat.
    pub fn beating(mut self) -> Self {
        self.0.beats = true;
        self
    }

    pub fn settled(mut self, verdict: Verdict) -> Self {
        self.0.marker = Some(marker(verdict));
        self
    }

    pub fn merging(mut self, seen: Option<MergeSeen>) -> Self {
        self.0.merge = seen;
        self
    }

    pub fn schema(mut self, seen: Option<SchemaSeen>) -> Self {
        self.0.schema = seen;
        self
    }

    pub fn creating(mut self, table: &str) -> Self {
        let branch = self.0.sidecar.branch.clone();
        self.0.sidecar.registrations.push(Registration {
            table: key(table),
            recorded_path: String::new(),
            branch,
        });
        self
    }

    pub fn dropping(mut self, table: &str, version: u64) -> Self {
        self.0.sidecar.tombstones.push(Tombstone { table: key(table), version: Version(version) });
        self
    }
}

/// A component under construction.
#[derive(Clone, Default)]
pub struct World(pub Component);

pub fn world() -> World {
    World::default()
}

impl World {
    /// A table of main in the notation.
    pub fn table(self, name: &str, history: &str) -> Self {
        self.seen(name, MAIN, TableSeen::Present(lineage(history)))
    }

    /// A table on a branch that the graph branch shows.
    pub fn fork(self, name: &str, on: &str, history: &str) -> Self {
        let placed = Lineage { pin_branch: branch(on), ..lineage(history) };
        self.seen(name, on, TableSeen::Present(placed))
    }

    /// A table on a branch that the graph branch does not show yet: it still shows main's.
    pub fn unplaced_fork(self, name: &str, on: &str, history: &str) -> Self {
        self.seen(name, on, TableSeen::Present(lineage(history)))
    }

    pub fn missing(self, name: &str, on: &str, pin: u64, placed: bool) -> Self {
        let what = format!("branch {on} of {name} does not exist");
        self.seen(name, on, TableSeen::Missing { what, pin: Version(pin), placed })
    }

    pub fn unreadable(self, name: &str) -> Self {
        self.seen(name, MAIN, TableSeen::Unreadable("the store answers 503".into()))
    }

    fn seen(mut self, name: &str, on: &str, seen: TableSeen) -> Self {
        self.0.tables.insert(at(name, on), seen);
        self
    }

    /// A schema change holds the graph's write lock.
    pub fn locked(mut self) -> Self {
        self.0.locked = true;
        self
    }

    pub fn claim(mut self, wreck: Wreck) -> Self {
        self.0.claims.push(wreck.0);
        self
    }

    /// Decisions when all may be done: an exclusive window.
    pub fn decide(&self) -> Vec<Decision> {
        self.decide_in(Some(Window::Exclusive))
    }

    pub fn decide_in(&self, window: Option<Window>) -> Vec<Decision> {
        decide(&self.0, &Policy { window, ..Policy::default() })
    }

    /// What is decided, one line for each decision: `A+B roll_back: Company restores 1 over 2, Person shows 5 undone at 7`.
    pub fn verdicts(&self) -> Vec<String> {
        self.decide().iter().map(picture).collect()
    }

    /// The reasons, one for each decision.
    pub fn reasons(&self) -> Vec<String> {
        self.decide().into_iter().map(|decision| decision.reason).collect()
    }
}

/// A decision in one line. One that is about no operation begins with its verdict.
pub fn picture(decision: &Decision) -> String {
    let name = |operation: &OperationId| operation.as_str()[25..].to_owned();
    let who: Vec<_> = decision.operations.iter().map(name).collect();
    let tables: Vec<_> = decision.tables.iter().map(table_picture).collect();
    let colon = if tables.is_empty() { "" } else { ": " };
    let told = format!("{} {}{colon}{}", who.join("+"), decision.verdict.as_str(), tables.join(", "));
    told.trim_start().to_owned()
}

fn table_picture(plan: &TablePlan) -> String {
    let name = plan.at.table.as_str().trim_start_matches("node:");
    match plan.work {
        TableWork::Show { to } => format!("{name} shows {to}"),
        TableWork::Restore { head } => format!("{name} restores {} over {head}", plan.pin),
        TableWork::ShowUndone { head } => format!("{name} shows {} undone at {head}", plan.pin),
    }
}

/// The world of one claim on one table, which is called Person.
pub fn lone(wreck: Wreck, history: &str) -> World {
    world().table("Person", history).claim(wreck)
}

/// The first word of the only decision after its name.
pub fn verdict(world: &World) -> Verdict {
    let decisions = world.decide();
    assert_eq!(decisions.len(), 1, "one decision: {decisions:?}");
    decisions[0].verdict
}

#[test]
fn the_notation_says_what_it_means() {
    let seen = lineage("5 Append@4 Restore(5) | Update#A ? CreateIndex =");
    assert_eq!((seen.pin, seen.head, seen.head_equals_pin), (Version(7), Version(10), true));
    assert_eq!(seen.inner(Version(5)).len(), 2);
    assert_eq!(seen.steps[0].read_version, Version(4));
    assert_eq!(seen.steps[1].kind, StepKind::Restore(Version(5)));
    assert_eq!(seen.tail().len(), 2);
    assert_eq!(seen.tail()[0].operation.as_deref(), Some(operation("A").as_str()));
    assert_eq!(seen.tail()[1].version, Version(10));
    assert!(!seen.tail_is_whole());
    assert!(seen.inner_is_whole(Version(5)));
}
