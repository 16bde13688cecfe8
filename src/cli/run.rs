//! `outrigger run`: the daemon.

use super::{Configured, output};
use crate::app;
use crate::config::{Flag, load};
use crate::error::{Error, Result};
use crate::passes::report::Exit;
use crate::telemetry::logging;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configured: Configured,
    /// Listen here instead of where the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

pub(super) async fn run(args: Args, log: Option<String>) -> Result<Exit> {
    let flags = [("--listen", "http.listen", args.listen), ("--log", "log.level", log)];
    let flags = flags
        .into_iter()
        .filter_map(|(name, key, value)| Some(Flag { name: name.into(), key: key.into(), value: value? }));
    let sources = args.configured.sources(flags.collect())?;
    let settings = load(&sources).map_err(|faults| Error::invalid(faults.to_string()))?.settings;
    logging::init(&settings.log)?;
    let stop = stop_on_signal()?;
    let repositories = settings.repositories.len();
    let daemon = app::daemon(settings).await?;
    tracing::info!(address = %daemon.address(), repositories, version = env!("CARGO_PKG_VERSION"), "running");
    daemon.run(stop).await?;
    tracing::info!("stopped");
    Ok(Exit::Converged)
}

/// Cancelled by SIGTERM or SIGINT. A second one ends the process at once: that is a crash, which is always safe.
fn stop_on_signal() -> Result<CancellationToken> {
    let failed = |error| Error::internal("cannot listen for signals").caused_by(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("asked to stop");
                token.cancel();
            } else {
                output::problem("stopped at once");
                std::process::exit(i32::from(Exit::Failed.code()));
            }
        }
    });
    Ok(stop)
}
