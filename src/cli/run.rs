//! `outrigger run`: the daemon.

use super::{Configured, output};
use crate::app;
use crate::config::{Flag, load};
use crate::error::{Error, Result};
use crate::passes::report::Exit;
use crate::telemetry::logging;
use std::io;
use std::sync::mpsc::{Sender, channel};
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

/// Cancelled by SIGTERM or SIGINT. A second one ends the process at once: that is a crash, which is always safe. Listened for
/// by a thread of its own: the others may all wait for a disk that does not answer.
fn stop_on_signal() -> Result<CancellationToken> {
    let failed = |error| Error::internal("cannot listen for signals").caused_by(error);
    let stop = CancellationToken::new();
    let token = stop.clone();
    let (tell, started) = channel();
    let listener = std::thread::Builder::new().name("signals".into());
    let listening = listener.spawn(move || {
        if let Err(error) = listen(&token, &tell) {
            let _ = tell.send(Err(error));
        }
    });
    listening.map_err(failed)?;
    started.recv().unwrap_or_else(|gone| Err(io::Error::other(gone))).map_err(failed)?;
    Ok(stop)
}

/// Tells when it has begun to listen; ends only by an error, or the process.
fn listen(token: &CancellationToken, tell: &Sender<io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let _ = tell.send(Ok(()));
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if token.is_cancelled() {
                output::problem("stopped at once");
                std::process::exit(i32::from(Exit::Failed.code()));
            }
            tracing::info!("asked to stop");
            token.cancel();
        }
    })
}
