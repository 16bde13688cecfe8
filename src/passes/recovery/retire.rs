//! Forgets closed fence records that cannot explain anything any more, and beats of writers that are gone.
//!
//! A closed record is read when a table drifts: it tells that the late commit is one of an operation that was undone. It is
//! kept for a week, and until the graph shows a version above the fence on every table that it names. Nothing is lost by
//! forgetting one too early: what its writer could still land then (an overwrite, the one commit that Lance lets pass a
//! restore) is held as unexplained instead of undone.
//!
//! *Order*: the record, then its closing. *Dies between*: a closing without a record, which is removed alone; the other
//! way round the record would be armed again.

use super::observe::{Found, fence_record};
use super::quarantine::note;
use super::run::Run;
use crate::error::Result;
use crate::model::fence::FencedTable;
use crate::model::{OperationId, Version};
use crate::passes::recovery::act::Turn;
use crate::passes::report::{ActionKind, ActionOutcome};
use crate::repo::{Repository, Snapshot};
use crate::store::ControlObject;
use std::sync::Arc;
use std::time::Duration;

/// How long a closed record is kept at least, by the store's clock.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Removes beats that stand still and belong to no record: of writers that died before they had written one, or whose record was
/// settled. *Its writer is alive after all*: it beats again.
pub(super) async fn retire_beats(repo: &Repository, run: &Run, found: &Found) -> Result<()> {
    let Some(now) = repo.store().now() else { return Ok(()) };
    for (operation, beat) in &found.beats {
        let pending = found.intents.iter().any(|intent| intent.sidecar.operation == *operation);
        let stands_still = now.since(beat.last_modified) >= run.policy.grace;
        if pending || !stands_still || run.dry || found.quarantined.contains(operation) {
            continue;
        }
        if run.handles.turn().await? != Turn::Ours {
            return Ok(());
        }
        repo.store().delete(&beat.key).await?;
        tracing::info!(%operation, "removed the beat of a writer that is gone");
    }
    Ok(())
}

/// Removes what is over. Snapshots are of every branch that could be read.
pub(super) async fn retire(
    repo: &Repository,
    run: &Run,
    found: &Found,
    snapshots: &[Arc<Snapshot>],
) -> Result<()> {
    let Some(now) = repo.store().now() else { return Ok(()) };
    let old = found.closed_fences.iter().filter(|(_, closed)| now.since(**closed) >= KEPT_FOR);
    for (operation, _) in old {
        if run.dry || note(repo, operation).await?.is_some() || !is_over(repo, operation, snapshots).await? {
            continue;
        }
        if run.handles.turn().await? != Turn::Ours {
            return Ok(());
        }
        repo.store().delete(&ControlObject::Fence(operation.clone()).key()).await?;
        repo.store().delete(&ControlObject::FenceClosed(operation.clone()).key()).await?;
        run.handles.acted(ActionKind::Fence, ActionOutcome::Committed);
        tracing::info!(%operation, "forgot a closed fence record");
    }
    Ok(())
}

/// A record that cannot be read is kept: a person may want to know.
async fn is_over(repo: &Repository, operation: &OperationId, snapshots: &[Arc<Snapshot>]) -> Result<bool> {
    let Some(record) = fence_record(repo, operation).await? else { return Ok(true) };
    let Ok(record) = record else { return Ok(false) };
    Ok(record.tables.iter().all(|table| is_passed(table, snapshots)))
}

/// Whether every branch that shows this lineage shows a version above the fence; none may be left that does.
fn is_passed(fenced: &FencedTable, snapshots: &[Arc<Snapshot>]) -> bool {
    let fence = fenced.seen_head.unwrap_or(Version::ABSENT).max(fenced.restore_to);
    let shown = snapshots.iter().filter_map(|at| at.state.entry(&fenced.table));
    shown.filter(|entry| entry.branch == fenced.branch).all(|entry| entry.version > fence.next())
}
