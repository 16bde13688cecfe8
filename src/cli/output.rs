//! The only file that prints.

#![expect(clippy::disallowed_macros, reason = "the file that prints")]

use std::io::{ErrorKind, Write, stdout};

/// As if by SIGPIPE, which Rust programs ignore.
const READER_GONE: i32 = 141;

/// A line of a result. All is done by the time that results are printed: if the reader has gone away (`… | head`), so does
/// this program.
pub(super) fn line(text: &str) {
    match writeln!(stdout(), "{text}") {
        Ok(()) => {}
        Err(gone) if gone.kind() == ErrorKind::BrokenPipe => std::process::exit(READER_GONE),
        Err(error) => {
            problem(&format!("standard output: {error}"));
            std::process::exit(1);
        }
    }
}

/// A result for machines.
pub(super) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&text),
        Err(error) => problem(&format!("the result does not serialise: {error}")),
    }
}

/// What went wrong: one line, or several with one fault each.
pub(super) fn problem(text: &str) {
    text.lines().for_each(|line| eprintln!("outrigger: {}", visible(line)));
}

/// How far long work has come: one line that is written over, on a terminal only.
pub(super) fn progress() -> std::sync::Arc<dyn Fn(usize, usize) + Send + Sync> {
    use std::io::IsTerminal;
    if !std::io::stderr().is_terminal() {
        return std::sync::Arc::new(|_, _| {});
    }
    std::sync::Arc::new(|done, all| {
        let end = if done == all { "\r\u{1b}[K" } else { "" };
        eprint!("\rrecovery: {done} of {all} components{end}");
    })
}

/// Rows under a header, columns padded to their widest cell. Control characters of foreign names are shown, not obeyed.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let print = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        line(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    print(header.to_vec());
    for row in &rows {
        print(row.iter().map(String::as_str).collect());
    }
}

/// Foreign text, fit for a terminal.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
