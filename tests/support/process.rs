//! Processes that a test starts.

use std::process::Command;

/// What a process keeps of the tests' environment: where programs are, and where temporary files go.
const KEPT: [&str; 2] = ["PATH", "TMPDIR"];

/// A program to start, with nothing else of the tests' environment: whoever runs them may have `AWS_*` or `OUTRIGGER_*` set, and a
/// home in which credentials lie.
pub fn alone(program: &str) -> Command {
    let mut command = Command::new(program);
    let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(kept);
    command
}
