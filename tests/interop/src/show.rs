//! The facts of a root as storage tells them: sidecars, staging, branches, and per table pin, head and tail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::layout;
use crate::root::Root;
use crate::tables::{self, Commit, ManifestRow, Pin};

#[derive(Debug, Serialize)]
pub struct Facts {
    pub sidecars: BTreeMap<String, String>,
    pub contract: Vec<String>,
    pub manifest_branches: Vec<String>,
    /// Branches of the separate commit dataset, where there is one.
    pub history_branches: Option<Vec<String>>,
    pub audit_rows: Option<usize>,
    pub branches: Vec<BranchFacts>,
    /// Datasets of tables that no branch's manifest knows.
    pub unregistered: Vec<String>,
}

/// A graph branch: its manifest and every table that it exposes or that carries a fork of that name.
#[derive(Debug, Serialize)]
pub struct BranchFacts {
    pub name: String,
    pub manifest_version: u64,
    pub manifest_tail: Vec<String>,
    pub row_kinds: BTreeMap<String, usize>,
    pub tables: Vec<TableFacts>,
}

#[derive(Debug, Serialize)]
pub struct TableFacts {
    pub key: String,
    pub pin: Option<u64>,
    pub pin_branch: Option<String>,
    pub pin_rows: Option<u64>,
    /// Of the fork named like the graph branch where there is one, else of the place that the pin names.
    pub head_of: String,
    pub head: Option<u64>,
    pub record: bool,
    /// The graph branch sees another branch's version, whose later versions are not its business.
    pub inherited: bool,
    /// Transactions above the pin.
    pub tail: Vec<String>,
}

/// How many of the manifest's newest transactions are shown.
const MANIFEST_TAIL: u64 = 3;

pub async fn collect(root: &Root) -> Result<Facts> {
    let names = root.list("").await?;
    let mut sidecars = BTreeMap::new();
    for name in names.iter().filter(|name| name.starts_with(layout::RECOVERY_DIR)) {
        sidecars.insert(name.clone(), String::from_utf8_lossy(&root.get(name).await?).into_owned());
    }
    let contract = names.iter().filter(|name| !name.contains('/')).cloned().collect();
    let history = tables::exists(root, layout::GRAPH_COMMITS, None).await?;
    let history_branches =
        if history { Some(tables::branches(root, layout::GRAPH_COMMITS).await?) } else { None };
    let mut branches = Vec::new();
    let manifest_branches = tables::branches(root, layout::MANIFEST).await?;
    if tables::exists(root, layout::MANIFEST, None).await? {
        branches.push(branch_facts(root, None).await?);
        for name in manifest_branches.iter().filter(|name| *name != layout::SCHEMA_LOCK) {
            branches.push(branch_facts(root, Some(name)).await?);
        }
    }
    let audit_rows = tables::row_count(root, layout::RECOVERIES).await?;
    let known = branches
        .iter()
        .flat_map(|branch| &branch.tables)
        .map(|table| layout::table_path(&table.key))
        .collect();
    let unregistered = unregistered(&names, &known);
    Ok(Facts { sidecars, contract, manifest_branches, history_branches, audit_rows, branches, unregistered })
}

fn unregistered(names: &[String], known: &BTreeSet<String>) -> Vec<String> {
    let dataset = |name: &String| {
        let mut parts = name.splitn(3, '/');
        let (folder, hash) = (parts.next()?, parts.next()?);
        parts.next()?;
        ["nodes", "edges"].contains(&folder).then(|| format!("{folder}/{hash}"))
    };
    let found: BTreeSet<String> = names.iter().filter_map(dataset).collect();
    found.difference(known).cloned().collect()
}

async fn branch_facts(root: &Root, branch: Option<&str>) -> Result<BranchFacts> {
    let manifest = tables::open(root, layout::MANIFEST, branch).await?;
    let rows = tables::manifest_rows(root, branch).await?;
    let pins = tables::pins(&rows);
    let version = manifest.version_id();
    let tail = tables::commits(&manifest, version.saturating_sub(MANIFEST_TAIL)).await?;
    let mut facts = Vec::new();
    for key in known_keys(&rows) {
        facts.push(table_facts(root, branch, key, pins.get(key)).await?);
    }
    let mut row_kinds = BTreeMap::new();
    for row in &rows {
        *row_kinds.entry(row.kind.clone()).or_default() += 1;
    }
    Ok(BranchFacts {
        name: branch.unwrap_or("main").to_owned(),
        manifest_version: version,
        manifest_tail: words(&tail),
        row_kinds,
        tables: facts,
    })
}

fn known_keys(rows: &[ManifestRow]) -> BTreeSet<&str> {
    rows.iter().map(|row| row.key.as_str()).filter(|key| !key.is_empty()).collect()
}

async fn table_facts(root: &Root, branch: Option<&str>, key: &str, pin: Option<&Pin>) -> Result<TableFacts> {
    let path = layout::table_path(key);
    let own_fork = match branch {
        Some(name) => tables::exists(root, &path, Some(name)).await?,
        None => false,
    };
    let pin_branch = pin.and_then(|pin| pin.branch.as_deref());
    let place = if own_fork { branch } else { pin_branch };
    let record = match place {
        Some(name) => tables::branches(root, &path).await?.iter().any(|known| known == name),
        None => true,
    };
    let mut facts = TableFacts {
        key: key.to_owned(),
        pin: pin.map(|pin| pin.version),
        pin_branch: pin_branch.map(str::to_owned),
        pin_rows: pin.map(|pin| pin.rows),
        head_of: place.unwrap_or("main").to_owned(),
        head: None,
        record,
        inherited: place != branch,
        tail: Vec::new(),
    };
    if !tables::exists(root, &path, place).await? {
        return Ok(facts);
    }
    let head = tables::open(root, &path, place).await?;
    facts.head = Some(head.version_id());
    if facts.inherited {
        return Ok(facts);
    }
    facts.tail = words(&tables::commits(&head, pin.map_or(0, |pin| pin.version)).await?);
    Ok(facts)
}

fn words(commits: &[Commit]) -> Vec<String> {
    let word = |commit: &Commit| match commit.read_version {
        Some(read) => format!("v{} {} (read {read})", commit.version, commit.kind),
        None => format!("v{} {}", commit.version, commit.kind),
    };
    commits.iter().map(word).collect()
}

/// The facts for people.
pub fn text(facts: &Facts) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "contract files: {}", facts.contract.join(", "))?;
    writeln!(
        out,
        "manifest branches: {:?}; history branches: {:?}",
        facts.manifest_branches, facts.history_branches
    )?;
    writeln!(out, "audit rows: {:?}", facts.audit_rows)?;
    if !facts.unregistered.is_empty() {
        writeln!(out, "unregistered datasets: {:?}", facts.unregistered)?;
    }
    for (name, body) in &facts.sidecars {
        let shown =
            serde_json::from_str::<Value>(body).map_or_else(|_| format!("{body:?}"), |json| json.to_string());
        writeln!(out, "{name}: {shown}")?;
    }
    for branch in &facts.branches {
        let BranchFacts { name, manifest_version, manifest_tail, row_kinds, tables } = branch;
        writeln!(
            out,
            "branch {name}: manifest v{manifest_version}, newest {manifest_tail:?}, rows {row_kinds:?}"
        )?;
        for table in tables {
            write_table(&mut out, table)?;
        }
    }
    Ok(out)
}

fn write_table(out: &mut String, table: &TableFacts) -> Result<()> {
    let number = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let place = table.pin_branch.as_deref().unwrap_or("main");
    let record = if table.record { "" } else { " (no branch record)" };
    let inherited = if table.inherited { " (inherited)" } else { "" };
    let TableFacts { key, head_of, .. } = table;
    let (pin, head) = (number(table.pin), number(table.head));
    writeln!(
        out,
        "  {key}: pin {pin}@{place}{inherited}, head {head}@{head_of}{record}, tail {:?}",
        table.tail
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_without_a_table_row_is_unregistered() {
        let names = [
            "_schema.pg",
            "nodes/aa/_versions/1.manifest",
            "nodes/bb/data/1.lance",
            "__manifest/data/1.lance",
        ];
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let known = BTreeSet::from(["nodes/aa".to_owned()]);
        assert_eq!(unregistered(&names, &known), ["nodes/bb"]);
    }
}
