//! `outrigger check-config`: what the configuration means, where each value comes from, and when schedules run next.

use super::{Format, output};
use crate::config::{Sources, check, load};
use crate::error::{Error, Result};
use crate::host::{Clock, SystemClock};
use crate::passes::report::Exit;
use std::path::PathBuf;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    let sources = Sources::of_process(Some(&args.config), Vec::new())?;
    let loaded = load(&sources).map_err(|faults| Error::invalid(faults.to_string()))?;
    let report = check::report(&loaded, SystemClock::new().now());
    match args.format {
        Format::Json => output::json(&report),
        Format::Table => report.to_string().lines().for_each(output::line),
    }
    Ok(Exit::Converged)
}
