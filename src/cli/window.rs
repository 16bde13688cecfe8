//! `outrigger window`: opens a period in which no writer is active, so that daemons and `once` may undo.

use super::{Format, Target, duration, output};
use crate::app;
use crate::error::Result;
use crate::model::Branch;
use crate::passes::report::Exit;
use crate::repo::Repository;
use crate::runtime::windows::{self, ManualWindow};
use crate::store::Store;
use serde::Serialize;
use std::time::Duration;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Open a window. It is your promise that no writer is active until it ends or you close it.
    #[command(
        after_help = "Example:\n  outrigger window open --for 10m --reason \"writers are stopped\" --repo /srv/orders"
    )]
    Open {
        /// How long it stays open, by the store's clock: 10s to 24h. A restart never lengthens it.
        #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
        length: Duration,
        /// Why; whoever looks later reads it.
        #[arg(long, default_value = "not given", value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// Close every manual window. What is being undone stops before its next act, and is finished in another window.
    #[command(after_help = "Example:\n  outrigger window close --repo /srv/orders")]
    Close {
        #[command(flatten)]
        target: Target,
    },
    /// Show manual windows. Reads only.
    #[command(after_help = "Example:\n  outrigger window show --repo /srv/orders")]
    Show {
        #[command(flatten)]
        target: Target,
    },
}

impl Action {
    pub(super) fn target(&self) -> &Target {
        match self {
            Self::Open { target, .. } | Self::Close { target } | Self::Show { target } => target,
        }
    }
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    window: &'a ManualWindow,
    seconds_left: u64,
}

pub(super) async fn run(action: Action) -> Result<Exit> {
    match action {
        Action::Open { length, reason, target } => {
            let store = writable_store(&target).await?;
            let window = windows::open(&store, length, &reason, app::ulid).await?;
            print(&target, &store, std::slice::from_ref(&window));
        }
        Action::Close { target } => {
            let store = writable_store(&target).await?;
            let closed = windows::close(&store).await?;
            match (target.format, closed.len()) {
                (Format::Json, _) => output::json(&closed),
                (Format::Table, 0) => output::line("no manual window is open"),
                (Format::Table, _) => output::line("closed"),
            }
        }
        Action::Show { target } => {
            let repo = graph(&target).await?;
            let windows = windows::list(repo.store()).await?;
            print(&target, repo.store(), &windows);
        }
    }
    Ok(Exit::Converged)
}

/// A graph; nothing else has windows.
async fn graph(target: &Target) -> Result<Repository> {
    let repo = app::open(&target.uri()?).await?;
    repo.require_graph()?;
    Ok(repo)
}

/// Its store, if its format is one that we write: a window is an object in it.
async fn writable_store(target: &Target) -> Result<Store> {
    let repo = graph(target).await?;
    repo.require_writable(&Branch::main()).await?;
    Ok(repo.store().clone())
}

fn print(target: &Target, store: &Store, windows: &[ManualWindow]) {
    let left = |window: &ManualWindow| store.now().and_then(|now| window.left(now)).unwrap_or_default();
    let rows: Vec<Row> =
        windows.iter().map(|window| Row { window, seconds_left: left(window).as_secs() }).collect();
    if let Format::Json = target.format {
        return output::json(&rows);
    }
    if rows.is_empty() {
        return output::line("no manual window is open");
    }
    let cells = |row: &Row| {
        let left = match row.seconds_left {
            0 => "over".to_owned(),
            seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
        };
        vec![row.window.id.to_string(), row.window.opened.to_string(), left, row.window.reason.clone()]
    };
    output::table(&["WINDOW", "OPENED", "LEFT", "REASON"], &rows.iter().map(cells).collect::<Vec<_>>());
}
