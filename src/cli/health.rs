//! `outrigger health`: asks a running daemon on this host whether it answers; for container checks.

use super::{Configured, duration, output};
use crate::config;
use crate::error::{Error, Result};
use crate::host::SystemClock;
use crate::passes::report::Exit;
use crate::telemetry::health;
use std::net::SocketAddr;
use std::time::Duration;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configured: Configured,
    /// Where the daemon listens. Without it: where the configuration says, by default 127.0.0.1:9188.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// How long it may take to answer.
    #[arg(long, default_value = "3s", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<Exit> {
    let listen = match args.listen {
        Some(listen) => listen,
        None => config::listen(&args.configured.sources(Vec::new())?)
            .map_err(|faults| Error::invalid(faults.to_string()))?,
    };
    health::check(listen, args.timeout, &SystemClock::new()).await?;
    output::line("healthy");
    Ok(Exit::Converged)
}
