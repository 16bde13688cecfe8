//! What a wreck has become: the rows against those of its twins, and whether the engine writes on.

use anyhow::{Result, bail};

use super::twins::{Seen, Twins};
use crate::dump;
use crate::engine::{Access, Engine};
use crate::judge;
use crate::root::Root;
use crate::state::{Data, State};
use crate::wreck::{self, Course};

/// The rows of the twins of one state.
pub struct Expected {
    before: Seen,
    committed: Seen,
    /// The rows to end with.
    end: Seen,
}

/// What a reader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// The operation changes no row, and none has changed.
    Unchanged,
    Before,
    Committed,
    /// As the state says, where that is none of the above.
    AsSaid,
    /// None of these: something is half there.
    Other,
    FailsToOpen(String),
    Unreadable(String),
}

/// Rows, and whether the engine writes on or why not.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub rows: Rows,
    pub writes_on: Result<(), String>,
}

impl Expected {
    /// Runs the twins, which are shared with other states. That one cannot be made is a mistake in the state, unless the
    /// state says so itself.
    pub async fn of(twins: &Twins, engine: Engine, state: &State) -> Result<Self> {
        let before = twins.rows(engine, &Course::Before.steps(&state.steps)).await;
        let committed = twins.rows(engine, &Course::Committed.steps(&state.steps)).await;
        let end = match &state.expects.data {
            Data::Before => before.clone(),
            Data::Committed => committed.clone(),
            Data::Program { steps, .. } => twins.rows(engine, steps).await,
            Data::Unreadable => return Ok(Self { before, committed, end: Err("no graph".to_owned()) }),
        };
        if let Err(error) = &end {
            bail!("the twin cannot be made: {error}");
        }
        Ok(Self { before, committed, end })
    }

    /// What a reader finds, and whether that is what the state is to end with.
    pub async fn compare(&self, engine: Engine, root: &Root) -> (Rows, bool) {
        let found = match dump::collect(engine, root.uri()).await {
            Ok(found) => found,
            Err(error) => return (Rows::Unreadable(format!("{error:#}")), self.end.is_err()),
        };
        let is = |seen: &Seen| seen.as_ref().is_ok_and(|rows| *rows == found);
        let rows = match (is(&self.before), is(&self.committed), is(&self.end)) {
            (true, true, _) => Rows::Unchanged,
            (true, false, _) => Rows::Before,
            (false, true, _) => Rows::Committed,
            (false, false, true) => Rows::AsSaid,
            (false, false, false) => Rows::Other,
        };
        (rows, is(&self.end))
    }
}

impl Outcome {
    /// What the engine's own recovery, which is a read-write open, makes of a wreck.
    pub async fn of_engine(engine: Engine, root: &Root, expected: &Expected) -> Self {
        let open = engine.open(root.uri(), Access::ReadWrite).await.map(drop);
        let rows = match &open {
            Ok(()) => expected.compare(engine, root).await.0,
            Err(error) => Rows::FailsToOpen(format!("{error:#}")),
        };
        let writes_on = match open {
            Ok(()) => judged(engine, root).await,
            Err(error) => Err(format!("{error:#}")),
        };
        Self { rows, writes_on }
    }

    /// For a cell of the table; `said` is what the state calls its own rows.
    pub fn words(&self, said: &str) -> String {
        let rows = match &self.rows {
            Rows::Unchanged => "unchanged",
            Rows::Before => "before",
            Rows::Committed => "committed",
            Rows::AsSaid => said,
            Rows::Other => "**half**",
            Rows::FailsToOpen(_) => return "**fails to open**".to_owned(),
            Rows::Unreadable(_) => return "**unreadable**".to_owned(),
        };
        if self.writes_on.is_ok() { rows.to_owned() } else { format!("{rows}, **write-dead**") }
    }
}

/// The judge's verdict; it leaves the root changed.
pub async fn judged(engine: Engine, root: &Root) -> Result<(), String> {
    judge::judge(engine, root).await.map(drop).map_err(|error| format!("{error:#}"))
}

/// That the engine fails after the same program without a crash, too.
pub async fn twin_cannot_write(base: &str, engine: Engine, state: &State) -> Result<()> {
    let root = Root::open(&format!("{base}/{engine}/{}/twin", state.name))?;
    wreck::run(engine, &state.name, &Course::Committed.steps(&state.steps), &root).await?;
    if judged(engine, &root).await.is_ok() {
        bail!("the engine writes on where the program did not crash");
    }
    Ok(())
}
