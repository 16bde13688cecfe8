//! Rows 6, 8, 10 and 11 for mutations and loads: what counts as one complete commit, and what becomes of the rest.

use super::world::*;
use crate::model::audit::Verdict;
use crate::model::sidecar::WriterKind;

/// Both kinds in both formats, each with a pin on Person.
fn writers(expected: u64) -> Vec<Wreck> {
    let of = |kind| of_kind(kind, "A").pin("Person", expected);
    let two = [of(WriterKind::Mutation), of(WriterKind::Load)];
    two.clone().into_iter().chain(two.into_iter().map(Wreck::v1)).collect()
}

/// The decision for every such writer, in the given world besides.
fn always(world: &World, expected: u64, picture: &str) {
    for wreck in writers(expected) {
        let kind = wreck.0.sidecar.kind;
        assert_eq!(world.clone().claim(wreck).verdicts(), [picture], "{kind:?}");
    }
}

fn person(history: &str) -> World {
    world().table("Person", history)
}

#[test]
fn one_commit_is_kept_whatever_it_did_to_the_rows() {
    for commit in ["Append", "Update", "Delete", "Overwrite"] {
        always(&person(&format!("5 | {commit}@5")), 5, "A roll_forward: Person shows 6");
    }
}

#[test]
fn a_complete_first_load_with_index_builds_is_kept() {
    always(&person("1 | Update@1 CreateIndex CreateIndex"), 1, "A roll_forward: Person shows 4");
    always(&person("1 | Overwrite@1 CreateIndex"), 1, "A roll_forward: Person shows 3");
}

#[test]
fn a_commit_staged_before_the_shown_version_is_kept() {
    always(&person("5 | Append@3"), 5, "A roll_forward: Person shows 6");
}

#[test]
fn a_commit_staged_after_the_writer_began_is_not_its_own() {
    always(&person("5 | Rewrite Append@6"), 5, "A hold");
    always(&person("5 | Rewrite Append@5"), 5, "A roll_forward: Person shows 7");
}

#[test]
fn maintenance_is_looked_through_wherever_it_lies() {
    let history = "5 | ReserveFragments Rewrite Append@5 UpdateConfig CreateIndex";
    always(&person(history), 5, "A roll_forward: Person shows 10");
}

#[test]
fn more_data_than_one_commit_is_held() {
    for history in ["5 | Append@5 Append@5", "5 | Update@5 CreateIndex Append@5", "5 | Append@5 Delete@6"] {
        always(&person(history), 5, "A hold");
    }
}

#[test]
fn a_commit_of_an_unknown_kind_is_held() {
    always(&person("5 | Truncate"), 5, "A hold");
    always(&person("5 | Append@5 Project"), 5, "A hold");
}

#[test]
fn a_commit_on_every_table_is_kept_and_all_are_shown_together() {
    for wreck in writers(5) {
        let world = person("5 | Append@5")
            .table("Company", "9 | Update@9 CreateIndex")
            .claim(wreck.pin("Company", 9));
        assert_eq!(world.verdicts(), ["A roll_forward: Person shows 6, Company shows 11"]);
        let tails = "node:Person 6 Append; node:Company 10 Update, 11 CreateIndex";
        assert_eq!(world.reasons(), [format!("every commit is complete: {tails}")]);
    }
}

#[test]
fn a_commit_on_some_tables_is_undone_on_all_of_them() {
    for wreck in writers(5) {
        let world = person("5 | Append@5").table("Company", "9 |").claim(wreck.pin("Company", 9));
        assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6, Company restores 9 over 9"]);
        assert_eq!(world.reasons(), ["only some tables moved: node:Person 6 Append; not node:Company"]);
    }
}

#[test]
fn maintenance_on_the_other_tables_does_not_complete_a_commit() {
    for wreck in writers(5) {
        let world = person("5 | Append@5").table("Company", "9 | CreateIndex").claim(wreck.pin("Company", 9));
        assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6, Company restores 9 over 10"]);
    }
}

#[test]
fn a_missing_fork_beside_a_commit_leaves_nothing_there_to_restore() {
    let wreck = load("A").on("feature").pin("Person", 5).pin("Company", 9);
    let world = world()
        .fork("Person", "feature", "5 | Append@5")
        .missing("Company", "feature", 9, false)
        .claim(wreck);
    assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6"]);
}

#[test]
fn a_commit_under_which_the_pin_moved_is_undone_down_to_the_new_pin() {
    always(&person("5 Append@5 | Append@5"), 5, "A roll_back: Person restores 6 over 7");
    for wreck in writers(5) {
        let world =
            person("5 | Append@5").table("Company", "9 Update@9 | Append@9").claim(wreck.pin("Company", 9));
        assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6, Company restores 10 over 11"]);
    }
}

#[test]
fn unexplained_content_on_one_table_holds_the_whole_commit() {
    for wreck in writers(5) {
        let world =
            person("5 | Append@5").table("Company", "9 | Append@9 Append@10").claim(wreck.pin("Company", 9));
        assert_eq!(world.verdicts(), ["A hold"]);
        assert!(world.reasons()[0].contains("node:Company"), "{:?}", world.reasons());
    }
}

#[test]
fn no_commit_on_any_table_is_nothing_to_do() {
    for wreck in writers(5) {
        let world = person("5 |").table("Company", "9 | CreateIndex").claim(wreck.pin("Company", 9));
        assert_eq!(world.verdicts(), ["A nothing_to_do"]);
    }
    for kind in [WriterKind::Mutation, WriterKind::Load, WriterKind::BranchMerge, WriterKind::Optimize] {
        assert_eq!(
            world().claim(of_kind(kind, "A")).verdicts(),
            ["A nothing_to_do"],
            "a sidecar without pins"
        );
    }
}

mod inline_deletes {
    use super::*;

    fn deletes(history: &str) -> String {
        lone(mutation("A").pin("Person", 5).promising(8), history).verdicts().remove(0)
    }

    #[test]
    fn several_deletes_up_to_the_promised_version_are_one_commit() {
        assert_eq!(deletes("5 | Delete Delete Delete"), "A roll_forward: Person shows 8");
        assert_eq!(deletes("5 | Delete EmptyDelete Delete"), "A roll_forward: Person shows 8");
        assert_eq!(deletes("5 | EmptyDelete EmptyDelete Delete"), "A roll_forward: Person shows 8");
    }

    #[test]
    fn a_trailing_delete_of_nothing_that_no_sidecar_records_is_kept_with_them() {
        assert_eq!(deletes("5 | Delete Delete Delete EmptyDelete"), "A roll_forward: Person shows 9");
        assert_eq!(deletes("5 | Delete Delete Delete CreateIndex"), "A roll_forward: Person shows 9");
    }

    #[test]
    fn a_delete_beyond_the_promised_version_is_somebody_elses() {
        assert_eq!(deletes("5 | Delete Delete Delete Delete"), "A hold");
    }

    #[test]
    fn anything_but_deletes_among_them_is_somebody_elses() {
        assert_eq!(deletes("5 | Delete Append@5 Delete"), "A hold");
        assert_eq!(deletes("5 | Overwrite@5 Delete Delete"), "A hold");
    }

    #[test]
    fn deletes_of_which_the_graph_shows_the_first_are_held() {
        assert_eq!(deletes("5 Delete | Delete Delete"), "A hold");
    }

    #[test]
    fn without_the_promise_there_is_one_delete_only() {
        assert_eq!(lone(mutation("A").pin("Person", 5), "5 | Delete Delete").verdicts(), ["A hold"]);
    }

    #[test]
    fn deletes_on_one_table_of_two_are_undone_on_both() {
        let wreck = mutation("A").pin("Person", 5).promising(7).pin("Knows", 3);
        let world = person("5 | Delete Delete").table("Knows", "3 |").claim(wreck);
        assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 7, Knows restores 3 over 3"]);
    }
}

mod deletes_of_nothing {
    use super::*;

    #[test]
    fn alone_they_are_the_whole_commit() {
        always(&person("5 | EmptyDelete@5"), 5, "A roll_forward: Person shows 6");
        always(&person("5 | CreateIndex EmptyDelete@5"), 5, "A roll_forward: Person shows 7");
        always(&person("5 | CreateIndex EmptyDelete@6"), 5, "A nothing_to_do");
    }

    #[test]
    fn beside_a_real_commit_they_complete_it() {
        let world = person("5 | EmptyDelete@5").table("Knows", "3 | Delete@3");
        for wreck in writers(5) {
            let world = world.clone().claim(wreck.pin("Knows", 3));
            assert_eq!(world.verdicts(), ["A roll_forward: Person shows 6, Knows shows 4"]);
        }
    }

    #[test]
    fn beside_a_table_that_did_not_move_they_leave_nothing_to_undo() {
        let world = person("5 | EmptyDelete@5").table("Knows", "3 |");
        for wreck in writers(5) {
            assert_eq!(world.clone().claim(wreck.pin("Knows", 3)).verdicts(), ["A nothing_to_do"]);
        }
    }
}

mod forks {
    use super::*;

    #[test]
    fn a_commit_on_a_fork_that_is_not_shown_yet_is_shown_with_it() {
        let world = world()
            .unplaced_fork("Person", "feature", "5 | Append@5")
            .claim(load("A").on("feature").pin("Person", 5));
        assert_eq!(world.verdicts(), ["A roll_forward: Person shows 6"]);
        let plan = &world.decide()[0].tables[0];
        assert_eq!((plan.at.branch.name(), plan.pin_branch.name()), (Some("feature"), None));
    }

    #[test]
    fn a_fork_without_a_commit_is_nothing_to_do() {
        let world =
            world().unplaced_fork("Person", "feature", "5 |").claim(load("A").on("feature").pin("Person", 5));
        assert_eq!(world.verdicts(), ["A nothing_to_do"]);
    }

    #[test]
    fn what_the_parent_shows_is_no_commit_of_the_branch() {
        let world = world()
            .unplaced_fork("Person", "feature", "5 Append@5 |")
            .claim(load("A").on("feature").pin("Person", 5));
        assert_eq!(world.verdicts(), ["A nothing_to_do"]);
    }

    #[test]
    fn a_fork_that_does_not_exist_is_nothing_to_do_unless_the_graph_shows_it() {
        let wreck = load("A").on("feature").pin("Person", 5);
        let unplaced = world().missing("Person", "feature", 5, false).claim(wreck.clone());
        assert_eq!(unplaced.verdicts(), ["A nothing_to_do"]);
        assert!(unplaced.reasons()[0].contains("branch feature of Person does not exist"));
        assert_eq!(world().missing("Person", "feature", 5, true).claim(wreck).verdicts(), ["A hold"]);
    }
}

mod operation_property {
    use super::*;

    #[test]
    fn commits_that_name_the_operation_are_its_own_however_many_and_wherever_staged() {
        always(&person("5 | Append@5#A Update@6#A Overwrite@7#A"), 5, "A roll_forward: Person shows 8");
    }

    #[test]
    fn index_builds_without_a_name_follow_a_named_commit() {
        always(&person("5 | Append@5#A CreateIndex"), 5, "A roll_forward: Person shows 7");
    }

    #[test]
    fn a_commit_that_names_another_operation_is_foreign_whatever_its_shape() {
        always(&person("5 | Append@5#B"), 5, "A hold");
        always(&person("5 | Append@5#A Update@6#B"), 5, "A hold");
        always(&person("5 | Append@5#A Update@5"), 5, "A hold");
    }

    #[test]
    fn who_names_one_commit_names_all() {
        let unnamed = merge("A").pin("Person", 5).confirmed(7);
        assert_eq!(
            lone(unnamed.clone(), "5 | Append@5 Update").verdicts(),
            ["A roll_forward: Person shows 7"]
        );
        assert_eq!(
            lone(unnamed.clone(), "5 | Append@5#A Update#A").verdicts(),
            ["A roll_forward: Person shows 7"]
        );
        assert_eq!(lone(unnamed, "5 | Append@5#A Update").verdicts(), ["A hold"]);
    }

    #[test]
    fn a_name_does_not_make_a_kind_of_commit_that_its_writer_never_makes() {
        assert_eq!(lone(merge("A").pin("Person", 5), "5 | Overwrite@5#A").verdicts(), ["A hold"]);
        assert_eq!(lone(schema_apply("A").pin("Person", 5), "5 | Append@5#A").verdicts(), ["A hold"]);
        assert_eq!(
            lone(schema_apply("A").pin("Person", 5), "5 | Overwrite#A Overwrite#A").verdicts(),
            ["A hold"]
        );
        always(&person("5 | Project#A"), 5, "A hold");
    }

    #[test]
    fn maintenance_that_names_another_operation_is_looked_through() {
        always(&person("5 | Append@5#A Rewrite#B"), 5, "A roll_forward: Person shows 7");
        always(&person("5 | Append@5 CreateIndex#B"), 5, "A roll_forward: Person shows 7");
    }

    #[test]
    fn a_named_commit_under_which_the_pin_moved_is_undone() {
        always(&person("5 Append@5#B | Append@5#A"), 5, "A roll_back: Person restores 6 over 7");
    }

    #[test]
    fn a_named_commit_proves_nothing_about_a_table_that_did_not_move() {
        let wreck = load("A").pin("Person", 5).pin("Company", 9);
        let world = person("5 | Append@5#A").table("Company", "9 |").claim(wreck);
        assert_eq!(verdict(&world), Verdict::RollBack);
    }
}
