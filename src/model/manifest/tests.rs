use super::*;
use crate::model::audit::TableOutcome;

const OPERATION: &str = "01JZ0A3V9Q6T1F4C8R2M5N7P0X";
const METADATA: &str = r#"{"manifest_path":"p","manifest_size":1,"e_tag":null,"naming_scheme":"V2"}"#;

fn person() -> TableKey {
    TableKey::parse("node:Person").unwrap()
}

fn operation() -> OperationId {
    OperationId::parse(OPERATION).unwrap()
}

fn feature() -> Branch {
    Branch::parse(Some("feature")).unwrap()
}

fn table_row(key: &str) -> ManifestRow {
    ManifestRow {
        object_id: key.into(),
        object_type: "table".into(),
        location: Some(format!("at/{key}")),
        table_key: key.into(),
        ..Default::default()
    }
}

fn shows(key: &str, version: u64) -> ManifestRow {
    ManifestRow {
        object_id: format!("{key}${version:020}"),
        object_type: "table_version".into(),
        metadata: Some(METADATA.into()),
        table_key: key.into(),
        table_version: Some(version),
        row_count: Some(10 * version),
        ..Default::default()
    }
}

fn drops(key: &str, version: u64) -> ManifestRow {
    ManifestRow {
        object_id: format!("{key}$tombstone${version:020}"),
        object_type: "table_tombstone".into(),
        table_key: key.into(),
        table_version: Some(version),
        ..Default::default()
    }
}

fn commit_row(id: &str, version: u64, metadata: &str) -> ManifestRow {
    ManifestRow {
        object_id: id.into(),
        object_type: "graph_commit".into(),
        metadata: Some(metadata.into()),
        table_version: Some(version),
        ..Default::default()
    }
}

fn state(rows: impl IntoIterator<Item = ManifestRow>) -> ManifestState {
    let mut state = ManifestState::default();
    state.absorb(rows).unwrap();
    state.check().unwrap();
    state
}

fn shown(state: &ManifestState) -> Option<u64> {
    state.entry(&person()).map(|entry| entry.version.0)
}

/// A graph that shows version 5 of Person, of 50 rows.
fn at_five() -> ManifestState {
    state([table_row("node:Person"), shows("node:Person", 5)])
}

fn entry(version: u64) -> Entry {
    Entry {
        version: Version(version),
        branch: Branch::main(),
        row_count: 10 * version,
        metadata: METADATA.into(),
    }
}

fn show(version: u64) -> Change {
    Change::Show { table: person(), entry: entry(version) }
}

fn register(key: &str, location: &str) -> Change {
    Change::Register { table: TableKey::parse(key).unwrap(), location: location.into() }
}

fn drop_at(version: u64) -> Change {
    Change::Drop { table: person(), version: Version(version) }
}

fn publish(changes: impl IntoIterator<Item = Change>) -> Publish {
    Publish { changes: changes.into_iter().collect(), ..Default::default() }
}

fn marker() -> Marker {
    Marker {
        verdict: Verdict::RollBack,
        graph_commit_id: "01JZ0A4B7K3W9E2Y6H8D1S5G0T".into(),
        manifest_version: Version(31),
        merged_parent: None,
        created_at: 1_750_000_000_000_000,
        outcomes: vec![TableOutcome {
            table_key: person(),
            from_version: Version(7),
            to_version: Version(5),
        }],
    }
}

/// The rows of a publish on main of graph-v3, read at manifest version 30.
fn rows(state: &ManifestState, publish: &Publish) -> Result<Vec<ManifestRow>, Refusal> {
    state.rows_for(publish, &Branch::main(), Version(30), false)
}

fn not_above(version: u64) -> Refusal {
    Refusal::NotAbove { table: person(), version: Version(version) }
}

mod reduction {
    use super::*;

    #[test]
    fn the_greatest_version_is_shown_in_whatever_order_rows_arrive() {
        let all = [
            table_row("node:Person"),
            shows("node:Person", 5),
            shows("node:Person", 12),
            shows("node:Person", 9),
        ];
        for first in 0..all.len() {
            let mut rows = all.to_vec();
            rows.rotate_left(first);
            assert_eq!(state(rows), state(all.clone()));
        }
        let state = state(all);
        assert_eq!(shown(&state), Some(12));
        assert_eq!(state.entry(&person()).unwrap().row_count, 120);
        assert_eq!(state.actual(&person()), Version(12));
    }

    #[test]
    fn versions_are_compared_as_numbers_not_by_branch() {
        let on_feature = ManifestRow { table_branch: Some("feature".into()), ..shows("node:Person", 6) };
        let inherited = shows("node:Person", 5);
        for rows in [[on_feature.clone(), inherited.clone()], [inherited, on_feature]] {
            let state = state(rows.into_iter().chain([table_row("node:Person")]));
            assert_eq!(state.entry(&person()).unwrap().branch, feature());
        }
    }

    #[test]
    fn a_tombstone_at_or_above_the_version_hides_the_table() {
        for (tombstone, visible) in [(4, Some(5)), (5, None), (6, None)] {
            let state =
                state([table_row("node:Person"), shows("node:Person", 5), drops("node:Person", tombstone)]);
            assert_eq!(shown(&state), visible, "tombstone {tombstone}");
            assert_eq!(state.entries().count(), usize::from(visible.is_some()));
        }
    }

    #[test]
    fn a_table_that_is_shown_again_above_its_tombstone_is_back() {
        let state = state([
            table_row("node:Person"),
            shows("node:Person", 5),
            drops("node:Person", 6),
            shows("node:Person", 7),
        ]);
        assert_eq!((shown(&state), state.actual(&person())), (Some(7), Version(7)));
    }

    #[test]
    fn the_actual_version_of_a_dropped_table_is_its_highest_tombstone_and_of_an_unknown_one_zero() {
        let state = state([
            table_row("node:Person"),
            shows("node:Person", 5),
            drops("node:Person", 9),
            drops("node:Person", 6),
        ]);
        assert_eq!(state.actual(&person()), Version(9));
        assert_eq!(state.actual(&TableKey::parse("node:Tag").unwrap()), Version::ABSENT);
    }

    #[test]
    fn a_dropped_table_stays_registered() {
        let state = state([table_row("node:Person"), shows("node:Person", 5), drops("node:Person", 6)]);
        assert!(state.is_registered(&person()));
        assert_eq!(state.registered().collect::<Vec<_>>(), [&person()]);
    }

    #[test]
    fn the_owner_of_a_version_changes_with_the_row_absorbed_later() {
        let mut state = at_five();
        state
            .absorb([ManifestRow { table_branch: Some("feature".into()), ..shows("node:Person", 5) }])
            .unwrap();
        assert_eq!(state.entry(&person()).unwrap().branch, feature());
    }

    #[test]
    fn main_and_null_name_the_same_branch() {
        let state = state([
            table_row("node:Person"),
            ManifestRow { table_branch: Some("main".into()), ..shows("node:Person", 5) },
        ]);
        assert!(state.entry(&person()).unwrap().branch.is_main());
    }

    #[test]
    fn rows_of_unknown_kinds_are_skipped_however_they_look() {
        let unknown = ManifestRow {
            object_id: "x".into(),
            object_type: "reader_lease".into(),
            table_branch: Some("../..".into()),
            ..Default::default()
        };
        let head = ManifestRow {
            object_type: "graph_head".into(),
            object_id: "graph_head:main".into(),
            ..Default::default()
        };
        let mut state = at_five();
        state.absorb([unknown, head]).unwrap();
        assert_eq!(state, at_five());
    }

    #[test]
    fn a_broken_row_is_named() {
        let broken = |row: ManifestRow, fault: &str| {
            let id = row.object_id.clone();
            let error = ManifestState::default().absorb([table_row("node:Tag"), row]).unwrap_err();
            assert_eq!(error.object_id, id);
            assert!(error.fault.contains(fault), "{error}");
        };
        let version = || shows("node:Person", 5);
        broken(ManifestRow { location: None, ..table_row("node:Person") }, "without a location");
        broken(ManifestRow { table_version: None, ..version() }, "without a version");
        broken(ManifestRow { row_count: None, ..version() }, "without a row count");
        broken(ManifestRow { metadata: None, ..version() }, "without metadata");
        broken(ManifestRow { table_branch: Some("../x".into()), ..version() }, "branch name");
        broken(ManifestRow { table_key: String::new(), ..version() }, "table key");
        broken(ManifestRow { table_version: None, ..drops("node:Person", 5) }, "without a version");
        broken(commit_row("c", 4, "{}"), "created_at");
        broken(
            ManifestRow { table_version: None, ..commit_row("c", 4, r#"{"created_at":1}"#) },
            "manifest version",
        );
    }

    #[test]
    fn a_long_id_is_shortened_where_it_is_named() {
        let row = ManifestRow { object_id: "x".repeat(10_000), ..shows("", 5) };
        assert_eq!(ManifestState::default().absorb([row]).unwrap_err().object_id.len(), 200);
    }

    #[test]
    fn a_version_of_a_table_that_is_not_registered_is_found_once_all_rows_are_there() {
        let mut state = ManifestState::default();
        state.absorb([shows("node:Person", 5)]).unwrap();
        assert_eq!(state.check().unwrap_err().object_id, "node:Person");
        state.absorb([table_row("node:Person")]).unwrap();
        assert_eq!(state.check(), Ok(()));
    }
}

mod markers {
    use super::*;

    fn settling() -> Publish {
        Publish { markers: BTreeMap::from([(operation(), marker())]), ..publish([show(6)]) }
    }

    #[test]
    fn a_marker_is_read_back_as_it_was_written() {
        let rows = rows(&at_five(), &settling()).unwrap();
        let written = rows.last().unwrap();
        assert_eq!(written.object_id, format!("outrigger:recovery:{OPERATION}"));
        assert_eq!((written.object_type.as_str(), written.table_key.as_str()), ("outrigger_recovery", ""));
        assert_eq!(
            written.metadata.as_deref(),
            Some(concat!(
                r#"{"verdict":"roll_back","graph_commit_id":"01JZ0A4B7K3W9E2Y6H8D1S5G0T","#,
                r#""manifest_version":31,"created_at":1750000000000000,"outcomes":"#,
                r#"[{"table_key":"node:Person","from_version":7,"to_version":5}]}"#
            ))
        );
        let mut state = at_five();
        assert_eq!(state.marker(&operation()), None);
        state.absorb(rows).unwrap();
        assert_eq!(state.marker(&operation()), Some(&marker()));
    }

    #[test]
    fn a_marker_carries_the_version_that_its_publish_makes() {
        let early = Marker { manifest_version: Version(1), merged_parent: Some("source".into()), ..marker() };
        let settling = Publish { markers: BTreeMap::from([(operation(), early.clone())]), ..settling() };
        let mut state = at_five();
        state.absorb(rows(&at_five(), &settling).unwrap()).unwrap();
        let written = Marker { manifest_version: Version(31), ..early };
        assert_eq!(state.marker(&operation()), Some(&written));
    }

    #[test]
    fn an_operation_is_settled_once() {
        let mut state = at_five();
        state.absorb(rows(&at_five(), &settling()).unwrap()).unwrap();
        let again = Publish { changes: vec![show(7)], ..settling() };
        assert_eq!(rows(&state, &again), Err(Refusal::AlreadySettled(operation())));
    }

    #[test]
    fn being_settled_counts_before_a_moved_table() {
        let mut state = at_five();
        state.absorb(rows(&at_five(), &settling()).unwrap()).unwrap();
        let late = Publish { expected: BTreeMap::from([(person(), Version(5))]), ..settling() };
        assert_eq!(rows(&state, &late), Err(Refusal::AlreadySettled(operation())));
    }

    #[test]
    fn a_marker_that_cannot_be_read_breaks_its_branch() {
        let good = marker_row(&operation(), &marker());
        for (row, fault) in [
            (ManifestRow { object_id: "elsewhere".into(), ..good.clone() }, "foreign id"),
            (ManifestRow { object_id: "outrigger:recovery:x".into(), ..good.clone() }, "ULID"),
            (ManifestRow { metadata: None, ..good.clone() }, "without metadata"),
            (ManifestRow { metadata: Some("{}".into()), ..good }, "verdict"),
        ] {
            let error = ManifestState::default().absorb([row]).unwrap_err();
            assert!(error.fault.contains(fault), "{error}");
        }
    }
}

mod publishing {
    use super::*;

    #[test]
    fn a_shown_version_is_one_row() {
        let on_feature = Entry { branch: feature(), ..entry(6) };
        let rows = rows(&at_five(), &publish([Change::Show { table: person(), entry: on_feature }])).unwrap();
        assert_eq!(rows, [ManifestRow { table_branch: Some("feature".into()), ..shows("node:Person", 6) }]);
    }

    #[test]
    fn nothing_to_publish_is_no_row() {
        assert_eq!(rows(&at_five(), &Publish::default()), Ok(vec![]));
    }

    #[test]
    fn a_publish_expects_what_it_saw() {
        let expecting = |key: &str, version| {
            let key = TableKey::parse(key).unwrap();
            rows(
                &at_five(),
                &Publish { expected: BTreeMap::from([(key, Version(version))]), ..publish([show(6)]) },
            )
        };
        assert!(expecting("node:Person", 5).is_ok());
        assert!(expecting("node:Tag", 0).is_ok(), "a table that nobody has registered");
        for (key, expected, actual) in [("node:Person", 4, 5), ("node:Person", 6, 5), ("node:Tag", 1, 0)] {
            let refusal = expecting(key, expected).unwrap_err();
            let wanted = Refusal::ExpectedVersionMismatch {
                table: TableKey::parse(key).unwrap(),
                expected: Version(expected),
                actual: Version(actual),
            };
            assert_eq!(refusal, wanted);
        }
    }

    #[test]
    fn a_dropped_table_is_expected_at_its_tombstone() {
        let dropped = state([table_row("node:Person"), shows("node:Person", 5), drops("node:Person", 6)]);
        let expecting = |version| Publish {
            expected: BTreeMap::from([(person(), Version(version))]),
            ..publish([show(7)])
        };
        assert!(rows(&dropped, &expecting(6)).is_ok());
        assert!(rows(&dropped, &expecting(5)).is_err());
    }

    #[test]
    fn only_a_version_above_everything_shown_may_be_shown() {
        assert!(rows(&at_five(), &publish([show(6)])).is_ok());
        for version in [5, 4] {
            assert_eq!(rows(&at_five(), &publish([show(version)])), Err(not_above(version)));
        }
    }

    #[test]
    fn a_version_below_a_tombstone_would_not_be_seen() {
        let dropped = state([table_row("node:Person"), shows("node:Person", 5), drops("node:Person", 8)]);
        for version in [5, 7, 8] {
            assert_eq!(rows(&dropped, &publish([show(version)])), Err(not_above(version)));
        }
        assert!(rows(&dropped, &publish([show(9)])).is_ok());
    }

    #[test]
    fn the_versions_up_to_a_restored_head_are_filled_in_one_publish() {
        let rows = rows(&at_five(), &publish([show(6), show(7), show(8)])).unwrap();
        assert_eq!(rows.iter().map(|row| row.table_version).collect::<Vec<_>>(), [Some(6), Some(7), Some(8)]);
        let mut state = at_five();
        state.absorb(rows).unwrap();
        assert_eq!(shown(&state), Some(8));
        for version in [6, 7, 8] {
            assert_eq!(
                super::rows(&state, &publish([show(version)])),
                Err(not_above(version)),
                "a late writer's"
            );
        }
    }

    #[test]
    fn a_version_stands_for_one_content_within_a_publish_too() {
        let twice = rows(&at_five(), &publish([show(6), show(7), show(6)]));
        assert_eq!(twice, Err(Refusal::WrittenTwice("node:Person$00000000000000000006".into())));
    }

    #[test]
    fn the_first_version_of_a_fork_takes_over_the_row_of_its_source() {
        let handed = |entry| rows(&at_five(), &publish([Change::Show { table: person(), entry }]));
        let to_feature = Entry { branch: feature(), ..entry(5) };
        assert_eq!(handed(to_feature.clone()).unwrap()[0].object_id, "node:Person$00000000000000000005");
        assert_eq!(handed(Entry { row_count: 51, ..to_feature.clone() }), Err(not_above(5)), "other rows");
        assert_eq!(handed(entry(5)), Err(not_above(5)), "the same branch");
        assert_eq!(handed(Entry { version: Version(4), row_count: 50, ..to_feature }), Err(not_above(4)));
    }

    #[test]
    fn a_table_is_registered_and_shown_in_one_publish() {
        let tag = || TableKey::parse("node:Tag").unwrap();
        let show_tag = Change::Show { table: tag(), entry: entry(1) };
        assert_eq!(rows(&at_five(), &publish([show_tag.clone()])), Err(Refusal::NotRegistered(tag())));
        for changes in [
            [register("node:Tag", "at/node:Tag"), show_tag.clone()],
            [show_tag.clone(), register("node:Tag", "at/node:Tag")],
        ] {
            let mut rows = rows(&at_five(), &publish(changes)).unwrap();
            rows.sort_by(|one, other| one.object_id.cmp(&other.object_id));
            assert_eq!(rows, [table_row("node:Tag"), shows("node:Tag", 1)]);
        }
    }

    #[test]
    fn a_table_that_is_registered_already_keeps_its_row() {
        assert_eq!(rows(&at_five(), &publish([register("node:Person", "at/node:Person")])), Ok(vec![]));
        let elsewhere = rows(&at_five(), &publish([register("node:Person", "elsewhere")]));
        let known = "at/node:Person".into();
        assert_eq!(elsewhere, Err(Refusal::RegisteredElsewhere { table: person(), known }));
    }

    #[test]
    fn a_table_is_registered_once_in_a_publish() {
        let twice = publish([register("node:Tag", "a"), register("node:Tag", "b")]);
        assert_eq!(rows(&at_five(), &twice), Err(Refusal::WrittenTwice("node:Tag".into())));
    }

    #[test]
    fn a_drop_is_a_tombstone_above_the_shown_version() {
        assert_eq!(rows(&at_five(), &publish([drop_at(6)])), Ok(vec![drops("node:Person", 6)]));
        for version in [5, 4] {
            assert_eq!(rows(&at_five(), &publish([drop_at(version)])), Err(not_above(version)));
        }
        let dropped = state([table_row("node:Person"), shows("node:Person", 5), drops("node:Person", 6)]);
        assert_eq!(rows(&dropped, &publish([drop_at(6)])), Err(not_above(6)), "dropped already");
    }

    #[test]
    fn only_a_registered_table_is_dropped() {
        assert_eq!(
            rows(&ManifestState::default(), &publish([drop_at(1)])),
            Err(Refusal::NotRegistered(person()))
        );
    }
}

mod lineage {
    use super::*;

    const FIRST: &str = "01JZ0A3V9Q6T1F4C8R2M5N7P01";
    const SECOND: &str = "01JZ0A3V9Q6T1F4C8R2M5N7P02";

    fn intent(id: &str) -> CommitIntent {
        CommitIntent {
            id: id.into(),
            actor: None,
            merged_parent: None,
            created_at: Timestamp::from_micros(1_750_000_000_000_000).unwrap(),
        }
    }

    fn committing(commits: impl IntoIterator<Item = CommitIntent>) -> Publish {
        Publish { commits: commits.into_iter().collect(), ..Default::default() }
    }

    fn lineage(state: &ManifestState, publish: &Publish, branch: &Branch) -> Vec<ManifestRow> {
        state.rows_for(publish, branch, Version(30), true).unwrap()
    }

    fn metadata(row: &ManifestRow) -> &str {
        row.metadata.as_deref().unwrap()
    }

    /// A graph whose newest commit is `old`.
    fn with_history() -> ManifestState {
        let mut state = at_five();
        let commit = |id: &str, version, created_at: i64| {
            commit_row(id, version, &format!(r#"{{"created_at":{created_at}}}"#))
        };
        state.absorb([commit("older", 28, 9), commit("old", 29, 5), commit("twin", 29, 4)]).unwrap();
        state
    }

    #[test]
    fn a_commit_is_two_rows_on_main() {
        let commit = CommitIntent { actor: Some("omnigraph:recovery".into()), ..intent(FIRST) };
        let [commit, head] = &lineage(&with_history(), &committing([commit]), &Branch::main())[..] else {
            panic!()
        };
        assert_eq!(
            *commit,
            ManifestRow {
                object_id: FIRST.into(),
                object_type: "graph_commit".into(),
                metadata: Some(
                    concat!(
                        r#"{"parent_commit_id":"old","actor_id":"omnigraph:recovery","#,
                        r#""created_at":1750000000000000}"#
                    )
                    .into()
                ),
                table_version: Some(31),
                ..Default::default()
            }
        );
        assert_eq!(
            *head,
            ManifestRow {
                object_id: "graph_head:main".into(),
                object_type: "graph_head".into(),
                metadata: Some(format!(r#"{{"head_commit_id":"{FIRST}","parent_commit_id":"old"}}"#)),
                ..Default::default()
            }
        );
    }

    #[test]
    fn merged_commits_are_history_and_no_more() {
        let merged = GraphCommit {
            id: FIRST.into(),
            branch: feature(),
            manifest_version: Version(99),
            parent: Some("old".into()),
            merged_parent: Some("other".into()),
            created_at: 7,
            actor: Some("ann".into()),
        };
        let publish = Publish { history: vec![merged.clone()], ..Default::default() };
        let rows = lineage(&with_history(), &publish, &Branch::main());
        assert_eq!(
            rows,
            [ManifestRow {
                object_id: format!("outrigger:merged:{FIRST}"),
                object_type: "outrigger_merged".into(),
                metadata: Some(
                    concat!(
                        r#"{"parent_commit_id":"old","merged_parent_commit_id":"other","#,
                        r#""actor_id":"ann","created_at":7}"#
                    )
                    .into()
                ),
                table_version: Some(99),
                table_branch: feature().name().map(str::to_owned),
                ..Default::default()
            }]
        );
        let mut state = with_history();
        state.absorb(rows).unwrap();
        assert_eq!(state.head().unwrap().id, "old", "however high the versions of the other branch are");
        assert_eq!(state.commits().count(), 3);
        assert_eq!(state.history().find(|commit| commit.id == FIRST), Some(&merged));
        assert_eq!((state.known(FIRST), state.commit(FIRST)), (Some(&merged), None));
        assert!(state.known("old").is_some() && state.known("other").is_none());
        for known in [merged.clone(), GraphCommit { id: "old".into(), ..merged }] {
            let again = Publish { history: vec![known], ..Default::default() };
            let refused = state.rows_for(&again, &Branch::main(), Version(31), true);
            assert!(matches!(refused, Err(Refusal::WrittenTwice(_))), "{refused:?}");
        }
    }

    #[test]
    fn on_a_branch_the_commit_carries_the_branch_and_the_head_is_named_by_it() {
        let [commit, head] = &lineage(&with_history(), &committing([intent(FIRST)]), &feature())[..] else {
            panic!()
        };
        assert_eq!(commit.table_branch.as_deref(), Some("feature"));
        assert_eq!((head.object_id.as_str(), head.table_branch.as_deref()), ("graph_head:feature", None));
    }

    #[test]
    fn the_first_commit_has_no_parent() {
        let [commit, head] = &lineage(&at_five(), &committing([intent(FIRST)]), &Branch::main())[..] else {
            panic!()
        };
        assert_eq!(metadata(commit), r#"{"created_at":1750000000000000}"#);
        assert_eq!(metadata(head), format!(r#"{{"head_commit_id":"{FIRST}"}}"#));
    }

    #[test]
    fn a_merge_names_both_parents() {
        let merge = CommitIntent { merged_parent: Some("source".into()), ..intent(FIRST) };
        let rows = lineage(&with_history(), &committing([merge]), &Branch::main());
        assert_eq!(
            metadata(&rows[0]),
            r#"{"parent_commit_id":"old","merged_parent_commit_id":"source","created_at":1750000000000000}"#
        );
        assert!(!metadata(&rows[1]).contains("source"), "the head names its first parent only");
    }

    #[test]
    fn several_commits_are_a_chain_with_one_head() {
        let rows = lineage(&with_history(), &committing([intent(FIRST), intent(SECOND)]), &Branch::main());
        let ids: Vec<_> = rows.iter().map(|row| row.object_id.as_str()).collect();
        assert_eq!(ids, [FIRST, SECOND, "graph_head:main"]);
        assert!(metadata(&rows[0]).starts_with(r#"{"parent_commit_id":"old","#));
        assert!(metadata(&rows[1]).starts_with(&format!(r#"{{"parent_commit_id":"{FIRST}","#)));
        assert_eq!(
            metadata(&rows[2]),
            format!(r#"{{"head_commit_id":"{SECOND}","parent_commit_id":"{FIRST}"}}"#)
        );
    }

    #[test]
    fn a_commit_is_read_back_as_the_new_head() {
        let mut state = with_history();
        let commit = CommitIntent {
            actor: Some("alice".into()),
            merged_parent: Some("source".into()),
            ..intent(FIRST)
        };
        state.absorb(lineage(&state.clone(), &committing([commit]), &feature())).unwrap();
        assert_eq!(
            state.head(),
            Some(&GraphCommit {
                id: FIRST.into(),
                branch: feature(),
                manifest_version: Version(31),
                parent: Some("old".into()),
                merged_parent: Some("source".into()),
                created_at: 1_750_000_000_000_000,
                actor: Some("alice".into()),
            })
        );
    }

    #[test]
    fn the_head_is_known_in_whatever_order_commits_are_absorbed() {
        let commit = |id: &str, made| ManifestRow {
            object_id: id.into(),
            object_type: "graph_commit".into(),
            metadata: Some(r#"{"created_at":1}"#.into()),
            table_version: Some(made),
            ..ManifestRow::default()
        };
        let head = |rows: &[ManifestRow]| {
            let mut state = ManifestState::default();
            for row in rows {
                state.absorb([row.clone()]).unwrap();
                assert_eq!(state.head(), head_of(state.commits()));
            }
            state.head().unwrap().id.clone()
        };
        assert_eq!(head(&[commit("a", 3), commit("b", 4), commit("c", 2)]), "b");
        assert_eq!(head(&[commit("c", 2), commit("b", 4), commit("a", 3)]), "b");
        assert_eq!(
            head(&[commit("a", 3), commit("b", 4), commit("b", 2)]),
            "a",
            "a later form of the head itself"
        );
    }

    #[test]
    fn a_commit_is_recorded_once() {
        let again = with_history().rows_for(&committing([intent("old")]), &Branch::main(), Version(30), true);
        assert_eq!(again, Err(Refusal::WrittenTwice("old".into())));
    }

    #[test]
    fn elsewhere_commits_are_no_rows_of_the_manifest() {
        assert_eq!(rows(&with_history(), &committing([intent(FIRST)])), Ok(vec![]));
        assert_eq!(lineage(&with_history(), &Publish::default(), &Branch::main()), []);
    }

    #[test]
    fn the_head_is_the_greatest_by_version_then_time_then_id() {
        let commit = |id: &str, version, created_at| GraphCommit {
            id: id.into(),
            branch: Branch::main(),
            manifest_version: Version(version),
            parent: None,
            merged_parent: None,
            created_at,
            actor: None,
        };
        let head = |commits: &[GraphCommit]| head_of(commits).unwrap().id.clone();
        assert_eq!(head(&[commit("z", 3, 9), commit("a", 4, 1)]), "a");
        assert_eq!(head(&[commit("a", 4, 2), commit("z", 4, 1)]), "a");
        assert_eq!(head(&[commit("b", 4, 1), commit("a", 4, 1)]), "b");
        assert_eq!(head_of(&[]), None);
    }
}
