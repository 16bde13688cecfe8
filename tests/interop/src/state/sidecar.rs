//! Sidecars that cannot be read, or say what is not so, and several at once.

use super::build::*;
use super::{Data, Kind, NAME, State};
use crate::program::Step;
use crate::surgery::{SidecarEdit, Surgery};

const FINALIZED: &str = "mutation.post_finalize_pre_publisher";
const POISON: &[&[&str]] = &[&["sidecars", "quarantine", "00000000000000000000000001.json"]];
/// An operation id that no sidecar here has.
const RENAMED: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const ASIDE: &[&str] = &["sidecars", "quarantine", NAME];
const ASIDE_TO_PIN: &[&[&str]] = &[ASIDE, &["repair", "drift", "--to", "pin", "--yes", "--exclusive"]];
const ASIDE_TO_HEAD: &[&[&str]] = &[ASIDE, &["repair", "drift", "--to", "head", "--yes", "--exclusive"]];

/// The sidecar, and each of the four tables whose commits it no longer explains.
const EACH: &str = "11 hold ×5";
const UNREAD: &str = "one record that it cannot read keeps it from opening the graph";
const ELSEWHERE: &str = "it looks for the tables where the sidecar says, and finds none";

pub fn states() -> Vec<State> {
    let mut states = poison();
    states.extend(edited());
    states.extend(several());
    states
}

fn loaded() -> Vec<Step> {
    with(warm(), [crash(ADD.on_main(), FINALIZED)])
}

/// An object beside the sidecars that is none. The engine neither opens nor writes.
fn poison() -> Vec<State> {
    let cases: [(&str, &'static [u8]); 4] = [
        ("poison-empty", b""),
        ("poison-garbage", b"not a sidecar"),
        ("poison-not-utf8", &[0xff, 0xfe, 0x00, 0x7b]),
        ("poison-wrong-shape", br#"{"schema_version": 2, "tables": "none"}"#),
    ];
    let alone = |(name, bytes)| {
        state(name, Kind::Sidecar, with(warm(), [cut(Surgery::Poison { bytes })]))
            .held(POISON)
            .apart(BOTH, UNREAD)
    };
    let beside = state(
        "poison-beside-load",
        Kind::Sidecar,
        with(loaded(), [cut(Surgery::Poison { bytes: b"not a sidecar" })]),
    )
    .held(POISON)
    .committed()
    .answers("11 hold, roll_forward", "11 hold")
    .recorded(FORWARD)
    .apart(BOTH, UNREAD)
    .notes("the good sidecar is finished, the poison stays");
    cases.map(alone).into_iter().chain([beside]).collect()
}

fn edited() -> Vec<State> {
    let one = |name: &str, edit| state(name, Kind::Sidecar, with(loaded(), [cut(Surgery::Sidecar(edit))]));
    vec![
        one("sidecar-newer-version", SidecarEdit::Version { to: 99 })
            .held(ASIDE_TO_HEAD)
            .answers(EACH, EACH)
            .committed()
            .apart(BOTH, UNREAD)
            .notes("what it meant is not known: a person decides by the rows"),
        one("sidecar-unknown-kind", SidecarEdit::Kind { to: "Teleport" })
            .held(ASIDE_TO_PIN)
            .answers(EACH, EACH)
            .apart(BOTH, UNREAD)
            .notes("what it meant is not known: a person decides by the rows"),
        one("sidecar-unknown-table", SidecarEdit::UnknownTable { key: "node:Ghost" })
            .held(ASIDE_TO_PIN)
            .apart(BOTH, "it cannot open the unknown table, and so not the graph")
            .notes("a pin of a table that the graph does not have"),
        one("sidecar-version-1", SidecarEdit::Version { to: 1 })
            .forward()
            .notes("loads have the same meaning in both versions"),
        one("sidecar-other-name", SidecarEdit::Rename { to: RENAMED })
            .held(ASIDE_TO_HEAD)
            .answers(EACH, EACH)
            .committed()
            .notes("a copy, perhaps, of a record that is settled: a person decides by the rows"),
        one("sidecar-path-elsewhere", SidecarEdit::Paths { under: "/nowhere/else" })
            .forward()
            .apart(BOTH, ELSEWHERE)
            .notes("the recorded path is another copy's; the table key says where the table is"),
        one("sidecar-path-relative", SidecarEdit::Paths { under: "graph" }).forward().apart(BOTH, ELSEWHERE),
    ]
}

/// Two crashes before anybody recovers.
fn several() -> Vec<State> {
    let uncommit = |table| cut(Surgery::Uncommit { table, branch: None });
    let partial_load = with(loaded(), [uncommit("edge:WorksAt")]);
    let without_company = with(loaded(), [uncommit("node:Company")]);
    let draft_only =
        Data::Program { steps: with(warm(), [run(ADD_DRAFT.on_main())]), said: "the second load's only" };
    vec![
        state(
            "two-sidecars-apart",
            Kind::Sidecar,
            with(partial_load, [crash(ADD_DRAFT.on_main(), FINALIZED)]),
        )
        .answers("10 roll_back waits, roll_forward", "0 roll_back")
        .recorded(&["RolledBack", "RolledForward"])
        .data(draft_only)
        .notes("the one that is whole is finished at once, the other waits for a window"),
        state(
            "two-sidecars-one-table",
            Kind::Sidecar,
            with(without_company, [crash(ADD_COMPANY.on_main(), FINALIZED)]),
        )
        .undone()
        .recorded(&["RolledBack", "RolledBack"])
        .apart(BOTH, "it judges each sidecar alone, and shows what one of them has and the other lacks")
        .notes("one commit, two claimants: nobody can tell whose it is, so both are undone"),
    ]
}
