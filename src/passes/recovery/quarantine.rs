//! Takes a crash record out of the engines' sight, and puts it back. A person's act.
//!
//! One unreadable `.json` stops every engine from opening the graph for writing; under a name that does not end so it is
//! evidence only. The tables that it names are left as they are.

use super::act::Handles;
use super::observe::fence_record;
use crate::error::{Error, Result};
use crate::model::fence::{FENCE_FORMAT, FenceRecord};
use crate::model::sidecar::Sidecar;
use crate::model::{Branch, OperationId, StoreTime};
use crate::passes::hint;
use crate::repo::snapshot::MANIFEST;
use crate::repo::{Repository, branches};
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, Key, Object, Removed, Written};
use bytes::Bytes;
use serde::Serialize;

/// The note that stays: who may be surprised later finds when and why.
#[derive(Debug, Serialize)]
struct NewNote<'a> {
    format: u32,
    nonce: String,
    closed_at: crate::model::Timestamp,
    quarantined: &'a str,
    stored_at: StoreTime,
    had_sidecar: bool,
    reason: &'a str,
}

/// What such a note says to those who come later.
#[derive(Debug)]
pub struct Note {
    /// When the store took the record.
    stored_at: Option<StoreTime>,
    /// Without one it is only the fence record that was put aside.
    had_sidecar: bool,
    /// Why.
    pub reason: Option<String>,
}

/// The note of a person who has put the operation's record aside. It stays though the copy may have been moved away. The closing
/// of an ended undoing is none.
pub async fn note(repo: &Repository, operation: &OperationId) -> Result<Option<Note>> {
    let said = parsed(repo, ControlObject::FenceClosed(operation.clone())).await?;
    Ok(said.get("quarantined").is_some().then(|| Note {
        stored_at: serde_json::from_value(said["stored_at"].clone()).ok(),
        had_sidecar: said["had_sidecar"] != false,
        reason: said["reason"].as_str().map(str::to_owned),
    }))
}

async fn parsed(repo: &Repository, object: ControlObject) -> Result<serde_json::Value> {
    let found = repo.store().get(&object.key()).await?;
    Ok(found.and_then(|found| serde_json::from_slice(&found.bytes).ok()).unwrap_or_default())
}

/// Moves `__recovery/<stem>.json` to `….json.quarantined`. Of an operation that has only an armed fence record, the sidecar's
/// text in it takes that name.
///
/// *Order*: the copy, then the fence record already closed (it keeps when and why, and an undoing that had begun is not
/// taken up again from an armed one), then the deletion. While the copy is there the record explains no drift: what the
/// writer had committed is held for a person. *Dies between*: both names exist and the original still counts; the same command
/// finishes. *Its writer finishes meanwhile*: the copy stays as evidence of a finished operation. *Its writer changes it
/// meanwhile* (a merge confirms): the older copy is taken away again, and nothing has changed.
pub async fn quarantine(repo: &Repository, name: &str, reason: &str, handles: &dyn Handles) -> Result<()> {
    let (original, aside) = names(name)?;
    repo.require_writable(&Branch::main()).await?;
    let store = repo.store();
    let Some(found) = store.get(&original.key()).await? else {
        return match &original {
            ControlObject::Sidecar(operation) => quarantine_fence(repo, operation, reason, handles).await,
            _ => Err(no_record(&original)),
        };
    };
    copy(repo, &aside, found.bytes.clone()).await?;
    if let ControlObject::Sidecar(operation) = &original {
        let stored_at = listed_at(repo, &original).await?.unwrap_or(found.meta.last_modified);
        close(repo, operation, Putting { reason, stored_at, had_sidecar: true }, handles).await?;
        let record = FenceRecord {
            format: FENCE_FORMAT,
            operation: operation.clone(),
            nonce: handles.ulid(),
            created_at: handles.now(),
            sidecar: String::from_utf8_lossy(&found.bytes).into_owned(),
            tables: Vec::new(),
        };
        store.ensure(&ControlObject::Fence(operation.clone()).key(), json(&record)?).await?;
    }
    let Some(state) = &found.meta.etag else { return store.delete(&original.key()).await };
    match store.delete_if(&original.key(), state).await? {
        Removed::Deleted | Removed::Absent => Ok(()),
        Removed::Changed => {
            if let ControlObject::Sidecar(operation) = &original
                && note(repo, operation).await?.is_some()
            {
                forget_note(repo, operation).await?;
            }
            store.delete(&aside.key()).await?;
            let changed = format!(
                "the writer of {} has just changed it: it is alive; run this again if it dies",
                original.key()
            );
            Err(Error::moved(changed))
        }
    }
}

fn no_record(original: &ControlObject) -> Error {
    let list = hint::command(&["sidecars", "list"]);
    Error::missing(format!("no crash record {}; see {list}", original.key()))
}

/// Closes an armed record whose sidecar is gone. One that cannot be read is closed as it is.
async fn quarantine_fence(
    repo: &Repository,
    operation: &OperationId,
    reason: &str,
    handles: &dyn Handles,
) -> Result<()> {
    let closed = repo.store().head(&ControlObject::FenceClosed(operation.clone()).key()).await?;
    let fence = listed_at(repo, &ControlObject::Fence(operation.clone())).await?;
    match (fence_record(repo, operation).await?, fence) {
        (Some(record), Some(fence)) if closed.is_none() => {
            if let Ok(record) = record {
                copy(repo, &ControlObject::Quarantined(operation.into()), record.sidecar.into()).await?;
            }
            let putting = Putting { reason, stored_at: fence, had_sidecar: false };
            close(repo, operation, putting, handles).await
        }
        _ => Err(no_record(&ControlObject::Sidecar(operation.clone()))),
    }
}

/// Creates the copy; the same one that is there already is fine.
async fn copy(repo: &Repository, aside: &ControlObject, bytes: Bytes) -> Result<()> {
    match repo.store().create(&aside.key(), bytes).await? {
        Written::Committed { .. } => Ok(()),
        Written::Conflict => {
            let look = hint::command(&["sidecars", "show", aside.key().file_name()]);
            let taken = format!(
                "{} holds another record; both are left alone: {look} prints it; move it elsewhere, and run this again",
                aside.key()
            );
            Err(Error::moved(taken))
        }
        Written::Unknown { error } => Err(error),
    }
}

/// What is put aside, and why.
struct Putting<'a> {
    reason: &'a str,
    stored_at: StoreTime,
    had_sidecar: bool,
}

/// Writes the note that closes the operation's fence record.
async fn close(
    repo: &Repository,
    operation: &OperationId,
    Putting { reason, stored_at, had_sidecar }: Putting<'_>,
    handles: &dyn Handles,
) -> Result<()> {
    let note = NewNote {
        format: FENCE_FORMAT,
        nonce: handles.ulid(),
        closed_at: handles.now(),
        quarantined: operation.as_str(),
        stored_at,
        had_sidecar,
        reason,
    };
    repo.store().ensure(&ControlObject::FenceClosed(operation.clone()).key(), json(&note)?).await
}

/// Moves a quarantined record back and forgets the note that went with it. Of an operation that had only an armed fence record,
/// that is armed again.
///
/// *Dies between*: both names exist and the original counts again; the same command finishes.
pub async fn restore(repo: &Repository, name: &str) -> Result<()> {
    let (original, aside) = names(name)?;
    repo.require_writable(&Branch::main()).await?;
    let store = repo.store();
    let note = match &original {
        ControlObject::Sidecar(operation) => note(repo, operation).await?.map(|note| (operation, note)),
        _ => None,
    };
    if let Some((operation, Note { had_sidecar: false, .. })) = &note {
        // The note last: as long as it is there, the same command finishes.
        store.delete(&aside.key()).await?;
        return store.delete(&ControlObject::FenceClosed((*operation).clone()).key()).await;
    }
    let found = store.get(&aside.key()).await?.ok_or_else(|| {
        let list = hint::command(&["sidecars", "list"]);
        Error::missing(format!("no quarantined record {}; see {list}", aside.key()))
    })?;
    if let ControlObject::Sidecar(operation) = &original {
        let stored_at = note.as_ref().and_then(|(_, note)| note.stored_at);
        require_its_branch(repo, operation, &found, stored_at).await?;
    }
    match store.create(&original.key(), found.bytes).await? {
        Written::Committed { .. } => {}
        Written::Conflict => {
            let look = hint::command(&["sidecars", "show", original.key().file_name()]);
            let exists = format!(
                "{} exists again with other content; both are left alone: {look} prints it, and it is what counts",
                original.key()
            );
            return Err(Error::moved(exists));
        }
        // The copy is the only one that is certain: it stays until the same command finds the original there.
        Written::Unknown { error } => return Err(error),
    }
    if let Some((operation, _)) = note {
        forget_note(repo, operation).await?;
    }
    store.delete(&aside.key()).await
}

/// When the store took an object, as it is listed, like the branches' records that it is compared with: a GET tells whole
/// seconds only.
async fn listed_at(repo: &Repository, object: &ControlObject) -> Result<Option<StoreTime>> {
    let listed = repo.store().list(&recovery_dir()).await?;
    Ok(listed.into_iter().find(|meta| meta.key == object.key()).map(|meta| meta.last_modified))
}

/// Back under its name a record is as young as that, so a branch that was made anew since it was written would pass for its
/// own.
async fn require_its_branch(
    repo: &Repository,
    operation: &OperationId,
    aside: &Object,
    stored_at: Option<StoreTime>,
) -> Result<()> {
    let Ok(sidecar) = Sidecar::parse(operation.as_str(), &aside.bytes) else { return Ok(()) };
    let stored_at = stored_at.unwrap_or(aside.meta.last_modified);
    let listed = branches::list(repo.store(), MANIFEST).await?;
    match listed.get(&sidecar.branch) {
        Some(branch) if branch.stored_at > stored_at => Err(Error::refused(format!(
            "branch {} was made anew after this record was written: it is about another branch of that name, and stays aside",
            sidecar.branch
        ))),
        _ => Ok(()),
    }
}

/// Removes the closed record that quarantining wrote, and the fence record unless an undoing wrote it: that is known by its
/// tables.
async fn forget_note(repo: &Repository, operation: &OperationId) -> Result<()> {
    let (fence, closed) =
        (ControlObject::Fence(operation.clone()), ControlObject::FenceClosed(operation.clone()));
    let tables = &parsed(repo, fence.clone()).await?["tables"];
    if tables.is_null() || *tables == serde_json::json!([]) {
        repo.store().delete(&fence.key()).await?;
    }
    repo.store().delete(&closed.key()).await
}

/// A record's name without any ending that it may have had or has now.
pub fn stem(name: &str) -> &str {
    let name = name.strip_suffix(".quarantined").unwrap_or(name);
    name.strip_suffix(".json").or(name.strip_suffix(".fence")).unwrap_or(name)
}

/// Both names of a record: as engines read it, and aside.
fn names(name: &str) -> Result<(ControlObject, ControlObject)> {
    let named = |ending: &str| {
        let key = Key::parse(&format!("{}/{}{ending}", crate::store::layout::RECOVERY_DIR, stem(name)));
        key.map(|key| ControlObject::parse(&key)).map_err(|bad| Error::invalid(bad.to_string()))
    };
    match (named(".json")?, named(".json.quarantined")?) {
        (
            original @ (ControlObject::Sidecar(_) | ControlObject::OddSidecar(_)),
            aside @ ControlObject::Quarantined(_),
        ) => Ok((original, aside)),
        _ => Err(Error::invalid(format!("{name:?} is not the name of a crash record"))),
    }
}

fn json(value: &impl Serialize) -> Result<Bytes> {
    let text = serde_json::to_vec_pretty(value);
    text.map(Into::into).map_err(|error| Error::internal("a record does not serialise").caused_by(error))
}
