//! Rows 1 to 3: settled already, not understood, orphaned.

use super::world::*;
use crate::model::Version;
use crate::model::audit::Verdict;
use crate::model::sidecar::WriterKind;
use crate::passes::recovery::observation::{BranchSeen, Lineage, TableSeen};

const HISTORIES: [&str; 6] =
    ["5 |", "5 | Append@5", "5 | Restore(5)", "5 | Append@5 ?", "5 Append@5 |", "5 | Truncate"];

#[test]
fn a_marker_ends_an_operation_whatever_else_is_seen() {
    for kind in WriterKind::ALL {
        for history in HISTORIES {
            let settled = of_kind(kind, "A").pin("Person", 5).settled(Verdict::RollBack);
            assert_eq!(lone(settled.clone(), history).verdicts(), ["A finish"], "{kind:?} {history}");
            for seen in
                [BranchSeen::Gone, BranchSeen::Younger, BranchSeen::Unusable("no commit graph".into())]
            {
                assert_eq!(lone(settled.clone().branch(seen), history).verdicts(), ["A finish"]);
            }
        }
    }
    assert_eq!(
        world()
            .unreadable("Person")
            .claim(load("A").pin("Person", 5).settled(Verdict::RollForward))
            .verdicts(),
        ["A finish"]
    );
}

#[test]
fn a_table_that_cannot_be_read_is_held_not_taken_for_absent() {
    for kind in WriterKind::ALL {
        let wreck = of_kind(kind, "A").pin("Person", 5).pin("Company", 5);
        let unreadable = world().table("Person", "5 |").unreadable("Company").claim(wreck.clone());
        assert_eq!(unreadable.verdicts(), ["A hold"], "{kind:?}");
        assert!(unreadable.reasons()[0].contains("node:Company cannot be read: the store answers 503"));
        let unseen = world().table("Person", "5 |").claim(wreck);
        assert_eq!(unseen.verdicts(), ["A hold"], "{kind:?}");
    }
}

#[test]
fn a_version_whose_transaction_is_gone_makes_a_tail_unknown() {
    for history in ["5 | ?", "5 | Append@5 ?", "5 | ? CreateIndex", "5 | Append@5 ? Restore(5)"] {
        for kind in WriterKind::ALL {
            assert_eq!(
                verdict(&lone(of_kind(kind, "A").pin("Person", 5), history)),
                Verdict::Hold,
                "{history}"
            );
        }
    }
}

#[test]
fn versions_that_cannot_all_be_true_are_held() {
    let behind = Lineage { head: Version(4), ..lineage("5 |") };
    let mut world = lone(load("A").pin("Person", 5), "5 |");
    for seen in world.0.tables.values_mut() {
        *seen = TableSeen::Present(behind.clone());
    }
    assert_eq!(world.verdicts(), ["A hold"], "the head is below the pin");
    for (wreck, history) in [
        (load("A").pin("Person", 6), "5 |"),
        (load("A").pin("Person", 6), "5 | Append@5"),
        (load("A").pin("Person", 0), "0 | Append@0"),
        (load("A").pin("Person", 5), "0 |"),
        (mutation("A").pin("Person", 5).promising(8), "5 | Delete Delete"),
        (merge("A").pin("Person", 5).confirmed(8), "5 | Append@5 Update"),
        (merge("A").pin("Person", 5).confirmed(8), "5 Append@5 |"),
    ] {
        let world = lone(wreck, history);
        assert_eq!(world.verdicts(), ["A hold"], "{history}");
    }
}

#[test]
fn a_branch_that_cannot_be_worked_on_holds_its_claims() {
    let wreck =
        load("A").pin("Person", 5).branch(BranchSeen::Unusable("its commit graph branch is missing".into()));
    let world = lone(wreck, "5 | Append@5");
    assert_eq!(world.verdicts(), ["A hold"]);
    assert_eq!(world.reasons(), ["its commit graph branch is missing"]);
}

#[test]
fn a_commit_that_would_land_on_another_branch_is_held() {
    let stray = load("A").pin("Person", 5).landing_on("feature");
    let world = world().fork("Person", "feature", "5 | Append@5").claim(stray);
    assert_eq!(world.verdicts(), ["A hold"]);
    let mut creating = schema_apply("A").creating("Tag");
    creating.0.sidecar.registrations[0].branch = branch("feature");
    assert_eq!(world_of(creating).verdicts(), ["A hold"], "a created table too");
}

fn world_of(wreck: Wreck) -> World {
    world().claim(wreck)
}

#[test]
fn a_sidecar_of_a_gone_or_younger_branch_is_an_orphan() {
    for kind in WriterKind::ALL {
        for seen in [BranchSeen::Gone, BranchSeen::Younger] {
            for history in HISTORIES {
                let wreck = of_kind(kind, "A").on("feature").pin("Person", 5).branch(seen.clone());
                let world = world().fork("Person", "feature", history).claim(wreck);
                assert_eq!(world.verdicts(), ["A discard_orphan"], "{kind:?} {history}");
            }
        }
    }
}

#[test]
fn the_list_of_branches_alone_makes_an_orphan_not_an_unreadable_table() {
    let wreck = load("A").pin("Person", 5);
    assert_eq!(world().unreadable("Person").claim(wreck.clone()).verdicts(), ["A hold"]);
    assert_eq!(
        world().unreadable("Person").claim(wreck.branch(BranchSeen::Gone)).verdicts(),
        ["A discard_orphan"]
    );
}
