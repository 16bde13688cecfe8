//! The crash itself: this program runs again as a child, arms one failpoint with an abort and walks into it.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::engine::{Access, Engine};
use crate::program::Act;
use crate::root::Root;

/// An operation of a small graph takes seconds; a child that lives longer hangs.
const CHILD_LIMIT: Duration = Duration::from_secs(240);
/// How a Unix process ends that called `abort`.
const SIGABRT: i32 = 6;

#[derive(Debug, Clone, Copy)]
pub struct CrashPoint<'a> {
    pub failpoint: &'a str,
    /// The pass through the failpoint that kills, from 1.
    pub hit: u32,
}

/// Starts the child for step `index` of `state` and makes sure that it died at the failpoint and nowhere else.
pub async fn kill_child(
    engine: Engine,
    state: &str,
    index: usize,
    root: &Root,
    point: CrashPoint<'_>,
) -> Result<()> {
    let program = std::env::current_exe().context("own executable")?;
    let mut command = tokio::process::Command::new(program);
    command.args(["die", "--engine", engine.version(), "--state", state, "--root", root.uri()]);
    command.args(["--step", &index.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().context("start the child")?;
    let ended = tokio::time::timeout(CHILD_LIMIT, child.wait_with_output()).await;
    let output = ended.with_context(|| format!("the child did not die within {CHILD_LIMIT:?}"))??;
    if signal_of(output.status) == Some(SIGABRT) {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    bail!("{} did not kill at hit {}: {}\n{}", point.failpoint, point.hit, output.status, words.trim())
}

/// The child's part: never comes back when the failpoint is passed often enough.
pub async fn die_inside(
    engine: Engine,
    act: &Act,
    access: Access,
    root: &str,
    point: CrashPoint<'_>,
) -> Result<()> {
    let passes = AtomicU32::new(0);
    let (hit, name) = (point.hit, point.failpoint.to_owned());
    // The graph is opened before the failpoint is armed, unless opening is what shall crash.
    let mut graph = if act.opens() { None } else { Some(engine.open(root, access).await?) };
    let scenario = fail::FailScenario::setup();
    let on_pass = move || {
        if passes.fetch_add(1, Ordering::SeqCst) + 1 == hit {
            std::process::abort();
        }
    };
    fail::cfg_callback(&name, on_pass).map_err(anyhow::Error::msg).context("arm the failpoint")?;
    let outcome = match graph.as_mut() {
        Some(graph) => act.run(graph.as_mut()).await,
        None => act.start(engine, root, access).await.map(drop),
    };
    scenario.teardown();
    match outcome {
        Ok(()) => bail!("the operation ended well: {name} was not passed {hit} times"),
        Err(error) => Err(error.context(format!("the operation failed before pass {hit} of {name}"))),
    }
}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}
