//! Crash states that no failpoint reaches: made from a wreck (or a sound graph) by raw Lance calls and object calls.

mod sidecar;
mod table;

use anyhow::{Context, Result};

use crate::layout;
use crate::root::Root;

pub use sidecar::SidecarEdit;

/// A name that sorts before every sidecar made today.
const FIRST_NAME: &str = "00000000000000000000000001";

#[derive(Debug, Clone)]
pub enum Surgery {
    /// Takes a table's newest commit back, as if the process had died just before it.
    Uncommit { table: &'static str, branch: Option<&'static str> },
    /// Restores a table's head to its pin without publishing: a recovery died after its restore.
    RestoreToPin { table: &'static str, branch: Option<&'static str> },
    /// Restores a table's head to an older version than its pin, without publishing.
    RestoreBelowPin { table: &'static str, branch: Option<&'static str> },
    /// Removes a table's branch, its record and its tree, as if the fork had not been made yet.
    DropFork { table: &'static str, branch: &'static str },
    /// Removes only the record of a table's branch, so that its tree is a zombie.
    DropForkRecord { table: &'static str, branch: &'static str },
    /// Removes a branch of a dataset that is no table, its record and its tree.
    DropBranch { dataset: &'static str, branch: &'static str },
    /// Removes only the record of such a branch.
    DropBranchRecord { dataset: &'static str, branch: &'static str },
    /// Removes these contract files' staged form, as if they had not been written yet.
    Unstage { files: &'static [&'static str] },
    /// Renames these contract files' staged form to the final name, as a schema apply does one by one.
    Promote { files: &'static [&'static str] },
    /// Changes the only sidecar.
    Sidecar(SidecarEdit),
    /// Puts an object beside the sidecars, with a name that sorts before them.
    Poison { bytes: &'static [u8] },
    /// Somebody else's plain Lance append of one row.
    ForeignAppend { table: &'static str, branch: Option<&'static str>, id: &'static str },
    /// Somebody else's plain Lance update, which sets a column of all rows to nothing.
    ForeignUpdate { table: &'static str, column: &'static str },
    /// Somebody else's plain Lance delete of one row.
    ForeignDelete { table: &'static str, id: &'static str },
    /// Somebody else's plain Lance overwrite with one row.
    ForeignOverwrite { table: &'static str, id: &'static str },
    /// Somebody else's plain Lance compaction.
    ForeignCompaction { table: &'static str },
    /// Somebody else's plain Lance delete that matches no row.
    ForeignEmptyDelete { table: &'static str },
    /// Drops a table's index, so that there is index work to do.
    DropIndex { table: &'static str, branch: Option<&'static str>, index: &'static str },
}

impl Surgery {
    pub async fn operate(&self, root: &Root) -> Result<()> {
        self.act(root).await.with_context(|| format!("surgery {self:?}"))
    }

    async fn act(&self, root: &Root) -> Result<()> {
        match self {
            Self::Uncommit { table, branch } => table::uncommit(root, table, *branch).await,
            Self::RestoreToPin { table, branch } => table::restore(root, table, *branch, 0).await,
            Self::RestoreBelowPin { table, branch } => table::restore(root, table, *branch, 1).await,
            Self::DropFork { table, branch } => drop_branch(root, &layout::table_path(table), branch).await,
            Self::DropForkRecord { table, branch } => {
                drop_record(root, &layout::table_path(table), branch).await
            }
            Self::DropBranch { dataset, branch } => drop_branch(root, dataset, branch).await,
            Self::DropBranchRecord { dataset, branch } => drop_record(root, dataset, branch).await,
            Self::Unstage { files } => {
                for file in *files {
                    root.delete(&layout::staged(file)).await?;
                }
                Ok(())
            }
            Self::Promote { files } => {
                for file in *files {
                    root.rename(&layout::staged(file), file).await?;
                }
                Ok(())
            }
            Self::Sidecar(edit) => edit.apply(root).await,
            Self::Poison { bytes } => {
                root.put(&format!("{}/{FIRST_NAME}.json", layout::RECOVERY_DIR), bytes.to_vec()).await
            }
            Self::ForeignAppend { table, branch, id } => table::append(root, table, *branch, id).await,
            Self::ForeignUpdate { table, column } => table::clear(root, table, column).await,
            Self::ForeignDelete { table, id } => table::delete(root, table, &format!("id = '{id}'")).await,
            Self::ForeignOverwrite { table, id } => table::overwrite(root, table, id).await,
            Self::ForeignCompaction { table } => table::compact(root, table).await,
            Self::ForeignEmptyDelete { table } => table::delete(root, table, "false").await,
            Self::DropIndex { table, branch, index } => table::drop_index(root, table, *branch, index).await,
        }
    }
}

async fn drop_branch(root: &Root, dataset: &str, branch: &str) -> Result<()> {
    drop_record(root, dataset, branch).await?;
    root.delete_all(&layout::dataset_path(dataset, Some(branch))).await?;
    Ok(())
}

async fn drop_record(root: &Root, dataset: &str, branch: &str) -> Result<()> {
    root.delete(&layout::branch_ref(dataset, branch)).await
}
