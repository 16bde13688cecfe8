//! Where a table lies (source: docs/formats.md, "Table paths").
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

/// Longest name of a native table, in bytes.
const LONGEST_NAME: usize = 63;

/// Root-relative dataset directory of a table, `None` for a key of another shape.
///
/// A graph's tables are `node:<Type>` and `edge:<Type>`: `nodes/<16 hex>` or `edges/<16 hex>`, the hash taken of the bare type
/// name. A native table's key is its name: `tables/<name>.lance`. No key is both.
pub fn table_path(key: &TableKey) -> Option<String> {
    let Some((kind, type_name)) = key.as_str().split_once(':') else {
        return is_native_name(key.as_str()).then(|| format!("tables/{key}.lance"));
    };
    let folder = match kind {
        "node" => "nodes",
        "edge" => "edges",
        _ => return None,
    };
    (!type_name.is_empty()).then(|| format!("{folder}/{:016x}", fnv1a64(type_name.as_bytes())))
}

/// Whether a text is the name of a native table: `[a-z][a-z0-9_]{0,62}`. Without capitals no two names differ in case only, and
/// file systems that do not tell these apart keep tables apart.
pub fn is_native_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= LONGEST_NAME
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
            ("orders", "tables/orders.lance"),
            ("a2_b", "tables/a2_b.lance"),
        ] {
            assert_eq!(table_path(&TableKey::parse(key).unwrap()).as_deref(), Some(path));
        }
    }

    #[test]
    fn a_key_of_another_shape_has_no_path() {
        let long = "a".repeat(64);
        for key in ["Person", "node:", "table:x", "_a", "1a", "a-b", "a.lance", "../a", "a b", "größe", &long]
        {
            assert_eq!(table_path(&TableKey::parse(key).unwrap()), None, "{key}");
        }
        assert!(table_path(&TableKey::parse(&long[1..]).unwrap()).is_some());
    }
}
