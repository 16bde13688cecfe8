//! A native repository, whose writers are killed at every step of a commit while another one goes on.

use super::super::{Format, once, output, status};
use super::writer::{ACKNOWLEDGED, PAUSED, STOPPED, TABLES, schema};
use crate::app::{self, Leave};
use crate::error::{Error, Kind, Result};
use crate::host::{Clock, SystemClock};
use crate::model::Window;
use crate::model::audit::Verdict;
use crate::model::beat::TTL;
use crate::passes::recovery;
use crate::passes::recovery::decide::Policy;
use crate::passes::report::{Exit, Outcome, PassReport};
use crate::repo::Repository;
use crate::store::RepoUri;
use crate::writer::{self, NewTable};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const STORY: &str = "\
A repository of four tables, made by Outrigger's writer library. One writer commits all the while. Five others commit a row
to three tables at once, each is killed (SIGKILL) at another step, and what is left of it is settled beside the one that goes on.";

/// A step of a commit.
struct Step {
    /// In words.
    title: &'static str,
    /// The write before which the writer is killed.
    before: &'static str,
    /// What is right to do then, if anything is left.
    verdict: Option<Verdict>,
}

impl Step {
    /// Whether its row is shown once it was settled.
    fn is_shown(&self) -> bool {
        matches!(self.verdict, Some(Verdict::RollForward | Verdict::AlreadyPublished))
    }
}

const STEPS: [Step; 5] = [
    Step { title: "A  before its crash record", before: "create __recovery/0", verdict: None },
    Step {
        title: "A  after its crash record",
        before: "create accounts.lance/_versions",
        verdict: Some(Verdict::NothingToDo),
    },
    Step {
        title: "B  between two tables",
        before: "create orders.lance/_versions",
        verdict: Some(Verdict::RollBack),
    },
    Step {
        title: "C  before the manifest",
        before: "create __manifest/_versions",
        verdict: Some(Verdict::RollForward),
    },
    Step {
        title: "D  before its record is removed",
        before: "delete __recovery/0",
        verdict: Some(Verdict::AlreadyPublished),
    },
];

pub(super) async fn run(number: usize) -> Result<()> {
    super::title(number, "Writers that are killed at every step", STORY);
    let dir = tempfile::tempdir()
        .map_err(|error| Error::new(Kind::Unavailable, "no temporary directory").caused_by(error))?;
    let at = dir.path().to_string_lossy().into_owned();
    let tables = TABLES.map(|name| NewTable { name: name.into(), schema: schema(), key: Vec::new() });
    writer::Repository::create(&at, &tables).await.map_err(plain)?;
    let before = row_ids(&at).await?;
    let live = Live::start(&at)?;
    let (mut rows, mut expected) = (Vec::new(), BTreeSet::new());
    for step in &STEPS {
        let became = kill_and_settle(&at, step).await?;
        if step.is_shown() {
            let id = step.before.split_once(' ').map_or(step.before, |(_, part)| part);
            expected.insert(id.to_owned());
        }
        rows.push(vec![step.title.to_owned(), became.0, became.1]);
    }
    let (acknowledged, paused) = live.end()?;
    output::line("");
    output::table(&["KILLED", "LEFT BEHIND", "WHAT BECAME OF IT"], &rows);
    if paused == 0 {
        return Err(wrong("no writer met the closed gate"));
    }
    let waited = if paused == 1 { "once".to_owned() } else { format!("{paused} times") };
    output::line(&format!(
        "\nThe writer beside them had {} commits acknowledged; it was asked {waited} to wait for the gate.",
        acknowledged.len()
    ));
    check(&at, &before, &expected, &acknowledged).await?;
    output::line("\n$ outrigger status");
    let uri = RepoUri::parse(&at)?;
    let exit = status::show(&app::open(&uri).await?, &uri, Format::Table, |report| report).await?;
    if exit != Exit::Converged {
        return Err(wrong(&format!("status ended with {}", exit.code())));
    }
    Ok(())
}

fn plain(error: writer::Error) -> Error {
    Error::internal("the demo went wrong").caused_by(error)
}

fn wrong(told: &str) -> Error {
    Error::internal(format!("the demo went wrong: {told}"))
}

/// A writer of the demo.
fn child(task: &str, at: &str) -> Result<Child> {
    let failed =
        |error| Error::new(Kind::Unavailable, "a writer of the demo does not start").caused_by(error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["demo", "--writer", task, at]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().map_err(failed)
}

fn lines(child: &mut Child) -> Result<Lines<BufReader<ChildStdout>>> {
    let out = child.stdout.take().ok_or_else(|| wrong("a writer has no output"))?;
    Ok(BufReader::new(out).lines())
}

/// Kills a writer at a step, waits until its beat has stood still, and settles it; what was left, and what became of it.
async fn kill_and_settle(at: &str, step: &Step) -> Result<(String, String)> {
    let mut writer = child(step.before, at)?;
    let stopped = lines(&mut writer)?.map_while(|line| line.ok()).any(|line| line == STOPPED);
    let killed = writer.kill().and_then(|()| writer.wait());
    killed.map_err(|error| wrong(&format!("a writer cannot be killed: {error}")))?;
    if !stopped {
        return Err(wrong(&format!("a writer never came to the step {:?}", step.title)));
    }
    SystemClock::new().sleep(TTL + Duration::from_millis(500)).await;
    let uri = RepoUri::parse(at)?;
    let repo = app::open(&uri).await?;
    let left = of_the_dead(once_run(&repo, true).await?);
    let needs_gate = left.scopes.iter().any(|scope| scope.waits_for(Window::Gate));
    if needs_gate != (step.verdict == Some(Verdict::RollBack)) {
        return Err(wrong(&format!("a writer that was killed {:?} leaves {:?}", step.title, left.scopes)));
    }
    if needs_gate {
        output::line("A writer was killed between two tables.\n\n$ outrigger status");
        status::show(&repo, &uri, Format::Table, |report| report).await?;
        output::line("\n$ outrigger plan");
        once::print_scopes(&left);
        output::line("\n$ outrigger once --gate");
    }
    let ran = match needs_gate {
        true => once::behind_gate(&repo, Policy::default(), left.clone()).await?,
        false => once_run(&repo, false).await?,
    };
    let ran = of_the_dead(ran);
    if needs_gate {
        once::print_scopes(&ran);
    }
    if let Some(scope) = ran.scopes.iter().find(|scope| scope.outcome != Outcome::Done) {
        return Err(wrong(&format!("{}: {}", scope.scope, scope.reason)));
    }
    let verdict = left.scopes.first().map(|scope| scope.verdict);
    if verdict != step.verdict {
        return Err(wrong(&format!("a writer that was killed {:?} was judged {verdict:?}", step.title)));
    }
    Ok(told(verdict))
}

/// `outrigger once`, or `plan`.
async fn once_run(repo: &Repository, dry: bool) -> Result<PassReport> {
    let run = app::one_shot(Policy::default(), dry, Leave::None, repo.store(), output::progress());
    recovery::run::run(repo, &run).await
}

/// Without what the living writer is just doing: that waits for its grace, and is gone at the next look.
fn of_the_dead(mut report: PassReport) -> PassReport {
    let is_young =
        |wait: crate::passes::report::Wait| wait.reason == crate::passes::report::WaitReason::Grace;
    report.scopes.retain(|scope| !scope.waits.is_some_and(is_young));
    report
}

fn told(verdict: Option<Verdict>) -> (String, String) {
    let (left, became) = match verdict {
        None => ("files that nobody names", "nothing to do"),
        Some(Verdict::NothingToDo) => ("a record, no table moved", "the record is removed"),
        Some(Verdict::RollBack) => ("a record, some tables moved", "undone, behind the gate"),
        Some(Verdict::RollForward) => ("a record, all tables moved", "shown, beside the other writer"),
        Some(Verdict::AlreadyPublished) => ("a record, all of it shown", "the record is removed"),
        Some(other) => (other.as_str(), ""),
    };
    (left.to_owned(), became.to_owned())
}

/// The writer that goes on.
struct Live {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Live {
    fn start(at: &str) -> Result<Self> {
        let mut child = child("on", at)?;
        let lines = lines(&mut child)?;
        let (says, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(|line| line.ok()) {
                if says.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, said })
    }

    /// Ends it in order; which rows were acknowledged, and how often it was asked to wait.
    fn end(mut self) -> Result<(BTreeSet<String>, usize)> {
        drop(self.child.stdin.take());
        let ended = self.child.wait().map_err(|error| wrong(&format!("the living writer: {error}")))?;
        if !ended.success() {
            return Err(wrong(&format!("the living writer ended with {ended}")));
        }
        let said: Vec<String> = self.said.iter().collect();
        let of = |line: &String| line.strip_prefix(ACKNOWLEDGED).map(|id| id.trim().to_owned());
        Ok((said.iter().filter_map(of).collect(), said.iter().filter(|line| *line == PAUSED).count()))
    }
}

/// The rows of each table that are shown.
async fn row_ids(at: &str) -> Result<BTreeMap<&'static str, Vec<String>>> {
    let repository = writer::Repository::open_read_only(at).await.map_err(plain)?;
    let snapshot = repository.snapshot("main").await.map_err(plain)?;
    let mut shown = BTreeMap::new();
    for table in TABLES {
        let found = snapshot.rows(table, None).await.map_err(plain)?;
        let ids = (0..found.num_rows())
            .filter_map(|row| arrow::util::display::array_value_to_string(found.column(0), row).ok());
        shown.insert(table, ids.collect());
    }
    Ok(shown)
}

/// Every row that is shown was acknowledged or completed, and every one that was is shown, once, on all its tables.
async fn check(
    at: &str,
    before: &BTreeMap<&'static str, Vec<String>>,
    expected: &BTreeSet<String>,
    acknowledged: &BTreeSet<String>,
) -> Result<()> {
    let shown = row_ids(at).await?;
    let count = |ids: Option<&Vec<String>>| ids.map_or(0, Vec::len).to_string();
    let rows: Vec<_> = TABLES
        .iter()
        .map(|table| vec![table.to_string(), count(before.get(table)), count(shown.get(table))])
        .collect();
    output::line("");
    output::table(&["TABLE", "ROWS BEFORE", "ROWS AFTER"], &rows);
    for (table, ids) in &shown {
        let wanted = if *table == TABLES[3] { acknowledged } else { expected };
        let unique: BTreeSet<String> = ids.iter().cloned().collect();
        if unique != *wanted || unique.len() != ids.len() {
            return Err(wrong(&format!("{table} holds {ids:?}, and should hold {wanted:?}")));
        }
    }
    Ok(())
}
