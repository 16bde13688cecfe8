//! `outrigger sidecars`: look at writers' crash records.

use super::{Format, Target, output};
use crate::app;
use crate::error::{Error, Result};
use crate::model::OperationId;
use crate::model::sidecar::{MAX_SIDECAR_BYTES, Sidecar};
use crate::passes::hint;
use crate::passes::recovery::observe::{Intent, find};
use crate::passes::recovery::quarantine;
use crate::passes::report::Exit;
use crate::repo::Repository;
use crate::store::layout::RECOVERY_DIR;
use crate::store::{Key, Meta};
use serde::Serialize;

/// Largest record that is printed, in bytes: above what may be one, so that one too large can be looked at.
const MAX_SHOWN: u64 = 64 << 20;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List every crash record. Reads only.
    #[command(after_help = "Example:\n  outrigger sidecars list --repo /srv/orders")]
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Print one crash record as it is stored, whether it can be read or not. Reads only.
    #[command(
        after_help = "Example:\n  outrigger sidecars show 01M85KJTJDSH7Q2F3ZRESSB91R --repo /srv/orders"
    )]
    Show {
        /// The operation's id, or the record's file name.
        #[arg(allow_hyphen_values = true)]
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Move one to a name that engines ignore. The tables that it names are left as they are.
    #[command(after_help = "\
Example:
  outrigger sidecars quarantine 00000000000000000000000001.json --reason \"a stray script\" --repo /srv/orders")]
    Quarantine {
        /// The record's name, with or without `.json`.
        #[arg(allow_hyphen_values = true)]
        name: String,
        /// Why; kept beside a record that is named by an operation's id, and listed with it.
        #[arg(long, default_value = "not given", value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        target: Target,
    },
    /// Move a quarantined record back.
    #[command(
        after_help = "Example:\n  outrigger sidecars restore 00000000000000000000000001.json --repo /srv/orders"
    )]
    Restore {
        /// The record's name, with or without `.json.quarantined`.
        #[arg(allow_hyphen_values = true)]
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

impl Action {
    pub(super) fn target(&self) -> &Target {
        match self {
            Self::List { target }
            | Self::Show { target, .. }
            | Self::Quarantine { target, .. }
            | Self::Restore { target, .. } => target,
        }
    }
}

/// What became of a record, as printed for machines.
#[derive(Debug, Serialize)]
struct Moved<'a> {
    name: &'a str,
    state: &'static str,
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
            let back = hint::command(&["sidecars", "restore", &name]);
            tell_moved(&target, &name, "quarantined", &format!("is quarantined; {back} undoes it"));
            Ok(Exit::Converged)
        }
        Action::Restore { name, target } => {
            quarantine::restore(&graph(&target).await?, &name).await?;
            tell_moved(&target, &name, "counts", "is back: it counts again, for engines too");
            Ok(Exit::Converged)
        }
    }
}

fn tell_moved(target: &Target, name: &str, state: &'static str, sentence: &str) {
    match target.format {
        Format::Json => output::json(&Moved { name, state }),
        Format::Table => output::line(&target.typable(&format!("{} {sentence}", output::visible(name)))),
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
    for aside in &found.put_aside {
        rows.push(put_aside(&repo, aside).await?);
    }
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
        stored_at: intent.file.as_ref().map(|file| file.stored_at.to_string()),
        problem: intent
            .held
            .clone()
            .or_else(|| intent.fenced.then(|| "an armed fence record: its undoing has begun".to_owned())),
        ..content(&intent.sidecar)
    }
}

/// What a readable record says.
fn content(sidecar: &Sidecar) -> Row {
    Row {
        kind: Some(sidecar.kind.as_str()),
        branch: Some(sidecar.branch.to_string()),
        actor: sidecar.actor.clone(),
        tables: sidecar.tables().count(),
        ..Row::default()
    }
}

/// A quarantined record. Its content is told if it can be read: a good one may be put aside too.
async fn put_aside(repo: &Repository, aside: &Meta) -> Result<Row> {
    let name = aside.key.file_name();
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let object = repo.store().get_limited(&aside.key, MAX_SIDECAR_BYTES).await;
    let sidecar = object.ok().flatten().and_then(|object| Sidecar::parse(stem, &object.bytes).ok());
    let reason = match OperationId::parse(stem) {
        Ok(operation) => quarantine::note(repo, &operation).await?.and_then(|note| note.reason),
        Err(_) => None,
    };
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    Ok(Row {
        name: name.to_owned(),
        stored_at: Some(aside.last_modified.to_string()),
        problem: Some(format!("put aside{reason}: engines do not see it, nothing is done about it")),
        ..sidecar.as_ref().map(content).unwrap_or_default()
    })
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
        let list = hint::command(&["sidecars", "list"]);
        return Err(Error::missing(format!("no crash record {id}; see {list}")));
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

/// Name and text of a record, under the name that was given or one that it stands for. Every name by which it can be put aside
/// or brought back finds it, wherever it lies now.
async fn stored(repo: &Repository, id: &str) -> Result<Option<(String, String)>> {
    let stem = quarantine::stem(id);
    let others = [".json", ".json.quarantined", ".fence"].map(|ending| format!("{stem}{ending}"));
    for name in std::iter::once(id.to_owned()).chain(others) {
        let Ok(key) = Key::parse(&format!("{RECOVERY_DIR}/{name}")) else { continue };
        if let Some(object) = repo.store().get_limited(&key, MAX_SHOWN).await? {
            let text = String::from_utf8_lossy(&object.bytes).into_owned();
            return Ok(Some((key.to_string(), text)));
        }
    }
    Ok(None)
}
