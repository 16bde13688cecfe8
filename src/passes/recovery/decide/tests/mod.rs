//! The decision table, row by row and at each boundary ([`INDEX`]); what must hold in every small world; what must hold after
//! every crash of small writers. Worlds are written in the notation of [`world`].

mod commits;
mod company;
mod crashes;
mod drift;
mod first_rows;
mod leftovers;
mod maintenance;
mod merges;
mod native;
mod plans;
mod properties;
mod schema;
mod shown;
mod timing;
mod undone;
mod world;

use std::collections::BTreeSet;

/// Where to look up a row of the table (see [`super`]), or the boundary between two: what tips a world from one to the other.
const INDEX: &[(&str, &str)] = &[
    ("1", "first_rows::a_marker_ends_an_operation_whatever_else_is_seen"),
    ("2", "first_rows::versions_that_cannot_all_be_true_are_held"),
    ("3", "first_rows::a_sidecar_of_a_gone_or_younger_branch_is_an_orphan"),
    ("4", "schema::rewritten_tables_with_all_files_staged_go_forward_and_the_state_becomes_final_last"),
    ("4", "schema::a_table_that_was_not_rewritten_undoes_the_change"),
    ("4", "leftovers::a_complete_set_that_does_not_fit_is_held"),
    ("5", "maintenance::whatever_moved_is_shown_without_a_window"),
    ("6", "commits::one_commit_is_kept_whatever_it_did_to_the_rows"),
    ("6", "merges::a_merge_confirmed_at_the_head_is_kept"),
    ("7", "shown::a_commit_between_the_expected_and_the_shown_version_is_published"),
    ("7", "shown::a_restore_below_a_published_commit_took_it_back"),
    ("8", "commits::no_commit_on_any_table_is_nothing_to_do"),
    ("9", "shown::a_commit_shown_on_some_tables_only_is_held"),
    ("10", "commits::a_commit_on_some_tables_is_undone_on_all_of_them"),
    ("10", "undone::a_restore_to_the_shown_version_is_shown_without_another_one"),
    ("11", "commits::more_data_than_one_commit_is_held"),
    ("11", "drift::rows_that_nothing_explains_are_a_persons_choice"),
    ("1/2", "first_rows::a_marker_ends_an_operation_whatever_else_is_seen"),
    ("1/3", "properties::a_marker_and_an_orphan_never_move_a_table"),
    ("1/4", "schema::a_marker_outweighs_what_the_change_looks_like"),
    ("2/3", "first_rows::the_list_of_branches_alone_makes_an_orphan_not_an_unreadable_table"),
    ("2/4", "schema::without_a_look_at_the_files_it_is_held"),
    ("2/6", "first_rows::a_version_whose_transaction_is_gone_makes_a_tail_unknown"),
    ("2/7", "shown::a_gap_between_the_expected_and_the_shown_version_is_held"),
    ("2/8", "first_rows::a_table_that_cannot_be_read_is_held_not_taken_for_absent"),
    ("3/4", "schema::a_change_of_a_gone_or_younger_branch_is_an_orphan_however_complete"),
    ("4/5", "maintenance::a_schema_change_is_undone_by_the_tail_that_maintenance_is_shown_by"),
    ("4/9", "schema::a_change_that_the_graph_shows_is_never_undone"),
    ("4/11", "schema::anything_but_one_overwrite_on_a_table_is_held"),
    ("5/6", "maintenance::maintenance_is_shown_in_part_and_a_commit_only_as_a_whole"),
    ("5/7", "maintenance::without_a_tail_it_is_published_or_nothing_to_do"),
    ("5/8", "maintenance::without_a_tail_it_is_published_or_nothing_to_do"),
    ("5/10", "maintenance::a_restore_to_the_wrong_version_is_undone_for_maintenance_too"),
    ("5/11", "maintenance::rows_in_the_tail_that_nothing_explains_are_held"),
    ("6/7", "shown::maintenance_above_a_published_commit_changes_nothing"),
    ("6/8", "commits::alone_they_are_the_whole_commit"),
    ("6/9", "shown::a_commit_shown_on_some_tables_is_not_finished_on_the_others_by_plausibility"),
    ("6/10", "commits::a_commit_under_which_the_pin_moved_is_undone_down_to_the_new_pin"),
    ("6/10", "merges::an_unconfirmed_merge_is_undone_even_if_it_looks_complete"),
    ("6/11", "commits::a_commit_staged_after_the_writer_began_is_not_its_own"),
    ("7/8", "shown::somebody_elses_history_is_no_commit_of_this_operation"),
    ("7/9", "shown::a_commit_of_which_a_restore_left_a_part_is_held"),
    ("7/10", "undone::the_undoing_of_a_later_operation_does_not_touch_a_published_one"),
    ("7/11", "shown::foreign_rows_above_a_published_commit_are_held"),
    ("8/9", "shown::a_commit_shown_on_some_tables_only_is_held"),
    ("8/10", "commits::beside_a_table_that_did_not_move_they_leave_nothing_to_undo"),
    ("8/11", "commits::a_commit_of_an_unknown_kind_is_held"),
    ("9/10", "shown::a_commit_proven_on_one_table_and_not_ready_on_another_is_held"),
    ("9/11", "shown::foreign_rows_on_the_tables_that_do_not_show_the_commit_are_held_by_name"),
    ("10/11", "undone::unexplained_content_above_a_restore_is_held"),
];

/// Each row with the later ones into which a world can tip: those that come next, and those that it keeps from being reached.
const BOUNDARIES: &[(u8, &[u8])] = &[
    (1, &[2, 3, 4]),
    (2, &[3, 4, 6, 7, 8]),
    (3, &[4]),
    (4, &[5, 9, 11]),
    (5, &[6, 7, 8, 10, 11]),
    (6, &[7, 8, 9, 10, 11]),
    (7, &[8, 9, 10, 11]),
    (8, &[9, 10, 11]),
    (9, &[10, 11]),
    (10, &[11]),
];

#[test]
fn every_row_and_boundary_has_its_test_and_the_index_is_true() {
    let files = [
        ("commits", include_str!("commits.rs")),
        ("drift", include_str!("drift.rs")),
        ("first_rows", include_str!("first_rows.rs")),
        ("leftovers", include_str!("leftovers.rs")),
        ("maintenance", include_str!("maintenance.rs")),
        ("merges", include_str!("merges.rs")),
        ("properties", include_str!("properties.rs")),
        ("schema", include_str!("schema.rs")),
        ("shown", include_str!("shown.rs")),
        ("undone", include_str!("undone.rs")),
    ];
    for (place, test) in INDEX {
        let (file, name) = test.split_once("::").unwrap();
        let text = files.iter().find(|(known, _)| *known == file).unwrap().1;
        assert!(text.contains(&format!("fn {name}()")), "{place}: there is no {test}");
    }
    let rows = (1..=11).map(|row| row.to_string());
    let boundaries =
        BOUNDARIES.iter().flat_map(|(row, later)| later.iter().map(move |other| format!("{row}/{other}")));
    let wanted: BTreeSet<String> = rows.chain(boundaries).collect();
    let there: BTreeSet<String> = INDEX.iter().map(|(place, _)| (*place).to_owned()).collect();
    assert_eq!(there, wanted);
}
