use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc))
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule::parse(cron, zone).unwrap()
}

fn window(cron: &str, zone: &str, minutes: u64) -> WindowSchedule {
    WindowSchedule { schedule: schedule(cron, zone), length: Duration::from_secs(60 * minutes) }
}

fn runs(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    schedule(cron, zone).next_runs(at(from), count).iter().map(ToString::to_string).collect()
}

#[test]
fn an_expression_is_read_in_its_timezone() {
    assert_eq!(
        runs("30 3 * * *", "Europe/Berlin", "2026-01-10T00:00:00Z", 2),
        ["2026-01-10T02:30:00Z", "2026-01-11T02:30:00Z"]
    );
    assert_eq!(runs("30 3 * * *", "UTC", "2026-01-10T00:00:00Z", 1), ["2026-01-10T03:30:00Z"]);
}

#[test]
fn a_run_is_never_its_own_successor() {
    assert_eq!(runs("0 3 * * *", "UTC", "2026-01-10T03:00:00Z", 1), ["2026-01-11T03:00:00Z"]);
    assert_eq!(runs("0 3 * * *", "UTC", "2026-01-10T02:59:59.999Z", 1), ["2026-01-10T03:00:00Z"]);
}

#[test]
fn a_skipped_time_counts_at_the_end_of_the_gap() {
    // Berlin, 29 March 2026: 02:00 becomes 03:00.
    assert_eq!(
        runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    // Several skipped times count once.
    assert_eq!(
        runs("*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]
    );
}

#[test]
fn a_repeated_time_counts_the_first_time() {
    // Berlin, 25 October 2026: 03:00 becomes 02:00.
    assert_eq!(
        runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        runs("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1),
        ["2026-10-26T01:30:00Z"],
        "asked between the two"
    );
}

#[test]
fn an_hourly_schedule_follows_the_clock_on_the_wall() {
    assert_eq!(
        runs("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 4),
        ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z", "2026-10-25T03:30:00Z"]
    );
    assert_eq!(
        runs("30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00Z", 3),
        ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]
    );
}

#[test]
fn a_shift_by_half_an_hour_is_a_shift_too() {
    // Lord Howe Island, 4 October 2026: 02:00 becomes 02:30.
    assert_eq!(
        runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]
    );
}

/// Both searches must agree with the plainest definition: look at every minute of the days around a change of clocks.
#[test]
fn both_searches_find_exactly_the_minutes_that_match() {
    let days = [
        ("Europe/Berlin", "2026-03-28T20:00:00Z"),
        ("Europe/Berlin", "2026-10-24T20:00:00Z"),
        ("America/St_Johns", "2026-03-08T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z"),
        ("UTC", "2026-12-31T20:00:00Z"),
    ];
    for (zone, from) in days {
        for cron in ["*/7 * * * *", "0 */2 * * *", "13,43 1-3 * * *", "30 2 * * *", "0 0 1 * *", "* * * * 0"]
        {
            agrees_with_every_minute(&schedule(cron, zone), at(from));
        }
    }
}

fn agrees_with_every_minute(schedule: &Schedule, from: Timestamp) {
    let minute = |n: u64| from.plus(Duration::from_secs(60 * n));
    // Every local minute from three hours before to three hours after, and the instants at which it counts if it matches.
    let locals = (-180..900).map(|n| schedule.local(from) + TimeDelta::minutes(n));
    let matching = locals.filter(|local| schedule.cron.is_time_matching(&local.and_utc()).unwrap());
    let instants: Vec<Timestamp> = matching.flat_map(|local| schedule.instants(local)).flatten().collect();
    let is_run = |n: u64| instants.contains(&minute(n));
    let expected: Vec<u64> = (0..720).filter(|n| is_run(*n)).collect();
    // Seven has no factor in common with an hour, so every minute of the hour has its turn.
    for n in (0..719).step_by(7) {
        let next = expected.iter().find(|run| **run > n).map(|run| minute(*run));
        let found = schedule.next_after(minute(n)).filter(|run| *run < minute(720));
        assert_eq!(found, next, "{schedule}: next after {}", minute(n));
        let last = expected.iter().rfind(|run| **run <= n).map(|run| minute(*run));
        let found = schedule.latest_until(minute(n)).filter(|run| *run >= from);
        assert_eq!(found, last, "{schedule}: latest until {}", minute(n));
    }
}

#[test]
fn a_window_is_open_from_its_run_until_its_length_has_passed() {
    let window = window("0 3 * * *", "UTC", 30);
    assert_eq!(window.is_open(at("2026-01-10T02:59:59.999Z")), None);
    let span = window.is_open(at("2026-01-10T03:00:00Z")).unwrap();
    assert_eq!((span.opened, span.closes), (at("2026-01-10T03:00:00Z"), at("2026-01-10T03:30:00Z")));
    assert_eq!(window.is_open(at("2026-01-10T03:29:59.999Z")), Some(span));
    assert_eq!(window.is_open(at("2026-01-10T03:30:00Z")), None);
    assert_eq!(span.remaining(at("2026-01-10T03:20:00Z")), Duration::from_secs(600));
    assert_eq!(span.remaining(at("2026-01-10T04:00:00Z")), Duration::ZERO);
}

#[test]
fn a_window_that_began_before_midnight_and_before_a_restart_is_still_open() {
    let window = window("0 22 * * 5", "America/New_York", 8 * 60);
    let span = window.is_open(at("2026-01-10T10:59:00Z")).unwrap();
    assert_eq!(span.opened, at("2026-01-10T03:00:00Z"));
    assert_eq!(window.is_open(at("2026-01-10T11:00:00Z")), None);
}

#[test]
fn a_window_keeps_its_length_when_clocks_change_inside_it() {
    let window = window("0 1 * * *", "Europe/Berlin", 180);
    let spring = window.is_open(at("2026-03-29T00:30:00Z")).unwrap();
    assert_eq!((spring.opened, spring.closes), (at("2026-03-29T00:00:00Z"), at("2026-03-29T03:00:00Z")));
    let autumn = window.is_open(at("2026-10-25T01:30:00Z")).unwrap();
    assert_eq!((autumn.opened, autumn.closes), (at("2026-10-24T23:00:00Z"), at("2026-10-25T02:00:00Z")));
}

#[test]
fn a_repeated_hour_does_not_open_a_window_twice() {
    let window = window("0 2 * * *", "Europe/Berlin", 30);
    assert!(window.is_open(at("2026-10-25T00:10:00Z")).is_some());
    assert_eq!(window.is_open(at("2026-10-25T01:10:00Z")), None, "02:10 for the second time");
}

#[test]
fn of_overlapping_runs_the_last_one_counts() {
    let window = window("*/20 * * * *", "UTC", 50);
    for minute in 0..60_u64 {
        let now = at("2026-01-10T05:00:00Z").plus(Duration::from_secs(60 * minute));
        let span = window.is_open(now).unwrap();
        assert_eq!(
            span.opened,
            at("2026-01-10T05:00:00Z").plus(Duration::from_secs(60 * (minute / 20) * 20))
        );
        assert!(span.accepts_new_scopes(now));
    }
}

#[test]
fn nothing_new_begins_in_the_last_tenth() {
    let window = window("0 3 * * *", "UTC", 100);
    assert!(window.accepts_new_scopes(at("2026-01-10T03:00:00Z")));
    assert!(window.accepts_new_scopes(at("2026-01-10T04:29:59Z")));
    assert!(!window.accepts_new_scopes(at("2026-01-10T04:30:00Z")));
    assert!(window.is_open(at("2026-01-10T04:30:00Z")).is_some());
    assert!(!window.accepts_new_scopes(at("2026-01-10T02:00:00Z")));
}

#[test]
fn a_schedule_that_cannot_be_meant_is_refused() {
    let refused = |cron, zone| Schedule::parse(cron, zone).unwrap_err();
    assert_eq!(refused("0 0 3 * * *", "UTC"), BadSchedule::Fields(6));
    assert_eq!(refused("@daily", "UTC"), BadSchedule::Fields(1));
    assert_eq!(refused("0 0 30 2 *", "UTC"), BadSchedule::Never);
    assert!(matches!(refused("61 * * * *", "UTC"), BadSchedule::Cron(_)));
    let error = refused("0 3 * * *", "Europe/Berln");
    assert_eq!(
        error.to_string(),
        "\"Europe/Berln\" is not an IANA timezone; did you mean \"Europe/Berlin\"?"
    );
}

#[test]
fn a_leap_day_is_worth_waiting_for() {
    assert_eq!(runs("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
}
