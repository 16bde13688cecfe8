//! What was measured, as a table and as JSON.

use serde::Serialize;
use std::time::Duration;

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    /// The most that it may be, if anything was promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

impl Row {
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, target: None }
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

    pub fn misses(&self) -> bool {
        self.target.is_some_and(|target| self.value > target)
    }
}

/// Rows of a Markdown table.
pub fn print(rows: &[Row]) {
    for row in rows {
        let digits = if row.value.fract() == 0.0 || row.value >= 100.0 { 0 } else { 2 };
        let target = row.target.map(|target| format!("≤ {target}")).unwrap_or_default();
        let mark = if row.misses() { " **missed**" } else { "" };
        println!("| {} | {:.digits$} {} | {target}{mark} |", row.what, row.value, row.unit);
    }
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
