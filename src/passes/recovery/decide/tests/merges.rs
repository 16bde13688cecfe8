//! Merges: several commits on a table, complete only once confirmed, and with tables that the sidecar does not name.

use super::world::*;
use crate::model::Version;
use crate::passes::recovery::observation::{MergeSeen, Origin, PointerSwitch};

fn switching(table: &str, from: u64, to: u64) -> Option<MergeSeen> {
    Some(MergeSeen::Completable(vec![PointerSwitch {
        table: key(table),
        from: Version(from),
        to: Version(to),
        branch: branch(MAIN),
    }]))
}

fn not_completable() -> Option<MergeSeen> {
    Some(MergeSeen::NotCompletable("node:Tag was published by another writer".into()))
}

const TAILS: [(&str, u64); 5] = [
    ("5 | Append@5", 6),
    ("5 | Append@5 Update", 7),
    ("5 | Append@5 Update Delete", 8),
    ("5 | Update@5 Delete CreateIndex", 8),
    ("5 | Append@5 EmptyDelete CreateIndex CreateIndex", 9),
];

#[test]
fn a_merge_confirmed_at_the_head_is_kept() {
    for (history, head) in TAILS {
        let wreck = merge("A").pin("Person", 5).confirmed(head);
        assert_eq!(lone(wreck, history).verdicts(), [format!("A roll_forward: Person shows {head}")]);
    }
}

#[test]
fn an_unconfirmed_merge_is_undone_even_if_it_looks_complete() {
    for (history, head) in TAILS {
        let back = [format!("A roll_back: Person restores 5 over {head}")];
        assert_eq!(lone(merge("A").pin("Person", 5), history).verdicts(), back);
        assert_eq!(lone(merge("A").v1().pin("Person", 5), history).verdicts(), back, "format 1");
    }
}

#[test]
fn a_merge_confirmed_on_one_table_only_is_undone_on_both() {
    let wreck = merge("A").pin("Person", 5).confirmed(6).pin("Company", 9);
    let world = world().table("Person", "5 | Append@5").table("Company", "9 | Append@9").claim(wreck);
    assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6, Company restores 9 over 10"]);
}

#[test]
fn nothing_of_a_merge_lies_above_what_it_confirmed() {
    let confirmed = |at| merge("A").pin("Person", 5).confirmed(at);
    assert_eq!(lone(confirmed(6), "5 | Append@5 Append@6").verdicts(), ["A hold"], "somebody else's rows");
    assert_eq!(lone(confirmed(6), "5 | Append@5 CreateIndex").verdicts(), ["A roll_forward: Person shows 7"]);
    assert_eq!(lone(confirmed(5), "5 | Append@5").verdicts(), ["A hold"]);
}

#[test]
fn a_merge_neither_overwrites_nor_does_unknown_things() {
    assert_eq!(lone(merge("A").pin("Person", 5), "5 | Overwrite@5").verdicts(), ["A hold"]);
    assert_eq!(lone(merge("A").pin("Person", 5).confirmed(7), "5 | Append@5 Project").verdicts(), ["A hold"]);
}

#[test]
fn a_confirmed_merge_under_which_the_pin_moved_is_undone() {
    let wreck = merge("A").pin("Person", 5).confirmed(7);
    assert_eq!(lone(wreck, "5 Append@5 | Update@5").verdicts(), ["A roll_back: Person restores 6 over 7"]);
}

#[test]
fn a_merge_that_moved_only_some_tables_is_undone() {
    let wreck = merge("A").pin("Person", 5).pin("Company", 9);
    let world = world().table("Person", "5 | Append@5").table("Company", "9 |").claim(wreck);
    assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6, Company restores 9 over 9"]);
}

#[test]
fn a_merge_that_moved_nothing_is_nothing_to_do() {
    assert_eq!(lone(merge("A").pin("Person", 5), "5 |").verdicts(), ["A nothing_to_do"]);
    let unforked =
        world().missing("Person", "feature", 5, false).claim(merge("A").on("feature").pin("Person", 5));
    assert_eq!(unforked.verdicts(), ["A nothing_to_do"]);
    assert!(unforked.reasons()[0].contains("branch feature of Person does not exist"));
}

#[test]
fn a_merge_that_died_before_one_of_its_forks_is_undone() {
    let wreck = merge("A").on("feature").pin("Person", 5).pin("Company", 9);
    let world = world()
        .unplaced_fork("Person", "feature", "5 | Append@5")
        .missing("Company", "feature", 9, false)
        .claim(wreck);
    assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6"]);
}

mod tables_that_the_sidecar_does_not_name {
    use super::*;

    #[test]
    fn they_are_shown_with_the_pins() {
        let wreck = merge("A").pin("Person", 5).confirmed(6).merging(switching("Tag", 2, 4));
        assert_eq!(lone(wreck, "5 | Append@5").verdicts(), ["A roll_forward: Person shows 6, Tag shows 4"]);
    }

    #[test]
    fn where_they_cannot_be_completed_the_merge_is_undone() {
        let world = lone(merge("A").pin("Person", 5).confirmed(6).merging(not_completable()), "5 | Append@5");
        assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6"]);
        assert!(world.reasons()[0].contains("node:Tag was published by another writer"));
    }

    #[test]
    fn where_they_were_not_looked_at_the_merge_is_held() {
        let wreck = merge("A").pin("Person", 5).confirmed(6).merging(None);
        assert_eq!(lone(wreck, "5 | Append@5").verdicts(), ["A hold"]);
    }

    #[test]
    fn where_nobody_can_tell_what_they_are_the_merge_is_held_shown_or_not() {
        let why = "the history of the merged branch cannot be read";
        for (history, told) in
            [("5 | Append@5", ""), ("5 Append@5 |", "the graph shows its commit on every table, but ")]
        {
            let wreck =
                merge("A").pin("Person", 5).confirmed(6).merging(Some(MergeSeen::Unknown(why.into())));
            let world = lone(wreck, history);
            assert_eq!(world.verdicts(), ["A hold"], "{history}");
            assert_eq!(world.reasons(), [format!("{told}the rest of the merge cannot be told: {why}")]);
        }
    }

    #[test]
    fn an_unconfirmed_merge_does_not_wait_for_them() {
        for seen in [None, not_completable(), switching("Tag", 2, 4)] {
            let wreck = merge("A").pin("Person", 5).merging(seen);
            assert_eq!(lone(wreck, "5 | Append@5").verdicts(), ["A roll_back: Person restores 5 over 6"]);
        }
    }

    #[test]
    fn where_an_engine_showed_the_pins_without_them_they_follow() {
        let wreck = merge("A").pin("Person", 5).confirmed(6).merging(switching("Tag", 2, 4));
        assert_eq!(lone(wreck.clone(), "5 Append@5 |").verdicts(), ["A roll_forward: Tag shows 4"]);
        assert_eq!(lone(wreck.merging(not_completable()), "5 Append@5 |").verdicts(), ["A hold"]);
    }
}

mod shown {
    use super::*;

    #[test]
    fn a_merge_is_published_if_the_confirmed_version_is_shown() {
        let wreck = merge("A").pin("Person", 5).confirmed(7);
        assert_eq!(lone(wreck.clone(), "5 Append@5 CreateIndex |").verdicts(), ["A already_published"]);
        assert_eq!(lone(wreck.clone(), "5 Append@5 Update Append |").verdicts(), ["A already_published"]);
        assert_eq!(lone(wreck, "5 Append@5 Update Restore(5) |").verdicts(), ["A rolled_back_since"]);
    }

    #[test]
    fn a_merge_that_never_confirmed_cannot_have_been_published() {
        // Recording it as merged would make every later merge of that branch say that there is nothing to do.
        let world = lone(merge("A").pin("Person", 5), "5 Append@5 |");
        assert_eq!(world.verdicts(), ["A hold"]);
        assert!(world.reasons()[0].contains("never confirmed"), "{:?}", world.reasons());
        assert_eq!(lone(merge("A").pin("Person", 5), "5 Overwrite@5 |").verdicts(), ["A nothing_to_do"]);
    }

    #[test]
    fn a_record_that_was_made_before_the_merge_confirmed_says_nothing_of_that() {
        let wreck = merge("A").pin("Person", 5).from(Origin::ArmedFence);
        assert_eq!(lone(wreck, "5 Append@5 |").verdicts(), ["A already_published"]);
    }

    #[test]
    fn a_merge_that_an_engine_undid_is_not_shown_though_it_never_confirmed() {
        let wreck = merge("A").pin("Person", 5).pin("Company", 9);
        let world =
            world().table("Person", "5 Append@5 Update Restore(5) |").table("Company", "9 |").claim(wreck);
        assert_eq!(world.verdicts(), ["A rolled_back_since"]);
    }

    #[test]
    fn a_merge_of_format_1_confirms_nothing_before_it_publishes() {
        assert_eq!(
            lone(merge("A").v1().pin("Person", 5), "5 Append@5 |").verdicts(),
            ["A already_published"]
        );
    }

    #[test]
    fn a_merge_shown_on_one_table_is_never_finished_on_the_other() {
        let wreck = merge("A").pin("Person", 5).confirmed(6).pin("Company", 9).confirmed(10);
        let world = world().table("Person", "5 Append@5#A |").table("Company", "9 | Append@9#A").claim(wreck);
        assert_eq!(world.verdicts(), ["A hold"]);
    }
}
