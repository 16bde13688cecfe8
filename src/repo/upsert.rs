//! Rows merged into the manifest by `object_id`, without reading the manifest.
//!
//! Every publisher of the format merges by `object_id`, and finds the rows that it replaces by a join over all there are. We
//! know these rows already: the snapshot keeps the address of each row that may be replaced. So this makes the transaction
//! that such a merge makes: new rows in new fragments, replaced ones marked as deleted where they are, and a filter over the
//! ids. The filter makes a late publisher, who rebases onto this, notice an id that both insert. It covers replaced ids,
//! too: a false collision only makes somebody look again.

use super::rows::manifest_batch;
use super::snapshot::Snapshot;
use super::trouble::explain;
use crate::error::{Error, Result};
use crate::model::manifest::ManifestRow;
use lance::dataset::transaction::{Operation, Transaction, UpdateMode};
use lance::dataset::{InsertBuilder, WriteMode, WriteParams};
use lance_table::format::Fragment;
use lance_table::format::key_existence::{KeyExistenceFilter, KeyExistenceFilterBuilder, KeyValue};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Writes the rows' files and returns the transaction that shows them. *Dies before the commit*: unnamed files.
pub(super) async fn stage(base: &Snapshot, rows: &[ManifestRow]) -> Result<Transaction> {
    let (replaced, new_fragments) = futures::try_join!(without_replaced(base, rows), written(base, rows))?;
    let (updated_fragments, removed_fragment_ids) = replaced;
    let schema = base.dataset().schema();
    let operation = Operation::Update {
        removed_fragment_ids,
        updated_fragments,
        new_fragments,
        fields_modified: Vec::new(),
        compacted_sstables: Vec::new(),
        // Whole rows are rewritten, so an index over any field must not claim the new fragments.
        fields_for_preserving_frag_bitmap: schema.fields_pre_order().map(|field| field.id as u32).collect(),
        update_mode: Some(UpdateMode::RewriteRows),
        inserted_rows_filter: Some(filter(base, rows)?),
        updated_fragment_offsets: None,
    };
    Ok(Transaction::new(base.version.0, operation, None))
}

async fn written(base: &Snapshot, rows: &[ManifestRow]) -> Result<Vec<Fragment>> {
    let dataset = base.dataset();
    let schema = Arc::new(arrow::datatypes::Schema::from(dataset.schema()));
    let params = WriteParams { mode: WriteMode::Append, skip_auto_cleanup: true, ..Default::default() };
    let staged = InsertBuilder::new(Arc::new((**dataset).clone()))
        .with_params(&params)
        .execute_uncommitted(vec![manifest_batch(schema, rows)?])
        .await
        .map_err(|error| explain(error, format_args!("cannot publish on {}", base.branch)))?;
    match staged.operation {
        Operation::Append { fragments } => Ok(fragments),
        other => Err(Error::internal(format!("an append was staged as {other}"))),
    }
}

/// The fragments that hold replaced rows, with these marked as deleted; and those of which nothing is left.
async fn without_replaced(base: &Snapshot, rows: &[ManifestRow]) -> Result<(Vec<Fragment>, Vec<u64>)> {
    let failed = |error| explain(error, format_args!("cannot publish on {}", base.branch));
    let mut replaced: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for address in rows.iter().filter_map(|row| base.address_of(&row.object_id)) {
        replaced.entry(address >> 32).or_default().push(address as u32);
    }
    let (mut updated, mut removed) = (Vec::new(), Vec::new());
    for (id, offsets) in replaced {
        let fragment = base.dataset().get_fragment(id as usize);
        let fragment =
            fragment.ok_or_else(|| Error::internal(format!("no fragment {id} in the manifest")))?;
        match fragment.extend_deletions(offsets).await.map_err(failed)? {
            Some(fragment) => updated.push(fragment.metadata().clone()),
            None => removed.push(id),
        }
    }
    Ok((updated, removed))
}

fn filter(base: &Snapshot, rows: &[ManifestRow]) -> Result<KeyExistenceFilter> {
    let field = base.dataset().schema().field("object_id");
    let field = field.ok_or_else(|| Error::corrupt("the manifest has no column object_id"))?;
    let mut filter = KeyExistenceFilterBuilder::new(vec![field.id]);
    for row in rows {
        let inserted = filter.insert(KeyValue::String(row.object_id.clone()));
        inserted.map_err(|error| explain(error, "cannot make a filter over row ids"))?;
    }
    Ok(filter.build())
}
