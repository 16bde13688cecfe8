//! `outrigger demo`: wrecks of real writers, mended before your eyes. Needs nothing but a temporary directory. It fails if anything
//! is not as it tells, so it is a test, too.

mod native;
mod wrecks;
mod writer;

use super::output;
use crate::error::Result;
use crate::passes::report::Exit;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the demo's own writers are told.
    #[arg(long, hide = true, num_args = 2, value_names = ["TASK", "URI"])]
    writer: Option<Vec<String>>,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    if let Some([task, uri]) = args.writer.as_deref() {
        writer::run(task, uri).await?;
        return Ok(Exit::Converged);
    }
    let told = wrecks::run().await?;
    native::run(told + 1).await?;
    output::line("\nEverything is whole again, and nothing is left to recover.");
    Ok(Exit::Converged)
}

fn title(number: usize, title: &str, story: &str) {
    output::line(&format!("\n{number}. {title}\n\n{story}\n"));
}
