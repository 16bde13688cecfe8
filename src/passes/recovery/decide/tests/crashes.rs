//! Small writers that die anywhere, in every interleaving, and then recovery until it rests. The writers are simulated with
//! what each version really holds, which recovery does not see; afterwards every operation must be shown whole or not at
//! all, and what was acknowledged must be shown.

use super::world::*;
use crate::model::audit::Verdict;
use crate::passes::recovery::decide::{Decision, TableWork};
use std::collections::{BTreeMap, BTreeSet};

const TABLES: [&str; 2] = ["Company", "Person"];
const FIRST: u64 = 5;

/// One version of a table: its notation and the operations whose rows it has.
#[derive(Clone)]
struct Made {
    notation: String,
    holds: BTreeSet<&'static str>,
}

/// A table as it really is. Version [`FIRST`] + n is `made[n - 1]`.
#[derive(Clone, Default)]
struct Table {
    pin: u64,
    made: Vec<Made>,
}

impl Table {
    fn head(&self) -> u64 {
        FIRST + self.made.len() as u64
    }

    fn holds(&self, version: u64) -> BTreeSet<&'static str> {
        match version.checked_sub(FIRST + 1) {
            None => BTreeSet::new(),
            Some(index) => self.made[index as usize].holds.clone(),
        }
    }

    fn commit(&mut self, notation: String, holds: BTreeSet<&'static str>) -> u64 {
        self.made.push(Made { notation, holds });
        self.head()
    }

    fn notation(&self) -> String {
        let mut words = vec![FIRST.to_string()];
        if self.pin == FIRST {
            words.push("|".into());
        }
        for (version, made) in (FIRST + 1..).zip(&self.made) {
            words.push(made.notation.clone());
            if version == self.pin {
                words.push("|".into());
            }
        }
        // What a look at schema, fragments and row ids would say.
        if self.holds(self.pin) == self.holds(self.head()) {
            words.push("=".into());
        }
        words.join(" ")
    }
}

/// What a writer does: commit to each table, then build an index on each or not, then publish.
#[derive(Clone, Copy, Debug)]
struct Plan {
    name: &'static str,
    tables: &'static [&'static str],
    indexes: bool,
    /// Builds indexes only, on whatever is newest, and publishes that without looking: the engine's `ensure_indices`.
    maintenance: bool,
    /// Its commits name the operation.
    named: bool,
}

#[derive(Clone)]
struct Writer {
    plan: Plan,
    step: usize,
    /// E of each table, once its sidecar is written.
    began: Option<BTreeMap<&'static str, u64>>,
    reached: BTreeMap<&'static str, u64>,
    sidecar: bool,
    acknowledged: bool,
}

impl Plan {
    /// Sidecar, a commit for each table, maybe an index for each, publish, sidecar away.
    fn steps(&self) -> usize {
        3 + self.tables.len() * if self.indexes && !self.maintenance { 2 } else { 1 }
    }
}

#[derive(Clone)]
struct Graph {
    tables: BTreeMap<&'static str, Table>,
    writers: Vec<Writer>,
}

impl Graph {
    fn new(plans: &[Plan]) -> Self {
        let table = Table { pin: FIRST, made: Vec::new() };
        let writer = |plan: &Plan| Writer {
            plan: *plan,
            step: 0,
            began: None,
            reached: BTreeMap::new(),
            sidecar: false,
            acknowledged: false,
        };
        Self {
            tables: TABLES.iter().map(|name| (*name, table.clone())).collect(),
            writers: plans.iter().map(writer).collect(),
        }
    }

    /// The next step of one writer.
    fn advance(&mut self, who: usize) {
        let writer = &mut self.writers[who];
        let plan = writer.plan;
        let step = writer.step;
        writer.step += 1;
        if step == 0 {
            // Data writers refuse to begin on a table with drift.
            let drifted = |name: &&str| self.tables[*name].head() != self.tables[*name].pin;
            if plan.maintenance || !plan.tables.iter().any(drifted) {
                writer.began = Some(plan.tables.iter().map(|name| (*name, self.tables[name].pin)).collect());
                writer.sidecar = true;
            }
            return;
        }
        let Some(began) = &writer.began else { return };
        if let Some(name) = plan.tables.get(step - 1) {
            let table = self.tables.get_mut(name).unwrap();
            let mut holds = table.holds(table.head());
            let notation = if plan.maintenance {
                "CreateIndex".into()
            } else {
                holds.insert(plan.name);
                let name_of = if plan.named { format!("#{}", plan.name) } else { String::new() };
                format!("Append@{}{name_of}", began[name])
            };
            writer.reached.insert(name, table.commit(notation, holds));
        } else if step < plan.steps() - 2 {
            let name = plan.tables[step - 1 - plan.tables.len()];
            let table = self.tables.get_mut(name).unwrap();
            let holds = table.holds(table.head());
            writer.reached.insert(name, table.commit("CreateIndex".into(), holds));
        } else if step == plan.steps() - 2 {
            let expected = plan.tables.iter().all(|name| self.tables[name].pin == began[name]);
            if plan.maintenance || expected {
                for (name, version) in &writer.reached {
                    let table = self.tables.get_mut(name).unwrap();
                    table.pin = table.pin.max(*version);
                }
                writer.acknowledged = true;
            }
        } else if writer.acknowledged {
            writer.sidecar = false;
        }
    }

    /// What recovery sees.
    fn observe(&self) -> World {
        let world =
            self.tables.iter().fold(world(), |world, (name, table)| world.table(name, &table.notation()));
        let claims = self.writers.iter().filter(|writer| writer.sidecar).map(|writer| {
            let began = writer.began.as_ref().unwrap();
            let new = if writer.plan.maintenance { ensure_indices } else { load };
            writer.plan.tables.iter().fold(new(writer.plan.name), |wreck, name| wreck.pin(name, began[name]))
        });
        claims.fold(world, World::claim)
    }

    /// Carries a decision out as the store would: only on what was seen.
    fn apply(&mut self, decision: &Decision) {
        let unmoved = decision.tables.iter().all(|plan| {
            let table = &self.tables[plan.at.table.as_str().trim_start_matches("node:")];
            let head = match plan.work {
                TableWork::Show { to } => to,
                TableWork::Restore { head } | TableWork::ShowUndone { head } => head,
            };
            (table.pin, table.head()) == (plan.pin.0, head.0)
        });
        if decision.verdict == Verdict::Hold || !unmoved {
            return;
        }
        for plan in &decision.tables {
            let table = self.tables.get_mut(plan.at.table.as_str().trim_start_matches("node:")).unwrap();
            if let TableWork::Restore { .. } = plan.work {
                let holds = table.holds(table.pin);
                table.commit(format!("Restore({})", table.pin), holds);
            }
            table.pin = table.head();
            assert_eq!(table.pin, plan.shown().0);
        }
        let ended = |writer: &Writer| decision.operations.contains(&operation(writer.plan.name));
        self.writers.iter_mut().filter(|writer| ended(writer)).for_each(|writer| writer.sidecar = false);
    }

    /// Passes until nothing changes; the names of the operations that are held.
    fn recover(&mut self) -> BTreeSet<&'static str> {
        for _ in 0..4 {
            let decisions = self.observe().decide();
            if decisions.iter().all(|decision| decision.verdict == Verdict::Hold) {
                return self.writers.iter().filter(|one| one.sidecar).map(|one| one.plan.name).collect();
            }
            decisions.iter().for_each(|decision| self.apply(decision));
        }
        panic!("four passes and no rest: {:?}", self.observe().verdicts());
    }

    fn shown_on(&self, name: &str) -> usize {
        self.tables.values().filter(|table| table.holds(table.pin).contains(name)).count()
    }

    fn picture(&self) -> Vec<String> {
        self.tables.iter().map(|(name, table)| format!("{name}: {}", table.notation())).collect()
    }

    /// Data operations that are shown on some of their tables only.
    fn half_shown(&self) -> BTreeSet<&'static str> {
        let data = self.writers.iter().filter(|writer| !writer.plan.maintenance);
        let half = |one: &&Writer| self.shown_on(one.plan.name) > 0 && !self.is_whole(one);
        data.filter(half).map(|writer| writer.plan.name).collect()
    }

    /// Recovers, and checks that it has shown nothing by half, lost nothing acknowledged and left no rows above a pin.
    fn check(mut self) -> End {
        let (before, told, half_before) = (self.picture(), self.observe().verdicts(), self.half_shown());
        let held = self.recover();
        let half = self.half_shown();
        let context =
            || format!("before {before:?}\ntold {told:?}\nafter {:?}\nheld {held:?}", self.picture());
        assert!(half.is_subset(&half_before), "{half:?} are half shown by recovery\n{}", context());
        for writer in self.writers.iter().filter(|writer| writer.acknowledged && !writer.plan.maintenance) {
            assert!(self.is_whole(writer), "{} was acknowledged\n{}", writer.plan.name, context());
        }
        for (name, table) in &self.tables {
            let clean = table.holds(table.pin) == table.holds(table.head());
            assert!(clean || !held.is_empty(), "rows are left above {name}\n{}", context());
        }
        End { held, half }
    }

    fn is_whole(&self, writer: &Writer) -> bool {
        self.shown_on(writer.plan.name) == writer.plan.tables.len()
    }
}

/// Where recovery rested.
struct End {
    /// Operations that wait for a person.
    held: BTreeSet<&'static str>,
    /// Operations that another writer showed on some of their tables only.
    half: BTreeSet<&'static str>,
}

/// Every state that these writers can leave when each may die after any step.
fn every_crash(graph: &Graph, check: &mut impl FnMut(Graph)) {
    check(graph.clone());
    for who in 0..graph.writers.len() {
        if graph.writers[who].step < graph.writers[who].plan.steps() {
            let mut next = graph.clone();
            next.advance(who);
            every_crash(&next, check);
        }
    }
}

const SETS: [&[&str]; 3] = [&["Company"], &["Person"], &["Company", "Person"]];

fn data(name: &'static str, tables: &'static [&'static str], indexes: bool) -> Plan {
    Plan { name, tables, indexes, maintenance: false, named: false }
}

#[test]
fn one_writer_that_dies_anywhere_is_finished_or_undone_and_never_held() {
    let mut states = 0;
    for tables in SETS {
        for indexes in [false, true] {
            every_crash(&Graph::new(&[data("A", tables, indexes)]), &mut |graph| {
                states += 1;
                let end = graph.check();
                assert!(end.held.is_empty() && end.half.is_empty());
            });
        }
    }
    assert!(states > 30, "{states}");
}

#[test]
fn one_writer_is_kept_exactly_from_its_last_commit_on() {
    for indexes in [false, true] {
        every_crash(&Graph::new(&[data("A", &TABLES, indexes)]), &mut |mut graph| {
            // The sidecar and two commits.
            let complete = graph.writers[0].step >= 3;
            graph.recover();
            assert_eq!(graph.shown_on("A"), if complete { 2 } else { 0 }, "{:?}", graph.picture());
        });
    }
}

#[test]
fn two_writers_that_die_anywhere_are_never_shown_by_half_or_lost_once_acknowledged() {
    let mut states = 0;
    for (one, other) in SETS.iter().flat_map(|one| SETS.iter().map(move |other| (*one, *other))) {
        for indexes in [false, true] {
            let graph = Graph::new(&[data("A", one, indexes), data("B", other, false)]);
            every_crash(&graph, &mut |graph| {
                states += 1;
                let end = graph.check();
                // Only where a commit on one of two tables may be the other writer's, a person is asked.
                let overlap = one.len() + other.len() > 2 && one.iter().any(|name| other.contains(name));
                assert!(overlap || end.held.is_empty(), "{one:?} {other:?}");
            });
        }
    }
    assert!(states > 10_000, "{states}");
}

#[test]
fn a_commit_that_index_builds_show_by_half_is_held() {
    let mut halves = 0;
    for (one, other) in SETS.iter().flat_map(|one| SETS.iter().map(move |other| (*one, *other))) {
        let builds = Plan { maintenance: true, ..data("B", other, true) };
        every_crash(&Graph::new(&[data("A", one, false), builds]), &mut |graph| {
            let end = graph.check();
            halves += end.half.len();
            assert!(end.half.is_subset(&end.held));
        });
    }
    assert!(halves > 0);
}

#[test]
fn where_commits_name_their_operation_only_what_another_writer_showed_by_half_is_held() {
    let mut halves = 0;
    for (one, other) in SETS.iter().flat_map(|one| SETS.iter().map(move |other| (*one, *other))) {
        let named = |plan: Plan| Plan { named: true, ..plan };
        let graph = Graph::new(&[named(data("A", one, true)), named(data("B", other, false))]);
        every_crash(&graph, &mut |graph| {
            let end = graph.check();
            halves += end.half.len();
            assert!(end.half.is_subset(&end.held));
            assert_eq!(end.half.is_empty(), end.held.is_empty(), "{:?} {:?}", end.half, end.held);
        });
    }
    assert!(halves > 0);
}
