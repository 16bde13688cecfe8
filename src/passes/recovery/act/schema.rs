//! What follows the publish of a schema change: contract files, datasets of tables that never came to be, the lock.
//!
//! None of these acts has a condition that the store could check, so all of them run under a window that a person opened.
//! Each is repeatable.

use super::{Handles, WINDOW_CLOSED};
use crate::error::{Error, Result};
use crate::model::Permit;
use crate::passes::recovery::decide::schema::SchemaWork;
use crate::passes::recovery::observation::ContractFile;
use crate::passes::recovery::observe::layout_file;
use crate::repo::Repository;
use crate::repo::branches::BranchRef;
use crate::store::ControlObject;

/// Carries the work out, in order; an error of kind [`crate::Kind::Moved`] says that the window closed before its end, or
/// that the lock is another one by now.
pub(super) async fn conclude(
    repo: &Repository,
    work: &SchemaWork,
    lock: Option<&BranchRef>,
    handles: &dyn Handles,
) -> Result<()> {
    for file in &work.promote {
        promote(repo, *file, permit(handles).await?).await?;
    }
    for file in &work.discard {
        discard(repo, *file, permit(handles).await?).await?;
    }
    for table in &work.remove_datasets {
        repo.remove_unregistered_dataset(table, work.made_before, permit(handles).await?).await?;
    }
    if work.unlock {
        repo.remove_schema_lock(lock, permit(handles).await?).await?;
    }
    Ok(())
}

async fn permit(handles: &dyn Handles) -> Result<Permit> {
    let permit = handles.permit().await?.filter(|permit| permit.window().covers_unguarded_acts());
    permit.ok_or_else(|| Error::moved(WINDOW_CLOSED))
}

fn staged(file: ContractFile) -> crate::store::Key {
    ControlObject::Schema { file: layout_file(file), staged: true }.key()
}

/// Copies the staged form over the final one, then deletes it. *Dies between*: both exist with the same bytes, and the next
/// pass does it again. *Already gone*: somebody else has promoted it.
async fn promote(repo: &Repository, file: ContractFile, permit: Permit) -> Result<()> {
    let store = repo.store();
    let Some(object) = store.get(&staged(file)).await? else { return Ok(()) };
    let last = ControlObject::Schema { file: layout_file(file), staged: false }.key();
    store.put(&last, object.bytes).await?;
    discard(repo, file, permit).await
}

/// Deletes the staged form. *Already gone*: fine.
async fn discard(repo: &Repository, file: ContractFile, _: Permit) -> Result<()> {
    repo.store().delete(&staged(file)).await
}
