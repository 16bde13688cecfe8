//! Several claims in one component: whose stakes meet, how commits are dealt out, and whom it does not concern.

use super::world::*;
use crate::model::audit::Verdict;
use crate::passes::recovery::observation::{BranchSeen, SchemaSeen};

const PERSON: &str = "Person";

/// Loads A, B, … that each began at version 5 of Person.
fn loads(names: &str, history: &str) -> World {
    let load = |name: char| load(&name.to_string()).pin(PERSON, 5);
    names.chars().fold(world().table(PERSON, history), |world, name| world.claim(load(name)))
}

mod dealing {
    use super::*;

    #[test]
    fn as_many_commits_as_claimants_are_kept_together() {
        assert_eq!(loads("AB", "5 | Append@5 Update@5").verdicts(), ["A+B roll_forward: Person shows 7"]);
        assert_eq!(
            loads("ABC", "5 | Append@5 Append@5 CreateIndex Append@5").verdicts(),
            ["A+B+C roll_forward: Person shows 9"]
        );
    }

    #[test]
    fn fewer_commits_than_claimants_undo_them_all() {
        assert_eq!(loads("AB", "5 | Append@5").verdicts(), ["A+B roll_back: Person restores 5 over 6"]);
        assert_eq!(
            loads("ABC", "5 | Append@5 Append@5").verdicts(),
            ["A+B+C roll_back: Person restores 5 over 7"]
        );
    }

    #[test]
    fn more_commits_than_claimants_are_held() {
        assert_eq!(loads("AB", "5 | Append@5 Append@5 Append@5").verdicts(), ["A+B hold"]);
        assert_eq!(loads("AB", "5 | Append@5 Truncate").verdicts(), ["A+B hold"]);
    }

    #[test]
    fn a_commit_that_none_of_them_can_have_staged_is_held() {
        assert_eq!(loads("AB", "5 | Append@5 Append@6").verdicts(), ["A+B hold"]);
    }

    #[test]
    fn the_names_in_the_commits_deal_them_out() {
        assert_eq!(loads("AB", "5 | Append@5#A Append@6#B").verdicts(), ["A+B roll_forward: Person shows 7"]);
        assert_eq!(loads("AB", "5 | Append@5#A Append@6#C").verdicts(), ["A hold", "B hold"]);
        assert_eq!(
            loads("AB", "5 | Append@5#A").verdicts(),
            ["A roll_forward: Person shows 6", "B nothing_to_do"]
        );
    }

    #[test]
    fn several_commits_that_name_one_operation_leave_the_rest_to_the_others() {
        assert_eq!(
            loads("AB", "5 | Append@5#A Append@6#A Append@5").verdicts(),
            ["A+B roll_forward: Person shows 8"]
        );
        assert_eq!(loads("AB", "5 | Append@5#A Append@6#A Append@5 Append@5").verdicts(), ["A+B hold"]);
        let merging =
            loads("B", "5 | Append@5#A Append@6#A Append@5").claim(merge("A").pin(PERSON, 5).confirmed(7));
        assert_eq!(merging.verdicts(), ["B+A roll_back: Person restores 5 over 8"]);
    }

    #[test]
    fn every_claimant_needs_its_commit_on_every_table() {
        let both = world()
            .table(PERSON, "5 | Append@5 Append@5")
            .claim(load("A").pin(PERSON, 5).pin("Company", 9))
            .claim(load("B").pin(PERSON, 5));
        assert_eq!(
            both.clone().table("Company", "9 | Update@9").verdicts(),
            ["A+B roll_forward: Company shows 10, Person shows 7"]
        );
        assert_eq!(
            both.clone().table("Company", "9 |").verdicts(),
            ["A+B roll_back: Company restores 9 over 9, Person restores 5 over 7"]
        );
        assert_eq!(both.clone().table("Company", "9 | Truncate").verdicts(), ["A+B hold"]);
        assert_eq!(
            both.table("Company", "9 Append | Append@9").verdicts(),
            ["A+B roll_back: Company restores 10 over 11, Person restores 5 over 7"]
        );
    }

    #[test]
    fn a_claimant_that_began_elsewhere_but_may_have_committed_undoes_them_all() {
        let world = world()
            .table(PERSON, "4 Rewrite | Append@4 Append@5")
            .claim(load("A").pin(PERSON, 4))
            .claim(load("B").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["A+B roll_back: Person restores 5 over 7"]);
    }

    #[test]
    fn claimants_are_linked_through_shared_tables() {
        let chain = |last: &str| {
            world()
                .table(PERSON, "5 | Append@5 Append@5")
                .table("Company", "9 | Append@9 Append@9")
                .table("Tag", last)
                .claim(load("A").pin(PERSON, 5))
                .claim(load("B").pin(PERSON, 5).pin("Company", 9))
                .claim(load("C").pin("Company", 9).pin("Tag", 2))
        };
        assert_eq!(
            chain("2 | Append@2").verdicts(),
            ["A+B+C roll_forward: Company shows 11, Person shows 7, Tag shows 3"]
        );
        assert_eq!(
            chain("2 |").verdicts(),
            ["A+B+C roll_back: Company restores 9 over 11, Person restores 5 over 7, Tag restores 2 over 2"]
        );
    }

    #[test]
    fn a_merge_beside_another_writer_is_undone_with_it() {
        let world = |history: &str| {
            world()
                .table(PERSON, history)
                .claim(merge("A").pin(PERSON, 5).confirmed(6))
                .claim(load("B").pin(PERSON, 5))
        };
        assert_eq!(world("5 | Append@5").verdicts(), ["A+B roll_back: Person restores 5 over 6"]);
        assert_eq!(world("5 | Append@5 Append@5").verdicts(), ["A+B roll_back: Person restores 5 over 7"]);
        assert_eq!(world("5 | Append@5 Overwrite@6").verdicts(), ["A+B hold"], "neither can have written it");
    }

    #[test]
    fn inline_deletes_beside_another_writer_are_undone_with_it() {
        let world = world()
            .table(PERSON, "5 | Delete@5 Delete@6 Append@5")
            .claim(mutation("A").pin(PERSON, 5).promising(7))
            .claim(load("B").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["A+B roll_back: Person restores 5 over 8"]);
    }
}

mod one_assignment {
    use super::*;

    #[test]
    fn by_kind_leaves_the_other_with_nothing() {
        let world = world()
            .table(PERSON, "5 | Overwrite@5")
            .claim(merge("A").pin(PERSON, 5))
            .claim(load("B").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["A nothing_to_do", "B roll_forward: Person shows 6"]);
    }

    #[test]
    fn by_read_version_keeps_a_complete_commit_beside_a_published_one() {
        // A's sidecar outlived its publish; B crashed after it.
        let world = world()
            .table(PERSON, "5 Append@5 | Append@6 CreateIndex")
            .claim(load("A").pin(PERSON, 5))
            .claim(load("B").pin(PERSON, 6));
        assert_eq!(world.verdicts(), ["A already_published", "B roll_forward: Person shows 8"]);
    }

    #[test]
    fn an_incomplete_commit_is_undone_beside_a_published_one() {
        let world = world()
            .table(PERSON, "5 Append@5 | Append@6")
            .table("Company", "9 |")
            .claim(load("A").pin(PERSON, 5))
            .claim(load("B").pin(PERSON, 6).pin("Company", 9));
        assert_eq!(
            world.verdicts(),
            ["A already_published", "B roll_back: Person restores 6 over 7, Company restores 9 over 9"]
        );
    }

    #[test]
    fn a_half_shown_operation_is_not_finished_beside_another_ones_tail() {
        let world = world()
            .table(PERSON, "5 Append@5 | Append@6")
            .table("Company", "9 | EmptyDelete@9")
            .claim(load("A").pin(PERSON, 5).pin("Company", 9))
            .claim(load("B").pin(PERSON, 6));
        assert_eq!(world.verdicts(), ["A hold", "B roll_forward: Person shows 7"]);
    }

    #[test]
    fn whoever_names_any_table_of_a_held_group_waits_with_it() {
        let world = world()
            .table(PERSON, "5 | Append@5")
            .table("Company", "9 Update@9 | Append@10 Append@10 Append@10")
            .claim(load("A").pin(PERSON, 5).pin("Company", 10))
            .claim(load("B").pin("Company", 10))
            .claim(ensure_indices("C").pin(PERSON, 5))
            .claim(load("D").pin("Company", 9));
        assert_eq!(world.verdicts(), ["A+B hold", "C hold", "D hold"]);
    }

    #[test]
    fn nobody_is_settled_beside_a_tail_that_is_held() {
        let world = world()
            .table(PERSON, "5 Append@5 | Append@6 Append@7")
            .claim(load("A").pin(PERSON, 5))
            .claim(load("B").pin(PERSON, 6));
        assert_eq!(world.verdicts(), ["A hold", "B hold"]);
    }
}

mod maintenance_beside_data {
    use super::*;

    #[test]
    fn the_data_decides_and_the_maintenance_keeps_to_its_other_tables() {
        let world = world()
            .table(PERSON, "5 | Append@5 CreateIndex")
            .table("Company", "9 | CreateIndex")
            .claim(load("A").pin(PERSON, 5))
            .claim(ensure_indices("B").pin(PERSON, 5).pin("Company", 9));
        assert_eq!(world.verdicts(), ["A roll_forward: Person shows 7", "B roll_forward: Company shows 10"]);
    }

    #[test]
    fn compaction_below_or_above_a_commit_does_not_hide_it() {
        for history in ["5 | ReserveFragments Rewrite Append@5", "5 | Append@5 ReserveFragments Rewrite"] {
            let world = world()
                .table(PERSON, history)
                .claim(load("A").pin(PERSON, 5))
                .claim(optimize("B").pin(PERSON, 5));
            assert_eq!(world.verdicts(), ["A roll_forward: Person shows 8", "B nothing_to_do"], "{history}");
        }
    }

    #[test]
    fn inline_deletes_under_an_index_build_are_kept() {
        let world = world()
            .table(PERSON, "5 | Delete@5 Delete@6 CreateIndex")
            .claim(mutation("A").pin(PERSON, 5).promising(7))
            .claim(ensure_indices("B").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["A roll_forward: Person shows 8", "B nothing_to_do"]);
    }

    #[test]
    fn two_maintenances_need_no_author() {
        let world = world()
            .table(PERSON, "5 | CreateIndex Rewrite")
            .claim(ensure_indices("A").pin(PERSON, 5))
            .claim(optimize("B").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["A roll_forward: Person shows 7", "B roll_forward: Person shows 7"]);
    }

    #[test]
    fn a_fork_that_maintenance_never_made_does_not_undo_a_complete_commit() {
        let world = world()
            .fork(PERSON, "feature", "5 | Append@5")
            .missing("Company", "feature", 9, false)
            .claim(load("A").on("feature").pin(PERSON, 5))
            .claim(ensure_indices("B").on("feature").pin(PERSON, 5).pin("Company", 9));
        assert_eq!(world.verdicts(), ["A roll_forward: Person shows 6", "B nothing_to_do"]);
    }

    #[test]
    fn rows_that_nothing_explains_hold_both() {
        let world = world()
            .table(PERSON, "5 | Append@5 Append@6")
            .claim(load("A").pin(PERSON, 5))
            .claim(ensure_indices("B").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["A hold", "B hold"]);
    }

    #[test]
    fn maintenance_that_links_two_pairs_lets_each_have_its_own_end() {
        let world = world()
            .table(PERSON, "5 | Append@5 Append@5")
            .table("Company", "9 | Append@9")
            .claim(load("A").pin(PERSON, 5))
            .claim(load("B").pin(PERSON, 5))
            .claim(load("C").pin("Company", 9))
            .claim(load("D").pin("Company", 9))
            .claim(ensure_indices("E").pin(PERSON, 5).pin("Company", 9));
        assert_eq!(
            world.verdicts(),
            [
                "A+B roll_forward: Person shows 7",
                "C+D roll_back: Company restores 9 over 10",
                "E nothing_to_do"
            ]
        );
    }
}

mod not_concerned {
    use super::*;

    #[test]
    fn a_settled_operation_explains_nothing() {
        let world = world()
            .table(PERSON, "5 | Append@5")
            .claim(load("A").pin(PERSON, 5).settled(Verdict::RollBack))
            .claim(load("B").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["A finish", "B roll_forward: Person shows 6"]);
    }

    #[test]
    fn what_is_settled_or_orphaned_does_not_wait_for_a_tail_that_is_held() {
        let beside =
            |other: Wreck| loads("A", "5 | Append@5 Append@6").claim(other.pin(PERSON, 5)).verdicts();
        assert_eq!(beside(load("B").settled(Verdict::RollBack)), ["A hold", "B finish"]);
        for orphan in [BranchSeen::Younger, BranchSeen::Gone] {
            assert_eq!(beside(load("B").branch(orphan)), ["A hold", "B discard_orphan"]);
        }
    }

    #[test]
    fn an_orphan_is_discarded_beside_the_claims_of_its_successor() {
        let claim = |name: &str| load(name).on("feature").pin(PERSON, 5);
        for orphan in [BranchSeen::Younger, BranchSeen::Gone] {
            let world = world()
                .fork(PERSON, "feature", "5 | Append@5 Append@5")
                .claim(claim("A"))
                .claim(claim("B").branch(orphan))
                .claim(claim("C"));
            assert_eq!(world.verdicts(), ["A+C roll_forward: Person shows 7", "B discard_orphan"]);
        }
    }

    #[test]
    fn tables_without_a_tail_link_nobody() {
        let world = world()
            .table(PERSON, "5 |")
            .table("Company", "9 | Append@9")
            .claim(load("A").pin(PERSON, 5))
            .claim(load("B").pin(PERSON, 5).pin("Company", 9));
        assert_eq!(
            world.verdicts(),
            ["A nothing_to_do", "B roll_back: Person restores 5 over 5, Company restores 9 over 10"]
        );
    }

    #[test]
    fn an_unreadable_table_holds_the_claims_that_name_it_and_those_they_share_commits_with() {
        let mut world = loads("AB", "5 | Append@5 Append@5").unreadable("Company");
        let named = load("C").pin(PERSON, 5).pin("Company", 9);
        assert_eq!(world.clone().claim(named).verdicts(), ["A+B+C hold"]);
        world = world.claim(ensure_indices("C").pin(PERSON, 5).pin("Company", 9));
        assert_eq!(world.verdicts(), ["A+B roll_forward: Person shows 7", "C hold"]);
    }

    #[test]
    fn a_claim_that_cannot_be_worked_on_holds_those_it_shares_commits_with() {
        let unusable = BranchSeen::Unusable("its commit graph branch is missing".into());
        let world = loads("A", "5 | Append@5 Append@5").claim(load("B").pin(PERSON, 5).branch(unusable));
        assert_eq!(world.verdicts(), ["A+B hold"]);
        let stray = load("B").pin(PERSON, 5).pin("Company", 9).landing_on("feature");
        let world = loads("A", "5 | Append@5 Append@5").fork("Company", "feature", "9 |").claim(stray);
        assert_eq!(world.verdicts(), ["A+B hold"]);
    }
}

mod undoing_together {
    use super::*;

    #[test]
    fn what_is_undone_on_every_table_needs_no_second_restore() {
        assert_eq!(
            loads("AB", "5 | Append@5 Append@5 Restore(5)").verdicts(),
            ["A+B already_undone: Person shows 5 undone at 8"]
        );
    }

    #[test]
    fn a_half_done_undoing_is_finished_for_all() {
        let world = loads("A", "5 | Append@5 Append@5 Restore(5)")
            .table("Company", "9 | Append@9")
            .claim(load("B").pin(PERSON, 5).pin("Company", 9));
        assert_eq!(
            world.verdicts(),
            ["A+B roll_back: Company restores 9 over 10, Person shows 5 undone at 8"]
        );
    }

    #[test]
    fn unexplained_content_above_a_restore_holds_them_all() {
        assert_eq!(loads("AB", "5 | Append@5 Restore(5) Append@7").verdicts(), ["A+B hold"]);
        assert_eq!(
            loads("AB", "5 | Append@5 Restore(5) Overwrite@5").verdicts(),
            ["A+B roll_back: Person restores 5 over 8"]
        );
    }

    #[test]
    fn an_operation_that_may_be_half_shown_is_not_undone_on_the_other_half() {
        let world = loads("A", "5 | Append@5")
            .table("Company", "9 Update@9 |")
            .claim(load("B").pin(PERSON, 5).pin("Company", 9));
        assert_eq!(world.verdicts(), ["A+B hold"]);
    }

    #[test]
    fn a_schema_change_takes_its_files_datasets_and_lock_with_it() {
        use crate::passes::recovery::observation::ContractFile::*;
        let seen =
            SchemaSeen { staged: vec![Source, Compiled, State], locked: true, ..SchemaSeen::default() };
        let apply = schema_apply("A").pin(PERSON, 5).creating("Tag").schema(Some(seen));
        let world = loads("B", "5 | Overwrite@5").claim(apply);
        let decision = world.decide().remove(0);
        assert_eq!(picture(&decision), "B+A roll_back: Person restores 5 over 6");
        let work = decision.schema.expect("the schema change's own steps");
        assert_eq!((work.discard, work.promote), (vec![State, Compiled, Source], vec![]));
        assert_eq!((work.remove_datasets, work.unlock), (vec![key("Tag")], true));
    }

    #[test]
    fn two_schema_changes_are_undone_with_the_datasets_of_both() {
        let change = |name: &str, creates: &str| schema_apply(name).pin(PERSON, 5).creating(creates);
        let world =
            world().table(PERSON, "5 | Overwrite@5").claim(change("A", "Tag")).claim(change("B", "Topic"));
        let decision = world.decide().remove(0);
        assert_eq!(picture(&decision), "A+B roll_back: Person restores 5 over 6");
        assert_eq!(decision.schema.unwrap().remove_datasets, [key("Tag"), key("Topic")]);
    }

    #[test]
    fn a_schema_change_beside_two_overwrites_is_not_taken_for_both() {
        let change = schema_apply("A").pin(PERSON, 5);
        let merging = merge("B").pin(PERSON, 5);
        let world =
            |history: &str| world().table(PERSON, history).claim(change.clone()).claim(merging.clone());
        assert_eq!(world("5 | Overwrite@5 Update").verdicts(), ["A+B roll_back: Person restores 5 over 7"]);
        assert_eq!(world("5 | Overwrite@5 Overwrite@5 Update").verdicts(), ["A+B hold"]);
    }

    #[test]
    fn a_schema_change_that_is_shown_keeps_its_files_in_company_too() {
        let change = schema_apply("A").pin(PERSON, 5);
        assert_eq!(loads("B", "5 Overwrite@5 | Overwrite@5").claim(change).verdicts(), ["B+A hold"]);
    }

    #[test]
    fn a_schema_change_that_wrote_nothing_there_leaves_the_commit_alone() {
        let world = loads("B", "5 | Append@5").claim(schema_apply("A").pin(PERSON, 5));
        assert_eq!(world.verdicts(), ["B roll_forward: Person shows 6", "A roll_back"]);
    }
}
