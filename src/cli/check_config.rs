//! `outrigger check-config`: what the configuration means, where each value comes from, and when schedules run next.

use super::{Configured, Format, output};
use crate::config::{check, load};
use crate::error::{Error, Result};
use crate::host::{Clock, SystemClock};
use crate::passes::report::Exit;
use crate::telemetry::tokens::Tokens;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configured: Configured,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    let sources = args.configured.sources(Vec::new())?;
    let loaded = load(&sources).map_err(|faults| {
        let error = Error::invalid(faults.to_string());
        if args.format == Format::Json {
            output::json(&serde_json::json!({ "exit": Exit::of(&error).code(), "error": error.chain() }));
        }
        error
    })?;
    let report = check::report(&loaded, SystemClock::new().now());
    match args.format {
        Format::Json => output::json(&report),
        Format::Table => report.to_string().lines().for_each(output::line),
    }
    // `run` would refuse to start. Told last: where it is checked, the secrets of the daemon's host may not be there.
    Tokens::read(&loaded.settings)?;
    Ok(Exit::Converged)
}
