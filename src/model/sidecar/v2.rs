//! Sidecar format 2: format 1 and `confirmed_version`, which a merge records once all of its commits have landed.

use super::{Pin, Registration, Sidecar, Tombstone, Unreadable, from_json, kind_from};
use crate::model::ids::{Branch, OperationId, TableKey, Version};
use crate::model::time::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct File {
    operation_id: String,
    #[serde(default)]
    started_at: Option<String>,
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    actor_id: Option<String>,
    writer_kind: String,
    tables: Vec<Table>,
    #[serde(default)]
    merge_source_commit_id: Option<String>,
    #[serde(default)]
    additional_registrations: Vec<NewTable>,
    #[serde(default)]
    tombstones: Vec<Drop>,
}

#[derive(Deserialize)]
struct Table {
    table_key: String,
    table_path: String,
    expected_version: u64,
    post_commit_pin: u64,
    #[serde(default)]
    confirmed_version: Option<u64>,
    #[serde(default)]
    table_branch: Option<String>,
}

#[derive(Deserialize)]
struct NewTable {
    table_key: String,
    table_path: String,
    #[serde(default)]
    table_branch: Option<String>,
}

#[derive(Deserialize)]
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
        })
    }
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

impl Drop {
    fn into_tombstone(self) -> Result<Tombstone, Unreadable> {
        Ok(Tombstone { table: TableKey::parse(&self.table_key)?, version: Version(self.tombstone_version) })
    }
}
