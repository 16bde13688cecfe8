//! A head that is not the pin, with no sidecar, or with one that does not explain it.

use super::build::*;
use super::{Data, Kind, NAME, State};
use crate::program::Step;
use crate::surgery::Surgery;

const FINALIZED: &str = "mutation.post_finalize_pre_publisher";
const TO_PIN: &[&[&str]] = &[&["repair", "drift", "--to", "pin", "--yes", "--exclusive"]];
/// A sidecar keeps its tables from being repaired one by one.
const ASIDE_TO_PIN: &[&[&str]] = &[&["sidecars", "quarantine", NAME], TO_PIN[0]];
const COMPANY: &str = "node:Company";

pub fn states() -> Vec<State> {
    let foreign = |table, branch| cut(Surgery::ForeignAppend { table, branch, id: "Intruder" });
    let drift = |name: &str, steps| state(name, Kind::Drift, steps);
    let changed = |name: &str, surgery| drift(name, with(warm(), [cut(surgery)])).held(TO_PIN);
    vec![
        drift("drift-foreign-append", with(warm(), [foreign(COMPANY, None)]))
            .held(TO_PIN)
            .notes("rows that nobody announced"),
        drift("drift-foreign-append-branch", with(owned(), [foreign(COMPANY, Some(FEATURE))]))
            .branch(FEATURE)
            .held(TO_PIN),
        changed("drift-foreign-update", Surgery::ForeignUpdate { table: COMPANY, column: "size" }),
        changed("drift-foreign-delete", Surgery::ForeignDelete { table: COMPANY, id: "Bolt" }),
        changed("drift-foreign-overwrite", Surgery::ForeignOverwrite { table: COMPANY, id: "Intruder" }),
        drift(
            "drift-foreign-compaction",
            with(fragmented(), [cut(Surgery::ForeignCompaction { table: COMPANY })]),
        )
        .once("0 roll_forward")
        .notes("neutral: the same rows in other files"),
        drift("drift-empty-delete", with(warm(), [cut(Surgery::ForeignEmptyDelete { table: COMPANY })]))
            .once("0 roll_forward")
            .notes("neutral: no row has changed"),
        drift("drift-after-delete", with(warm(), [run(REMOVE_BOB.on_main())]))
            .engines(OLD)
            .committed()
            .once("0 roll_forward")
            .notes("no crash: each node delete leaves an empty delete on edge tables without a match"),
        drift("drift-foreign-append-over-load", with(loaded(), [foreign(COMPANY, None)]))
            .held(ASIDE_TO_PIN)
            .notes("the sidecar explains one of two commits"),
        drift(
            "drift-foreign-append-under-load",
            with(warm(), [foreign(COMPANY, None), crash(ADD_DRAFT.on_main(), FINALIZED)]),
        )
        .held(TO_PIN)
        .answers("11 hold, roll_forward", "11 hold")
        .recorded(FORWARD)
        .data(Data::Program { steps: with(warm(), [run(ADD_DRAFT.on_main())]), said: "the load's only" })
        .notes("two tables, one commit with a sidecar, one without: the one with is finished"),
    ]
}

/// A load to four tables, committed and not published.
fn loaded() -> Vec<Step> {
    with(warm(), [crash(ADD.on_main(), FINALIZED)])
}
