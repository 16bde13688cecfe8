//! Restores in a tail: undone, undone to the wrong version, and what lies above or below them.

use super::world::*;
use crate::model::audit::Verdict;
use crate::model::sidecar::WriterKind;

fn tail(history: &str) -> String {
    lone(load("A").pin("Person", 5), history).verdicts().remove(0)
}

fn two(person: &str, company: &str) -> World {
    world()
        .table("Person", person)
        .table("Company", company)
        .claim(load("A").pin("Person", 5).pin("Company", 9))
}

#[test]
fn a_restore_to_the_shown_version_is_shown_without_another_one() {
    assert_eq!(tail("5 | Append@5 Restore(5)"), "A already_undone: Person shows 5 undone at 7");
    assert_eq!(tail("5 | Restore(5)"), "A already_undone: Person shows 5 undone at 6");
    assert_eq!(tail("5 | Append@5 Restore(5) Restore(5)"), "A already_undone: Person shows 5 undone at 8");
}

#[test]
fn a_restore_of_any_version_with_the_shown_rows_counts() {
    assert_eq!(tail("5 | Append@5 Restore(4) ="), "A already_undone: Person shows 5 undone at 7");
}

#[test]
fn an_index_build_or_compaction_after_the_restore_changes_nothing() {
    assert_eq!(tail("5 | Append@5 Restore(5) CreateIndex"), "A already_undone: Person shows 5 undone at 8");
    assert_eq!(
        tail("5 | Append@5 Restore(5) ReserveFragments Rewrite"),
        "A already_undone: Person shows 5 undone at 9"
    );
}

#[test]
fn a_restore_to_another_version_is_undone_again() {
    assert_eq!(tail("5 | Append@5 Restore(4)"), "A roll_back: Person restores 5 over 7");
    assert_eq!(tail("5 | Append@5 Append@6 Restore(6)"), "A roll_back: Person restores 5 over 8");
    assert_eq!(tail("5 Append@5 | Update@5 Restore(5)"), "A roll_back: Person restores 6 over 8");
}

#[test]
fn only_the_newest_restore_counts() {
    assert_eq!(tail("5 | Append@5 Restore(4) Restore(5)"), "A already_undone: Person shows 5 undone at 8");
    assert_eq!(tail("5 | Append@5 Restore(5) Restore(4)"), "A roll_back: Person restores 5 over 8");
}

#[test]
fn what_lies_below_a_restore_is_hidden_whoever_wrote_it() {
    assert_eq!(tail("5 | Truncate Append@6 Restore(5)"), "A already_undone: Person shows 5 undone at 8");
}

#[test]
fn a_late_commit_above_a_restore_is_undone() {
    assert_eq!(tail("5 | Restore(5) Overwrite@5"), "A roll_back: Person restores 5 over 7");
    assert_eq!(
        tail("5 | Append@5 Restore(5) Overwrite@5 CreateIndex"),
        "A roll_back: Person restores 5 over 9"
    );
}

#[test]
fn unexplained_content_above_a_restore_is_held() {
    assert_eq!(tail("5 | Append@5 Restore(5) Append@7"), "A hold");
    assert_eq!(tail("5 | Append@5 Restore(5) Truncate"), "A hold");
    assert_eq!(tail("5 | Restore(5) Overwrite@5 Append@5"), "A hold");
}

#[test]
fn undone_and_unmoved_tables_together_are_undone() {
    assert_eq!(
        two("5 | Append@5 Restore(5)", "9 |").verdicts(),
        ["A already_undone: Person shows 5 undone at 7"]
    );
    assert_eq!(
        two("5 | Append@5 Restore(5)", "9 | CreateIndex").verdicts(),
        ["A already_undone: Person shows 5 undone at 7, Company shows 9 undone at 10"]
    );
    assert_eq!(
        two("5 | Append@5 Restore(5)", "9 Update@9 Restore(9) |").verdicts(),
        ["A already_undone: Person shows 5 undone at 7"]
    );
    let missing = world()
        .fork("Person", "feature", "5 | Append@5 Restore(5)")
        .missing("Company", "feature", 9, false)
        .claim(load("A").on("feature").pin("Person", 5).pin("Company", 9));
    assert_eq!(missing.verdicts(), ["A already_undone: Person shows 5 undone at 7"]);
}

#[test]
fn a_half_done_undoing_is_finished_without_restoring_twice() {
    assert_eq!(
        two("5 | Append@5 Restore(5)", "9 | Update@9").verdicts(),
        ["A roll_back: Person shows 5 undone at 7, Company restores 9 over 10"]
    );
    assert_eq!(
        two("5 | Append@5 Restore(5)", "9 | Update@9 Restore(8)").verdicts(),
        ["A roll_back: Person shows 5 undone at 7, Company restores 9 over 11"]
    );
}

#[test]
fn the_undoing_of_a_later_operation_does_not_touch_a_published_one() {
    assert_eq!(tail("5 Append@5 | Update@6 Restore(6)"), "A already_published");
    // Here the hidden commit may be this operation's own.
    assert_eq!(tail("5 Append@5 | Update@5 Restore(6)"), "A already_undone: Person shows 6 undone at 8");
}

#[test]
fn a_restore_to_the_wrong_version_is_never_shown_as_undone() {
    // Person was taken back long since; above it lies somebody's restore to something else.
    let world = two("5 Append@5 Restore(5) | Update@7 Restore(3)", "9 | Update@9 Restore(9)");
    assert_eq!(world.verdicts(), ["A already_undone: Company shows 9 undone at 11"]);
}

#[test]
fn every_kind_of_writer_can_be_undone() {
    for kind in WriterKind::ALL {
        let world = lone(of_kind(kind, "A").pin("Person", 5), "5 | CreateIndex Restore(5)");
        let expected = match kind {
            WriterKind::SchemaApply => Verdict::RollBack,
            _ => Verdict::AlreadyUndone,
        };
        assert_eq!(verdict(&world), expected, "{kind:?}");
        assert_eq!(world.decide()[0].tables.len(), 1);
        assert!(world.verdicts()[0].ends_with("Person shows 5 undone at 7"), "{kind:?}");
    }
}
