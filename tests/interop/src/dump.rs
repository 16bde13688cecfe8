//! All rows that a reader sees, in one canonical form, so that two roots can be compared as text.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::engine::Graph;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dump {
    pub schema: String,
    /// Branch → type → rows, each row as compact JSON, sorted.
    pub branches: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
}

impl Dump {
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    pub fn row_count(&self) -> usize {
        self.branches.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }
}

pub async fn collect(graph: &dyn Graph) -> Result<Dump> {
    let mut branches = BTreeMap::new();
    for branch in graph.branches().await? {
        let exported = graph.export(&branch).await?;
        branches.insert(branch, rows_by_type(&exported)?);
    }
    Ok(Dump { schema: graph.schema_source(), branches })
}

fn rows_by_type(exported: &str) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut types: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in exported.lines().filter(|line| !line.trim().is_empty()) {
        let row: Value = serde_json::from_str(line).with_context(|| format!("an exported row: {line}"))?;
        let name = row.get("type").or_else(|| row.get("edge")).and_then(Value::as_str);
        let name = name.with_context(|| format!("an exported row without a type: {line}"))?.to_owned();
        types.entry(name).or_default().push(row);
    }
    for rows in types.values_mut() {
        rows.sort_by_key(Value::to_string);
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_number_does() {
        let first = rows_by_type(
            "{\"type\":\"A\",\"data\":{\"id\":\"1\"}}\n{\"type\":\"A\",\"data\":{\"id\":\"2\"}}\n",
        );
        let other = rows_by_type(
            "{\"type\":\"A\",\"data\":{\"id\":\"2\"}}\n{\"data\":{\"id\":\"1\"},\"type\":\"A\"}\n",
        );
        let twice = rows_by_type(
            "{\"type\":\"A\",\"data\":{\"id\":\"1\"}}\n{\"type\":\"A\",\"data\":{\"id\":\"1\"}}\n",
        );
        let first = first.expect("rows");
        assert_eq!(first, other.expect("rows"));
        assert_ne!(first, twice.expect("rows"));
    }

    #[test]
    fn a_row_without_a_type_is_refused() {
        assert!(rows_by_type("{\"data\":{}}").is_err());
    }
}
