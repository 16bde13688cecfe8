//! Keeps the versions that a roll back would restore from being cleaned up while it waits for its window.
//!
//! The engines' own cleanup keeps the newest versions, not the pinned ones; a crashed commit pushes its pins down that list.
//! Tags stop it. They are written down first, in `__recovery/<operation>.tags`, so that whoever finds the operation settled
//! takes them off, without looking at every table for tags that may be there.
//!
//! Only a daemon tags: it will be there to untag. Main lines only: a tag on a fork would keep the fork from being removed.
//!
//! *Dies after the object, before a tag*: the next look tags; or the operation is settled, and tags that are not there are
//! taken off. *Dies while untagging*: the object is still there, and it is done again.

use super::decide::{Decision, TableWork, Timing};
use super::observe::{Found, Intent, Seen};
use super::run::Run;
use super::tell;
use crate::error::{Error, Kind, Result};
use crate::model::audit::Verdict;
use crate::model::{OperationId, TableKey, Version};
use crate::passes::recovery::act::Turn;
use crate::passes::report::{ActionKind, ActionOutcome, ScopeReport};
use crate::repo::Repository;
use crate::store::{ControlObject, Key};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const MAX_BYTES: u64 = 1 << 20;

/// What is tagged for one operation: the tag on table n is `outrigger-<operation>-<n>`.
#[derive(Debug, Serialize, Deserialize)]
struct Tagged {
    format: u32,
    nonce: String,
    tables: Vec<TableKey>,
}

fn tag(operation: &OperationId, n: usize) -> String {
    format!("outrigger-{operation}-{n}")
}

/// Tags the pinned versions of an undoing that waits for its window. A failure only leaves them without protection.
pub(super) async fn protect(repo: &Repository, run: &Run, seen: &Seen, decision: &Decision) {
    let waits = matches!(decision.timing, Timing::Window | Timing::ManualWindow);
    if !waits || decision.verdict != Verdict::RollBack || !run.protect {
        return;
    }
    for intent in seen.intents.iter().filter(|intent| decision.operations.contains(&intent.sidecar.operation))
    {
        let wanted = wanted(intent, decision);
        if wanted.iter().all(|(_, pin)| pin.is_none())
            || run.grace.protects(&intent.sidecar.operation, &wanted)
        {
            continue;
        }
        match tag_all(repo, run, &intent.sidecar.operation, &wanted).await {
            Ok(true) => run.grace.protected(&intent.sidecar.operation, wanted),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(operation = %intent.sidecar.operation, error = %error.chain(), "pinned versions could not be tagged: a cleanup may remove them");
            }
        }
    }
}

/// The tables of the sidecar's main lines in its own order, each with the version that would be restored.
fn wanted(intent: &Intent, decision: &Decision) -> Vec<(TableKey, Option<Version>)> {
    let pins = intent.sidecar.pins.iter().filter(|pin| pin.branch.is_main());
    let restored = |table: &TableKey| {
        let plan =
            decision.tables.iter().find(|plan| plan.at.table == *table && plan.pin_branch.is_main())?;
        matches!(plan.work, TableWork::Restore { .. }).then_some(plan.pin)
    };
    pins.map(|pin| (pin.table.clone(), restored(&pin.table))).collect()
}

async fn tag_all(
    repo: &Repository,
    run: &Run,
    operation: &OperationId,
    wanted: &[(TableKey, Option<Version>)],
) -> Result<bool> {
    if run.handles.turn().await? != Turn::Ours {
        return Ok(false);
    }
    let tables = wanted.iter().map(|(table, _)| table.clone()).collect();
    let tagged = Tagged { format: FORMAT, nonce: run.handles.ulid(), tables };
    let bytes = serde_json::to_vec_pretty(&tagged)
        .map_err(|error| Error::internal("a list of tags does not serialise").caused_by(error))?;
    let key = ControlObject::Tags(operation.clone()).key();
    repo.store().ensure(&key, bytes.into()).await?;
    for (n, (table, pin)) in wanted.iter().enumerate() {
        if let Some(pin) = pin {
            let ended = repo.tag(table, &tag(operation, n), *pin).await;
            run.handles.acted(ActionKind::Tag, outcome(&ended));
            ended?;
        }
    }
    Ok(true)
}

/// Takes the tags of operations off that are not pending any more; what cannot be read is told and stops nothing else.
pub(super) async fn release(repo: &Repository, run: &Run, found: &Found) -> Vec<ScopeReport> {
    let mut scopes = Vec::new();
    for operation in &found.tagged {
        let pending = found.intents.iter().any(|intent| intent.sidecar.operation == *operation);
        let names = [ControlObject::Sidecar(operation.clone()), ControlObject::Fence(operation.clone())];
        let unjudged = found.unjudged.iter().any(|held| names.iter().any(|name| name.key() == held.key));
        if pending || unjudged {
            continue;
        }
        let key = ControlObject::Tags(operation.clone()).key();
        match untag_all(repo, run, operation, &key).await {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Corrupt => scopes.push(tell::held(
                key.to_string(),
                format!(
                    "{}; its operation is settled: take tags named outrigger-{operation}-… off the tables, then delete it",
                    error.chain()
                ),
            )),
            Err(error) => scopes.push(tell::failed(key.to_string(), &error)),
        }
    }
    scopes
}

async fn untag_all(repo: &Repository, run: &Run, operation: &OperationId, key: &Key) -> Result<()> {
    if run.handles.turn().await? != Turn::Ours {
        return Ok(());
    }
    let Some(object) = repo.store().get_limited(key, MAX_BYTES).await? else { return Ok(()) };
    let tagged: Tagged = serde_json::from_slice(&object.bytes)
        .map_err(|error| Error::corrupt("this list of tags cannot be read").caused_by(error))?;
    for (n, table) in tagged.tables.iter().enumerate() {
        let ended = repo.untag(table, &tag(operation, n)).await;
        run.handles.acted(ActionKind::Tag, outcome(&ended));
        ended?;
    }
    repo.store().delete(key).await
}

fn outcome<T>(ended: &Result<T>) -> ActionOutcome {
    ended.as_ref().err().map_or(ActionOutcome::Committed, ActionOutcome::of)
}
