//! Cron expressions as pure functions of a time: when is the next run, is a window open.
//!
//! An expression has five fields (minute, hour, day of month, month, day of week) and a timezone. It is matched against
//! the *local calendar* of that zone, and only then turned into instants, by two rules for the nights on which clocks
//! change:
//!
//! * hour field `*` (or `*/n`): the schedule follows the clock on the wall. An hour that is skipped has no runs, an hour
//!   that happens twice has them twice;
//! * any other hour field: each local time counts exactly once. One that is skipped counts at the end of the gap, one
//!   that happens twice counts the first time.
//!
//! Whether a window is open depends on the expression and the time alone, never on when a process started.

use crate::model::Timestamp;
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use std::fmt;
use std::time::Duration;

/// No zone moves its clocks by more than this at once, but for the handful that ever crossed the date line.
const SLACK: TimeDelta = TimeDelta::hours(3);

/// Every minute of [`SLACK`] on both sides, and the few steps beyond it: no search takes longer.
const MOST_STEPS: usize = 3 * 60 * 2 + 40;

/// Why a schedule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// Not five fields.
    #[error("a schedule has 5 fields (minute hour day-of-month month day-of-week), not {0}")]
    Fields(usize),
    /// A field that cannot be read.
    #[error("not a cron expression: {0}")]
    Cron(String),
    /// An expression that matches no day of the calendar, such as 30 February.
    #[error("no day of the calendar ever matches it")]
    Never,
    /// A timezone that is not in the IANA database.
    #[error("{zone:?} is not an IANA timezone{}", match nearest { Some(name) => format!("; did you mean {name:?}?"), None => String::new() })]
    Zone {
        /// The name as written.
        zone: String,
        /// The most similar name that exists.
        nearest: Option<&'static str>,
    },
}

/// A cron expression in a timezone.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    zone: Tz,
    cron: Cron,
}

impl Schedule {
    /// Reads five fields and an IANA timezone name (`UTC`, `Europe/Berlin`).
    pub fn parse(cron: &str, zone: &str) -> Result<Self, BadSchedule> {
        let fields = cron.split_whitespace().count();
        if fields != 5 {
            return Err(BadSchedule::Fields(fields));
        }
        let zone = parse_zone(zone)?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| BadSchedule::Cron(error.to_string()))?;
        let text = cron.split_whitespace().collect::<Vec<_>>().join(" ");
        let schedule = Self { text, zone, cron: parsed };
        match schedule.next_after(Timestamp(DateTime::UNIX_EPOCH)) {
            Some(_) => Ok(schedule),
            None => Err(BadSchedule::Never),
        }
    }

    /// The expression, fields separated by single spaces.
    pub fn cron(&self) -> &str {
        &self.text
    }

    /// The timezone in which the expression is read.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first run later than `at`; `None` at the end of the calendar.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let (local, slack) = (self.local(at), self.slack(at));
        let end = local + slack;
        let mut from = local - slack;
        let mut found: Option<Timestamp> = None;
        for step in 0..MOST_STEPS {
            if found.is_some() && from > end {
                break;
            }
            let Ok(hit) = self.cron.find_next_occurrence(&from.and_utc(), step == 0) else { break };
            from = hit.naive_utc();
            let later = self.instants(from).into_iter().flatten().filter(|instant| *instant > at);
            found = found.into_iter().chain(later).min();
        }
        found
    }

    /// The last run that is not later than `at`; `None` at the beginning of the calendar.
    pub fn latest_until(&self, at: Timestamp) -> Option<Timestamp> {
        let (local, slack) = (self.local(at), self.slack(at));
        let end = local - slack;
        let mut from = local + slack;
        let mut found: Option<Timestamp> = None;
        for step in 0..MOST_STEPS {
            if found.is_some() && from < end {
                break;
            }
            let Ok(hit) = self.cron.find_previous_occurrence(&from.and_utc(), step == 0) else { break };
            from = hit.naive_utc();
            let passed = self.instants(from).into_iter().flatten().filter(|instant| *instant <= at);
            found = found.into_iter().chain(passed).max();
        }
        found
    }

    /// The next `count` runs later than `at`, in order.
    pub fn next_runs(&self, at: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(at), |run| self.next_after(*run)).take(count).collect()
    }

    /// The zone's calendar and clock at an instant, to the whole second.
    fn local(&self, at: Timestamp) -> NaiveDateTime {
        let local = at.0.with_timezone(&self.zone).naive_local();
        local.with_nanosecond(0).unwrap_or(local)
    }

    /// How far the search must look to both sides: nothing, unless the zone's clocks change near `at`.
    fn slack(&self, at: Timestamp) -> TimeDelta {
        let offset = |shift: TimeDelta| {
            let near = at.0.checked_add_signed(shift).unwrap_or(at.0);
            self.zone.offset_from_utc_datetime(&near.naive_utc()).fix()
        };
        if offset(-SLACK) == offset(SLACK) { TimeDelta::zero() } else { SLACK }
    }

    /// The instants at which a matching local time counts (see the rules above): none, one, or both of a repeated hour.
    fn instants(&self, local: NaiveDateTime) -> [Option<Timestamp>; 2] {
        let follows_the_wall = self.cron.pattern.hours.from_wildcard;
        let stamp = |time: DateTime<Tz>| Timestamp(time.with_timezone(&Utc));
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(time) => [Some(stamp(time)), None],
            LocalResult::Ambiguous(first, second) => {
                [Some(stamp(first)), follows_the_wall.then(|| stamp(second))]
            }
            LocalResult::None if follows_the_wall => [None, None],
            LocalResult::None => [self.end_of_gap(local).map(stamp), None],
        }
    }

    /// The first local time after `local` that exists; `None` where a zone skipped a whole day.
    fn end_of_gap(&self, local: NaiveDateTime) -> Option<DateTime<Tz>> {
        (1..=SLACK.num_minutes()).find_map(|minutes| {
            self.zone.from_local_datetime(&(local + TimeDelta::minutes(minutes))).earliest()
        })
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone)
    }
}

fn parse_zone(zone: &str) -> Result<Tz, BadSchedule> {
    zone.parse().map_err(|_| BadSchedule::Zone { zone: zone.to_owned(), nearest: nearest_zone(zone) })
}

fn nearest_zone(zone: &str) -> Option<&'static str> {
    let similarity = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &zone.to_lowercase());
    let names = chrono_tz::TZ_VARIANTS.iter().map(|known| known.name());
    let best = names.map(|name| (similarity(name), name)).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.8).then_some(best.1)
}

/// A window that opens whenever a schedule runs and closes after a fixed time on the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSchedule {
    /// When it opens.
    pub schedule: Schedule,
    /// How long it stays open: elapsed time, whatever the clocks on the wall do meanwhile.
    pub length: Duration,
}

impl WindowSchedule {
    /// The window that is open at `at`, if any. Where runs overlap, the one that opened last.
    ///
    /// A window that opened before this process started is found like any other.
    pub fn is_open(&self, at: Timestamp) -> Option<WindowSpan> {
        let opened = self.schedule.latest_until(at)?;
        let span = WindowSpan { opened, closes: opened.plus(self.length) };
        (at < span.closes).then_some(span)
    }

    /// Whether a window is open at `at` and not yet in its last tenth.
    pub fn accepts_new_scopes(&self, at: Timestamp) -> bool {
        self.is_open(at).is_some_and(|span| span.accepts_new_scopes(at))
    }
}

/// One opening of a window: from `opened` until just before `closes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct WindowSpan {
    /// The first instant inside.
    pub opened: Timestamp,
    /// The first instant outside again.
    pub closes: Timestamp,
}

impl WindowSpan {
    /// Whether `at` lies in the first nine tenths. What begins later would likely be caught by the end of the window
    /// half-way, and would only have to begin again.
    pub fn accepts_new_scopes(&self, at: Timestamp) -> bool {
        let length = self.closes.since(self.opened);
        self.opened <= at && at < self.opened.plus(length * 9 / 10)
    }

    /// Time left until the window closes; zero once it has.
    pub fn remaining(&self, at: Timestamp) -> Duration {
        self.closes.since(at)
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
