//! Native repositories, where every commit names its operation: nothing else is anybody's, and its writer may undo what is its own.

use super::world::*;
use crate::model::audit::Verdict;
use crate::passes::recovery::decide::own::{Own, own, own_late};
use crate::passes::recovery::observation::{Claim, Component};

fn native(name: &str) -> Wreck {
    let mut wreck = mutation(name);
    wreck.0.sidecar.names_commits = true;
    wreck
}

/// What the writer of the only claim does about it.
fn ended(world: &World, by: fn(&Component, &Claim) -> Own) -> String {
    match by(&world.0, &world.0.claims[0]) {
        Own::Untouched => "untouched".into(),
        Own::Leave(why) => format!("leaves it: {why}"),
        Own::Settle(decision) => picture(&decision),
    }
}

#[test]
fn a_commit_that_does_not_name_the_operation_is_nobodys() {
    for history in ["5 | Append@5", "5 | Update#B", "5 | Append#A Append@5"] {
        assert_eq!(lone(native("A").pin("Person", 5), history).verdicts(), ["A hold"], "{history}");
    }
    let named = lone(native("A").pin("Person", 5), "5 | Append#A CreateIndex");
    assert_eq!(named.verdicts(), ["A roll_forward: Person shows 7"]);
}

#[test]
fn a_commit_below_the_shown_version_counts_only_by_its_name() {
    let shown = lone(native("A").pin("Person", 5), "5 Append@5 |");
    assert_eq!(shown.verdicts(), ["A nothing_to_do"]);
    let shown = lone(native("A").pin("Person", 5), "5 Append#A |");
    assert_eq!(shown.verdicts(), ["A already_published"]);
}

#[test]
fn a_delete_of_nothing_is_no_proof() {
    assert_eq!(verdict(&lone(native("A").pin("Person", 5), "5 | EmptyDelete@5")), Verdict::NothingToDo);
}

#[test]
fn a_merge_needs_no_confirmation_where_its_commits_name_it() {
    let mut wreck = merge("A").pin("Person", 5).pin("Company", 3);
    wreck.0.sidecar.names_commits = true;
    let both = world().table("Person", "5 | Update#A").table("Company", "3 | Append#A");
    assert_eq!(both.claim(wreck.clone()).verdicts(), ["A roll_forward: Person shows 6, Company shows 4"]);
    let half = world().table("Person", "5 | Update#A").table("Company", "3 |");
    assert_eq!(
        half.claim(wreck).verdicts(),
        ["A roll_back: Person restores 5 over 6, Company restores 3 over 3"]
    );
}

#[test]
fn whoever_only_names_a_table_does_not_undo_the_commit_that_another_has_made_there() {
    let world = world()
        .table("Person", "5 | Update#A")
        .table("Company", "3 | Update#B")
        .claim(native("A").pin("Person", 5).pin("Company", 3))
        .claim(native("B").pin("Company", 3));
    let decided = world.verdicts();
    assert_eq!(decided, ["A roll_back: Person restores 5 over 6", "B roll_forward: Company shows 4"]);
}

#[test]
fn two_that_have_committed_to_one_table_are_judged_together() {
    let world = world()
        .table("Person", "5 | Update#A Update#B")
        .table("Company", "3 |")
        .claim(native("A").pin("Person", 5).pin("Company", 3))
        .claim(native("B").pin("Person", 5));
    assert_eq!(world.verdicts(), ["A+B roll_back: Company restores 3 over 3, Person restores 5 over 7"]);
}

#[test]
fn a_writer_undoes_the_tables_that_it_has_moved_and_no_others() {
    let half = world()
        .table("Person", "5 | Update#A")
        .table("Company", "3 |")
        .missing("Doc", MAIN, 2, false)
        .claim(native("A").pin("Person", 5).pin("Company", 3).pin("Doc", 2));
    assert_eq!(ended(&half, own), "A roll_back: Person restores 5 over 6");
    let crowded = world()
        .table("Person", "5 | Update#A")
        .table("Company", "3 | Update#B")
        .claim(native("A").pin("Person", 5).pin("Company", 3));
    assert_eq!(ended(&crowded, own), "A roll_back: Person restores 5 over 6");
    let again = world()
        .table("Person", "5 | Update#A Restore(5)#A")
        .table("Company", "3 |")
        .claim(native("A").pin("Person", 5).pin("Company", 3));
    assert_eq!(ended(&again, own), "A roll_back: Person shows 5 undone at 7");
}

#[test]
fn a_writer_whose_tables_have_all_moved_undoes_nothing() {
    let whole = lone(native("A").pin("Person", 5), "5 | Update#A");
    assert_eq!(ended(&whole, own), "leaves it: every table has moved: it is to be shown");
}

#[test]
fn a_writer_leaves_what_is_not_its_own_alone() {
    assert_eq!(ended(&lone(native("A").pin("Person", 5), "5 |"), own), "untouched");
    assert_eq!(ended(&lone(native("A").pin("Person", 5), "5 | Update#B"), own), "untouched");
    for history in ["5 | Update#A Append@6", "5 | ? Update#A"] {
        let world = lone(native("A").pin("Person", 5).pin("Company", 3), history).table("Company", "3 |");
        assert!(ended(&world, own).starts_with("leaves it: node:Person"), "{history}");
    }
    let unread = world().unreadable("Person").claim(native("A").pin("Person", 5));
    assert!(ended(&unread, own).starts_with("leaves it"));
}

#[test]
fn what_moved_after_a_recovery_had_ended_the_operation_is_undone_however_complete() {
    let late = native("A").pin("Person", 5).settled(Verdict::NothingToDo);
    assert_eq!(ended(&lone(late.clone(), "5 | Update#A"), own), "A finish");
    assert_eq!(ended(&lone(late.clone(), "5 | Update#A"), own_late), "roll_back: Person restores 5 over 6");
    assert_eq!(ended(&lone(late, "5 |"), own_late), "untouched");
}
