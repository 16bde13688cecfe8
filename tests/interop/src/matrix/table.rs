//! The lines of the documentation's table: one per state, both engines in it.

use std::fmt::{self, Display, Formatter};

use super::trial::{Row, Trial};
use crate::engine::Engine;
use crate::state::{Kind, State};
use crate::words;

pub const HEAD: [&str; 7] = [
    "state",
    "what happened",
    "the engine's own recovery",
    "`once`",
    "`once --exclusive`",
    "rows at the end",
    "remark",
];

/// What is known of one state.
pub struct Line {
    pub kind: Kind,
    pub cells: [Cell; HEAD.len()],
}

/// One cell: what the state itself says, or what was found.
pub enum Cell {
    Said(String),
    /// For each engine of the state, or for those that were looked at.
    Found {
        texts: Vec<(Engine, String)>,
        engines: &'static [Engine],
    },
}

impl Line {
    pub fn of(state: &State, rows: &[Row]) -> Self {
        let own: Vec<&Row> = rows.iter().filter(|row| row.trial.is_of(state)).collect();
        let words = state.expects.data.name();
        let cells = [
            Cell::Said(name(state)),
            Cell::said(&words::story(&state.steps)),
            Cell::found(state, &own, |row| Some(row.engine.as_ref()?.words(words))),
            Cell::found(state, &own, once),
            Cell::found(state, &own, exclusive),
            Cell::found(state, &own, |row| Some(row.end.as_ref()?.words(words))),
            Cell::said(&state.remark()),
        ];
        Self { kind: state.kind, cells }
    }

    /// The state's cell, which no other line has.
    pub fn name(&self) -> String {
        self.cells[0].text(None)
    }
}

impl Cell {
    fn said(text: &str) -> Self {
        Self::Said(escaped(text))
    }

    fn found(state: &State, rows: &[&Row], cell: impl Fn(&Row) -> Option<String>) -> Self {
        let of = |engine: &Engine| {
            let text = rows.iter().filter(|row| row.trial.engine == *engine).find_map(|row| cell(row))?;
            Some((*engine, escaped(&text)))
        };
        Self::Found { texts: state.engines.iter().filter_map(of).collect(), engines: state.engines }
    }

    /// One text for all engines, which says so where they differ. Who was not looked at keeps what is told of it.
    pub fn text(&self, told: Option<&str>) -> String {
        let (texts, engines) = match self {
            Self::Said(text) => return text.clone(),
            Self::Found { texts, engines } => (texts, engines),
        };
        let text = |engine: &Engine| {
            let found = texts.iter().find(|(of, _)| of == engine).map(|(_, text)| text.clone());
            (*engine, found.or_else(|| part(told?, *engine)).unwrap_or_else(|| UNKNOWN.to_owned()))
        };
        let texts: Vec<(Engine, String)> = engines.iter().map(text).collect();
        match texts.as_slice() {
            [(_, first), rest @ ..] if rest.iter().all(|(_, text)| text == first) => first.clone(),
            _ => texts.iter().map(|(engine, text)| of(*engine, text)).collect::<Vec<_>>().join(BREAK),
        }
    }

    /// Whether a text says what is known.
    pub fn is_told_by(&self, told: &str) -> bool {
        match self {
            Self::Said(text) => text == told,
            Self::Found { texts, .. } => {
                texts.iter().all(|(engine, text)| part(told, *engine).as_ref() == Some(text))
            }
        }
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(text) => f.write_str(text),
            Self::Found { texts, .. } => {
                let texts: Vec<String> = texts.iter().map(|(engine, text)| of(*engine, text)).collect();
                f.write_str(&texts.join(BREAK))
            }
        }
    }
}

const BREAK: &str = "<br>";
/// Where no run has looked yet.
const UNKNOWN: &str = "?";

fn of(engine: Engine, text: &str) -> String {
    format!("{engine}: {text}")
}

/// What a cell tells of one engine.
fn part(told: &str, engine: Engine) -> Option<String> {
    let own = |other: Engine, line: &str| line.strip_prefix(&format!("{other}: ")).map(str::to_owned);
    let apart = told.split(BREAK).any(|line| Engine::ALL.iter().any(|other| own(*other, line).is_some()));
    if apart { told.split(BREAK).find_map(|line| own(engine, line)) } else { Some(told.to_owned()) }
}

/// The state's name; with its engine, where it is a state of one engine only.
fn name(state: &State) -> String {
    let place = if state.is_sample() { ", S3" } else { "" };
    match state.engines {
        [engine] => format!("`{}` ({engine}{place})", state.name),
        _ if state.is_sample() => format!("`{}` (S3)", state.name),
        _ => format!("`{}`", state.name),
    }
}

/// Verdicts that differ from run to run are not told: that they are settled is.
fn once(row: &Row) -> Option<String> {
    let answer = row.once.as_ref()?;
    Some(if row.trial.state.races() { format!("{} *", answer.exit) } else { answer.words() })
}

fn exclusive(row: &Row) -> Option<String> {
    let mut words = row.exclusive.as_ref()?.words();
    for command in row.trial.state.expects.person.iter().filter(|_| row.person) {
        words.push_str(&format!("; `{}`", command.join(" ")));
    }
    Some(words)
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// On S3 a state ends as it does on disk.
pub fn compare_places(rows: &mut [Row]) {
    let told = |row: &Row| {
        let end = row.end.as_ref().map(|end| end.words(row.trial.state.expects.data.name()));
        (once(row), exclusive(row), end)
    };
    let all: Vec<_> = rows.iter().map(|row| (row.trial.clone(), told(row))).collect();
    for row in rows.iter_mut() {
        let same = |other: &Trial| {
            other.engine == row.trial.engine && other.is_of(&row.trial.state) && other.place < row.trial.place
        };
        if let Some((_, on_disk)) = all.iter().find(|(other, _)| same(other))
            && *on_disk != told(row)
        {
            row.failures.push(format!("on disk it was {on_disk:?}, on S3 {:?}", told(row)));
        }
    }
}
