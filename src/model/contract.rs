//! The graph's schema contract: the compiled schema and the record of its hash (source: docs/formats.md, "Schema contract").

use super::ids::TableKey;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// `_schema.ir.json`, as far as recovery reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// `sha256:<64 hex>` over the compact form of the document.
    pub hash: String,
    /// The columns of every table that the schema declares.
    pub tables: BTreeMap<TableKey, BTreeSet<String>>,
}

/// `__schema_state.json`, as far as recovery reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateFile {
    /// The hash that the compiled schema must have.
    pub schema_ir_hash: String,
}

#[derive(Deserialize)]
struct Document {
    nodes: Vec<Type>,
    edges: Vec<Type>,
}

#[derive(Deserialize)]
struct Type {
    name: String,
    properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Property {
    name: String,
}

impl StateFile {
    /// Reads the file, or says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("the recorded hash cannot be read: {error}"))
    }
}

impl Compiled {
    /// Reads the file, or says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let unreadable =
            |error: &dyn std::fmt::Display| format!("the compiled schema cannot be read: {error}");
        let text = std::str::from_utf8(bytes).map_err(|error| unreadable(&error))?;
        let document: Document = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        let mut tables = BTreeMap::new();
        let nodes = document.nodes.into_iter().map(|node| ("node", &["id"][..], node));
        let edges = document.edges.into_iter().map(|edge| ("edge", &["id", "src", "dst"][..], edge));
        for (kind, fixed, declared) in nodes.chain(edges) {
            let key = TableKey::parse(&format!("{kind}:{}", declared.name)).map_err(|bad| bad.to_string())?;
            let fixed = fixed.iter().map(|name| name.to_string());
            tables.insert(
                key,
                fixed.chain(declared.properties.into_iter().map(|property| property.name)).collect(),
            );
        }
        Ok(Self { hash: format!("sha256:{}", sha256_hex(compact(text).as_bytes())), tables })
    }
}

/// The same JSON without the white space between its tokens. The order of keys, which the hash covers, stays.
fn compact(text: &str) -> String {
    let mut inside = false;
    let mut escaped = false;
    text.chars()
        .filter(|c| {
            let keep = inside || !c.is_ascii_whitespace();
            if inside && !escaped && *c == '\\' {
                escaped = true;
            } else {
                if *c == '"' && !escaped {
                    inside = !inside;
                }
                escaped = false;
            }
            keep
        })
        .collect()
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_does_not_count() {
        assert_eq!(
            compact("{\n  \"a b\": [ 1, \"x \\\" y\" ],\r\n \"c\\\\\" : 2 }"),
            r#"{"a b":[1,"x \" y"],"c\\":2}"#
        );
    }

    #[test]
    fn a_table_has_its_fixed_columns_and_its_properties() {
        let text = r#"{"ir_version":1,"interfaces":[],
            "nodes":[{"name":"Person","properties":[{"name":"age"},{"name":"name"}]}],
            "edges":[{"name":"Knows","properties":[]}]}"#;
        let compiled = Compiled::parse(text.as_bytes()).unwrap();
        let columns =
            |key: &str| compiled.tables[&TableKey::parse(key).unwrap()].iter().cloned().collect::<Vec<_>>();
        assert_eq!(columns("node:Person"), ["age", "id", "name"]);
        assert_eq!(columns("edge:Knows"), ["dst", "id", "src"]);
        assert!(compiled.hash.starts_with("sha256:") && compiled.hash.len() == 71);
    }
}
