//! What follows the publish of a schema change: contract files, datasets of tables that never came to be, the lock.
//!
//! None of these acts has a condition that the store could check, so all of them run under a window that a person opened.
//! Each is repeatable.

use super::Handles;
use crate::error::Result;
use crate::passes::recovery::decide::schema::SchemaWork;
use crate::passes::recovery::observation::ContractFile;
use crate::passes::recovery::observe::layout_file;
use crate::repo::Repository;
use crate::store::ControlObject;

/// Carries the work out, in order.
pub(super) async fn conclude(repo: &Repository, work: &SchemaWork, handles: &dyn Handles) -> Result<()> {
    for file in &work.promote {
        promote(repo, *file).await?;
    }
    for file in &work.discard {
        repo.store().delete(&staged(*file)).await?;
    }
    for table in &work.remove_datasets {
        repo.remove_unregistered_dataset(table).await?;
    }
    if work.unlock && handles.window_is_open() {
        repo.remove_schema_lock().await?;
    }
    Ok(())
}

fn staged(file: ContractFile) -> crate::store::Key {
    ControlObject::Schema { file: layout_file(file), staged: true }.key()
}

/// Copies the staged form over the final one, then deletes it. *Dies between*: both exist with the same bytes, and the next
/// pass does it again. *Already gone*: somebody else has promoted it.
async fn promote(repo: &Repository, file: ContractFile) -> Result<()> {
    let store = repo.store();
    let Some(object) = store.get(&staged(file)).await? else { return Ok(()) };
    let last = ControlObject::Schema { file: layout_file(file), staged: false }.key();
    store.put(&last, object.bytes).await?;
    store.delete(&staged(file)).await
}
