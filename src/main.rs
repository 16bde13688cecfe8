//! The `outrigger` binary: parse, wire, run, exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    let code = runtime.block_on(outrigger::cli::main());
    // Not dropped, which would wait for threads that a disk has not answered yet, maybe for ever.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}
