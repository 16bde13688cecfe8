//! Runs the program and keeps what it said.

use crate::support::graph::Graph;
use crate::support::process::alone;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_outrigger");

/// What a run said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

/// Runs it, with nothing of the tests' environment.
pub fn outrigger(words: &[&str]) -> Ran {
    ran(&mut command(words))
}

/// The same with variables.
pub fn with_variables(variables: &[(&str, &str)], words: &[&str]) -> Ran {
    ran(command(words).envs(variables.iter().copied()))
}

/// What a person gets who pastes a line into a shell.
pub fn typed(line: &str, variables: &[(&str, &str)]) -> Ran {
    let folder = Path::new(BINARY).parent().unwrap().to_str().unwrap();
    let path = format!("{folder}:/usr/bin:/bin");
    ran(Command::new("sh").args(["-c", line]).env_clear().env("PATH", path).envs(variables.iter().copied()))
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
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
    let mut command = alone(BINARY);
    command.args(words);
    command
}

/// Runs it on a graph: `words` and `--repo`.
pub fn on(graph: &Graph, words: &[&str]) -> Ran {
    outrigger(&[words, &["--repo", &root_of(graph)]].concat())
}

/// Where a graph on disk lies.
pub fn root_of(graph: &Graph) -> String {
    graph.place.dir().join("graph").to_str().unwrap().to_owned()
}

impl Ran {
    /// The commands that its output tells a person to type.
    pub fn hints(&self) -> Vec<String> {
        let told = self.out.split('`').skip(1).step_by(2);
        told.filter(|hint| hint.starts_with("outrigger ")).map(str::to_owned).collect()
    }

    /// Its output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
