//! Rows 7 to 9: what the history between E and P tells of a commit that has left nothing above the pins.

use super::world::*;
use crate::model::sidecar::WriterKind;

fn both(expected: u64, history: &str, picture: &str) {
    for kind in [WriterKind::Mutation, WriterKind::Load] {
        let wreck = of_kind(kind, "A").pin("Person", expected);
        assert_eq!(lone(wreck.clone(), history).verdicts(), [picture], "{kind:?} {history}");
        assert_eq!(lone(wreck.v1(), history).verdicts(), [picture], "{kind:?} {history}, format 1");
    }
}

fn two(person: &str, company: &str) -> World {
    world()
        .table("Person", person)
        .table("Company", company)
        .claim(load("A").pin("Person", 5).pin("Company", 9))
}

#[test]
fn a_commit_between_the_expected_and_the_shown_version_is_published() {
    both(5, "5 Append@5 |", "A already_published");
    both(5, "5 Append@5 CreateIndex CreateIndex |", "A already_published");
    both(5, "5 Append@5 Update@6 Delete@7 |", "A already_published");
    assert_eq!(two("5 Append@5 |", "9 Update@9 CreateIndex |").verdicts(), ["A already_published"]);
}

#[test]
fn maintenance_above_a_published_commit_changes_nothing() {
    both(5, "5 Append@5 | CreateIndex", "A already_published");
    assert_eq!(
        two("5 Append@5 |", "9 Update@9 | ReserveFragments Rewrite").verdicts(),
        ["A already_published"]
    );
}

#[test]
fn somebody_elses_history_is_no_commit_of_this_operation() {
    both(5, "5 |", "A nothing_to_do");
    both(5, "5 Rewrite |", "A nothing_to_do");
    both(5, "5 Rewrite Append@6 |", "A nothing_to_do");
    // Past the version that it promised.
    both(5, "5 Append@5#B Append@5 |", "A nothing_to_do");
    both(5, "5 Append@5#B |", "A nothing_to_do");
}

#[test]
fn maintenance_below_a_published_commit_only_moved_its_version_on() {
    both(5, "5 Rewrite Append@5 |", "A already_published");
    both(5, "5 CreateIndex EmptyDelete Append@5 Rewrite |", "A already_published");
}

#[test]
fn a_gap_between_the_expected_and_the_shown_version_is_held() {
    both(5, "5 ? |", "A hold");
    both(5, "5 Append@5 ? |", "A hold");
    both(5, "5 ? Append@5 | CreateIndex", "A hold");
    both(6, "5 ? Rewrite |", "A nothing_to_do");
}

#[test]
fn a_restore_below_a_published_commit_took_it_back() {
    both(5, "5 Append@5 Restore(5) |", "A rolled_back_since");
    both(5, "5 Append@5 Update Restore(3) |", "A rolled_back_since");
    assert_eq!(two("5 Append@5 Restore(5) |", "9 |").verdicts(), ["A rolled_back_since"]);
}

#[test]
fn a_restore_at_or_above_a_published_commit_left_it() {
    both(5, "5 Append@5 Update Restore(6) |", "A already_published");
    both(5, "5 Append@5 Restore(5) Restore(6) |", "A already_published");
}

#[test]
fn a_restore_is_followed_down_to_what_it_is_made_of() {
    // Version 9 is version 8, which was made on 5: the commit 6 is in neither.
    both(5, "5 Append@5 Restore(5) Append@7 Restore(8) |", "A rolled_back_since");
}

#[test]
fn a_commit_shown_on_some_tables_only_is_held() {
    let world = two("5 Append@5 |", "9 |");
    assert_eq!(world.verdicts(), ["A hold"]);
    assert_eq!(
        world.reasons(),
        ["the graph shows what may be its commit on node:Person but not on node:Company"]
    );
    assert_eq!(two("5 Append@5 |", "9 Update@9 Restore(9) |").verdicts(), ["A hold"]);
    assert_eq!(two("5 Append@5 |", "9 | Update@9 Restore(9)").verdicts(), ["A hold"]);
}

#[test]
fn foreign_rows_above_a_published_commit_are_held() {
    both(5, "5 Append@5 | Append@6", "A hold");
    both(5, "5 Append@5 | CreateIndex Update@7", "A hold");
    both(5, "5 Append@5#A | Append@6#B", "A hold");
}

#[test]
fn foreign_rows_on_the_tables_that_do_not_show_the_commit_are_held_by_name() {
    for person in ["5 Append@5 |", "5 Append@5#A |"] {
        let world = two(person, "9 | Append@9 Append@10");
        assert_eq!(world.verdicts(), ["A hold"]);
        let reason = "node:Company has commits that nothing explains: 10 Append, 11 Append";
        assert_eq!(world.reasons(), [reason]);
    }
}

#[test]
fn a_commit_shown_on_some_tables_is_not_finished_on_the_others_by_plausibility() {
    // The writer died after Company; another one has written Person since.
    assert_eq!(two("5 Append@5 |", "9 | Update@9").verdicts(), ["A hold"]);
    assert_eq!(two("5 Append@5#A |", "9 | Update@9").verdicts(), ["A roll_forward: Company shows 10"]);
    assert_eq!(two("5 Append@5 |", "9 | Update@9#A").verdicts(), ["A hold"]);
}

#[test]
fn a_commit_proven_on_one_table_and_not_ready_on_another_is_held() {
    assert_eq!(two("5 Append@5#A |", "9 |").verdicts(), ["A hold"]);
    assert_eq!(two("5 Append@5#A |", "9 Update@9 | Update@9#A").verdicts(), ["A hold"]);
}

#[test]
fn finishing_a_half_shown_commit_never_shows_a_restore_by_somebody_else() {
    let world = two("5 Append@5#A | Append@6 Restore(4)", "9 | Update@9#A");
    assert_eq!(world.verdicts(), ["A roll_forward: Company shows 10"]);
}

#[test]
fn later_commits_of_others_do_not_spoil_the_proof() {
    assert_eq!(
        two("5 Append@5#A Update@6 |", "9 | Update@9#A").verdicts(),
        ["A roll_forward: Company shows 10"]
    );
}

#[test]
fn our_own_restore_names_the_operation_but_proves_no_commit() {
    assert_eq!(two("5 Append@5 Update@6 Restore(6)#A |", "9 | Update@9").verdicts(), ["A hold"]);
    assert_eq!(two("5 Restore(5)#A |", "9 Restore(9)#A |").verdicts(), ["A nothing_to_do"]);
}

#[test]
fn a_commit_of_which_a_restore_left_a_part_is_held() {
    both(5, "5 Append@5#A Append@6#A Restore(6) |", "A hold");
    both(5, "5 Append@5#A Append@6#A Restore(5) |", "A rolled_back_since");
    both(5, "5 Append@5#A Append@6#A Restore(7) |", "A already_published");
}

#[test]
fn a_delete_of_nothing_above_a_published_commit_changes_nothing() {
    both(5, "5 Append@5 | EmptyDelete@5", "A already_published");
    both(5, "5 Append@6 | EmptyDelete@5", "A nothing_to_do");
}
