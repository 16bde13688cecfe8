//! Where things lie under a graph's root.

/// The branch that the engine keeps in `__manifest` while a schema apply runs.
pub const SCHEMA_LOCK: &str = "__schema_apply_lock__";
pub const MANIFEST: &str = "__manifest";
pub const GRAPH_COMMITS: &str = "_graph_commits.lance";
pub const RECOVERIES: &str = "_graph_commit_recoveries.lance";
pub const RECOVERY_DIR: &str = "__recovery";

/// The staged form of a contract file.
pub fn staged(name: &str) -> String {
    format!("{name}.staging")
}

/// `nodes/<hash>` or `edges/<hash>` of a table key such as `node:Person`.
pub fn table_path(key: &str) -> String {
    let (folder, name) = match key.split_once(':') {
        Some(("edge", name)) => ("edges", name),
        Some((_, name)) => ("nodes", name),
        None => ("nodes", key),
    };
    format!("{folder}/{:016x}", fnv1a(name.as_bytes()))
}

/// A dataset's own directory, or that of one of its branches.
pub fn dataset_path(path: &str, branch: Option<&str>) -> String {
    match branch {
        Some(branch) => format!("{path}/tree/{branch}"),
        None => path.to_owned(),
    }
}

/// The record of one Lance branch of a dataset.
pub fn branch_ref(path: &str, branch: &str) -> String {
    format!("{path}/_refs/branches/{}.json", branch.replace('/', "%2F"))
}

/// The manifest of one version, in the naming that counts downwards.
pub fn version_file(path: &str, branch: Option<&str>, version: u64) -> String {
    format!("{}/_versions/{:020}.manifest", dataset_path(path, branch), u64::MAX - version)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_path_is_the_hash_of_the_type_name() {
        assert_eq!(table_path("node:Person"), "nodes/40d76f1f51639ec0");
        assert_eq!(table_path("node:Company"), "nodes/7cb4e55c59663b1c");
        assert_eq!(table_path("edge:Knows"), "edges/602a25a3bd0b455b");
    }

    #[test]
    fn version_file_counts_downwards() {
        let file = version_file("nodes/x", None, 5);
        assert_eq!(file, "nodes/x/_versions/18446744073709551610.manifest");
    }

    #[test]
    fn nested_branch_keeps_its_segments_in_the_tree_and_escapes_them_in_the_ref() {
        assert_eq!(dataset_path("nodes/x", Some("a/b")), "nodes/x/tree/a/b");
        assert_eq!(branch_ref("nodes/x", "a/b"), "nodes/x/_refs/branches/a%2Fb.json");
    }
}
