//! A writer of the demo, a process of its own: one that goes on and on, or one that stops at a step to be killed there.

use super::super::output;
use crate::app;
use crate::config::environment_variable;
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::store::{Call, Fault, RepoUri, Store, StoreParts, StoreSettings, Verb};
use crate::writer::{self, Limits, Parts, Repository};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// Tables of the demo; the first three are those of the writers that are killed, the last one is the other's.
pub(super) const TABLES: [&str; 4] = ["accounts", "journal", "orders", "stock"];

/// What a writer says once it stands at its step.
pub(super) const STOPPED: &str = "stopped";
/// What a writer says of a commit that was acknowledged.
pub(super) const ACKNOWLEDGED: &str = "acknowledged";
/// What a writer says when it was asked to wait.
pub(super) const PAUSED: &str = "paused";

/// Columns of each table.
pub(super) fn schema() -> SchemaRef {
    let columns = vec![Field::new("id", DataType::Utf8, false), Field::new("amount", DataType::Int64, false)];
    Arc::new(Schema::new(columns))
}

/// One row.
fn row(id: &str) -> Result<RecordBatch> {
    let columns: (Arc<StringArray>, Arc<Int64Array>) = (Arc::new(vec![id].into()), Arc::new(vec![1].into()));
    RecordBatch::try_new(schema(), vec![columns.0, columns.1])
        .map_err(|error| Error::internal("the demo's rows do not fit").caused_by(error))
}

/// Does a task: `on` commits until its standard input ends; `<verb> <part of a name>` stops before the first such write.
pub(super) async fn run(task: &str, uri: &str) -> Result<()> {
    let done = match task.split_once(' ') {
        Some((verb, part)) => stop(uri, verb, part).await,
        None => go_on(uri).await,
    };
    done.map_err(|error| match error {
        writer::Error::Other(error) => error,
        other => Error::new(Kind::Unavailable, "a writer of the demo").caused_by(other),
    })
}

async fn open(uri: &str, fault: Option<Arc<dyn Fault>>) -> writer::Result<Repository> {
    let settings = StoreSettings::default().or_environment(environment_variable);
    let parts = StoreParts { fault, ..StoreParts::real() };
    let store = Store::open(&RepoUri::parse(uri)?, &settings, parts).await?;
    let (host, ids) = (Host::real(), Arc::new(app::ulid));
    Repository::open_with(Parts { store, host, ids, limits: Limits::default() }, false).await
}

/// Writes a row to three tables at once, and stops for good at a step.
async fn stop(uri: &str, verb: &str, part: &str) -> writer::Result<()> {
    let verb = match verb {
        "create" => Verb::Create,
        "delete" => Verb::Delete,
        _ => Verb::Put,
    };
    let stops = Stops { verb, part: part.to_owned() };
    let repository = open(uri, Some(Arc::new(stops))).await?;
    let mut tx = repository.begin("main").await?.by("demo");
    for table in &TABLES[..3] {
        tx.append(table, row(part)?).await?;
    }
    tx.commit().await.map(|_| ())
}

/// Stops the process before a write, until it is killed.
#[derive(Debug)]
struct Stops {
    verb: Verb,
    part: String,
}

#[async_trait]
impl Fault for Stops {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        if call.verb == self.verb && call.path.as_ref().contains(&self.part) {
            output::line(STOPPED);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// Commits one row after the other, and says which were acknowledged.
async fn go_on(uri: &str) -> writer::Result<()> {
    let repository = open(uri, None).await?;
    let clock = Host::real().clock;
    let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ends = ended.clone();
    // A thread, for reading waits.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mut number = 0;
    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
        let id = format!("row-{number}");
        let mut tx = repository.begin("main").await?.by("demo");
        tx.append(TABLES[3], row(&id)?).await?;
        match tx.commit().await {
            Ok(_) => {
                output::line(&format!("{ACKNOWLEDGED} {id}"));
                number += 1;
            }
            Err(writer::Error::Paused { retry_after }) => {
                output::line(PAUSED);
                clock.sleep(retry_after.min(Duration::from_millis(200))).await;
            }
            Err(error) => return Err(error),
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
