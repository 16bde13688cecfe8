//! When a verdict may be carried out. Worlds are decided the same at every time; only the waiting differs.

use super::world::*;
use crate::model::audit::Verdict;
use crate::model::beat::TTL;
use crate::passes::recovery::decide::{Decision, Policy, Timing, Window, decide};
use crate::passes::recovery::observation::{BranchSeen, Origin};
use std::time::Duration;

const WINDOWS: [Window; 4] = [Window::Exclusive, Window::Manual, Window::Schedule, Window::Gate];
const MINUTE: Duration = Duration::from_secs(60);

const COMPLETE: &str = "5 | Append@5";
const UNDONE: &str = "5 | Append@5 Restore(5)";
const STALE: &str = "5 | Append@5 Restore(4)";
const PUBLISHED: &str = "5 Append@5 |";
const TAKEN_BACK: &str = "5 Append@5 Restore(5) |";
const UNMOVED: &str = "5 |";
const FOREIGN: &str = "5 | Truncate";

fn only(wreck: Wreck, history: &str, policy: &Policy) -> Decision {
    let mut decisions = decide(&lone(wreck, history).0, policy);
    assert_eq!(decisions.len(), 1);
    decisions.remove(0)
}

fn when(history: &str, quiet: Duration, window: Option<Window>) -> Timing {
    let wreck = load("A").pin("Person", 5).quiet_for(Some(quiet));
    only(wreck, history, &Policy { window, ..Policy::default() }).timing
}

fn wait(left: Duration) -> Timing {
    Timing::Grace { left: Some(left) }
}

#[test]
fn what_the_store_guards_waits_for_the_grace_only() {
    for history in [COMPLETE, UNDONE, PUBLISHED, TAKEN_BACK] {
        for window in [None, Some(Window::Schedule)] {
            assert_eq!(when(history, MINUTE, window), wait(4 * MINUTE), "{history}");
            assert_eq!(when(history, Policy::GRACE, window), Timing::Now, "{history}");
        }
    }
}

#[test]
fn undoing_waits_for_the_grace_and_then_for_any_window() {
    assert_eq!(when(STALE, MINUTE, None), wait(4 * MINUTE), "its writer may be at work still");
    assert_eq!(when(STALE, LONG, None), Timing::Window);
    for window in WINDOWS {
        assert_eq!(when(STALE, MINUTE, Some(window)), wait(4 * MINUTE), "{window:?}");
        assert_eq!(when(STALE, LONG, Some(window)), Timing::Now, "{window:?}");
    }
}

#[test]
fn a_sidecar_of_unmoved_tables_waits_an_hour_or_for_a_window() {
    assert_eq!(when(UNMOVED, Policy::GRACE, None), wait(55 * MINUTE));
    assert_eq!(when(UNMOVED, Policy::IDLE_GRACE, None), Timing::Now);
    let tableless = world().claim(load("A").quiet_for(Some(Policy::GRACE)));
    assert_eq!(tableless.decide_in(None)[0].timing, wait(55 * MINUTE));
    for window in WINDOWS {
        assert_eq!(when(UNMOVED, Policy::GRACE, Some(window)), Timing::Now, "{window:?}");
        assert_eq!(when(UNMOVED, MINUTE, Some(window)), wait(4 * MINUTE), "{window:?}");
    }
}

/// Whoever sleeps on is fenced, so nothing waits for an hour either.
#[test]
fn three_missed_beats_end_the_grace_of_a_writer_that_beats() {
    let when = |history: &str, quiet: Duration, policy: &Policy| {
        only(load("A").pin("Person", 5).beating().quiet_for(Some(quiet)), history, policy).timing
    };
    let second = Duration::from_secs(1);
    for history in [COMPLETE, UNDONE, PUBLISHED, TAKEN_BACK, UNMOVED] {
        assert_eq!(when(history, TTL - second, &Policy::default()), wait(second), "{history}");
        assert_eq!(when(history, TTL, &Policy::default()), Timing::Now, "{history}");
    }
    assert_eq!(when(STALE, TTL - second, &Policy::default()), wait(second));
    assert_eq!(when(STALE, TTL, &Policy::default()), Timing::Window);
    let short = Policy { grace: second, ..Policy::default() };
    assert_eq!(when(COMPLETE, second, &short), Timing::Now, "a shorter grace stays as it is");
    assert_eq!(when(FOREIGN, LONG, &Policy::default()), Timing::Person);
}

#[test]
fn a_group_has_the_ordinary_grace_unless_all_of_it_beats() {
    let claim = |name: &str| load(name).pin("Person", 5).quiet_for(Some(TTL));
    let when = |other: Wreck| {
        let world = world().table("Person", STALE);
        world.claim(claim("A").beating()).claim(other).decide_in(None).remove(0).timing
    };
    assert_eq!(when(claim("B")), wait(Policy::GRACE - TTL));
    assert_eq!(when(claim("B").beating()), Timing::Window);
}

#[test]
fn a_missing_fork_keeps_every_writer_out_so_it_does_not_wait_an_hour() {
    let wreck = load("A").on("feature").pin("Person", 5).quiet_for(Some(Policy::GRACE));
    let world = world().missing("Person", "feature", 5, false).claim(wreck);
    assert_eq!(world.decide_in(None)[0].timing, Timing::Now);
}

#[test]
fn an_idle_grace_below_the_grace_does_not_shorten_it() {
    let policy = Policy { idle_grace: MINUTE, ..Policy::default() };
    let wreck = load("A").pin("Person", 5).quiet_for(Some(MINUTE));
    assert_eq!(only(wreck, UNMOVED, &policy).timing, wait(4 * MINUTE));
}

#[test]
fn holding_is_a_persons_however_long_it_lasts() {
    for window in WINDOWS {
        assert_eq!(when(FOREIGN, LONG, Some(window)), Timing::Person);
    }
    assert_eq!(when(FOREIGN, Duration::ZERO, None), Timing::Person);
}

#[test]
fn finishing_what_is_published_waits_for_nothing() {
    let wreck = load("A").pin("Person", 5).quiet_for(None).settled(crate::model::audit::Verdict::RollBack);
    assert_eq!(only(wreck, COMPLETE, &Policy::default()).timing, Timing::Now);
}

#[test]
fn orphans_wait_for_the_grace() {
    let wreck = load("A").pin("Person", 5).branch(BranchSeen::Gone).quiet_for(Some(MINUTE));
    assert_eq!(only(wreck, UNMOVED, &Policy::default()).timing, wait(4 * MINUTE));
}

#[test]
fn without_a_store_time_the_grace_has_not_begun() {
    let wreck = load("A").pin("Person", 5).quiet_for(None);
    for history in [COMPLETE, UNMOVED, UNDONE] {
        let decision =
            only(wreck.clone(), history, &Policy { window: Some(Window::Manual), ..Policy::default() });
        assert_eq!(decision.timing, Timing::Grace { left: None }, "{history}");
    }
    assert_eq!(only(wreck.clone(), STALE, &Policy::default()).timing, Timing::Grace { left: None });
    let no_grace = Policy { grace: Duration::ZERO, ..Policy::default() };
    assert_eq!(only(wreck, COMPLETE, &no_grace).timing, Timing::Now);
}

#[test]
fn claims_that_are_settled_together_wait_for_the_youngest() {
    let claim = |name: &str, quiet| load(name).pin("Person", 5).quiet_for(quiet);
    let timing = |one, other| {
        let world = world().table("Person", "5 | Append@5 Append@5");
        world.claim(claim("A", one)).claim(claim("B", other)).decide_in(None).remove(0).timing
    };
    assert_eq!(timing(Some(LONG), Some(MINUTE)), wait(4 * MINUTE));
    assert_eq!(timing(Some(MINUTE), Some(LONG)), wait(4 * MINUTE));
    assert_eq!(timing(Some(LONG), None), Timing::Grace { left: None });
    assert_eq!(timing(Some(LONG), Some(LONG)), Timing::Now);
}

#[test]
fn a_group_with_a_schema_change_is_undone_in_a_window_by_hand() {
    let world = world()
        .table("Person", "5 | Overwrite@5")
        .claim(load("A").pin("Person", 5))
        .claim(schema_apply("B").pin("Person", 5));
    assert_eq!(world.decide_in(Some(Window::Schedule))[0].timing, Timing::ManualWindow);
    assert_eq!(world.decide_in(Some(Window::Manual))[0].timing, Timing::Now);
}

/// It would break a schema change that is alive; branches have no schema of their own.
#[test]
fn while_a_schema_change_holds_the_lock_only_itself_is_published_on_main() {
    let when = |world: World| world.locked().decide().remove(0).timing;
    let load = || load("A").pin("Person", 5);
    for history in [COMPLETE, UNDONE, STALE, PUBLISHED, TAKEN_BACK, UNMOVED] {
        assert_eq!(when(lone(load(), history)), Timing::Lock, "{history}");
        let fork = world().fork("Person", "feature", history);
        assert_eq!(when(fork.claim(self::load("A").on("feature").pin("Person", 5))), Timing::Now);
    }
    let gone = self::load("A").on("feature").pin("Person", 5).branch(BranchSeen::Gone);
    assert_eq!(when(world().claim(gone)), Timing::Lock, "what is told of it is told on main");
    assert_eq!(when(lone(load(), FOREIGN)), Timing::Person);
    assert_eq!(when(lone(load().settled(Verdict::RollForward), COMPLETE)), Timing::Now, "all is published");
    assert_eq!(when(lone(schema_apply("A").pin("Person", 5), "5 | Overwrite@5")), Timing::Now);
}

#[test]
fn a_fence_record_precedes_every_end_that_a_late_writer_could_undo() {
    let needs = |wreck: Wreck, history: &str| only(wreck, history, &Policy::default()).needs_fence;
    let sidecar = load("A").pin("Person", 5);
    for (history, fence) in [
        (STALE, true),
        (UNDONE, true),
        (UNMOVED, true),
        (TAKEN_BACK, true),
        (COMPLETE, false),
        (PUBLISHED, false),
        (FOREIGN, false),
    ] {
        assert_eq!(needs(sidecar.clone(), history), fence, "{history}");
        for origin in [Origin::ArmedFence, Origin::ClosedFence] {
            assert!(!needs(sidecar.clone().from(origin), history), "{history}: it has its record already");
        }
    }
    assert!(!world().claim(load("A")).decide()[0].needs_fence, "no table to fence");
    assert!(!needs(sidecar.clone().branch(BranchSeen::Gone), UNMOVED), "its branch cannot be published to");
    assert!(!needs(sidecar.settled(crate::model::audit::Verdict::RollBack), UNMOVED));
}

#[test]
fn a_group_needs_records_unless_all_of_it_has_one() {
    let claim = |name: &str, origin| load(name).pin("Person", 5).from(origin);
    let fence = |one, other| {
        let world = world().table("Person", "5 | Append@5");
        world.claim(claim("A", one)).claim(claim("B", other)).decide().remove(0).needs_fence
    };
    assert!(fence(Origin::Sidecar, Origin::ArmedFence));
    assert!(!fence(Origin::ArmedFence, Origin::ArmedFence));
}
