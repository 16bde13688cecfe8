//! The table inside the documentation: read, compared with a run, written anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::table::{Cell, HEAD, Line};

const BEGIN: &str = "<!-- begin of the table: written by `interop matrix --update` -->";
const END: &str = "<!-- end of the table -->";

/// A page with a table between two marks.
pub struct Document {
    before: String,
    after: String,
    /// The cells of each line, by the state's cell.
    lines: BTreeMap<String, Vec<String>>,
}

impl Document {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} has no table between its marks", path.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (before, rest) = text.split_once(BEGIN)?;
        let (table, after) = rest.split_once(END)?;
        let lines = table.lines().filter(|line| line.starts_with("| `")).filter_map(cells);
        Some(Self {
            before: before.to_owned(),
            after: after.to_owned(),
            lines: lines.filter_map(|cells| Some((cells.first()?.clone(), cells))).collect(),
        })
    }

    /// Where the page says something else than these lines, which are all that there are.
    pub fn differences(&self, lines: &[Line]) -> Vec<String> {
        let mut differences = Vec::new();
        for line in lines {
            let name = line.name();
            let Some(known) = self.lines.get(&name) else {
                differences.push(format!("{name}: not in the table"));
                continue;
            };
            for ((cell, known), head) in line.cells.iter().zip(known).zip(HEAD) {
                if !cell.is_told_by(known) {
                    differences.push(format!("{name}, {head}: the table says {known:?}, it is {cell}"));
                }
            }
        }
        let is_there = |name: &&String| lines.iter().any(|line| line.name() == **name);
        let gone = self.lines.keys().filter(|name| !is_there(name));
        differences.extend(gone.map(|name| format!("{name}: there is no such state")));
        differences
    }

    /// The page with these lines; a cell that was not looked at keeps what it says.
    pub fn with(&self, lines: &[Line]) -> Result<String> {
        let mut table = String::new();
        let mut kind = None;
        for line in lines {
            if kind != Some(line.kind) {
                kind = Some(line.kind);
                write!(
                    table,
                    "\n### {}\n\n| {} |\n{}|\n",
                    line.kind.title(),
                    HEAD.join(" | "),
                    "|---".repeat(HEAD.len())
                )?;
            }
            let known = self.lines.get(&line.name());
            let cell = |(index, cell): (usize, &Cell)| {
                cell.text(known.and_then(|known| known.get(index)).map(String::as_str))
            };
            let cells: Vec<String> = line.cells.iter().enumerate().map(cell).collect();
            writeln!(table, "| {} |", cells.join(" | "))?;
        }
        Ok(format!("{}{BEGIN}\n{table}\n{END}{}", self.before, self.after))
    }
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(inner.split(" | ").map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::state::Kind;

    /// Of a state of both engines; `once` is what each was found to answer.
    fn line(name: &str, once: &[(Engine, &str)]) -> Line {
        let said = |text: &str| Cell::Said(text.to_owned());
        let texts = once.iter().map(|(engine, text)| (*engine, (*text).to_owned())).collect();
        let once = Cell::Found { texts, engines: &Engine::ALL };
        Line {
            kind: Kind::Load,
            cells: [said(name), said("a"), said("b"), once, said("d"), said("e"), said("")],
        }
    }

    fn both(name: &str, once: &str) -> Line {
        line(name, &Engine::ALL.map(|engine| (engine, once)))
    }

    fn document(lines: &[Line]) -> Document {
        let empty = Document::parse(&format!("Prose.\n{BEGIN}{END}\nMore.\n")).expect("marks");
        Document::parse(&empty.with(lines).expect("text")).expect("marks")
    }

    #[test]
    fn a_page_says_what_was_written() {
        let lines = [both("`x`", "0 \\| and"), line("`y`", &[(Engine::V072, "0"), (Engine::V080, "10")])];
        assert!(document(&lines).differences(&lines).is_empty());
    }

    #[test]
    fn a_state_that_ends_otherwise_is_named() {
        let found = document(&[both("`x`", "0")]).differences(&[both("`x`", "10")]);
        assert_eq!(found, ["`x`, `once`: the table says \"0\", it is 0.7.2: 10<br>0.8.0: 10"]);
    }

    #[test]
    fn one_engine_alone_is_compared_with_its_part() {
        let page = document(&[both("`x`", "0"), line("`y`", &[(Engine::V072, "0"), (Engine::V080, "10")])]);
        let alone = |name, once| line(name, &[(Engine::V080, once)]);
        assert!(page.differences(&[alone("`x`", "0"), alone("`y`", "10")]).is_empty());
        assert_eq!(page.differences(&[alone("`x`", "10"), alone("`y`", "0")]).len(), 2);
    }

    #[test]
    fn states_that_came_and_went_are_named() {
        let found = document(&[both("`old`", "0")]).differences(&[both("`new`", "0")]);
        assert_eq!(found, ["`new`: not in the table", "`old`: there is no such state"]);
    }

    #[test]
    fn what_was_not_looked_at_is_kept_and_not_compared() {
        let page = document(&[both("`x`", "0")]);
        assert!(page.differences(&[line("`x`", &[])]).is_empty());
        let text = page.with(&[line("`x`", &[])]).expect("text");
        assert!(text.contains("| `x` | a | b | 0 | d | e |  |"), "{text}");
    }

    #[test]
    fn one_engine_alone_updates_its_part() {
        let page = document(&[both("`x`", "0"), line("`y`", &[(Engine::V072, "0"), (Engine::V080, "10")])]);
        let alone = |name, once| line(name, &[(Engine::V080, once)]);
        let text = page.with(&[alone("`x`", "11"), alone("`y`", "0"), alone("`z`", "0")]).expect("text");
        assert!(text.contains("| `x` | a | b | 0.7.2: 0<br>0.8.0: 11 |"), "{text}");
        assert!(text.contains("| `y` | a | b | 0 |"), "{text}");
        assert!(text.contains("| `z` | a | b | 0.7.2: ?<br>0.8.0: 0 |"), "{text}");
    }
}
