//! The graph's history as a graph of commits (source: docs/formats.md, "Commit history").

use super::manifest::GraphCommit;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

type ById<'a> = BTreeMap<&'a str, &'a GraphCommit>;

fn by_id(commits: &[GraphCommit]) -> ById<'_> {
    commits.iter().map(|commit| (commit.id.as_str(), commit)).collect()
}

fn parents(commit: &GraphCommit) -> impl Iterator<Item = &str> {
    [&commit.parent, &commit.merged_parent].into_iter().flatten().map(String::as_str)
}

/// Distance of every ancestor from a commit, itself at 0, both parents followed.
fn distances<'a>(commits: &ById<'a>, from: &'a str) -> BTreeMap<&'a str, u64> {
    let mut found = BTreeMap::from([(from, 0)]);
    let mut queue = VecDeque::from([from]);
    while let Some(id) = queue.pop_front() {
        let distance = found[id];
        for parent in commits.get(id).copied().into_iter().flat_map(parents) {
            if !found.contains_key(parent) {
                found.insert(parent, distance + 1);
                queue.push_back(parent);
            }
        }
    }
    found
}

/// Adds these commits and all that came before them; tells which were not there.
fn reach<'a>(
    commits: &ById<'a>,
    from: impl IntoIterator<Item = &'a str>,
    found: &mut BTreeSet<&'a str>,
) -> Vec<&'a str> {
    let (mut queue, mut new): (Vec<&str>, _) = (from.into_iter().collect(), Vec::new());
    while let Some(id) = queue.pop() {
        if found.insert(id) {
            new.push(id);
            queue.extend(commits.get(id).copied().into_iter().flat_map(parents));
        }
    }
    new
}

/// The ancestors that two commits have in common, each with its summed distance from both.
fn common<'a>(commits: &'a [GraphCommit], one: &'a str, other: &'a str) -> Vec<(u64, &'a GraphCommit)> {
    let by_id = by_id(commits);
    let (of_one, of_other) = (distances(&by_id, one), distances(&by_id, other));
    let common = of_one.iter().filter_map(|(id, near)| {
        let far = of_other.get(id)?;
        Some((near + far, *by_id.get(id)?))
    });
    common.collect()
}

/// The common ancestor with the least summed distance; of equals the one with the higher manifest version.
pub fn merge_base<'a>(
    commits: &'a [GraphCommit],
    source: &'a str,
    target: &'a str,
) -> Option<&'a GraphCommit> {
    common(commits, source, target)
        .into_iter()
        .min_by_key(|(distance, commit)| (*distance, std::cmp::Reverse(commit.manifest_version)))
        .map(|(_, commit)| commit)
}

/// What two commits have in common.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Common<'a> {
    /// Those that are before no other: one, unless two branches were merged into each other at once.
    pub latest: Vec<&'a GraphCommit>,
    /// Readable ones that are before no other readable one.
    pub readable: Vec<&'a GraphCommit>,
    /// Ids of those after these: none of them can be read.
    pub lost: BTreeSet<&'a str>,
}

/// The latest commits that are before both, as far as they can be read. The engines take the nearest instead ([`merge_base`]), which
/// may lie before a merge of both.
pub fn latest_common<'a>(
    commits: &'a [GraphCommit],
    one: &'a str,
    other: &'a str,
    is_readable: impl Fn(&GraphCommit) -> bool,
) -> Common<'a> {
    let common: ById =
        common(commits, one, other).into_iter().map(|(_, commit)| (commit.id.as_str(), commit)).collect();
    // What comes before a common ancestor is one itself, so parents are all that has to be looked at.
    let before: BTreeSet<&str> = common.values().copied().flat_map(parents).collect();
    let latest: Vec<&GraphCommit> =
        common.values().copied().filter(|commit| !before.contains(commit.id.as_str())).collect();
    let mut queue = latest.clone();
    let (mut readable, mut lost) = (ById::new(), BTreeSet::new());
    while let Some(commit) = queue.pop() {
        if is_readable(commit) {
            readable.insert(commit.id.as_str(), commit);
        } else if lost.insert(commit.id.as_str()) {
            queue.extend(parents(commit).filter_map(|parent| common.get(parent).copied()));
        }
    }
    let mut before = BTreeSet::new();
    reach(&common, readable.values().copied().flat_map(parents), &mut before);
    readable.retain(|id, _| !before.contains(id));
    lost.retain(|id| !before.contains(id));
    Common { latest, readable: readable.into_values().collect(), lost }
}

/// A commit and all that came before it.
pub fn ancestors<'a>(commits: &'a [GraphCommit], head: &'a str) -> Vec<&'a GraphCommit> {
    let (by_id, mut found) = (by_id(commits), BTreeSet::new());
    reach(&by_id, [head], &mut found);
    found.into_iter().filter_map(|id| by_id.get(id).copied()).collect()
}

/// The merges by which some of these commits came to a branch, oldest first, each with the commit that it was made on.
pub fn brought<'a>(
    commits: &'a [GraphCommit],
    head: &'a str,
    some: &BTreeSet<&str>,
) -> Vec<[&'a GraphCommit; 2]> {
    let by_id = by_id(commits);
    let parent = |commit: &&'a GraphCommit| by_id.get(commit.parent.as_deref()?).copied();
    let mut line: Vec<&GraphCommit> = std::iter::successors(by_id.get(head).copied(), parent).collect();
    line.reverse();
    let (mut merges, mut found) = (Vec::new(), BTreeSet::new());
    for (nth, commit) in line.iter().enumerate() {
        let came = reach(&by_id, commit.merged_parent.as_deref(), &mut found);
        if nth > 0 && came.iter().any(|id| some.contains(id)) {
            merges.push([line[nth - 1], *commit]);
        }
        found.insert(&commit.id);
    }
    merges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Branch, Version};

    fn commit(id: &str, version: u64, parents: &[&str]) -> GraphCommit {
        let parent = |n: usize| parents.get(n).map(|id| id.to_string());
        GraphCommit {
            id: id.into(),
            branch: Branch::main(),
            manifest_version: Version(version),
            parent: parent(0),
            merged_parent: parent(1),
            created_at: 0,
            actor: None,
        }
    }

    #[test]
    fn the_base_is_the_nearest_common_ancestor() {
        let history = [
            commit("a", 1, &[]),
            commit("b", 2, &["a"]),
            commit("c", 3, &["b"]),
            commit("x", 3, &["b"]),
            commit("y", 4, &["x"]),
        ];
        assert_eq!(merge_base(&history, "y", "c").unwrap().id, "b");
        assert_eq!(merge_base(&history, "b", "c").unwrap().id, "b");
    }

    #[test]
    fn an_earlier_merge_moves_the_base() {
        let history = [
            commit("a", 1, &[]),
            commit("x", 2, &["a"]),
            commit("m", 3, &["a", "x"]),
            commit("y", 3, &["x"]),
        ];
        assert_eq!(merge_base(&history, "y", "m").unwrap().id, "x");
    }

    #[test]
    fn the_latest_common_commit_is_after_all_merges_of_both() {
        let history = [
            commit("a", 1, &[]),
            commit("b", 2, &["a"]),
            commit("f", 2, &["a", "b"]),
            commit("f2", 3, &["f"]),
            commit("c", 3, &["b"]),
            commit("d", 4, &["c"]),
            commit("g", 2, &["a", "d"]),
        ];
        assert_eq!(latest(&history, "f2", "g"), ["b"]);
        assert_eq!(latest(&history, "g", "d"), ["d"]);
        let mut crossed = history.to_vec();
        crossed.extend([commit("h", 4, &["f2", "d"]), commit("i", 5, &["d", "f2"])]);
        assert_eq!(latest(&crossed, "h", "i").len(), 2, "each was merged into the other");
    }

    fn latest(history: &[GraphCommit], one: &str, other: &str) -> Vec<String> {
        let common = latest_common(history, one, other, |_| true);
        assert!(common.lost.is_empty());
        common.latest.into_iter().map(|commit| commit.id.clone()).collect()
    }

    /// `x` and `y` are of a branch that is gone; it has merged `b`, and both others have merged it.
    fn with_a_branch_that_is_gone() -> [GraphCommit; 8] {
        [
            commit("a", 1, &[]),
            commit("b", 2, &["a"]),
            commit("x", 2, &["a"]),
            commit("y", 3, &["x", "b"]),
            commit("c", 3, &["b", "x"]),
            commit("d", 4, &["c", "y"]),
            commit("f", 2, &["a"]),
            commit("g", 3, &["f", "y"]),
        ]
    }

    #[test]
    fn what_cannot_be_read_is_passed_over_and_named() {
        let history = with_a_branch_that_is_gone();
        let common = latest_common(&history, "d", "g", |commit| !["x", "y"].contains(&commit.id.as_str()));
        let ids = |commits: &[&GraphCommit]| -> Vec<String> {
            commits.iter().map(|commit| commit.id.clone()).collect()
        };
        assert_eq!((ids(&common.latest), ids(&common.readable)), (vec!["y".into()], vec!["b".into()]));
        assert_eq!(common.lost, BTreeSet::from(["x", "y"]));
        let common = latest_common(&history, "d", "g", |commit| commit.id != "x");
        assert_eq!(ids(&common.readable), ["y"]);
        assert!(common.lost.is_empty(), "{common:?}");
        assert_eq!(latest_common(&history, "d", "g", |_| false).readable, [] as [&GraphCommit; 0]);
    }

    #[test]
    fn a_commit_came_by_the_merge_after_which_it_is_there() {
        let history = with_a_branch_that_is_gone();
        let merges = |head, some: &[&str]| -> Vec<[&str; 2]> {
            let found = brought(&history, head, &some.iter().copied().collect());
            found.into_iter().map(|pair| pair.map(|commit| commit.id.as_str())).collect()
        };
        assert_eq!(merges("d", &["x"]), [["b", "c"]]);
        assert_eq!(merges("d", &["x", "y"]), [["b", "c"], ["c", "d"]]);
        assert_eq!(merges("g", &["x", "y"]), [["f", "g"]]);
        assert_eq!(merges("g", &["c"]), [[""; 2]; 0]);
    }

    #[test]
    fn all_that_came_before_a_commit_is_its_history() {
        let history = with_a_branch_that_is_gone();
        let ids: Vec<&str> = ancestors(&history, "g").into_iter().map(|commit| commit.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "f", "g", "x", "y"]);
    }

    #[test]
    fn histories_without_a_common_commit_have_no_base() {
        assert!(merge_base(&[commit("a", 1, &[]), commit("b", 1, &[])], "a", "b").is_none());
    }
}
