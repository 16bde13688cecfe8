//! Staged contract files, or the lock, that no sidecar explains.

use super::world::LONG;
use crate::model::audit::Verdict;
use crate::passes::recovery::decide::schema::{Leftover, Owner, decide_leftover};
use crate::passes::recovery::decide::{Decision, Policy, Timing, Window};
use crate::passes::recovery::observation::ContractFile::{self, Compiled, Source, State};
use crate::passes::recovery::observation::SchemaSeen;
use std::time::Duration;

/// These files staged, which with the final ones are a schema of the tables there are.
fn staged(files: &[ContractFile]) -> Leftover {
    let seen = SchemaSeen { staged: files.to_vec(), ..SchemaSeen::default() };
    Leftover { seen, quiet_for: Some(LONG), owner: None }
}

fn locked(left: Leftover) -> Leftover {
    Leftover { seen: SchemaSeen { locked: true, ..left.seen }, ..left }
}

/// The same, but they are not.
fn unfit(left: Leftover) -> Leftover {
    let why = Some("it names other tables than the graph has".into());
    Leftover { seen: SchemaSeen { inconsistent: why, ..left.seen }, ..left }
}

fn decided(left: &Leftover, window: Option<Window>) -> Decision {
    let decision = decide_leftover(left, &Policy { window, ..Policy::default() }).unwrap();
    assert!(decision.operations.is_empty() && decision.tables.is_empty() && !decision.needs_fence);
    decision
}

fn by_hand(left: &Leftover) -> Decision {
    decided(left, Some(Window::Manual))
}

#[test]
fn nothing_is_nothing() {
    assert_eq!(decide_leftover(&staged(&[]), &Policy::default()), None);
    assert_eq!(decide_leftover(&unfit(staged(&[])), &Policy::default()), None);
}

#[test]
fn a_complete_set_that_fits_is_promoted_and_its_state_last() {
    for (files, promoted) in [
        (vec![Source, Compiled, State], vec![Source, Compiled, State]),
        (vec![State, Source, Compiled], vec![Source, Compiled, State]),
        // Some are final already: whoever promoted them died meanwhile.
        (vec![Compiled, State], vec![Compiled, State]),
        (vec![State], vec![State]),
    ] {
        for (left, unlock) in [(staged(&files), false), (locked(staged(&files)), true)] {
            let decision = by_hand(&left);
            let work = decision.schema.unwrap();
            assert_eq!((decision.verdict, decision.timing), (Verdict::RollForward, Timing::Now));
            assert_eq!((work.promote, work.discard, work.unlock), (promoted.clone(), vec![], unlock));
        }
    }
}

#[test]
fn a_complete_set_that_does_not_fit_is_held() {
    for files in [vec![Source, Compiled, State], vec![Compiled, State], vec![State]] {
        for left in [unfit(staged(&files)), unfit(locked(staged(&files)))] {
            let decision = by_hand(&left);
            assert_eq!((decision.verdict, decision.timing), (Verdict::Hold, Timing::Person), "{files:?}");
            assert_eq!(decision.schema, None);
            assert!(decision.reason.contains("it names other tables than the graph has"));
        }
    }
}

#[test]
fn a_set_without_its_state_is_deleted_whether_it_fits_or_not() {
    for (files, discarded) in [
        (vec![Source], vec![Source]),
        (vec![Source, Compiled], vec![Compiled, Source]),
        (vec![Compiled], vec![Compiled]),
    ] {
        for left in [staged(&files), unfit(locked(staged(&files)))] {
            let decision = by_hand(&left);
            let work = decision.schema.unwrap();
            assert_eq!((decision.verdict, decision.timing), (Verdict::RollBack, Timing::Now));
            assert_eq!((work.promote, work.discard), (vec![], discarded.clone()));
            assert_eq!((work.unlock, work.remove_datasets), (left.seen.locked, vec![]));
        }
    }
}

#[test]
fn a_lock_alone_is_a_persons() {
    let decision = by_hand(&locked(staged(&[])));
    assert_eq!((decision.verdict, decision.timing), (Verdict::Hold, Timing::Person));
    assert!(decision.reason.contains("outrigger repair lock"), "{}", decision.reason);
}

#[test]
fn both_ways_wait_for_the_grace_and_then_for_a_window_by_hand() {
    for files in [vec![Source], vec![Source, Compiled, State]] {
        let minute = Duration::from_secs(60);
        let young = Leftover { quiet_for: Some(minute), ..staged(&files) };
        assert_eq!(by_hand(&young).timing, Timing::Grace { left: Some(Policy::GRACE - minute) });
        for window in [None, Some(Window::Schedule)] {
            assert_eq!(decided(&staged(&files), window).timing, Timing::ManualWindow);
        }
    }
}

#[test]
fn what_may_be_that_of_a_record_which_is_not_judged_is_left_to_it() {
    for files in [vec![Source, Compiled, State], vec![Source]] {
        let held = |name: &str, is_put_aside| {
            let owner = Some(Owner { record: format!("__recovery/{name}"), is_put_aside });
            let decision = by_hand(&Leftover { owner, ..locked(staged(&files)) });
            assert_eq!((decision.verdict, decision.timing), (Verdict::Hold, Timing::Person));
            assert!(decision.reason.contains(name) && decision.schema.is_none());
            decision.reason
        };
        let unread = held("x.json", false);
        assert!(unread.contains("`outrigger sidecars show x.json`"), "{unread}");
        let aside = held("x.json.quarantined", true);
        assert!(aside.contains("`outrigger sidecars restore x.json.quarantined`"), "{aside}");
    }
}
