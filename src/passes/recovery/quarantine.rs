//! Takes a crash record out of the engines' sight, and puts it back. A person's act.
//!
//! One unreadable `.json` stops every engine from opening the graph for writing; under a name that does not end so it is
//! evidence only. The tables that it names are left as they are.

use super::act::Handles;
use crate::error::{Error, Result};
use crate::model::fence::{FENCE_FORMAT, FenceRecord};
use crate::model::{Branch, OperationId};
use crate::passes::hint;
use crate::repo::Repository;
use crate::store::{ControlObject, Key, Written};
use bytes::Bytes;
use serde::Serialize;

/// The note that stays: who may be surprised later finds when and why.
#[derive(Debug, Serialize)]
struct Note<'a> {
    format: u32,
    nonce: String,
    closed_at: crate::model::Timestamp,
    quarantined: &'a str,
    reason: &'a str,
}

/// Moves `__recovery/<stem>.json` to `….json.quarantined`.
///
/// *Order*: the copy, then the fence record already closed (it keeps when and why, and an undoing that had begun is not
/// taken up again from an armed one), then the deletion. While the copy is there the record explains no drift: what the
/// writer had committed is held for a person. *Dies between*: both names exist and the original still counts; the same command
/// finishes. *Its writer finishes meanwhile*: the copy stays as evidence of a finished operation.
pub async fn quarantine(repo: &Repository, stem: &str, reason: &str, handles: &dyn Handles) -> Result<()> {
    let (original, aside) = names(stem)?;
    repo.require_writable(&Branch::main()).await?;
    let store = repo.store();
    let found = store.get(&original.key()).await?;
    let found = found.ok_or_else(|| {
        Error::missing(format!("no crash record {}; see `outrigger sidecars list`", original.key()))
    })?;
    match store.create(&aside.key(), found.bytes.clone()).await? {
        Written::Committed { .. } => {}
        Written::Conflict => {
            let look = hint::command(&["sidecars", "show", aside.key().file_name()]);
            let taken = format!(
                "{} holds another record; both are left alone: {look} prints it; move it elsewhere, and run this again",
                aside.key()
            );
            return Err(Error::moved(taken));
        }
        Written::Unknown { error } => return Err(error),
    }
    if let ControlObject::Sidecar(operation) = original.clone() {
        let note = Note {
            format: FENCE_FORMAT,
            nonce: handles.ulid(),
            closed_at: handles.now(),
            quarantined: stem,
            reason,
        };
        create(repo, &ControlObject::FenceClosed(operation.clone()).key(), json(&note)?).await?;
        let record = FenceRecord {
            format: FENCE_FORMAT,
            operation: operation.clone(),
            nonce: handles.ulid(),
            created_at: handles.now(),
            sidecar: String::from_utf8_lossy(&found.bytes).into_owned(),
            tables: Vec::new(),
        };
        create(repo, &ControlObject::Fence(operation).key(), json(&record)?).await?;
    }
    store.delete(&original.key()).await
}

/// Moves a quarantined record back and forgets the note that went with it.
///
/// *Dies between*: both names exist and the original counts again; the same command finishes.
pub async fn restore(repo: &Repository, stem: &str) -> Result<()> {
    let (original, aside) = names(stem)?;
    let store = repo.store();
    let found = store.get(&aside.key()).await?;
    let found = found.ok_or_else(|| Error::missing(format!("no quarantined record {}", aside.key())))?;
    match store.create(&original.key(), found.bytes).await? {
        Written::Committed { .. } => {}
        Written::Conflict => {
            let exists = format!(
                "{} exists again with other content; both are left alone: its operation is pending, and what was put aside is only evidence",
                original.key()
            );
            return Err(Error::moved(exists));
        }
        // The copy is the only one that is certain: it stays until the same command finds the original there.
        Written::Unknown { error } => return Err(error),
    }
    if let ControlObject::Sidecar(operation) = original.clone() {
        forget_note(repo, &operation).await?;
    }
    store.delete(&aside.key()).await
}

/// Removes the closed record that quarantining wrote, and leaves alone what an undoing wrote: that is known by its tables.
async fn forget_note(repo: &Repository, operation: &OperationId) -> Result<()> {
    let (fence, closed) =
        (ControlObject::Fence(operation.clone()), ControlObject::FenceClosed(operation.clone()));
    let store = repo.store();
    let text = async |object: &ControlObject| -> Result<Option<serde_json::Value>> {
        let found = store.get(&object.key()).await?;
        Ok(found.and_then(|found| serde_json::from_slice(&found.bytes).ok()))
    };
    let is_note = text(&closed).await?.is_some_and(|note| note.get("quarantined").is_some());
    if !is_note {
        return Ok(());
    }
    let of_an_undoing = text(&fence).await?.is_some_and(|record| record["tables"] != serde_json::json!([]));
    if !of_an_undoing {
        store.delete(&fence.key()).await?;
    }
    store.delete(&closed.key()).await
}

/// Both names of a record: as engines read it, and aside.
fn names(stem: &str) -> Result<(ControlObject, ControlObject)> {
    let name = stem.strip_suffix(".quarantined").unwrap_or(stem);
    let name = name.strip_suffix(".json").unwrap_or(name);
    let named = |ending: &str| {
        let key = Key::parse(&format!("{}/{name}{ending}", crate::store::layout::RECOVERY_DIR));
        key.map(|key| ControlObject::parse(&key)).map_err(|bad| Error::invalid(bad.to_string()))
    };
    match (named(".json")?, named(".json.quarantined")?) {
        (
            original @ (ControlObject::Sidecar(_) | ControlObject::OddSidecar(_)),
            aside @ ControlObject::Quarantined(_),
        ) => Ok((original, aside)),
        _ => Err(Error::invalid(format!("{stem:?} is not the name of a crash record"))),
    }
}

/// Creates an object; one of the same name that is there already stands.
async fn create(repo: &Repository, key: &Key, bytes: Bytes) -> Result<()> {
    match repo.store().create(key, bytes).await? {
        Written::Committed { .. } | Written::Conflict => Ok(()),
        Written::Unknown { error } => Err(error),
    }
}

fn json(value: &impl Serialize) -> Result<Bytes> {
    let text = serde_json::to_vec_pretty(value);
    text.map(Into::into).map_err(|error| Error::internal("a record does not serialise").caused_by(error))
}
