//! `outrigger sidecars`: look at writers' crash records.

use super::{Format, Target, output};
use crate::app;
use crate::error::{Error, Result};
use crate::passes::recovery::observe::{Intent, find};
use crate::passes::recovery::quarantine;
use crate::passes::report::Exit;
use crate::repo::Repository;
use crate::store::Key;
use crate::store::layout::RECOVERY_DIR;
use serde::Serialize;

/// Largest record that is printed, in bytes: above what may be one, so that one too large can be looked at.
const MAX_SHOWN: u64 = 64 << 20;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List every crash record. Reads only.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Print one crash record as it is stored, whether it can be read or not. Reads only.
    Show {
        /// The operation's id, or the record's file name.
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Move one to a name that engines ignore. The tables that it names are left as they are.
    Quarantine {
        /// The record's name, with or without `.json`.
        name: String,
        /// Why; kept with the record.
        #[arg(long, default_value = "not given", value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// Move a quarantined record back.
    Restore {
        /// The record's name, with or without `.json.quarantined`.
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Default, Serialize)]
struct Row {
    name: String,
    kind: Option<&'static str>,
    branch: Option<String>,
    actor: Option<String>,
    tables: usize,
    stored_at: Option<String>,
    problem: Option<String>,
}

pub(super) async fn run(action: Action) -> Result<Exit> {
    match action {
        Action::List { target } => list(&target).await,
        Action::Show { id, target } => show(&id, &target).await,
        Action::Quarantine { name, reason, target } => {
            let repo = graph(&target).await?;
            let handles = app::handles(app::Leave::None, repo.store());
            quarantine::quarantine(&repo, &name, &reason, handles.as_ref()).await?;
            output::line(&format!("{name} is quarantined; `outrigger sidecars restore {name}` undoes it"));
            Ok(Exit::Converged)
        }
        Action::Restore { name, target } => {
            quarantine::restore(&graph(&target).await?, &name).await?;
            output::line(&format!("{name} counts again"));
            Ok(Exit::Converged)
        }
    }
}

async fn graph(target: &Target) -> Result<Repository> {
    let repo = app::open(&target.uri()?).await?;
    repo.require_graph()?;
    Ok(repo)
}

async fn list(target: &Target) -> Result<Exit> {
    let repo = graph(target).await?;
    let found = find(&repo).await?;
    let mut rows: Vec<Row> = found.intents.iter().map(row).collect();
    rows.extend(found.unjudged.iter().map(|unjudged| Row {
        name: unjudged.key.file_name().to_owned(),
        problem: Some(unjudged.reason.clone()),
        ..Row::default()
    }));
    rows.extend(found.put_aside.iter().map(|aside| Row {
        name: aside.key.file_name().to_owned(),
        stored_at: Some(aside.last_modified.to_string()),
        problem: Some("put aside: engines do not see it, nothing is done about it".into()),
        ..Row::default()
    }));
    match target.format {
        Format::Json => output::json(&rows),
        Format::Table if rows.is_empty() => output::line("no crash records"),
        Format::Table => print(&rows),
    }
    Ok(Exit::Converged)
}

fn row(intent: &Intent) -> Row {
    Row {
        name: intent.sidecar.operation.to_string(),
        kind: Some(intent.sidecar.kind.as_str()),
        branch: Some(intent.sidecar.branch.to_string()),
        actor: intent.sidecar.actor.clone(),
        tables: intent.sidecar.tables().count(),
        stored_at: intent.file.as_ref().map(|file| file.stored_at.to_string()),
        problem: intent.fenced.then(|| "an armed fence record: its undoing has begun".to_owned()),
    }
}

fn print(rows: &[Row]) {
    let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let kind = row.kind.unwrap_or("unreadable").to_owned();
            vec![
                row.name.clone(),
                kind,
                cell(&row.branch),
                cell(&row.actor),
                row.tables.to_string(),
                cell(&row.stored_at),
                cell(&row.problem),
            ]
        })
        .collect();
    output::table(&["NAME", "KIND", "BRANCH", "ACTOR", "TABLES", "STORED", "PROBLEM"], &rows);
}

async fn show(id: &str, target: &Target) -> Result<Exit> {
    let repo = graph(target).await?;
    let Some((name, text)) = stored(&repo, id).await? else {
        return Err(Error::missing(format!("no crash record {id}; see `outrigger sidecars list`")));
    };
    match target.format {
        Format::Table => text.lines().for_each(|line| output::line(&output::visible(line))),
        Format::Json => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(record) => output::json(&record),
            Err(error) => return Err(Error::corrupt(format!("{name} is not JSON")).caused_by(error)),
        },
    }
    Ok(Exit::Converged)
}

/// Name and text of a record, under the name that was given or one that it stands for.
async fn stored(repo: &Repository, id: &str) -> Result<Option<(String, String)>> {
    for ending in ["", ".json", ".json.quarantined", ".fence"] {
        let Ok(key) = Key::parse(&format!("{RECOVERY_DIR}/{id}{ending}")) else { continue };
        if let Some(object) = repo.store().get_limited(&key, MAX_SHOWN).await? {
            let text = String::from_utf8_lossy(&object.bytes).into_owned();
            return Ok(Some((key.to_string(), text)));
        }
    }
    Ok(None)
}
