//! Row 5: index builds and compaction change no row, so they are shown wherever they landed and never need a window.

use super::world::*;
use crate::model::audit::Verdict;
use crate::model::sidecar::WriterKind;
use crate::passes::recovery::decide::Timing;

fn kinds() -> [WriterKind; 2] {
    [WriterKind::EnsureIndices, WriterKind::Optimize]
}

/// What is decided without any window.
fn alone(world: &World, picture: &str) {
    let decisions = world.decide_in(None);
    assert_eq!(decisions.iter().map(super::world::picture).collect::<Vec<_>>(), [picture]);
    assert_eq!(decisions[0].timing, Timing::Now);
}

#[test]
fn whatever_moved_is_shown_without_a_window() {
    for kind in kinds() {
        for tail in
            ["CreateIndex", "ReserveFragments Rewrite", "UpdateConfig", "Rewrite CreateIndex CreateIndex"]
        {
            let world = lone(of_kind(kind, "A").pin("Person", 5), &format!("5 | {tail}"));
            let head = 5 + tail.split(' ').count();
            alone(&world, &format!("A roll_forward: Person shows {head}"));
        }
    }
}

#[test]
fn a_schema_change_is_undone_by_the_tail_that_maintenance_is_shown_by() {
    let under = |kind| lone(of_kind(kind, "A").pin("Person", 5), "5 | CreateIndex").verdicts();
    for kind in kinds() {
        assert_eq!(under(kind), ["A roll_forward: Person shows 6"]);
    }
    assert_eq!(under(WriterKind::SchemaApply), ["A roll_back: Person restores 5 over 6"]);
}

#[test]
fn maintenance_is_shown_in_part_and_a_commit_only_as_a_whole() {
    let of = |kind, company: &str| {
        let wreck = of_kind(kind, "A").pin("Person", 5).pin("Company", 9);
        world().table("Person", "5 | EmptyDelete@5").table("Company", company).claim(wreck)
    };
    let (whole, part) = ("9 | EmptyDelete@9", "9 |");
    let both = "A roll_forward: Person shows 6, Company shows 10";
    for kind in kinds() {
        assert_eq!(of(kind, whole).verdicts(), [both]);
        assert!(of(kind, whole).reasons()[0].starts_with("only maintenance lies above the pins"), "{kind:?}");
        assert_eq!(of(kind, part).verdicts(), ["A roll_forward: Person shows 6"]);
    }
    assert_eq!(of(WriterKind::Load, whole).verdicts(), [both]);
    assert!(of(WriterKind::Load, whole).reasons()[0].starts_with("every commit is complete"));
    assert_eq!(of(WriterKind::Load, part).verdicts(), ["A nothing_to_do"]);
}

#[test]
fn tables_that_did_not_move_are_left() {
    for kind in kinds() {
        let wreck = of_kind(kind, "A").pin("Person", 5).pin("Company", 9);
        let world = world().table("Person", "5 | CreateIndex").table("Company", "9 |").claim(wreck);
        alone(&world, "A roll_forward: Person shows 6");
    }
}

#[test]
fn it_does_not_matter_where_the_pin_went_since() {
    for kind in kinds() {
        let world = lone(of_kind(kind, "A").pin("Person", 5), "5 Append@5 | CreateIndex");
        alone(&world, "A roll_forward: Person shows 7");
    }
}

#[test]
fn a_fork_that_was_never_made_does_not_keep_the_others_back() {
    let wreck = ensure_indices("A").on("feature").pin("Person", 5).pin("Company", 9);
    let world = world()
        .fork("Person", "feature", "5 | CreateIndex")
        .missing("Company", "feature", 9, false)
        .claim(wreck);
    alone(&world, "A roll_forward: Person shows 6");
}

#[test]
fn an_index_on_a_fork_that_is_not_shown_yet_shows_the_fork() {
    let world = world()
        .unplaced_fork("Person", "feature", "5 | CreateIndex")
        .claim(ensure_indices("A").on("feature").pin("Person", 5));
    alone(&world, "A roll_forward: Person shows 6");
}

#[test]
fn without_a_tail_it_is_published_or_nothing_to_do() {
    for kind in kinds() {
        let wreck = of_kind(kind, "A").pin("Person", 5).pin("Company", 9);
        let shown = world().table("Person", "5 CreateIndex |").table("Company", "9 |").claim(wreck.clone());
        assert_eq!(verdict(&shown), Verdict::AlreadyPublished);
        let unmoved = world().table("Person", "5 |").table("Company", "9 Append |").claim(wreck);
        assert_eq!(verdict(&unmoved), Verdict::NothingToDo);
    }
}

#[test]
fn a_fork_that_was_never_made_is_nothing_to_do_but_keeps_writers_out() {
    let wreck = ensure_indices("A").on("feature").pin("Person", 5);
    let world = world().missing("Person", "feature", 5, false).claim(wreck);
    alone(&world, "A nothing_to_do");
}

#[test]
fn rows_in_the_tail_that_nothing_explains_are_held() {
    for kind in kinds() {
        for history in
            ["5 | Append@5", "5 | CreateIndex Update", "5 | Rewrite Truncate", "5 | Overwrite@5 CreateIndex"]
        {
            let world = lone(of_kind(kind, "A").pin("Person", 5), history);
            assert_eq!(verdict(&world), Verdict::Hold, "{kind:?} {history}");
        }
    }
}

#[test]
fn beside_an_undone_table_it_needs_no_window_either() {
    for kind in kinds() {
        let wreck = of_kind(kind, "A").pin("Person", 5).pin("Company", 9);
        let world = world()
            .table("Person", "5 | Rewrite Restore(5)")
            .table("Company", "9 | CreateIndex")
            .claim(wreck);
        alone(&world, "A already_undone: Person shows 5 undone at 7, Company shows 9 undone at 10");
    }
}

#[test]
fn a_restore_to_the_wrong_version_is_undone_for_maintenance_too() {
    for kind in kinds() {
        let world = lone(of_kind(kind, "A").pin("Person", 5), "5 | Rewrite Restore(4)");
        assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 7"]);
    }
}
