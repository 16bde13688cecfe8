//! What the program would do with a configuration: every value, where it came from, and when each schedule runs next.

use super::Loaded;
use super::origin::Origin;
use super::raw;
use super::resolve::leaves;
use crate::model::Timestamp;
use crate::runtime::schedule::{Schedule, WindowSpan};
use figment::value::Value;
use serde::Serialize;
use std::fmt;

/// How many runs of each schedule are shown.
const RUNS: usize = 3;

/// How the keys of a repository begin.
const REPOSITORIES: &str = "repositories.";

/// Effective settings with their origins. Holds no secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Every key that has a value, in alphabetical order.
    pub settings: Vec<Setting>,
    /// Every schedule of an enabled pass and every window.
    pub schedules: Vec<Runs>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// `repositories.orders.grace`
    pub key: String,
    /// As it would stand in the file; a secret is replaced.
    pub value: serde_json::Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Setting {
    /// Whether a repository has it from the sections for all: the table says it once.
    fn is_inherited(&self) -> bool {
        self.key.starts_with(REPOSITORIES) && !self.origin.key.starts_with(REPOSITORIES)
    }
}

/// A schedule and when it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runs {
    /// `repositories.orders.windows.schedules.0`
    pub key: String,
    /// The expression.
    pub cron: String,
    /// The zone in which it is read.
    pub timezone: String,
    /// The next three runs.
    pub next: Vec<Timestamp>,
    /// If it is a window that is open now: this opening.
    pub open: Option<WindowSpan>,
}

/// Describes `loaded` as of `now`.
pub fn report(loaded: &Loaded, now: Timestamp) -> Report {
    let mut settings = Vec::new();
    leaves(&loaded.values, "", &mut |key, value| {
        if !matches!(value, Value::Empty(..)) {
            settings.push(Setting {
                key: key.to_owned(),
                value: shown(key, value),
                origin: loaded.origins.of(key),
            });
        }
    });
    Report { settings, schedules: schedules(loaded, now) }
}

fn shown(key: &str, value: &Value) -> serde_json::Value {
    let name = key.rsplit('.').next().unwrap_or(key);
    if raw::SECRET_KEYS.contains(&name) {
        return "[redacted]".into();
    }
    serde_json::to_value(value).unwrap_or_default()
}

fn schedules(loaded: &Loaded, now: Timestamp) -> Vec<Runs> {
    let mut all = Vec::new();
    for repository in &loaded.settings.repositories {
        let name = &repository.name;
        for (pass, settings) in repository.enabled_passes() {
            let key = format!("repositories.{name}.passes.{pass}.schedule");
            all.extend(settings.schedule.as_ref().map(|schedule| runs(key, schedule, now, None)));
        }
        for (n, window) in repository.windows.iter().enumerate() {
            let key = format!("repositories.{name}.windows.schedules.{n}");
            all.push(runs(key, &window.schedule, now, window.is_open(now)));
        }
    }
    all
}

fn runs(key: String, schedule: &Schedule, now: Timestamp, open: Option<WindowSpan>) -> Runs {
    let (cron, timezone) = (schedule.cron().to_owned(), schedule.zone().name().to_owned());
    Runs { key, cron, timezone, next: schedule.next_runs(now, RUNS), open }
}

/// A table of settings, then one of schedules.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inherited, own): (Vec<_>, Vec<_>) =
            self.settings.iter().partition(|setting| setting.is_inherited());
        let rows = own.into_iter().map(|setting| {
            [setting.key.clone(), setting.value.to_string(), setting.origin.source.to_string()]
        });
        table(f, ["setting", "value", "origin"], rows.collect())?;
        if !inherited.is_empty() {
            let rest = "what a repository does not set is as in [defaults], [passes] and [store]";
            writeln!(f, "\n{rest}; --format json lists it for each")?;
        }
        if self.schedules.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        let rows = self.schedules.iter().map(|runs| {
            let next: Vec<String> = runs.next.iter().map(ToString::to_string).collect();
            let open = runs.open.map(|span| format!(" (open until {})", span.closes)).unwrap_or_default();
            [runs.key.clone(), format!("{} {}", runs.cron, runs.timezone), next.join(" ") + &open]
        });
        table(f, ["schedule", "cron", "next runs"], rows.collect())
    }
}

/// Left-aligned columns, two spaces apart; the last one is not padded.
fn table(f: &mut fmt::Formatter<'_>, head: [&str; 3], rows: Vec<[String; 3]>) -> fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    writeln!(f, "{:first$}  {:second$}  {}", head[0], head[1], head[2])?;
    for [key, value, origin] in &rows {
        writeln!(f, "{key:first$}  {value:second$}  {origin}")?;
    }
    Ok(())
}
