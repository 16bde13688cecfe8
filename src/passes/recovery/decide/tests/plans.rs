//! Plans as people and other programs see them.

use super::world::*;
use crate::model::Version;
use crate::passes::recovery::decide::{Decision, Timing, table_moves};
use std::time::Duration;

const HALF_UNDONE: (&str, &str) = ("5 | Append@5 Restore(5)", "9 | Update@9");

fn half_undone() -> Decision {
    let (person, company) = HALF_UNDONE;
    let wreck = load("A").pin("Person", 5).pin("Company", 9);
    world().table("Person", person).table("Company", company).claim(wreck).decide().remove(0)
}

#[test]
fn a_table_is_told_with_the_version_before_and_after() {
    let moves = |decision: &Decision| -> Vec<_> {
        let told = table_moves(decision).into_iter();
        told.map(|(table, _, before, after)| (table.to_string(), before.0, after.0)).collect()
    };
    // Shown undone at its head; restored as the version after its head.
    assert_eq!(moves(&half_undone()), [("node:Person".into(), 5, 7), ("node:Company".into(), 9, 11)]);
    let forward = lone(load("A").pin("Person", 5), "5 | Append@5 CreateIndex").decide().remove(0);
    assert_eq!(moves(&forward), [("node:Person".into(), 5, 7)]);
}

#[test]
fn a_plan_says_table_condition_and_work_in_one_object() {
    let told = serde_json::to_value(&half_undone().tables).unwrap();
    let expected = serde_json::json!([
        {"table": "node:Person", "branch": null, "pin": 5, "pin_branch": null, "work": "show_undone", "head": 7},
        {"table": "node:Company", "branch": null, "pin": 9, "pin_branch": null, "work": "restore", "head": 10},
    ]);
    assert_eq!(told, expected);
}

#[test]
fn a_decision_is_read_back_as_it_was_written() {
    let grace = |left| Timing::Grace { left };
    for timing in [
        Timing::Now,
        grace(None),
        grace(Some(Duration::from_secs(90))),
        Timing::Window,
        Timing::ManualWindow,
        Timing::Person,
    ] {
        let decision = Decision { timing, ..half_undone() };
        let text = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision, "{text}");
    }
    let change = schema_apply("A").pin("Person", 5).creating("Tag");
    let decision = lone(change, "5 |").decide().remove(0);
    let text = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
}

#[test]
fn a_wait_is_told_in_whole_seconds() {
    let left = Some(Duration::from_millis(90_900));
    assert_eq!(
        serde_json::to_value(Timing::Grace { left }).unwrap(),
        serde_json::json!({"when": "grace", "left": 90})
    );
}

#[test]
fn a_branch_rides_with_the_table_and_with_what_is_shown_of_it() {
    let world = world()
        .unplaced_fork("Person", "feature", "5 | Append@5")
        .claim(load("A").on("feature").pin("Person", 5));
    let told = table_moves(&world.decide()[0]);
    assert_eq!(told, [(key("Person"), branch("feature"), Version(5), Version(6))]);
}
