//! Row 4: a schema change goes forward only as a whole: tables, datasets and contract files.

use super::world::*;
use crate::model::audit::Verdict;
use crate::passes::recovery::decide::{Decision, Timing, Window};
use crate::passes::recovery::observation::ContractFile::{self, Compiled, Source, State};
use crate::passes::recovery::observation::{BranchSeen, SchemaSeen};

const ALL_STAGED: [ContractFile; 3] = [Source, Compiled, State];

fn staged(files: &[ContractFile]) -> SchemaSeen {
    SchemaSeen { staged: files.to_vec(), ..SchemaSeen::default() }
}

/// A change that rewrites Person, creates Tag and drops Old.
fn change(seen: SchemaSeen, person: &str) -> World {
    lone(schema_apply("A").pin("Person", 5).creating("Tag").dropping("Old", 3).schema(Some(seen)), person)
}

fn only(world: &World, window: Option<Window>) -> Decision {
    let mut decisions = world.decide_in(window);
    assert_eq!(decisions.len(), 1);
    decisions.remove(0)
}

#[test]
fn rewritten_tables_with_all_files_staged_go_forward_and_the_state_becomes_final_last() {
    // In any order of listing.
    for files in [[Source, Compiled, State], [State, Source, Compiled]] {
        let decision = only(&change(staged(&files), "5 | Overwrite@5"), Some(Window::Manual));
        assert_eq!(picture(&decision), "A roll_forward: Person shows 6");
        let work = decision.schema.unwrap();
        assert_eq!(work.promote, ALL_STAGED);
        assert!(work.discard.is_empty() && work.remove_datasets.is_empty() && !work.unlock);
    }
}

#[test]
fn files_that_are_final_already_are_not_promoted_again() {
    let decision = only(&change(staged(&[State]), "5 | Overwrite@5"), Some(Window::Manual));
    assert_eq!(decision.schema.unwrap().promote, [State]);
}

#[test]
fn a_change_that_is_shown_only_finishes_its_files() {
    let decision = only(&change(staged(&ALL_STAGED), "5 Overwrite@5 |"), Some(Window::Manual));
    assert_eq!(picture(&decision), "A roll_forward");
    assert_eq!(decision.schema.unwrap().promote, ALL_STAGED);
}

#[test]
fn a_change_of_datasets_alone_needs_no_pin() {
    let wreck = schema_apply("A").creating("Tag").schema(Some(staged(&ALL_STAGED)));
    assert_eq!(verdict(&world().claim(wreck)), Verdict::RollForward);
}

#[test]
fn a_change_of_datasets_alone_that_is_shown_is_never_undone() {
    let unfit = SchemaSeen { inconsistent: Some("a file is missing".into()), ..staged(&[Source]) };
    let change = |seen| world().claim(schema_apply("A").creating("Tag").schema(Some(seen)));
    assert_eq!(verdict(&change(unfit.clone())), Verdict::RollBack);
    assert_eq!(verdict(&change(SchemaSeen { published: true, ..unfit })), Verdict::Hold);
    let shown = SchemaSeen { published: true, ..staged(&ALL_STAGED) };
    assert_eq!(verdict(&change(shown)), Verdict::RollForward);
}

#[test]
fn a_table_that_was_not_rewritten_undoes_the_change() {
    for person in [
        "5 |",
        "5 | CreateIndex",
        "5 | Overwrite@5 Restore(5)",
        "5 Append | Overwrite@5",
        "5 Overwrite@5 Restore(5) |",
    ] {
        assert_eq!(verdict(&change(staged(&ALL_STAGED), person)), Verdict::RollBack, "{person}");
    }
}

#[test]
fn anything_but_one_overwrite_on_a_table_is_held() {
    for person in
        ["5 | Append@5", "5 | Overwrite@5 Overwrite@6", "5 | Overwrite@5 Append@6", "5 | Rewrite Overwrite@6"]
    {
        assert_eq!(verdict(&change(staged(&ALL_STAGED), person)), Verdict::Hold, "{person}");
    }
}

#[test]
fn files_that_do_not_fit_undo_the_change() {
    let unfit = SchemaSeen { inconsistent: Some("the source has another hash".into()), ..staged(&[Source]) };
    let decision = only(&change(unfit, "5 | Overwrite@5"), Some(Window::Exclusive));
    assert_eq!(picture(&decision), "A roll_back: Person restores 5 over 6");
    assert!(decision.reason.contains("the source has another hash"));
}

#[test]
fn files_that_still_describe_the_schema_before_the_change_undo_it() {
    // The writer died before it staged any: the final files agree with each other, but not with the rewritten tables.
    let before = "the files describe node:Person as it was before";
    let unstaged = SchemaSeen { inconsistent: Some(before.into()), ..staged(&[]) };
    assert_eq!(verdict(&change(unstaged, "5 | Overwrite@5")), Verdict::RollBack);
}

#[test]
fn a_dataset_that_does_not_exist_undoes_the_change() {
    let lacking = SchemaSeen { missing_datasets: vec![key("Tag")], ..staged(&ALL_STAGED) };
    let decision = only(&change(lacking, "5 | Overwrite@5"), Some(Window::Exclusive));
    assert_eq!(picture(&decision), "A roll_back: Person restores 5 over 6");
    assert!(decision.reason.contains("the dataset of node:Tag does not exist"));
}

#[test]
fn undoing_deletes_the_staged_state_first_and_names_the_datasets_to_remove() {
    let locked = SchemaSeen { locked: true, ..staged(&ALL_STAGED) };
    let decision = only(&change(locked, "5 |"), Some(Window::Exclusive));
    assert_eq!(picture(&decision), "A roll_back", "no table moved, so none is restored");
    let work = decision.schema.unwrap();
    assert_eq!(work.discard, [State, Compiled, Source]);
    assert_eq!((work.remove_datasets, work.unlock), (vec![key("Tag")], true));
    assert!(work.promote.is_empty());
}

#[test]
fn a_table_that_is_not_there_did_not_move_either() {
    let wreck = schema_apply("A").pin("Person", 5).pin("Company", 9).schema(Some(staged(&[])));
    let world = world().table("Person", "5 |").missing("Company", MAIN, 9, false).claim(wreck);
    assert_eq!(world.verdicts(), ["A roll_back"]);
}

#[test]
fn undoing_one_rewritten_table_restores_them_all() {
    let wreck = schema_apply("A").pin("Person", 5).pin("Company", 9).schema(Some(staged(&[])));
    let world = world().table("Person", "5 | Overwrite@5").table("Company", "9 |").claim(wreck);
    assert_eq!(world.verdicts(), ["A roll_back: Person restores 5 over 6, Company restores 9 over 9"]);
}

#[test]
fn a_change_that_the_graph_shows_is_never_undone() {
    let unfit = SchemaSeen { inconsistent: Some("the source has another hash".into()), ..staged(&[Source]) };
    assert_eq!(verdict(&change(unfit, "5 Overwrite@5 |")), Verdict::Hold);
    let lacking = SchemaSeen { missing_datasets: vec![key("Tag")], ..staged(&[]) };
    assert_eq!(verdict(&change(lacking, "5 Overwrite@5 |")), Verdict::Hold);
    let wreck = schema_apply("A").pin("Person", 5).pin("Company", 9).schema(Some(staged(&[])));
    let half = world().table("Person", "5 Overwrite@5 |").table("Company", "9 |").claim(wreck);
    assert_eq!(half.verdicts(), ["A hold"]);
}

#[test]
fn a_late_overwrite_on_a_shown_change_does_not_cost_it_its_files() {
    assert_eq!(verdict(&change(staged(&ALL_STAGED), "5 Overwrite@5 | Overwrite@5")), Verdict::Hold);
}

#[test]
fn there_is_one_schema_and_it_is_mains() {
    let elsewhere = schema_apply("A").on("feature").pin("Person", 5);
    assert_eq!(world().fork("Person", "feature", "5 | Overwrite@5").claim(elsewhere).verdicts(), ["A hold"]);
}

#[test]
fn without_a_look_at_the_files_it_is_held() {
    let world = lone(schema_apply("A").pin("Person", 5).schema(None), "5 | Overwrite@5");
    assert_eq!(world.verdicts(), ["A hold"]);
}

#[test]
fn what_the_store_cannot_guard_waits_for_a_window_by_hand() {
    let locked = SchemaSeen { locked: true, ..staged(&[]) };
    let forward = "5 | Overwrite@5";
    for (seen, person) in [
        (staged(&ALL_STAGED), forward),
        (locked, forward),
        (staged(&[]), "5 |"),
        (staged(&ALL_STAGED), "5 | Overwrite@5 Restore(5)"),
    ] {
        let world = change(seen, person);
        for window in [None, Some(Window::Schedule)] {
            assert_eq!(only(&world, window).timing, Timing::ManualWindow, "{person} {window:?}");
        }
        for window in [Window::Exclusive, Window::Manual, Window::Gate] {
            assert_eq!(only(&world, Some(window)).timing, Timing::Now, "{person} {window:?}");
        }
    }
}

#[test]
fn a_publish_alone_needs_no_window() {
    assert_eq!(only(&change(staged(&[]), "5 | Overwrite@5"), None).timing, Timing::Now);
}

#[test]
fn what_follows_a_published_change_is_finished_in_the_direction_of_its_marker() {
    let settled = |verdict| {
        let wreck = schema_apply("A").pin("Person", 5).creating("Tag").settled(verdict);
        let seen = SchemaSeen { left_datasets: vec![key("Tag")], ..staged(&ALL_STAGED) };
        world().claim(wreck.schema(Some(seen)))
    };
    for (verdict, promote, discard, remove) in [
        (Verdict::RollForward, ALL_STAGED.to_vec(), vec![], vec![]),
        (Verdict::RollBack, vec![], vec![State, Compiled, Source], vec![key("Tag")]),
    ] {
        let world = settled(verdict);
        let decision = only(&world, Some(Window::Manual));
        assert_eq!((picture(&decision).as_str(), &decision.timing), ("A finish", &Timing::Now));
        let work = decision.schema.unwrap();
        assert_eq!((work.promote, work.discard, work.remove_datasets), (promote, discard, remove));
        assert_eq!(only(&world, Some(Window::Schedule)).timing, Timing::ManualWindow);
        assert_eq!(only(&world, None).timing, Timing::ManualWindow);
    }
    let undone = schema_apply("A").pin("Person", 5).settled(Verdict::RollBack);
    let dataset = SchemaSeen { left_datasets: vec![key("Tag")], ..staged(&[]) };
    for left in [dataset, staged(&[State])] {
        let claim = undone.clone().creating("Tag").schema(Some(left));
        assert_eq!(only(&world().claim(claim), None).timing, Timing::ManualWindow);
    }
    assert_eq!(only(&world().claim(undone.creating("Tag")), None).timing, Timing::Now, "its dataset is gone");
    let done = schema_apply("A").pin("Person", 5).settled(Verdict::RollForward);
    assert_eq!(only(&world().claim(done), None).timing, Timing::Now, "nothing is left but records");
}

#[test]
fn a_marker_outweighs_what_the_change_looks_like() {
    let complete = change(staged(&ALL_STAGED), "5 | Overwrite@5");
    let half = change(staged(&[Source]), "5 |");
    for (mut world, alone, ended) in
        [(complete, Verdict::RollForward, Verdict::RollBack), (half, Verdict::RollBack, Verdict::RollForward)]
    {
        assert_eq!(verdict(&world), alone);
        world.0.claims[0].marker = Some(marker(ended));
        let decision = only(&world, Some(Window::Exclusive));
        assert_eq!(picture(&decision), "A finish");
        let work = decision.schema.unwrap();
        assert_eq!(work.discard.is_empty(), ended == Verdict::RollForward);
        assert_eq!(work.promote.is_empty(), ended == Verdict::RollBack);
    }
}

#[test]
fn a_change_of_a_gone_or_younger_branch_is_an_orphan_however_complete() {
    for seen in [BranchSeen::Gone, BranchSeen::Younger] {
        let mut world = change(staged(&ALL_STAGED), "5 | Overwrite@5");
        assert_eq!(verdict(&world), Verdict::RollForward);
        world.0.claims[0].branch = seen;
        let decision = only(&world, Some(Window::Exclusive));
        assert_eq!((picture(&decision).as_str(), decision.schema), ("A discard_orphan", None));
    }
}
