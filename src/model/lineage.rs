//! The graph's history as a graph of commits (source: docs/formats.md, "Commit history").

use super::manifest::GraphCommit;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Distance of every ancestor from a commit, itself at 0, both parents followed.
fn distances<'a>(commits: &BTreeMap<&'a str, &'a GraphCommit>, from: &'a str) -> BTreeMap<&'a str, u64> {
    let mut found = BTreeMap::from([(from, 0)]);
    let mut queue = VecDeque::from([from]);
    while let Some(id) = queue.pop_front() {
        let distance = found[id];
        let Some(commit) = commits.get(id) else { continue };
        for parent in [&commit.parent, &commit.merged_parent].into_iter().flatten() {
            if !found.contains_key(parent.as_str()) {
                found.insert(parent, distance + 1);
                queue.push_back(parent);
            }
        }
    }
    found
}

/// The ancestors that two commits have in common, each with its summed distance from both.
fn common<'a>(commits: &'a [GraphCommit], one: &'a str, other: &'a str) -> Vec<(u64, &'a GraphCommit)> {
    let by_id: BTreeMap<&str, &GraphCommit> =
        commits.iter().map(|commit| (commit.id.as_str(), commit)).collect();
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

/// Common ancestors that are no ancestors of other common ancestors: one, unless two branches were merged into each other at once.
/// The engines take the nearest instead ([`merge_base`]), which may lie before a merge of both.
pub fn latest_common<'a>(commits: &'a [GraphCommit], one: &'a str, other: &'a str) -> Vec<&'a GraphCommit> {
    let common: Vec<&GraphCommit> =
        common(commits, one, other).into_iter().map(|(_, commit)| commit).collect();
    // What comes before a common ancestor is one itself, so parents are all that has to be looked at.
    let parents = |commit: &&'a GraphCommit| [&commit.parent, &commit.merged_parent].map(Option::as_deref);
    let before: BTreeSet<&str> = common.iter().flat_map(parents).flatten().collect();
    common.into_iter().filter(|commit| !before.contains(commit.id.as_str())).collect()
}

/// Merges that led to `head`, not to `base`, of commits of which nothing is known any more: their branch is gone.
pub fn lost_merges<'a>(commits: &'a [GraphCommit], head: &'a str, base: &'a str) -> Vec<&'a GraphCommit> {
    let by_id: BTreeMap<&str, &GraphCommit> =
        commits.iter().map(|commit| (commit.id.as_str(), commit)).collect();
    let before = distances(&by_id, base);
    let since = distances(&by_id, head).into_keys().filter(|id| !before.contains_key(id));
    let known = since.filter_map(|id| by_id.get(id).copied());
    known
        .filter(|commit| commit.merged_parent.as_deref().is_some_and(|merged| !by_id.contains_key(merged)))
        .collect()
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
        let ids = |one, other| -> Vec<String> {
            latest_common(&history, one, other).into_iter().map(|commit| commit.id.clone()).collect()
        };
        assert_eq!(ids("f2", "g"), ["b"]);
        assert_eq!(ids("g", "d"), ["d"]);
        let mut crossed = history.to_vec();
        crossed.extend([commit("h", 4, &["f2", "d"]), commit("i", 5, &["d", "f2"])]);
        assert_eq!(latest_common(&crossed, "h", "i").len(), 2, "each was merged into the other");
    }

    #[test]
    fn a_merge_from_a_branch_that_is_gone_is_lost() {
        let history = [
            commit("a", 1, &[]),
            commit("b", 2, &["a", "gone before"]),
            commit("c", 3, &["b"]),
            commit("d", 4, &["c", "gone since"]),
            commit("e", 5, &["d"]),
        ];
        let ids = |head, base| -> Vec<&str> {
            lost_merges(&history, head, base).into_iter().map(|commit| commit.id.as_str()).collect()
        };
        assert_eq!(ids("e", "b"), ["d"]);
        assert_eq!(ids("c", "b"), [""; 0]);
        assert_eq!(ids("c", "a"), ["b"]);
    }

    #[test]
    fn histories_without_a_common_commit_have_no_base() {
        assert!(merge_base(&[commit("a", 1, &[]), commit("b", 1, &[])], "a", "b").is_none());
    }
}
