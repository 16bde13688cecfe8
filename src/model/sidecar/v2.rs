//! Sidecar format 2: format 1 and `confirmed_version`, which a merge records once all of its commits have landed.

use super::{Brought, Pin, Registration, Sidecar, Tombstone, Unreadable, from_json, kind_from};
use crate::model::ids::{Branch, BranchIdentity, OperationId, TableKey, Version};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Named like the fields of the engines' file; what they leave out if it is empty, we leave out.
#[derive(Serialize, Deserialize)]
pub(super) struct File {
    #[serde(default)]
    schema_version: u32,
    operation_id: String,
    #[serde(default)]
    started_at: Option<String>,
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    actor_id: Option<String>,
    writer_kind: String,
    tables: Vec<Table>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merge_source_commit_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    additional_registrations: Vec<NewTable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tombstones: Vec<Drop>,
    /// Native writers only, as what follows; engines ignore both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    brought_tables: Vec<Shown>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branch_identifier: Option<BranchIdentity>,
}

#[derive(Serialize, Deserialize)]
struct Table {
    table_key: String,
    table_path: String,
    expected_version: u64,
    post_commit_pin: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table_branch: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct NewTable {
    table_key: String,
    table_path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table_branch: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Shown {
    table_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table_branch: Option<String>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Drop {
    table_key: String,
    tombstone_version: u64,
}

/// Reads format 2.
pub(super) fn parse(bytes: &[u8]) -> Result<Sidecar, Unreadable> {
    from_json::<File>(bytes)?.into_sidecar(2)
}

impl File {
    pub(super) fn into_sidecar(self, format: u32) -> Result<Sidecar, Unreadable> {
        let started = self.started_at.and_then(|micros| micros.parse().ok());
        Ok(Sidecar {
            format,
            operation: OperationId::parse(&self.operation_id)?,
            started_at: started.and_then(Timestamp::from_micros),
            branch: Branch::parse(self.branch.as_deref())?,
            actor: self.actor_id,
            kind: kind_from(&self.writer_kind)?,
            pins: self.tables.into_iter().map(Table::into_pin).collect::<Result<_, _>>()?,
            merge_source: self.merge_source_commit_id,
            registrations: self
                .additional_registrations
                .into_iter()
                .map(NewTable::into_registration)
                .collect::<Result<_, _>>()?,
            tombstones: self.tombstones.into_iter().map(Drop::into_tombstone).collect::<Result<_, _>>()?,
            brought: self.brought_tables.into_iter().map(Shown::into_brought).collect::<Result<_, _>>()?,
            branch_identity: self.branch_identifier,
            names_commits: false,
        })
    }
}

/// Writes format 2, pretty-printed as the engines do.
pub(super) fn print(sidecar: &Sidecar) -> String {
    let text = |branch: &Branch| branch.name().map(str::to_owned);
    let file = File {
        schema_version: 2,
        operation_id: sidecar.operation.to_string(),
        started_at: sidecar.started_at.map(|at| at.as_micros().to_string()),
        branch: text(&sidecar.branch),
        actor_id: sidecar.actor.clone(),
        writer_kind: sidecar.kind.as_str().to_owned(),
        tables: sidecar
            .pins
            .iter()
            .map(|pin| Table {
                table_key: pin.table.to_string(),
                table_path: pin.recorded_path.clone(),
                expected_version: pin.expected.0,
                post_commit_pin: pin.post_commit.0,
                confirmed_version: pin.confirmed.map(|version| version.0),
                table_branch: text(&pin.branch),
            })
            .collect(),
        merge_source_commit_id: sidecar.merge_source.clone(),
        additional_registrations: sidecar
            .registrations
            .iter()
            .map(|new| NewTable {
                table_key: new.table.to_string(),
                table_path: new.recorded_path.clone(),
                table_branch: text(&new.branch),
            })
            .collect(),
        tombstones: sidecar
            .tombstones
            .iter()
            .map(|dropped| Drop {
                table_key: dropped.table.to_string(),
                tombstone_version: dropped.version.0,
            })
            .collect(),
        brought_tables: sidecar
            .brought
            .iter()
            .map(|brought| Shown {
                table_key: brought.table.to_string(),
                table_branch: text(&brought.branch),
                version: brought.version.0,
            })
            .collect(),
        branch_identifier: sidecar.branch_identity.clone(),
    };
    serde_json::to_string_pretty(&file).expect("plain structs of strings and numbers serialise")
}

impl Table {
    fn into_pin(self) -> Result<Pin, Unreadable> {
        Ok(Pin {
            table: TableKey::parse(&self.table_key)?,
            recorded_path: self.table_path,
            expected: Version(self.expected_version),
            post_commit: Version(self.post_commit_pin),
            confirmed: self.confirmed_version.map(Version),
            branch: Branch::parse(self.table_branch.as_deref())?,
        })
    }
}

impl NewTable {
    fn into_registration(self) -> Result<Registration, Unreadable> {
        Ok(Registration {
            table: TableKey::parse(&self.table_key)?,
            recorded_path: self.table_path,
            branch: Branch::parse(self.table_branch.as_deref())?,
        })
    }
}

impl Shown {
    fn into_brought(self) -> Result<Brought, Unreadable> {
        Ok(Brought {
            table: TableKey::parse(&self.table_key)?,
            branch: Branch::parse(self.table_branch.as_deref())?,
            version: Version(self.version),
        })
    }
}

impl Drop {
    fn into_tombstone(self) -> Result<Tombstone, Unreadable> {
        Ok(Tombstone { table: TableKey::parse(&self.table_key)?, version: Version(self.tombstone_version) })
    }
}
