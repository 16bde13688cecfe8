//! The commits of all branches in one canonical form, and whether they are those of a twin.
//!
//! A recovery is a commit itself, by an actor of its own: it stands for the commit that the crashed writer did not come to
//! make, or is one more where that one was made or undone; of a merge that was made it may name the parents again. Everything
//! else must agree.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::engine::{Commit, Graph};

/// The commits that each branch shows, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History(BTreeMap<String, Vec<Entry>>);

/// A commit without what differs from run to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The branch that made it.
    pub branch: String,
    pub actor: Option<String>,
    pub parent: Parent,
    /// The merged commit: `feature#3` is the fourth of those that `feature` shows.
    pub merged: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Parent {
    None,
    /// The commit before it, as the parent of every commit but the first is.
    Last,
    /// An older one: two commits have the same parent.
    Older,
    NotThere,
}

const NOT_THERE: &str = "a commit that is not there";

impl Entry {
    fn is_recovery(&self) -> bool {
        let by = |actor: &str| actor == "omnigraph:recovery" || actor.starts_with("outrigger:");
        self.actor.as_deref().is_some_and(by)
    }
}

impl History {
    pub async fn collect(graph: &dyn Graph) -> Result<Self> {
        let mut branches = BTreeMap::new();
        for branch in graph.branches().await? {
            let mut commits = graph.commits(&branch).await?;
            // The engine's own order: the greatest is the head.
            commits.sort_by(|a, b| order(a).cmp(&order(b)));
            branches.insert(branch, commits);
        }
        Ok(Self::of(&branches))
    }

    fn of(branches: &BTreeMap<String, Vec<Commit>>) -> Self {
        let entries = |commits: &Vec<Commit>| {
            let entry = |(place, commit): (usize, &Commit)| entry(branches, commits, place, commit);
            commits.iter().enumerate().map(entry).collect()
        };
        Self(branches.iter().map(|(branch, commits)| (branch.clone(), entries(commits))).collect())
    }

    /// What no graph may have, whatever happened: a history that is no line, or names what is not there.
    pub fn faults(&self) -> Vec<String> {
        let fault = |branch: &str, place: usize, entry: &Entry| {
            let parent = if place == 0 { Parent::None } else { Parent::Last };
            let whole = entry.parent == parent && entry.merged.as_deref() != Some(NOT_THERE);
            (!whole).then(|| format!("{branch}#{place} is {entry:?}"))
        };
        let of = |(branch, entries): (&String, &Vec<Entry>)| {
            let faults = entries.iter().enumerate().filter_map(|(place, entry)| fault(branch, place, entry));
            faults.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Where it is not the history of a program that did not crash.
    pub fn differences(&self, twin: &Self) -> Vec<String> {
        let none = Vec::new();
        let branches: std::collections::BTreeSet<&String> = self.0.keys().chain(twin.0.keys()).collect();
        let of = |branch: &&String| {
            let (ours, twins) = (self.0.get(*branch).unwrap_or(&none), twin.0.get(*branch).unwrap_or(&none));
            difference(ours, twins).map(|difference| format!("{branch}: {difference}"))
        };
        branches.iter().filter_map(of).collect()
    }

    /// Where it does not begin with the commits of a program that went as far as the crash.
    pub fn forgotten(&self, before: &Self) -> Vec<String> {
        let of = |(branch, known): (&String, &Vec<Entry>)| {
            let ours = self.0.get(branch)?;
            (!ours.starts_with(known)).then(|| format!("{branch}: {ours:?} does not begin with {known:?}"))
        };
        before.0.iter().filter_map(of).collect()
    }
}

fn order(commit: &Commit) -> (u64, i64, &str) {
    (commit.manifest_version, commit.created_at, &commit.id)
}

fn entry(branches: &BTreeMap<String, Vec<Commit>>, line: &[Commit], place: usize, commit: &Commit) -> Entry {
    let parent = match &commit.parent {
        None => Parent::None,
        Some(id) if place > 0 && line[place - 1].id == *id => Parent::Last,
        Some(id) if line.iter().any(|other| other.id == *id) => Parent::Older,
        Some(_) => Parent::NotThere,
    };
    Entry {
        branch: commit.branch.clone().unwrap_or_else(|| "main".to_owned()),
        actor: commit.actor.clone(),
        parent,
        merged: commit.merged.as_ref().map(|id| named(branches, id)),
    }
}

/// By the branch that made it, or by any that shows it.
fn named(branches: &BTreeMap<String, Vec<Commit>>, id: &str) -> String {
    let place = |(branch, commits): (&String, &Vec<Commit>)| {
        let place = commits.iter().position(|commit| commit.id == id)?;
        let own = commits[place].branch.as_deref().unwrap_or("main") == branch;
        Some((!own, format!("{branch}#{place}")))
    };
    branches.iter().filter_map(place).min().map_or_else(|| NOT_THERE.to_owned(), |(_, name)| name)
}

fn difference(ours: &[Entry], twin: &[Entry]) -> Option<String> {
    let written = ours.iter().filter(|entry| !entry.is_recovery()).count();
    let mut missing = twin.len().saturating_sub(written);
    let mut meant = twin.iter();
    for (place, entry) in ours.iter().enumerate() {
        let stands_in = entry.is_recovery() && missing > 0;
        if entry.is_recovery() && !stands_in {
            let again = |before: &Entry| before.merged == entry.merged;
            if entry.merged.is_some() && !ours[..place].iter().any(again) {
                return Some(format!("#{place} is {entry:?}, a merge that nobody made"));
            }
            continue;
        }
        missing -= usize::from(stands_in);
        let Some(meant) = meant.next() else {
            return Some(format!("#{place} is {entry:?}, which nobody made"));
        };
        let actor = if stands_in { &meant.actor } else { &entry.actor };
        if (&entry.branch, &entry.merged, actor) != (&meant.branch, &meant.merged, &meant.actor) {
            return Some(format!("#{place} is {entry:?} and not {meant:?}"));
        }
    }
    meant.next().map(|lost| format!("{lost:?} is lost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(id: &str, parent: Option<&str>, merged: Option<&str>, actor: Option<&str>) -> Commit {
        Commit {
            id: id.to_owned(),
            branch: None,
            manifest_version: 0,
            parent: parent.map(str::to_owned),
            merged: merged.map(str::to_owned),
            actor: actor.map(str::to_owned),
            created_at: 0,
        }
    }

    fn main(commits: Vec<Commit>) -> History {
        History::of(&BTreeMap::from([("main".to_owned(), commits)]))
    }

    /// A seed, and a merge of the side branch's commit, or nothing, by somebody.
    fn merged(merged: Option<&str>, actor: Option<&str>) -> History {
        let mut side = commit("s", Some("a"), None, None);
        side.branch = Some("side".to_owned());
        History::of(&BTreeMap::from([
            ("main".to_owned(), vec![commit("a", None, None, None), commit("m", Some("a"), merged, actor)]),
            ("side".to_owned(), vec![commit("a", None, None, None), side]),
        ]))
    }

    const RECOVERY: Option<&str> = Some("omnigraph:recovery");

    fn seed() -> Commit {
        commit("a", None, None, None)
    }

    #[test]
    fn a_recovery_stands_for_the_commit_that_was_not_made() {
        assert!(merged(Some("s"), RECOVERY).differences(&merged(Some("s"), None)).is_empty());
    }

    #[test]
    fn a_recovery_is_one_more_where_nothing_is_missing() {
        let before = main(vec![seed()]);
        let undone = main(vec![seed(), commit("r", Some("a"), None, RECOVERY)]);
        assert!(undone.differences(&before).is_empty());
        assert!(undone.forgotten(&before).is_empty());
    }

    #[test]
    fn a_lost_merge_parent_is_noticed() {
        assert_eq!(merged(None, RECOVERY).differences(&merged(Some("s"), None)).len(), 1);
    }

    #[test]
    fn a_merge_that_was_undone_and_recorded_is_noticed() {
        let before = History::of(&BTreeMap::from([("main".to_owned(), vec![seed()])]));
        let found = merged(Some("s"), RECOVERY).differences(&before);
        assert!(found[0].contains("a merge that nobody made"), "{found:?}");
    }

    #[test]
    fn a_merge_that_was_made_may_be_recorded_again() {
        let mut again = merged(Some("s"), None);
        let twin = again.clone();
        let main = again.0.get_mut("main").expect("main");
        let record = Entry { actor: RECOVERY.map(str::to_owned), ..main[1].clone() };
        main.push(record);
        assert!(again.differences(&twin).is_empty());
    }

    #[test]
    fn a_commit_that_nobody_recorded_is_noticed() {
        let found = main(vec![seed()]).differences(&main(vec![seed(), commit("b", Some("a"), None, None)]));
        assert!(found[0].contains("is lost"), "{found:?}");
    }

    #[test]
    fn another_actor_is_noticed() {
        let by = |actor| main(vec![commit("a", None, None, actor)]);
        assert_eq!(by(Some("somebody")).differences(&by(None)).len(), 1);
    }

    #[test]
    fn a_branch_that_is_gone_is_noticed() {
        assert_eq!(main(vec![seed()]).differences(&merged(None, None)).len(), 2);
    }

    #[test]
    fn a_history_that_forks_or_names_what_is_not_there_is_faulty() {
        let line =
            |parent| main(vec![seed(), commit("b", Some("a"), None, None), commit("c", parent, None, None)]);
        assert!(line(Some("b")).faults().is_empty());
        assert_eq!(line(Some("a")).faults().len(), 1);
        assert_eq!(line(Some("gone")).faults().len(), 1);
        assert_eq!(line(None).faults().len(), 1);
        assert_eq!(merged(Some("gone"), None).faults().len(), 1);
    }
}
