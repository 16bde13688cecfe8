//! The lines of the documentation's table: one per state, both engines in it.

use super::outrigger::Answer;
use super::trial::Row;
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

/// What is known of one state. `None`: not looked at in this run.
pub struct Line {
    pub kind: Kind,
    pub cells: [Option<String>; HEAD.len()],
}

impl Line {
    pub fn of(state: &State, rows: &[Row]) -> Self {
        let own: Vec<&Row> = rows.iter().filter(|row| row.trial.is_of(state)).collect();
        let said = state.expects.data.name();
        let cells = [
            Some(name(state)),
            Some(words::story(&state.steps)),
            merged(state, &own, |row| Some(row.engine.as_ref()?.words(said))),
            merged(state, &own, |row| row.once.as_ref().map(Answer::words)),
            merged(state, &own, exclusive),
            merged(state, &own, |row| Some(row.end.as_ref()?.words(said))),
            Some(state.remark()),
        ];
        Self { kind: state.kind, cells: cells.map(|cell| cell.map(|text| escaped(&text))) }
    }
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

fn exclusive(row: &Row) -> Option<String> {
    let mut words = row.exclusive.as_ref()?.words();
    for command in row.trial.state.expects.person.iter().filter(|_| row.person) {
        words.push_str(&format!("; `{}`", command.join(" ")));
    }
    Some(words)
}

/// One text for all engines of a state, which says so where they differ. Nothing, if one of them is not known.
fn merged(state: &State, rows: &[&Row], cell: impl Fn(&Row) -> Option<String>) -> Option<String> {
    let mut texts = Vec::new();
    for engine in state.engines {
        let text = rows.iter().filter(|row| row.trial.engine == *engine).find_map(|row| cell(row))?;
        texts.push((engine, text));
    }
    match texts.as_slice() {
        [(_, first), rest @ ..] if rest.iter().all(|(_, text)| text == first) => Some(first.clone()),
        _ => Some(
            texts.iter().map(|(engine, text)| format!("{engine}: {text}")).collect::<Vec<_>>().join("<br>"),
        ),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// On S3 a state ends as it does on disk.
pub fn compare_places(rows: &mut [Row]) {
    let told = |row: &Row| {
        let once = row.once.as_ref().map(Answer::words);
        let end = row.end.as_ref().map(|end| end.words(row.trial.state.expects.data.name()));
        (once, exclusive(row), end)
    };
    let all: Vec<_> = rows.iter().map(|row| (row.trial.clone(), told(row))).collect();
    for row in rows.iter_mut() {
        let same = |other: &super::trial::Trial| {
            other.engine == row.trial.engine && other.is_of(&row.trial.state) && other.place < row.trial.place
        };
        if let Some((_, on_disk)) = all.iter().find(|(other, _)| same(other))
            && *on_disk != told(row)
        {
            row.failures.push(format!("on disk it was {on_disk:?}, on S3 {:?}", told(row)));
        }
    }
}
