//! Runs the program and keeps what it said.

use crate::support::graph::Graph;
use serde_json::Value;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_outrigger");

/// What a run said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

/// Runs it, with nothing of the tests' environment that it reads.
pub fn outrigger(words: &[&str]) -> Ran {
    let output = command(words).output().unwrap();
    Ran {
        exit: output.status.code().expect("an exit code"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it with a reader of its output that goes away at once.
pub fn unread(words: &[&str]) -> Ran {
    let mut child = command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    Ran {
        exit: output.status.code().expect("an exit code"),
        out: String::new(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(words).env_remove("OUTRIGGER_REPO");
    command
}

/// Runs it on a graph: `words` and `--repo`.
pub fn on(graph: &Graph, words: &[&str]) -> Ran {
    let root = graph.place.dir().join("graph");
    let root = root.to_str().unwrap();
    outrigger(&[words, &["--repo", root]].concat())
}

impl Ran {
    /// Its output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
