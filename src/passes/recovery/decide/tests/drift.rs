//! Tables ahead of their pins that no sidecar explains: what is shown, what is undone, what a person decides, and when.

use super::world::*;
use crate::passes::recovery::decide::drift::{Choice, Drift, chosen, decide_drift};
use crate::passes::recovery::decide::{Policy, Timing, Window};
use crate::passes::recovery::observation::TableRef;
use std::time::Duration;

/// Person ahead of its pin.
fn drift(history: &str) -> Drift {
    let at = TableRef { table: key("Person"), branch: branch(MAIN) };
    let (quiet_for, changed_for) = (Some(LONG), Some(LONG));
    Drift { at, lineage: lineage(history), ended: Vec::new(), quiet_for, changed_for, locked: false }
}

/// The same after these operations were ended while their writers might still be alive.
fn after(ended: &[Wreck], history: &str) -> Drift {
    let ended = ended.iter().map(|wreck| wreck.0.sidecar.clone()).collect();
    Drift { ended, ..drift(history) }
}

fn told(drift: &Drift) -> String {
    picture(&decide_drift(drift, &Policy::default()))
}

fn when(drift: &Drift, window: Option<Window>) -> Timing {
    decide_drift(drift, &Policy { window, ..Policy::default() }).timing
}

const NEUTRAL: &str = "7 | CreateIndex";
const UNDONE: &str = "7 | Append Restore(7)";
const STALE: &str = "7 | Append Restore(5)";
const FOREIGN: &str = "7 | Append";

#[test]
fn maintenance_is_shown() {
    for tail in ["CreateIndex", "ReserveFragments Rewrite", "UpdateConfig", "EmptyDelete"] {
        let head = 7 + tail.split(' ').count();
        assert_eq!(told(&drift(&format!("7 | {tail}"))), format!("roll_forward: Person shows {head}"));
    }
}

#[test]
fn rows_that_were_restored_to_those_shown_are_shown_undone() {
    assert_eq!(told(&drift(UNDONE)), "already_undone: Person shows 7 undone at 9");
    assert_eq!(
        told(&drift("7 | Append Restore(7) CreateIndex")),
        "already_undone: Person shows 7 undone at 10"
    );
    assert_eq!(told(&drift("7 | Append Restore(5) =")), "already_undone: Person shows 7 undone at 9");
}

#[test]
fn rows_that_were_restored_to_others_are_undone_to_those_shown() {
    assert_eq!(told(&drift(STALE)), "roll_back: Person restores 7 over 9");
    assert_eq!(told(&drift("7 | Restore(7) Restore(5) Rewrite")), "roll_back: Person restores 7 over 10");
}

#[test]
fn rows_that_nothing_explains_are_a_persons_choice() {
    for history in [FOREIGN, "7 | Append Restore(7) Append", "7 | Truncate", "7 | CreateIndex Overwrite@5"] {
        let decision = decide_drift(&drift(history), &Policy::default());
        assert_eq!((picture(&decision).as_str(), &decision.timing), ("hold", &Timing::Person), "{history}");
        assert!(decision.reason.contains("outrigger repair drift --exclusive --table node:Person"));
    }
}

/// A writer between its first commit and its publish looks the same, whether or not its sidecar was seen.
#[test]
fn no_person_is_asked_before_the_grace_is_over() {
    let young = Drift { changed_for: Some(Duration::from_secs(20)), ..drift(FOREIGN) };
    let left = Policy::GRACE - Duration::from_secs(20);
    assert_eq!(when(&young, None), Timing::Grace { left: Some(left) });
    assert_eq!(when(&young, Some(Window::Exclusive)), Timing::Grace { left: Some(left) });
    assert_eq!(when(&Drift { changed_for: None, ..drift(FOREIGN) }, None), Timing::Grace { left: None });
}

#[test]
fn a_person_is_asked_however_often_the_table_is_written() {
    let busy = Drift { quiet_for: Some(Duration::from_secs(1)), ..drift(FOREIGN) };
    assert_eq!(when(&busy, None), Timing::Person);
}

#[test]
fn what_cannot_be_read_or_cannot_be_true_is_held() {
    assert_eq!(told(&drift("7 | Append Restore(7) ?")), "hold");
    let mut behind = drift("7 |");
    behind.lineage.head = crate::model::Version(6);
    assert_eq!(told(&behind), "hold");
}

/// Read no later than the writer began, of a kind that it makes, and nothing else beside it.
mod a_writer_that_woke_up_late {
    use super::*;
    use crate::model::sidecar::WriterKind;

    fn ended(kind: WriterKind) -> Wreck {
        of_kind(kind, "A").pin("Person", 5)
    }

    fn undone(ended: &[Wreck], history: &str) -> bool {
        let told = told(&after(ended, history));
        assert!(told == "hold" || told.starts_with("roll_back: Person restores 7 over"), "{told}");
        told != "hold"
    }

    #[test]
    fn is_undone_and_named() {
        let late =
            after(&[load("B").pin("Company", 5), ended(WriterKind::Load)], "7 | Overwrite@5 CreateIndex");
        let decision = decide_drift(&late, &Policy::default());
        assert_eq!(picture(&decision), "roll_back: Person restores 7 over 9");
        assert!(decision.reason.contains(operation("A").as_str()), "{}", decision.reason);
        assert_eq!(when(&late, None), Timing::Window);
    }

    #[test]
    fn is_no_stranger_that_read_what_is_shown() {
        let load = [ended(WriterKind::Load)];
        assert!(undone(&load, "7 | Overwrite@4"));
        assert!(undone(&load, "7 | Overwrite@5"));
        for history in ["7 | Overwrite@6", "7 | Append@7", "7 | Overwrite@5 Append@8"] {
            assert!(!undone(&load, history), "{history}");
        }
    }

    #[test]
    fn makes_the_commits_of_its_kind_only() {
        for (kind, history, may_be) in [
            (WriterKind::Mutation, "7 | Overwrite@5", true),
            (WriterKind::SchemaApply, "7 | Overwrite@5", true),
            (WriterKind::SchemaApply, "7 | Append@5", false),
            (WriterKind::BranchMerge, "7 | Overwrite@5", false),
            (WriterKind::EnsureIndices, "7 | Overwrite@5", false),
            (WriterKind::Optimize, "7 | Append@5", false),
            (WriterKind::Load, "7 | Truncate@5", false),
        ] {
            assert_eq!(undone(&[ended(kind)], history), may_be, "{kind:?} {history}");
        }
    }

    #[test]
    fn reads_its_own_commits_only_if_it_merges() {
        let history = "7 | Append@5 Update@8";
        assert!(undone(&[ended(WriterKind::BranchMerge)], history));
        assert!(!undone(&[ended(WriterKind::Load)], history));
    }

    #[test]
    fn wakes_up_on_its_own_table_and_branch() {
        assert!(!undone(&[load("A").pin("Company", 5)], "7 | Overwrite@5"));
        assert!(!undone(&[load("A").on("feature").pin("Person", 5)], "7 | Overwrite@5"));
    }

    #[test]
    fn is_nobody_whose_name_the_commit_does_not_bear() {
        let load = [ended(WriterKind::Load)];
        assert!(undone(&load, "7 | Overwrite@5#A"));
        assert!(!undone(&load, "7 | Overwrite@5#B"));
    }
}

#[test]
fn rows_as_shown_wait_for_the_grace_and_an_undoing_for_a_window_too() {
    let minute = Duration::from_secs(60);
    for history in [NEUTRAL, UNDONE, STALE] {
        let young = Drift { quiet_for: Some(minute), ..drift(history) };
        let wait = Timing::Grace { left: Some(Policy::GRACE - minute) };
        assert_eq!(when(&young, Some(Window::Exclusive)), wait, "{history}");
        assert_eq!(when(&Drift { quiet_for: None, ..young }, None), Timing::Grace { left: None });
        assert_eq!(when(&drift(history), Some(Window::Schedule)), Timing::Now, "{history}");
    }
    assert_eq!([NEUTRAL, UNDONE].map(|history| when(&drift(history), None)), [Timing::Now, Timing::Now]);
    assert_eq!(when(&drift(STALE), None), Timing::Window);
}

#[test]
fn while_a_schema_change_holds_the_lock_nothing_is_published_on_main() {
    let locked = |history: &str| Drift { locked: true, ..drift(history) };
    for history in [NEUTRAL, UNDONE, STALE] {
        assert_eq!(when(&locked(history), Some(Window::Exclusive)), Timing::Lock, "{history}");
        let mut fork = locked(history);
        fork.at.branch = branch("feature");
        assert_eq!(when(&fork, Some(Window::Exclusive)), Timing::Now, "{history}");
    }
    assert_eq!(when(&locked(FOREIGN), None), Timing::Person);
}

#[test]
fn a_policy_that_asks_leaves_to_a_person_what_would_be_shown_and_undoes_the_rest() {
    let asking =
        Policy { publish_neutral_drift: false, window: Some(Window::Exclusive), ..Policy::default() };
    for history in [NEUTRAL, UNDONE] {
        let decision = decide_drift(&drift(history), &asking);
        assert_eq!(decision.timing, Timing::Person, "{history}");
        assert!(decision.reason.contains("--to head"), "{}", decision.reason);
    }
    assert_eq!(decide_drift(&drift(STALE), &asking).timing, Timing::Now);
}

#[test]
fn a_persons_choice_is_carried_out_at_once() {
    for history in [FOREIGN, NEUTRAL, STALE] {
        let head = lineage(history).head;
        for (choice, expected) in [
            (Choice::Pin, format!("roll_back: Person restores 7 over {head}")),
            (Choice::Head, format!("roll_forward: Person shows {head}")),
        ] {
            let decision = chosen(&drift(history), choice);
            assert_eq!((picture(&decision), decision.timing), (expected, Timing::Now), "{history}");
        }
    }
}
