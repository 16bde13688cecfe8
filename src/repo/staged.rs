//! Changes of one table, staged as files and landed as one commit.
//!
//! Everything is written where the commit will be: below the lineage on which it lands, also if that is a fork that does not exist
//! yet. So nothing is left to do after the crash record but to commit.

use super::Repository;
use super::create::FILE_VERSION;
use super::dataset::{Committed, commit_next};
use super::tables::Table;
use super::trouble::explain;
use crate::error::{Error, Result};
use crate::model::table_path::branch_path;
use crate::model::{Branch, Version};
use crate::store::Key;
use arrow::array::{RecordBatch, RecordBatchIterator};
use arrow::datatypes::Schema;
use lance::dataset::fragment::write::FragmentCreateBuilder;
use lance::dataset::transaction::{Operation, Transaction, UpdateMode};
use lance::dataset::{WriteMode, WriteParams};
use lance_table::format::{DeletionFile, Fragment};
use lance_table::io::deletion::write_deletion_file;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is to become of a table's rows, relative to the version that it was read at.
#[derive(Debug, Clone, Default)]
pub struct RowChange {
    /// Rows that go: offsets by fragment. Meaningless if all are replaced.
    pub hidden: BTreeMap<u64, Vec<u32>>,
    /// Rows that come, in the table's own schema.
    pub added: Vec<RecordBatch>,
    /// Whether all rows of the version that was read go.
    pub replaces_all: bool,
}

/// A change whose files are written.
#[derive(Debug, Clone)]
pub struct Staged {
    read_version: Version,
    added: Vec<Fragment>,
    /// By fragment: its deletions, or `None` if no row of it is left.
    deletions: BTreeMap<u64, Option<DeletionFile>>,
    replaces_all: bool,
}

impl Repository {
    /// Writes the files of a change of `base`, for a commit on `branch`. *Dies after it*: files that no version names.
    pub async fn stage(&self, base: &Table, branch: &Branch, change: &RowChange) -> Result<Staged> {
        let dataset = super::tables::dataset_path(&base.key)?;
        let lineage =
            Key::parse(&branch_path(&dataset, branch)).map_err(|bad| Error::corrupt(bad.to_string()))?;
        let added = self.write_rows(base, &lineage, &change.added).await?;
        let deletions = match change.replaces_all {
            true => BTreeMap::new(),
            false => self.write_deletions(base, &lineage, &change.hidden).await?,
        };
        Ok(Staged { read_version: base.head(), added, deletions, replaces_all: change.replaces_all })
    }

    async fn write_rows(&self, base: &Table, lineage: &Key, rows: &[RecordBatch]) -> Result<Vec<Fragment>> {
        if rows.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(Vec::new());
        }
        let dataset = base.dataset();
        let params = WriteParams {
            mode: WriteMode::Append,
            skip_auto_cleanup: true,
            data_storage_version: Some(FILE_VERSION),
            session: Some(self.store.session()),
            ..WriteParams::default()
        };
        let schema = Arc::new(Schema::from(dataset.schema()));
        let owned: Vec<RecordBatch> = rows.to_vec();
        let source = RecordBatchIterator::new(owned.into_iter().map(Ok), schema);
        let uri = self.store.dataset_uri(lineage);
        let written = FragmentCreateBuilder::new(&uri)
            .schema(dataset.schema())
            .write_params(&params)
            .write_fragments(source)
            .await;
        written.map_err(|error| explain(error, format_args!("cannot write rows of {}", base.key)))
    }

    async fn write_deletions(
        &self,
        base: &Table,
        lineage: &Key,
        hidden: &BTreeMap<u64, Vec<u32>>,
    ) -> Result<BTreeMap<u64, Option<DeletionFile>>> {
        let failed = |error| explain(error, format_args!("cannot delete rows of {}", base.key));
        let dataset = base.dataset();
        let io = self.store.for_lance().await?;
        let mut written = BTreeMap::new();
        for (id, offsets) in hidden.iter().filter(|(_, offsets)| !offsets.is_empty()) {
            let fragment = dataset.get_fragment(*id as usize);
            let fragment =
                fragment.ok_or_else(|| Error::internal(format!("{} has no fragment {id}", base.key)))?;
            let known = fragment.get_deletion_vector().await.map_err(failed)?;
            let mut deleted = known.map(|known| known.as_ref().clone()).unwrap_or_default();
            deleted.extend(offsets.iter().copied());
            let all = fragment.physical_rows().await.map_err(failed)?;
            let file = match deleted.len() == all {
                true => None,
                false => {
                    let at = self.store.uri().path(lineage);
                    write_deletion_file(&at, *id, base.head().0, &deleted, &io).await.map_err(failed)?
                }
            };
            written.insert(*id, file);
        }
        Ok(written)
    }

    /// Commits a staged change as exactly the version after the one that it was staged on; `on` is the lineage at that version.
    ///
    /// *Dies before*: files that no version names. *Dies after, or the answer is lost*: the version is there and names the
    /// operation. *Somebody committed first*: refused, and nothing of theirs is hidden.
    pub async fn land(&self, on: &Table, staged: Staged, operation: &str) -> Result<Landed> {
        if on.head() != staged.read_version {
            return Ok(Landed::Moved(Error::moved(format!(
                "{} is at version {}, not at {}",
                on.key,
                on.head(),
                staged.read_version
            ))));
        }
        let transaction = Transaction::new(staged.read_version.0, staged.operation(on)?, None);
        match commit_next(on.dataset(), transaction, operation).await? {
            Committed::Yes(made) => Ok(Landed::Yes(Box::new(on.at_version(*made)))),
            Committed::Conflict(error) => Ok(Landed::Moved(error)),
            Committed::Unknown(error) => Err(error),
        }
    }
}

/// How the commit of a staged change ended.
#[derive(Debug)]
pub enum Landed {
    /// It is there, and this handle shows it.
    Yes(Box<Table>),
    /// Somebody else has committed first. Nothing of ours is there.
    Moved(Error),
}

impl Staged {
    /// As one transaction: what Lance itself would make of it, if it is of one kind; else rows that go and rows that come.
    fn operation(self, on: &Table) -> Result<Operation> {
        let schema = on.dataset().schema();
        if self.replaces_all {
            return Ok(Operation::Overwrite {
                fragments: self.added,
                schema: schema.clone(),
                config_upsert_values: None,
                initial_bases: None,
            });
        }
        let (mut updated, mut removed) = (Vec::new(), Vec::new());
        for (id, file) in self.deletions {
            let fragment = on.dataset().fragments().iter().find(|fragment| fragment.id == id);
            let fragment =
                fragment.ok_or_else(|| Error::internal(format!("{} has no fragment {id}", on.key)))?;
            match file {
                Some(file) => updated.push(Fragment { deletion_file: Some(file), ..fragment.clone() }),
                None => removed.push(id),
            }
        }
        Ok(match (updated.is_empty() && removed.is_empty(), self.added.is_empty()) {
            (true, _) => Operation::Append { fragments: self.added },
            (false, true) => Operation::Delete {
                updated_fragments: updated,
                deleted_fragment_ids: removed,
                predicate: String::new(),
            },
            (false, false) => Operation::Update {
                removed_fragment_ids: removed,
                updated_fragments: updated,
                new_fragments: self.added,
                fields_modified: Vec::new(),
                compacted_sstables: Vec::new(),
                // Whole rows are rewritten, so an index over any field must not claim the new fragments.
                fields_for_preserving_frag_bitmap: schema
                    .fields_pre_order()
                    .map(|field| field.id as u32)
                    .collect(),
                update_mode: Some(UpdateMode::RewriteRows),
                inserted_rows_filter: None,
                updated_fragment_offsets: None,
            },
        })
    }
}
