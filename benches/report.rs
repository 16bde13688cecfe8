//! What was measured, as a table and as JSON.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub value: f64,
    pub unit: String,
    /// The most that it may be, if anything was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// The least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
}

impl Row {
    pub fn new(what: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { what: what.into(), value, unit: unit.to_owned(), target: None, least: None }
    }

    pub fn requests(what: impl Into<String>, requests: usize) -> Self {
        Self::new(what, requests as f64, "requests")
    }

    pub fn time(what: impl Into<String>, time: Duration) -> Self {
        Self::new(what, time.as_secs_f64() * 1000.0, "ms")
    }

    pub fn at_most(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }

    pub fn at_least(self, least: f64) -> Self {
        Self { least: Some(least), ..self }
    }

    pub fn misses(&self) -> bool {
        self.target.is_some_and(|target| self.value > target)
            || self.least.is_some_and(|least| self.value < least)
    }
}

/// Everything measured up to now. A run that is stopped keeps what it has, and one of a single room keeps the rows of the others.
#[derive(Debug, Default)]
pub struct Report {
    file: Option<PathBuf>,
    rows: Vec<Row>,
    missed: Vec<String>,
}

impl Report {
    /// Kept as JSON in this file, beside what it already holds.
    pub fn kept_in(file: Option<PathBuf>) -> Self {
        let kept = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let rows = kept.map(|text| serde_json::from_slice(&text).expect("rows")).unwrap_or_default();
        Self { file, rows, missed: Vec::new() }
    }

    /// Prints a row of a Markdown table, and keeps it.
    pub fn tell(&mut self, row: Row) {
        let digits = match row.value {
            value if value.fract() == 0.0 || value >= 100.0 => 0,
            value if value < 0.1 => 4,
            _ => 2,
        };
        let target = row.target.map(|target| format!("≤ {target}"));
        let target = target.or(row.least.map(|least| format!("≥ {least}"))).unwrap_or_default();
        let mark = if row.misses() { " **missed**" } else { "" };
        println!("| {} | {:.digits$} {} | {target}{mark} |", row.what, row.value, row.unit);
        if row.misses() {
            self.missed.push(row.what.clone());
        }
        match self.rows.iter_mut().find(|kept| kept.what == row.what) {
            Some(kept) => *kept = row,
            None => self.rows.push(row),
        }
        if let Some(file) = &self.file {
            let text = serde_json::to_string_pretty(&self.rows).expect("JSON");
            std::fs::write(file, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    /// The end of a run. A missed target is a failure.
    pub fn ends(&self) {
        assert!(self.missed.is_empty(), "targets missed: {:?}", self.missed);
    }
}

/// The middle one.
pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}
