//! How much of the pass is due at one look. Pure.

use std::time::Duration;

/// How long the search for what no sidecar explains is left out while nothing asks for it.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Nothing: two requests have shown that there is nothing to do.
    Nothing,
    /// Sidecars and armed fence records.
    Claims,
    /// Those, and every table of every branch.
    Everything,
}

/// What one look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What a start, a request or the pass's own schedule has asked for, or an earlier look has found due, if no run has come to
    /// its end since.
    pub wanted: Extent,
    /// What the last run had to leave may be tried again: a scope that failed or lost a race has had its rest, or the turn
    /// that one waits for may be ours.
    pub left_over: bool,
    /// The pass runs by a schedule of its own.
    pub scheduled: bool,
    /// Since everything was last looked at; `None` if it never was.
    pub since_everything: Option<Duration>,
    /// This host has slept since the last look.
    pub paused: bool,
    /// Sidecars or fence records came, went or changed since the last look.
    pub control_changed: bool,
    /// Somebody published on main since the last look.
    pub published: bool,
    /// A claim is listed that is old enough to be judged.
    pub ripe: bool,
    /// One of these was not so, or not there, when claims were last looked at.
    pub ripened: bool,
    /// The last report tells of claims.
    pub told_claims: bool,
    /// A scope of the last report wanted to be looked at by now.
    pub appointed: bool,
    /// A window accepts new scopes, or the writers' gate may be closed, and a scope of the last report waits for that.
    pub window_for_waiting: bool,
}

/// The most that anything asks for.
pub fn extent(facts: &Facts) -> Extent {
    facts.wanted.max(newly_due(facts))
}

fn newly_due(facts: &Facts) -> Extent {
    if facts.since_everything.is_none() || facts.left_over {
        return Extent::Everything;
    }
    if facts.scheduled {
        return Extent::Nothing;
    }
    let overdue = facts.since_everything.is_some_and(|since| since >= SWEEP_EVERY);
    if overdue || facts.paused || facts.appointed || facts.window_for_waiting {
        return Extent::Everything;
    }
    let news = facts.control_changed || facts.published;
    if facts.ripened || (news && (facts.ripe || facts.told_claims)) {
        Extent::Claims
    } else {
        Extent::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Facts = Facts {
        wanted: Extent::Nothing,
        left_over: false,
        scheduled: false,
        since_everything: Some(Duration::from_secs(60)),
        paused: false,
        control_changed: false,
        published: false,
        ripe: false,
        ripened: false,
        told_claims: false,
        appointed: false,
        window_for_waiting: false,
    };

    #[test]
    fn an_idle_repository_asks_for_nothing() {
        assert_eq!(extent(&IDLE), Extent::Nothing);
        assert_eq!(extent(&Facts { published: true, ..IDLE }), Extent::Nothing);
    }

    #[test]
    fn a_young_sidecar_is_its_writers_business() {
        assert_eq!(extent(&Facts { control_changed: true, ..IDLE }), Extent::Nothing);
        assert_eq!(extent(&Facts { ripe: true, ripened: true, ..IDLE }), Extent::Claims);
        assert_eq!(extent(&Facts { ripe: true, ..IDLE }), Extent::Nothing, "it was looked at");
        assert_eq!(extent(&Facts { ripe: true, published: true, ..IDLE }), Extent::Claims);
    }

    #[test]
    fn what_a_failed_run_was_to_do_is_due_again() {
        assert_eq!(extent(&Facts { wanted: Extent::Claims, ..IDLE }), Extent::Claims);
        let facts = Facts { wanted: Extent::Claims, paused: true, ..IDLE };
        assert_eq!(extent(&facts), Extent::Everything);
    }

    #[test]
    fn a_settled_claim_is_untold_at_the_next_change() {
        assert_eq!(extent(&Facts { control_changed: true, told_claims: true, ..IDLE }), Extent::Claims);
        assert_eq!(
            extent(&Facts { told_claims: true, ripe: true, ..IDLE }),
            Extent::Nothing,
            "nothing is new"
        );
    }

    #[test]
    fn a_wish_a_pause_an_appointment_and_ten_minutes_ask_for_everything() {
        for facts in [
            Facts { since_everything: None, ..IDLE },
            Facts { wanted: Extent::Everything, ..IDLE },
            Facts { left_over: true, ..IDLE },
            Facts { paused: true, ..IDLE },
            Facts { appointed: true, ..IDLE },
            Facts { window_for_waiting: true, ..IDLE },
            Facts { since_everything: Some(SWEEP_EVERY), ..IDLE },
        ] {
            assert_eq!(extent(&facts), Extent::Everything, "{facts:?}");
        }
    }

    #[test]
    fn a_pass_with_a_schedule_waits_for_it_and_then_ends_what_it_has_begun() {
        let facts = Facts { scheduled: true, appointed: true, ripe: true, control_changed: true, ..IDLE };
        assert_eq!(extent(&facts), Extent::Nothing);
        assert_eq!(extent(&Facts { wanted: Extent::Everything, ..facts }), Extent::Everything);
        assert_eq!(extent(&Facts { left_over: true, ..facts }), Extent::Everything);
    }
}
