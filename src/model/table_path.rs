//! Where a table of a graph lies (source: docs/formats.md, "Table paths").
//!
//! The path is derived from the key alone. What a sidecar records is the writer's spelling, maybe relative, maybe another
//! copy's absolute path: following it could restore tables of the *original* of a copied graph.

use super::ids::{Branch, TableKey};

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// 64-bit FNV-1a.
fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// Root-relative dataset directory of a graph table: `nodes/<16 hex>` or `edges/<16 hex>`, the hash taken of the bare
/// type name. `None` if the key is not `node:<Type>` or `edge:<Type>`.
pub fn graph_table_path(key: &TableKey) -> Option<String> {
    let (kind, type_name) = key.as_str().split_once(':')?;
    let folder = match kind {
        "node" => "nodes",
        "edge" => "edges",
        _ => return None,
    };
    (!type_name.is_empty()).then(|| format!("{folder}/{:016x}", fnv1a64(type_name.as_bytes())))
}

/// Directory of a dataset's branch: the dataset itself on the main line, else `<dataset>/tree/<segments>`.
pub fn branch_path(dataset: &str, branch: &Branch) -> String {
    match branch.name() {
        None => dataset.to_owned(),
        Some(name) => format!("{dataset}/tree/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lies_where_its_key_says() {
        for (key, path) in [
            ("node:Person", "nodes/40d76f1f51639ec0"),
            ("node:Company", "nodes/7cb4e55c59663b1c"),
            ("node:Doc", "nodes/e0b75f19922bd915"),
            ("edge:Knows", "edges/602a25a3bd0b455b"),
            ("edge:WorksAt", "edges/844eefbe5068b644"),
        ] {
            assert_eq!(graph_table_path(&TableKey::parse(key).unwrap()).as_deref(), Some(path));
        }
    }

    #[test]
    fn a_key_of_another_shape_has_no_path() {
        for key in ["Person", "node:", "table:x", "node"] {
            assert_eq!(graph_table_path(&TableKey::parse(key).unwrap()), None, "{key}");
        }
    }
}
