//! The table inside the documentation: read, compared with a run, written anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::table::{HEAD, Line};

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
            let name = line.cells[0].clone().unwrap_or_default();
            let Some(known) = self.lines.get(&name) else {
                differences.push(format!("{name}: not in the table"));
                continue;
            };
            for ((cell, known), head) in line.cells.iter().zip(known).zip(HEAD) {
                if let Some(cell) = cell.as_ref().filter(|cell| *cell != known) {
                    differences.push(format!("{name}, {head}: the table says {known:?}, it is {cell:?}"));
                }
            }
        }
        let is_there = |name: &&String| lines.iter().any(|line| line.cells[0].as_ref() == Some(name));
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
            let known = line.cells[0].as_ref().and_then(|name| self.lines.get(name));
            let cell = |(index, cell): (usize, &Option<String>)| {
                cell.clone().or_else(|| known?.get(index).cloned()).unwrap_or_else(|| "?".to_owned())
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
    use crate::state::Kind;

    fn line(name: &str, once: Option<&str>) -> Line {
        let cell = |text: &str| Some(text.to_owned());
        Line {
            kind: Kind::Load,
            cells: [
                cell(name),
                cell("a"),
                cell("b"),
                once.map(str::to_owned),
                cell("d"),
                cell("e"),
                cell(""),
            ],
        }
    }

    fn document(lines: &[Line]) -> Document {
        let empty = Document::parse(&format!("Prose.\n{BEGIN}{END}\nMore.\n")).expect("marks");
        Document::parse(&empty.with(lines).expect("text")).expect("marks")
    }

    #[test]
    fn a_page_says_what_was_written() {
        let lines = [line("`x`", Some("0: \\| and"))];
        assert!(document(&lines).differences(&lines).is_empty());
    }

    #[test]
    fn a_state_that_ends_otherwise_is_named() {
        let found = document(&[line("`x`", Some("0"))]).differences(&[line("`x`", Some("10"))]);
        assert_eq!(found, ["`x`, `once`: the table says \"0\", it is \"10\""]);
    }

    #[test]
    fn states_that_came_and_went_are_named() {
        let found = document(&[line("`old`", Some("0"))]).differences(&[line("`new`", Some("0"))]);
        assert_eq!(found, ["`new`: not in the table", "`old`: there is no such state"]);
    }

    #[test]
    fn what_was_not_looked_at_is_kept_and_not_compared() {
        let page = document(&[line("`x`", Some("0"))]);
        assert!(page.differences(&[line("`x`", None)]).is_empty());
        let text = page.with(&[line("`x`", None)]).expect("text");
        assert!(text.contains("| `x` | a | b | 0 | d | e |  |"), "{text}");
    }
}
