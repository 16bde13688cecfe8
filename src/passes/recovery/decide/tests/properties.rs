//! What holds in every small world, found by going through them all.
//!
//! The checks know the notation, not the code: whose a commit may be is worked out here a second time, from the same page
//! of the design.

use super::world::*;
use crate::model::audit::Verdict;
use crate::model::history::{Step, StepKind};
use crate::model::sidecar::{Pin, Sidecar, WriterKind};
use crate::model::{TableKey, Version};
use crate::passes::recovery::decide::{Decision, TablePlan, TableWork, Timing, Window};
use crate::passes::recovery::observation::{BranchSeen, Claim, Lineage, TableRef, TableSeen};
use std::collections::BTreeSet;

/// Every history of at most `longest` steps above the pin, after each of these beginnings.
fn histories(beginnings: &[&str], alphabet: &[&str], longest: usize) -> Vec<String> {
    let mut tails = vec![String::new()];
    let mut newest = tails.clone();
    for _ in 0..longest {
        newest = newest
            .iter()
            .flat_map(|tail| alphabet.iter().map(move |step| format!("{tail} {step}")))
            .collect();
        tails.extend(newest.clone());
    }
    beginnings.iter().flat_map(|begin| tails.iter().map(move |tail| format!("{begin} |{tail}"))).collect()
}

const BEGINNINGS: [&str; 6] =
    ["5", "5 Append@5", "5 Append@5 Restore(5)", "5 CreateIndex", "5 ?", "5 Update@5#A"];
const ALPHABET: [&str; 13] = [
    "Append@5",
    "Append@5#A",
    "Append@5#B",
    "Update",
    "Delete",
    "EmptyDelete",
    "Overwrite@5",
    "CreateIndex",
    "Rewrite",
    "Restore(5)",
    "Restore(4)",
    "Truncate",
    "?",
];
const FEW_BEGINNINGS: [&str; 3] = ["5", "5 Append@5", "5 Update@5#A"];
const FEW: [&str; 8] =
    ["Append@5", "Append@5#A", "Update", "Overwrite@5", "CreateIndex", "Restore(5)", "Restore(4)", "?"];

/// Every kind and format, merges confirmed or not, deletes committed at once or not, each with a pin on Person.
fn writers() -> Vec<Wreck> {
    let pinned = |kind: WriterKind| of_kind(kind, "A").pin("Person", 5);
    let merge = || pinned(WriterKind::BranchMerge);
    let special =
        [merge().v1(), merge().confirmed(6), merge().confirmed(7), pinned(WriterKind::Mutation).promising(7)];
    WriterKind::ALL.into_iter().map(pinned).chain(special).collect()
}

fn pin_at<'a>(sidecar: &'a Sidecar, at: &TableRef) -> Option<&'a Pin> {
    sidecar.pins.iter().find(|pin| (&pin.table, &pin.branch) == (&at.table, &at.branch))
}

fn is_data(step: &Step) -> bool {
    matches!(step.kind, StepKind::Append | StepKind::Update | StepKind::Delete | StepKind::Overwrite)
}

fn changes_nothing(step: &Step) -> bool {
    use StepKind::*;
    matches!(step.kind, CreateIndex | Rewrite | ReserveFragments | UpdateConfig | EmptyDelete)
}

/// Whether a claim can be the author of a data commit.
fn can_be_author(claim: &Claim, at: &TableRef, lineage: &Lineage, step: &Step) -> bool {
    let Some(pin) = pin_at(&claim.sidecar, at) else { return false };
    let by_kind = match claim.sidecar.kind {
        WriterKind::Mutation | WriterKind::Load => true,
        WriterKind::BranchMerge => step.kind != StepKind::Overwrite,
        WriterKind::SchemaApply => step.kind == StepKind::Overwrite,
        WriterKind::EnsureIndices | WriterKind::Optimize => false,
    };
    let name = Some(claim.operation().as_str());
    let names_its_own = lineage.tail().iter().any(|step| is_data(step) && step.operation.as_deref() == name);
    let by_version = match (&step.operation, claim.sidecar.kind) {
        (Some(_), _) => step.operation.as_deref() == name,
        (None, _) if names_its_own => false,
        (None, WriterKind::BranchMerge) => pin.confirmed.is_none_or(|last| step.version <= last),
        (None, _) => {
            step.read_version <= pin.expected
                || step.kind == StepKind::Delete && step.version <= pin.post_commit
        }
    };
    is_data(step) && by_kind && by_version
}

/// How many commits a claim may have on a table.
fn capacity(claim: &Claim, at: &TableRef, tail: &[&Step]) -> usize {
    let named = tail.iter().any(|step| step.operation.is_some());
    let inline = pin_at(&claim.sidecar, at).is_some_and(|pin| pin.post_commit.0 > pin.expected.0 + 1);
    if named || inline || claim.sidecar.kind == WriterKind::BranchMerge { usize::MAX } else { 1 }
}

/// Whether these commits can be dealt out, by trying everything.
fn can_be_dealt(
    commits: &[&Step],
    authors: &[&Claim],
    at: &TableRef,
    lineage: &Lineage,
    left: &mut [usize],
) -> bool {
    let Some((first, rest)) = commits.split_first() else { return true };
    (0..authors.len()).any(|one| {
        if left[one] == 0 || !can_be_author(authors[one], at, lineage, first) {
            return false;
        }
        left[one] -= 1;
        let dealt = can_be_dealt(rest, authors, at, lineage, left);
        left[one] += 1;
        dealt
    })
}

/// Whether all that a tail adds to the pin's rows can be these claims'.
fn is_explained(lineage: &Lineage, authors: &[&Claim], at: &TableRef) -> bool {
    let commits = visible_data(lineage);
    let mut left: Vec<usize> = authors.iter().map(|claim| capacity(claim, at, &commits)).collect();
    can_be_dealt(&commits, authors, at, lineage, &mut left)
}

/// What follows the newest restore of a tail, without maintenance.
fn visible_data(lineage: &Lineage) -> Vec<&Step> {
    let tail = lineage.tail();
    let restored = tail.iter().rposition(|step| matches!(step.kind, StepKind::Restore(_)));
    let visible = restored.map_or(tail, |at| &tail[at + 1..]);
    visible.iter().filter(|step| !changes_nothing(step)).collect()
}

fn present<'a>(world: &'a World, at: &TableRef) -> Option<&'a Lineage> {
    match world.0.tables.get(at)? {
        TableSeen::Present(lineage) => Some(lineage),
        _ => None,
    }
}

fn moves(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::RollForward | Verdict::RollBack | Verdict::AlreadyUndone)
}

/// Everything that must hold of the decisions about a world.
fn check(world: &World) -> Vec<Decision> {
    let decisions = world.decide();
    let told = || format!("{:?}\n{:#?}", decisions.iter().map(picture).collect::<Vec<_>>(), world.0);
    let decided: Vec<_> = decisions.iter().flat_map(|decision| &decision.operations).collect();
    assert_eq!(decided.len(), world.0.claims.len(), "each claim once: {}", told());
    assert_eq!(decided.iter().collect::<BTreeSet<_>>().len(), decided.len(), "{}", told());
    let mut with_data = BTreeSet::new();
    for decision in &decisions {
        let claims: Vec<&Claim> =
            world.0.claims.iter().filter(|claim| decision.operations.contains(claim.operation())).collect();
        assert!(moves(decision.verdict) || decision.tables.is_empty(), "{}", told());
        let named: BTreeSet<&TableRef> = decision.tables.iter().map(|plan| &plan.at).collect();
        assert_eq!(named.len(), decision.tables.len(), "a table twice: {}", told());
        for plan in &decision.tables {
            let lineage = present(world, &plan.at).expect("only what could be read is moved");
            check_plan(world, decision, &claims, plan, lineage);
            let data = !visible_data(lineage).is_empty();
            assert!(!data || with_data.insert(plan.at.clone()), "data moved by two decisions: {}", told());
        }
        for claim in &claims {
            assert!(claim.marker.is_none() || decision.verdict == Verdict::Finish);
            if moves(decision.verdict) {
                check_all_pins(world, decision, claim);
            }
        }
    }
    decisions
}

/// The conditions travel with the plan, and no rows are shown or hidden that nobody accounts for.
fn check_plan(world: &World, decision: &Decision, claims: &[&Claim], plan: &TablePlan, lineage: &Lineage) {
    let told = || format!("{}\n{:#?}", picture(decision), world.0);
    assert_eq!((plan.pin, &plan.pin_branch), (lineage.pin, &lineage.pin_branch), "{}", told());
    assert!(lineage.tail_is_whole(), "{}", told());
    let visible = visible_data(lineage);
    match plan.work {
        TableWork::Show { to } => {
            assert_eq!(decision.verdict, Verdict::RollForward, "{}", told());
            assert!(to == lineage.head && to > lineage.pin, "{}", told());
            assert!(
                !lineage.tail().iter().any(|step| matches!(step.kind, StepKind::Restore(_))),
                "{}",
                told()
            );
            assert!(is_explained(lineage, claims, &plan.at), "shown without an author: {}", told());
        }
        TableWork::ShowUndone { head } => {
            assert_ne!(decision.verdict, Verdict::RollForward, "{}", told());
            assert!(head == lineage.head && head > lineage.pin, "{}", told());
            assert!(visible.is_empty(), "{}", told());
            let restored = lineage.tail().iter().rev().find_map(|step| match step.kind {
                StepKind::Restore(to) => Some(to),
                _ => None,
            });
            let same = restored.is_none_or(|to| to == lineage.pin) || lineage.head_equals_pin;
            assert!(same, "another version's rows shown as the pin's: {}", told());
        }
        TableWork::Restore { head } => {
            assert_eq!((decision.verdict, head), (Verdict::RollBack, lineage.head), "{}", told());
            assert!(is_explained(lineage, claims, &plan.at), "hidden without an author: {}", told());
        }
    }
}

/// A claim that is moved is moved on every table where it may have left rows; forward only if it has them on all.
fn check_all_pins(world: &World, decision: &Decision, claim: &Claim) {
    let told = || format!("{}\n{:#?}", picture(decision), world.0);
    let maintenance = matches!(claim.sidecar.kind, WriterKind::EnsureIndices | WriterKind::Optimize);
    for pin in &claim.sidecar.pins {
        let at = TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
        let planned = decision.tables.iter().any(|plan| plan.at == at);
        let Some(lineage) = present(world, &at) else { continue };
        let proven = lineage
            .inner(pin.expected)
            .iter()
            .any(|step| step.operation.as_deref() == Some(claim.operation().as_str()));
        let visible = visible_data(lineage);
        let may = visible.iter().any(|step| can_be_author(claim, &at, lineage, step));
        assert!(planned || !may, "left out: {}", told());
        if decision.verdict == Verdict::RollForward && !maintenance {
            let began_here = pin.expected == lineage.pin && lineage.head > lineage.pin && planned;
            let shown = claim.sidecar.kind == WriterKind::SchemaApply && lineage.pin > pin.expected;
            assert!(began_here || proven || shown, "not whole: {}", told());
        }
    }
}

/// Every world of one claim on one table.
fn one_table(mut each: impl FnMut(World)) {
    for history in histories(&BEGINNINGS, &ALPHABET, 2) {
        for wreck in writers() {
            each(lone(wreck.clone(), &history));
            if history.contains("Restore") {
                each(lone(wreck, &format!("{history} =")));
            }
        }
        each(lone(load("A").pin("Person", 6), &history));
    }
}

/// Every world of one claim on two tables, of fewer steps.
fn two_tables(mut each: impl FnMut(World)) {
    let (long, short) = (histories(&FEW_BEGINNINGS, &FEW, 2), histories(&FEW_BEGINNINGS, &FEW, 1));
    for (person, company) in long.iter().flat_map(|one| short.iter().map(move |other| (one, other))) {
        for wreck in [load("A"), merge("A"), ensure_indices("A"), schema_apply("A")] {
            let mut wreck = wreck.pin("Person", 5).pin("Company", 5);
            if wreck.0.sidecar.kind == WriterKind::BranchMerge {
                wreck.0.sidecar.pins.iter_mut().for_each(|pin| pin.confirmed = Some(Version(6)));
            }
            each(world().table("Person", person).table("Company", company).claim(wreck));
        }
    }
}

/// Worlds of two claims that share a table, the first with a table of its own.
fn two_claims(mut each: impl FnMut(World)) {
    let first = [
        load("A").pin("Person", 5),
        mutation("A").pin("Person", 5).promising(7),
        merge("A").pin("Person", 5),
        merge("A").pin("Person", 5).confirmed(6),
        schema_apply("A").pin("Person", 5),
        ensure_indices("A").pin("Person", 5),
    ];
    let second = [load("B"), merge("B"), schema_apply("B"), optimize("B")];
    for shared in histories(&FEW_BEGINNINGS, &FEW, 2) {
        for own in ["5 |", "5 | Append@5", "5 Append@5 |"] {
            let tables = world().table("Person", &shared).table("Company", own);
            for (one, other) in first.iter().flat_map(|one| second.iter().map(move |other| (one, other))) {
                let one = one.clone().pin("Company", 5);
                each(tables.clone().claim(one).claim(other.clone().pin("Person", 5)));
            }
        }
    }
}

#[test]
fn every_decision_keeps_to_what_was_seen_and_explained() {
    let mut worlds = 0;
    let mut each = |world: World| {
        check(&world);
        worlds += 1;
    };
    one_table(&mut each);
    two_tables(&mut each);
    two_claims(&mut each);
    assert!(worlds > 40_000, "{worlds}");
}

#[test]
fn an_unreadable_table_never_lets_its_claim_move_anything() {
    let unreadable = |mut world: World| {
        let table = TableKey::parse("node:Locked").unwrap();
        let claim = &mut world.0.claims[0].sidecar;
        let pin = Pin { table, ..claim.pins[0].clone() };
        claim.pins.push(pin);
        let operation = world.0.claims[0].operation().clone();
        for decision in world.unreadable("Locked").decide() {
            if decision.operations.contains(&operation) {
                assert_eq!(decision.verdict, Verdict::Hold, "{}", picture(&decision));
            }
        }
    };
    one_table(unreadable);
    two_claims(unreadable);
}

#[test]
fn a_marker_and_an_orphan_never_move_a_table() {
    one_table(|mut world| {
        world.0.claims[0].branch = BranchSeen::Younger;
        assert_eq!(world.verdicts(), ["A discard_orphan"]);
        world.0.claims[0].marker = Some(marker(Verdict::RollBack));
        assert_eq!(world.verdicts(), ["A finish"]);
    });
}

#[test]
fn the_order_of_claims_does_not_matter() {
    let sorted = |world: &World| {
        let mut decisions: Vec<_> = world
            .decide()
            .into_iter()
            .map(|mut decision| {
                decision.operations.sort();
                decision.tables.sort_by(|one, other| one.at.cmp(&other.at));
                format!("{} {:?} {:?}", picture(&decision), decision.timing, decision.schema)
            })
            .collect();
        decisions.sort();
        decisions
    };
    two_claims(|mut world| {
        let forwards = sorted(&world);
        world.0.claims.reverse();
        assert_eq!(forwards, sorted(&world));
    });
}

#[test]
fn nothing_is_undone_without_a_window_and_nothing_unguarded_by_the_calendar() {
    let each = |world: World| {
        for window in [None, Some(Window::Schedule)] {
            for decision in world.decide_in(window) {
                let unguarded = decision.schema.as_ref().is_some_and(|work| {
                    work.unlock || !work.promote.is_empty() || !work.remove_datasets.is_empty()
                });
                let undoes = decision.verdict == Verdict::RollBack && window.is_none();
                let now = decision.timing == Timing::Now;
                assert!(!(now && (undoes || unguarded)), "{window:?} {}", picture(&decision));
                assert!(!now || decision.verdict != Verdict::Hold);
            }
        }
    };
    one_table(each);
    two_claims(each);
}

#[test]
fn settling_what_moves_no_table_changes_nothing_for_the_others() {
    two_claims(|world| {
        let decisions = world.decide();
        let [one, other] = &decisions[..] else { return };
        for (settled, left) in [(one, other), (other, one)] {
            if settled.verdict == Verdict::Hold || !settled.tables.is_empty() {
                continue;
            }
            let mut rest = world.clone();
            rest.0.claims.retain(|claim| left.operations.contains(claim.operation()));
            assert_eq!(rest.verdicts(), [picture(left)], "{:#?}", world.0);
        }
    });
}
