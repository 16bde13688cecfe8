//! What recovery and watching cost, on an optimised build: `make bench`, or one of them by name:
//! `cargo bench -- stranded`. Prints a table, and with `--json FILE` keeps the same as JSON.
//!
//! | room | asks |
//! |---|---|
//! | `forward` | what does it take to finish one commit of three tables? |
//! | `growth` | does a look cost more on a graph with a long history? |
//! | `stranded` | how fast are many stranded commits finished, if each request takes its time? |
//! | `idle` | how much memory do idle repositories take? |
//! | `writers` | what does a commit of the writer library cost, and how do writers get on beside each other? |
#![allow(clippy::disallowed_macros, reason = "a benchmark speaks to people")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark looks at the real clock and starts real processes"
)]

mod forward;
mod growth;
#[allow(dead_code, reason = "the tests of recovery use the rest")]
#[path = "../tests/recovery/harness.rs"]
mod harness;
mod idle;
mod report;
mod stranded;
#[path = "../tests/support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the tests of the writer use the rest")]
#[path = "../tests/writer/world.rs"]
mod world;
mod writers;

use report::Report;
use std::path::PathBuf;

fn main() {
    let (names, json) = arguments();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let mut report = Report::kept_in(json);
    if wanted("forward") {
        runtime.block_on(forward::measure(&mut report));
    }
    if wanted("growth") {
        runtime.block_on(growth::measure(&mut report));
    }
    if wanted("stranded") {
        runtime.block_on(stranded::measure(&mut report));
    }
    if wanted("idle") {
        runtime.block_on(idle::measure(&mut report));
    }
    if wanted("writers") {
        runtime.block_on(writers::measure(&mut report));
    }
    report.ends();
}

/// Names of benches, and where to write JSON. Cargo itself adds `--bench`.
fn arguments() -> (Vec<String>, Option<PathBuf>) {
    let (mut names, mut json) = (Vec::new(), None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bench" => {}
            "--json" => json = Some(PathBuf::from(words.next().expect("--json FILE"))),
            _ => names.push(word),
        }
    }
    (names, json)
}
