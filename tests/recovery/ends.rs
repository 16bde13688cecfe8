//! How a graph ends after a recovery: everything by which a person or a program could tell two ends apart.

use crate::support::graph::{Graph, MAIN, MANIFEST, path_of};
use std::collections::BTreeMap;

/// Ids and version numbers differ from run to run, and a run that was disturbed may have restored twice; nothing else may
/// differ.
#[derive(Debug, PartialEq)]
pub struct End {
    branches: BTreeMap<String, BranchEnd>,
    /// Kind, writer, actor and outcomes of each audit line, and the commit it tells of.
    audit: Vec<String>,
    /// Names below `__recovery/`.
    controls: Vec<String>,
    /// The contract files and their text.
    schema: BTreeMap<String, String>,
    /// Datasets that have a version, branches included, whether anybody lists them or not.
    lines: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct BranchEnd {
    rows: BTreeMap<String, Vec<String>>,
    /// Author, place of the parent, and whether it is a merge, of each commit.
    history: Vec<String>,
    markers: Vec<String>,
    /// Tables whose newest version is not the one that is shown.
    drift: Vec<String>,
}

/// Reads how it ended; `name` is what differs from run to run.
pub async fn end(graph: &Graph, name: &str) -> End {
    let mut branches = BTreeMap::new();
    for branch in [vec![MAIN.to_owned()], graph.branches_of(MANIFEST).await].concat() {
        branches.insert(branch.clone(), branch_end(graph, &branch, name).await);
    }
    let controls = graph.controls().await.into_iter().map(|control| control.replace(name, "OP")).collect();
    End {
        branches,
        audit: audit(graph).await,
        controls,
        schema: schema(graph).await,
        lines: lines(graph).await,
    }
}

async fn branch_end(graph: &Graph, branch: &str, name: &str) -> BranchEnd {
    let shown = graph.shown(branch).await;
    let (mut rows, mut drift) = (BTreeMap::new(), Vec::new());
    for (table, shown) in shown {
        if shown.line() == branch && graph.table_on(&table, branch).head().await != shown.version {
            drift.push(table.clone());
        }
        rows.insert(table.clone(), graph.rows_at(&table, shown.line(), shown.version).await);
    }
    let markers = graph.markers(branch).await.into_iter().map(|marker| marker.replace(name, "OP")).collect();
    BranchEnd { rows, history: history(graph, branch).await, markers, drift }
}

async fn history(graph: &Graph, branch: &str) -> Vec<String> {
    let commits = graph.history(branch).await;
    let place = |id: &String| commits.iter().position(|commit| commit.id == *id);
    let told = commits.iter().map(|commit| {
        let parent = commit.parent.as_ref().map(place);
        format!("{:?} after {parent:?}, merge: {}", commit.actor, commit.merged_parent.is_some())
    });
    told.collect()
}

async fn audit(graph: &Graph) -> Vec<String> {
    let mut known = Vec::new();
    for branch in [vec![MAIN.to_owned()], graph.branches_of(MANIFEST).await].concat() {
        known.extend(graph.history(&branch).await.into_iter().map(|commit| commit.id));
    }
    let lines = graph.audit().await.into_iter().map(|line| {
        let tables: Vec<String> = line.outcomes.as_array().unwrap().iter().map(ToString::to_string).collect();
        let commit = known.contains(&line.commit);
        format!("{} {} {:?} {tables:?}, its commit is there: {commit}", line.kind, line.writer, line.actor)
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

async fn schema(graph: &Graph) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for object in graph.place.list_dir(None).await.unwrap().objects {
        let bytes = graph.place.get(&object.key).await.unwrap().unwrap().bytes;
        files.insert(object.key.to_string(), String::from_utf8_lossy(&bytes).into_owned());
    }
    files
}

async fn lines(graph: &Graph) -> Vec<String> {
    let mut lines: Vec<String> = graph.trees().await.into_iter().collect();
    for table in [crate::support::graph::TABLES.as_slice(), &[crate::wrecks::TAG]].concat() {
        let exists = graph.try_open(&path_of(table), MAIN, None).await.is_ok();
        lines.extend(exists.then(|| table.to_owned()));
    }
    lines
}
