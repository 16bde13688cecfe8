//! What a wreck has become: rows and commits against those of its twins, and whether the engine writes on.

use anyhow::{Context, Result, bail};

use super::twins::{Seen, Sight, Twins};
use crate::engine::{Access, Engine};
use crate::history::History;
use crate::judge::{self, Questions};
use crate::root::Root;
use crate::state::{Data, Refusal, State};
use crate::wreck::{self, Course};

/// The twins of one state.
pub struct Expected {
    before: Seen,
    committed: Seen,
    /// What to end with.
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
        let before = twins.sight(engine, &Course::Before.steps(&state.steps)).await;
        let committed = twins.sight(engine, &Course::Committed.steps(&state.steps)).await;
        let end = match &state.expects.data {
            Data::Before => before.clone(),
            Data::Committed => committed.clone(),
            Data::Program { steps, .. } => twins.sight(engine, steps).await,
            Data::Unreadable => return Ok(Self { before, committed, end: Err("no graph".to_owned()) }),
        };
        if let Err(error) = &end {
            bail!("the twin cannot be made: {error}");
        }
        Ok(Self { before, committed, end })
    }

    /// What a reader finds.
    pub async fn look(&self, engine: Engine, root: &Root) -> (Rows, Seen) {
        let seen = Sight::of(engine, root.uri()).await.map_err(|error| format!("{error:#}"));
        let rows = match &seen {
            Ok(sight) => self.compare(sight),
            Err(error) => Rows::Unreadable(error.clone()),
        };
        (rows, seen)
    }

    fn compare(&self, found: &Sight) -> Rows {
        let is = |seen: &Seen| seen.as_ref().is_ok_and(|sight| sight.rows == found.rows);
        match (is(&self.before), is(&self.committed), is(&self.end)) {
            (true, true, _) => Rows::Unchanged,
            (true, false, _) => Rows::Before,
            (false, true, _) => Rows::Committed,
            (false, false, true) => Rows::AsSaid,
            (false, false, false) => Rows::Other,
        }
    }

    /// Whether a reader finds the rows that the state is to end with.
    pub fn is_end(&self, seen: &Seen) -> bool {
        match (&self.end, seen) {
            (Ok(end), Ok(found)) => end.rows == found.rows,
            (end, found) => end.is_err() && found.is_err(),
        }
    }

    /// What is wrong with the commits at the end. If it is `known` why they are not the twin's, they must not be, unless that is
    /// `chance`, and nothing that was made before the crash may be forgotten.
    pub fn history_faults(&self, found: &History, known: Option<&str>, chance: bool) -> Vec<String> {
        let mut faults = found.faults();
        let differences = self.history_differences(found);
        match (known, &self.before) {
            (None, _) => faults.extend(differences),
            (Some(why), _) if differences.is_empty() && !chance => {
                faults.push(format!("they are the twin's, though {why:?} is written down"));
            }
            (Some(_), Ok(before)) => faults.extend(found.forgotten(&before.history)),
            (Some(_), Err(_)) => {}
        }
        faults
    }

    /// From the commits of the twin, or of any other with the same rows.
    fn history_differences(&self, found: &History) -> Vec<String> {
        let Ok(end) = &self.end else { return Vec::new() };
        let alike = [&self.end, &self.before, &self.committed].into_iter().flatten();
        let twins = alike.filter(|twin| twin.rows == end.rows);
        let differences: Vec<Vec<String>> = twins.map(|twin| found.differences(&twin.history)).collect();
        let same = differences.iter().any(Vec::is_empty);
        if same { Vec::new() } else { differences.into_iter().next().unwrap_or_default() }
    }
}

/// What is wrong where the engine's own recovery ends with rows that are not ours: nothing, if it is known why.
pub fn disagreement(engine: &Rows, ours: &Rows, known: Option<&str>) -> Option<String> {
    let unread = |rows: &Rows| matches!(rows, Rows::FailsToOpen(_) | Rows::Unreadable(_));
    let same = engine == ours || unread(engine) && unread(ours);
    match (same, known) {
        (true, None) | (false, Some(_)) => None,
        (false, None) => {
            Some(format!("the engine's own recovery ends with {engine:?}, Outrigger with {ours:?}"))
        }
        (true, Some(why)) => {
            Some(format!("the engine ends as Outrigger does, though {why:?} is written down"))
        }
    }
}

impl Outcome {
    /// What the engine's own recovery, which is a read-write open, makes of a wreck.
    pub async fn of_engine(engine: Engine, root: &Root, expected: &Expected) -> Self {
        let open = engine.open(root.uri(), Access::ReadWrite).await.map(drop);
        let rows = match &open {
            Ok(()) => expected.look(engine, root).await.0,
            Err(error) => Rows::FailsToOpen(format!("{error:#}")),
        };
        let writes_on = match open {
            Ok(()) => judged(engine, root, Questions::default()).await,
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
pub async fn judged(engine: Engine, root: &Root, questions: Questions<'_>) -> Result<(), String> {
    judge::judge(engine, root, questions).await.map(drop).map_err(|error| format!("{error:#}"))
}

/// That the engine refuses the same, and no more, after the same program without a crash.
pub async fn twin_is_refused(base: &str, engine: Engine, state: &State, refusal: &Refusal) -> Result<()> {
    let root = Root::open(&format!("{base}/{engine}/{}/twin", state.name))?;
    wreck::run(engine, &state.name, &Course::Committed.steps(&state.steps), &root).await?;
    let questions = Questions { refusal: Some(refusal), ..Questions::default() };
    judge::judge(engine, &root, questions).await.context("where the program did not crash")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_end_than_the_engines_needs_a_reason_and_a_reason_needs_another_end() {
        let (before, committed) = (Rows::Before, Rows::Committed);
        assert_eq!(disagreement(&before, &before, None), None);
        assert_eq!(disagreement(&before, &committed, Some("it undoes")), None);
        let found = disagreement(&before, &committed, None).expect("a disagreement");
        assert!(found.contains("ends with Before, Outrigger with Committed"), "{found}");
        let found = disagreement(&before, &before, Some("it undoes")).expect("a reason without need");
        assert!(found.contains("it undoes"), "{found}");
    }

    #[test]
    fn what_cannot_be_read_is_the_same_whoever_says_so() {
        let (fails, unread) = (Rows::FailsToOpen("a".to_owned()), Rows::Unreadable("b".to_owned()));
        assert_eq!(disagreement(&fails, &unread, None), None);
        assert!(disagreement(&fails, &Rows::Before, None).is_some());
    }
}
