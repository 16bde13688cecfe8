//! Fence records: armed before anything is undone or ended, closed when all of it is recorded.

use super::Handles;
use crate::error::{Error, Result};
use crate::model::OperationId;
use crate::model::fence::{FENCE_FORMAT, FenceRecord, FencedTable};
use crate::passes::recovery::observation::{TableRef, TableSeen};
use crate::passes::recovery::observe::{Intent, Seen};
use crate::repo::Repository;
use crate::store::ControlObject;

/// Creates the record of an intent whose sidecar is still there.
///
/// An earlier record of the same operation stands: what it says of heads and targets is history, the judgement is always
/// made anew from the tables. *Answer lost*: the store room reads back and compares.
pub(super) async fn arm(
    repo: &Repository,
    seen: &Seen,
    intent: &Intent,
    handles: &dyn Handles,
) -> Result<()> {
    let Some(file) = &intent.file else { return Ok(()) };
    let record = FenceRecord {
        format: FENCE_FORMAT,
        operation: intent.sidecar.operation.clone(),
        nonce: handles.ulid(),
        created_at: handles.now(),
        sidecar: file.text.clone(),
        tables: intent.sidecar.pins.iter().map(|pin| fenced(seen, &pin.table, &pin.branch)).collect(),
    };
    let key = ControlObject::Fence(intent.sidecar.operation.clone()).key();
    repo.store().ensure(&key, json(&record)?).await
}

/// Closes a record. Closing twice is closing once.
pub(super) async fn close(repo: &Repository, operation: &OperationId, handles: &dyn Handles) -> Result<()> {
    let key = ControlObject::FenceClosed(operation.clone()).key();
    let closed =
        serde_json::json!({ "format": FENCE_FORMAT, "nonce": handles.ulid(), "closed_at": handles.now() });
    repo.store().ensure(&key, json(&closed)?).await
}

fn fenced(seen: &Seen, table: &crate::model::TableKey, branch: &crate::model::Branch) -> FencedTable {
    let at = TableRef { table: table.clone(), branch: branch.clone() };
    let (seen_head, restore_to) = match seen.component.tables.get(&at) {
        Some(TableSeen::Present(lineage)) => (Some(lineage.head), lineage.pin),
        Some(TableSeen::Missing { pin, .. }) => (None, *pin),
        _ => (None, crate::model::Version::ABSENT),
    };
    FencedTable { table: at.table, branch: at.branch, seen_head, restore_to }
}

fn json(value: &impl serde::Serialize) -> Result<bytes::Bytes> {
    let text = serde_json::to_vec_pretty(value);
    text.map(Into::into).map_err(|error| Error::internal("a record does not serialise").caused_by(error))
}
