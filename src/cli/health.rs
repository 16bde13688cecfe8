//! `outrigger health`: asks a running daemon on this host whether it answers; for container checks.

use super::{duration, output};
use crate::config::{Sources, load, raw};
use crate::error::{Error, Result};
use crate::host::SystemClock;
use crate::passes::report::Exit;
use crate::telemetry::health;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The daemon's configuration: where it listens.
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    config: Option<PathBuf>,
    /// Where the daemon listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = raw::DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// How long it may take to answer.
    #[arg(long, default_value = "3s", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    let listen = match &args.config {
        None => args.listen,
        Some(file) => {
            let sources = Sources::of_process(Some(file), Vec::new())?;
            load(&sources).map_err(|faults| Error::invalid(faults.to_string()))?.settings.http.listen
        }
    };
    health::check(listen, args.timeout, &SystemClock::new()).await?;
    output::line("healthy");
    Ok(Exit::Converged)
}
