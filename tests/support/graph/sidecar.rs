//! Sidecars as the writers spell them.

use super::{Graph, MAIN, next_ulid, path_of};
use outrigger::store::Key;
use serde_json::{Value, json};

/// A sidecar in the making.
pub struct Draft<'g> {
    graph: &'g Graph,
    kind: String,
    branch: String,
    actor: Option<String>,
    format: u32,
    pins: Vec<Pin>,
    source: Option<String>,
    registers: Vec<String>,
    drops: Vec<(String, u64)>,
}

struct Pin {
    table: String,
    expected: Option<u64>,
    post: Option<u64>,
    confirmed: Option<u64>,
}

impl Graph {
    /// A sidecar of a writer kind: format 2, on main, of act-alice.
    pub fn sidecar(&self, kind: &str) -> Draft<'_> {
        Draft {
            graph: self,
            kind: kind.to_owned(),
            branch: MAIN.to_owned(),
            actor: Some("act-alice".into()),
            format: 2,
            pins: Vec::new(),
            source: None,
            registers: Vec::new(),
            drops: Vec::new(),
        }
    }

    /// The name of an operation's sidecar.
    pub fn sidecar_key(operation: &str) -> Key {
        Key::parse(&format!("__recovery/{operation}.json")).unwrap()
    }

    /// Any bytes in a sidecar's place.
    pub async fn put_sidecar(&self, operation: &str, bytes: impl Into<bytes::Bytes>) {
        self.place.put(&Self::sidecar_key(operation), bytes.into()).await.unwrap();
    }

    /// The writer is done and takes its sidecar away.
    pub async fn remove_sidecar(&self, operation: &str) {
        self.place.delete(&Self::sidecar_key(operation)).await.unwrap();
    }
}

impl Draft<'_> {
    /// On a branch of the graph.
    pub fn on(mut self, branch: &str) -> Self {
        self.branch = branch.to_owned();
        self
    }

    /// Without an actor.
    pub fn anonymous(mut self) -> Self {
        self.actor = None;
        self
    }

    /// Of format 1 or another.
    pub fn format(mut self, format: u32) -> Self {
        self.format = format;
        self
    }

    /// Of these tables: expected is what the graph shows, promised the next version.
    pub fn of(mut self, tables: &[&str]) -> Self {
        let pin =
            |table: &&str| Pin { table: (*table).to_owned(), expected: None, post: None, confirmed: None };
        self.pins.extend(tables.iter().map(pin));
        self
    }

    /// Of a table at given versions.
    pub fn pin(mut self, table: &str, expected: u64, post: u64) -> Self {
        self.pins.push(Pin {
            table: table.to_owned(),
            expected: Some(expected),
            post: Some(post),
            confirmed: None,
        });
        self
    }

    /// Of a table whose merge has confirmed a version.
    pub fn confirmed(mut self, table: &str, expected: u64, confirmed: u64) -> Self {
        self.pins.push(Pin {
            table: table.to_owned(),
            expected: Some(expected),
            post: Some(expected + 1),
            confirmed: Some(confirmed),
        });
        self
    }

    /// The merged branch's head.
    pub fn merging(mut self, commit: &str) -> Self {
        self.source = Some(commit.to_owned());
        self
    }

    /// Creates these tables.
    pub fn registers(mut self, tables: &[&str]) -> Self {
        self.registers.extend(tables.iter().map(|table| (*table).to_owned()));
        self
    }

    /// Drops a table at a version.
    pub fn drops(mut self, table: &str, version: u64) -> Self {
        self.drops.push((table.to_owned(), version));
        self
    }

    /// Writes it; returns the operation.
    pub async fn write(self) -> String {
        let operation = next_ulid();
        self.write_as(&operation).await;
        operation
    }

    /// Writes it under an operation's id.
    pub async fn write_as(self, operation: &str) {
        let json = self.json(operation).await;
        self.graph.put_sidecar(operation, serde_json::to_vec_pretty(&json).unwrap()).await;
    }

    /// Its text, to be spoiled.
    pub async fn json(&self, operation: &str) -> Value {
        let shown = match self.pins.iter().all(|pin| pin.expected.is_some()) {
            true => Default::default(),
            false => self.graph.shown(&self.branch).await,
        };
        let tables: Vec<Value> = self
            .pins
            .iter()
            .map(|pin| {
                let expected = pin.expected.unwrap_or_else(|| shown[&pin.table].version);
                let mut table = json!({
                    "table_key": pin.table,
                    "table_path": format!("{}/{}", self.graph.place.uri(), path_of(&pin.table)),
                    "expected_version": expected,
                    "post_commit_pin": pin.post.unwrap_or(expected + 1),
                });
                if let Some(confirmed) = pin.confirmed {
                    table["confirmed_version"] = json!(confirmed);
                }
                if self.branch != MAIN {
                    table["table_branch"] = json!(self.branch);
                }
                table
            })
            .collect();
        let mut sidecar = json!({
            "schema_version": self.format,
            "operation_id": operation,
            "started_at": "1750850912345678",
            "branch": (self.branch != MAIN).then_some(&self.branch),
            "actor_id": self.actor,
            "writer_kind": self.kind,
            "tables": tables,
        });
        if let Some(source) = &self.source {
            sidecar["merge_source_commit_id"] = json!(source);
        }
        if !self.registers.is_empty() {
            let new = |table: &String| json!({"table_key": table, "table_path": path_of(table)});
            sidecar["additional_registrations"] = self.registers.iter().map(new).collect();
        }
        if !self.drops.is_empty() {
            let drop =
                |(table, version): &(String, u64)| json!({"table_key": table, "tombstone_version": version});
            sidecar["tombstones"] = self.drops.iter().map(drop).collect();
        }
        sidecar
    }
}
