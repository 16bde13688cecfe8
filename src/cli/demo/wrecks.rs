//! Two small graphs that a real engine was killed on.

use super::super::{Format, once, output, status};
use crate::app::{self, Leave};
use crate::error::{Error, Kind, Result};
use crate::model::manifest::Entry;
use crate::model::{Branch, TableKey};
use crate::passes::recovery;
use crate::passes::recovery::decide::Policy;
use crate::passes::report::{Exit, Outcome, PassReport};
use crate::repo::Repository;
use crate::store::RepoUri;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// One wreck and what must come of it.
struct Chapter {
    title: &'static str,
    story: &'static str,
    archive: &'static [u8],
    /// Allowed to undo.
    leave: Leave,
    /// Rows that the graph shows before and after.
    rows: (u64, u64),
}

const CHAPTERS: [Chapter; 2] = [
    Chapter {
        title: "A complete load that its engine would throw away",
        story: "OmniGraph 0.7.2 was killed while it built an index after its first load. Every row is committed to its table,\n\
                the manifest shows none of them. The engine's own recovery would restore the empty tables.",
        archive: include_bytes!("../../../examples/wrecks/complete-load.tar.gz"),
        leave: Leave::None,
        rows: (0, 11),
    },
    Chapter {
        title: "A load that reached only some of its tables",
        story: "OmniGraph 0.8.0 was killed between the commits of two tables. The new rows of some tables are there, those of\n\
                another are not. Nobody may see half of it, so it is undone: in a window, which this run has for itself.",
        archive: include_bytes!("../../../examples/wrecks/half-load.tar.gz"),
        leave: Leave::Exclusive,
        rows: (11, 11),
    },
];

/// Mends both; the demo goes on with the next chapter's number.
pub(super) async fn run() -> Result<usize> {
    for (number, chapter) in CHAPTERS.iter().enumerate() {
        super::title(number + 1, chapter.title, chapter.story);
        play(chapter).await?;
    }
    Ok(CHAPTERS.len())
}

async fn play(chapter: &Chapter) -> Result<()> {
    let dir = tempfile::tempdir()
        .map_err(|error| Error::new(Kind::Unavailable, "no temporary directory").caused_by(error))?;
    unpack(chapter.archive, dir.path())?;
    let uri = RepoUri::parse(&dir.path().to_string_lossy())?;
    let repo = app::open(&uri).await?;
    let before = shown(&repo).await?;
    let run = |dry| {
        let policy = Policy { grace: Duration::ZERO, ..Policy::default() };
        app::one_shot(policy, dry, chapter.leave.clone(), repo.store(), output::progress())
    };

    output::line("$ outrigger status");
    status::show(&repo, &uri, Format::Table, |report| report).await?;
    let window = if chapter.leave.window().is_some() { " --exclusive" } else { "" };
    output::line(&format!("\n$ outrigger plan{window} --grace 0s"));
    once::print_scopes(&recovery::run::run(&repo, &run(true)).await?);
    output::line(&format!("\n$ outrigger once{window} --grace 0s"));
    let report = recovery::run::run(&repo, &run(false)).await?;
    once::print_scopes(&report);

    let mended = app::open(&uri).await?;
    let after = shown(&mended).await?;
    print(&before, &after);
    output::line("\n$ outrigger status");
    let exit = status::show(&mended, &uri, Format::Table, |report| report).await?;
    if exit != Exit::Converged {
        return Err(Error::internal(format!("the demo went wrong: status ended with {}", exit.code())));
    }
    check(chapter, &report, &before, &after)
}

fn unpack(archive: &[u8], into: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    // The archives hold no times: what is unpacked is as old as the demo.
    archive.set_preserve_mtime(false);
    archive.unpack(into).map_err(|error| {
        Error::new(Kind::Unavailable, format!("cannot unpack to {}", into.display())).caused_by(error)
    })
}

type Shown = BTreeMap<TableKey, Entry>;

/// What the graph shows, rows counted in the tables themselves.
async fn shown(repo: &Repository) -> Result<Shown> {
    let main = repo
        .snapshot(&Branch::main())
        .await?
        .ok_or_else(|| Error::internal("the demo's graph has no main"))?;
    let mut shown = Shown::new();
    for (key, entry) in main.state.entries() {
        let table = repo.table(key, &entry.branch).await?;
        let table = table.ok_or_else(|| Error::internal(format!("the demo's graph has no {key}")))?;
        shown.insert(key.clone(), repo.entry_at(&table, entry.version).await?);
    }
    Ok(shown)
}

fn print(before: &Shown, after: &Shown) {
    let rows: Vec<Vec<String>> = after
        .iter()
        .map(|(key, entry)| {
            let rows_of = |entry: &Entry| {
                let rows = if entry.row_count == 1 { "row" } else { "rows" };
                format!("{} {rows} at version {}", entry.row_count, entry.version)
            };
            vec![key.to_string(), before.get(key).map(rows_of).unwrap_or_default(), rows_of(entry)]
        })
        .collect();
    output::line("");
    output::table(&["TABLE", "SHOWN BEFORE", "SHOWN AFTER"], &rows);
}

/// It is a test as well: it fails if anything is not as told.
fn check(chapter: &Chapter, report: &PassReport, before: &Shown, after: &Shown) -> Result<()> {
    let total = |shown: &Shown| shown.values().map(|entry| entry.row_count).sum::<u64>();
    let settled = report.scopes.iter().all(|scope| scope.outcome == Outcome::Done);
    if settled && (total(before), total(after)) == chapter.rows {
        return Ok(());
    }
    let told = format!(
        "{} rows became {}, {} became {} was expected",
        total(before),
        total(after),
        chapter.rows.0,
        chapter.rows.1
    );
    Err(Error::internal(format!("the demo went wrong: {told}")))
}
