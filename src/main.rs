//! The `outrigger` binary: parse, wire, run, exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(outrigger::cli::main().await)
}
