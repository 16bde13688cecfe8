//! The contract files around a schema change: which are staged, and whether staged and final together are one schema that
//! fits the tables.

use super::super::observation::{ContractFile, SchemaSeen};
use super::Found;
use crate::error::Result;
use crate::model::TableKey;
use crate::model::contract::{Compiled, StateFile};
use crate::model::sidecar::{Sidecar, WriterKind};
use crate::repo::Repository;
use crate::store::layout::SchemaFile;
use crate::store::{ControlObject, Store};

/// Whether contract files matter for this claim.
pub(super) fn concerns(sidecar: &Sidecar) -> bool {
    sidecar.kind == WriterKind::SchemaApply
}

/// Our name for one of the layout's files.
pub(in crate::passes::recovery) fn layout_file(file: ContractFile) -> SchemaFile {
    match file {
        ContractFile::Source => SchemaFile::Source,
        ContractFile::Compiled => SchemaFile::Ir,
        ContractFile::State => SchemaFile::State,
    }
}

const ALL: [ContractFile; 3] = [ContractFile::Source, ContractFile::Compiled, ContractFile::State];

/// The files that have a staged form.
pub(super) async fn staged_files(store: &Store) -> Result<Vec<ContractFile>> {
    let mut staged = Vec::new();
    for file in ALL {
        let key = ControlObject::Schema { file: layout_file(file), staged: true }.key();
        if store.head(&key).await?.is_some() {
            staged.push(file);
        }
    }
    Ok(staged)
}

/// `None` unless the claim is a schema change.
pub(super) async fn observe(
    repo: &Repository,
    found: &Found,
    sidecar: &Sidecar,
) -> Result<Option<SchemaSeen>> {
    if !concerns(sidecar) {
        return Ok(None);
    }
    let mut missing_datasets = Vec::new();
    for new in &sidecar.registrations {
        if !repo.dataset_exists(&new.table).await? {
            missing_datasets.push(new.table.clone());
        }
    }
    let inconsistent = inconsistency(repo, found, sidecar).await?;
    Ok(Some(SchemaSeen {
        staged: found.staged.clone(),
        inconsistent,
        missing_datasets,
        locked: found.is_locked(),
    }))
}

/// Why staged and final files together are not the schema that this change makes, if they are not.
async fn inconsistency(repo: &Repository, found: &Found, sidecar: &Sidecar) -> Result<Option<String>> {
    let store = repo.store();
    let read = async |file: ContractFile| -> Result<Option<bytes::Bytes>> {
        let staged = found.staged.contains(&file);
        let key = ControlObject::Schema { file: layout_file(file), staged }.key();
        Ok(store.get_limited(&key, 64 * 1024 * 1024).await?.map(|object| object.bytes))
    };
    if read(ContractFile::Source).await?.is_none() {
        return Ok(Some("the schema's source is missing".into()));
    }
    let (Some(compiled), Some(state)) =
        (read(ContractFile::Compiled).await?, read(ContractFile::State).await?)
    else {
        return Ok(Some("a contract file is missing".into()));
    };
    let (compiled, state) = match (Compiled::parse(&compiled), StateFile::parse(&state)) {
        (Ok(compiled), Ok(state)) => (compiled, state),
        (Err(why), _) | (_, Err(why)) => return Ok(Some(why)),
    };
    if compiled.hash != state.schema_ir_hash {
        return Ok(Some("the compiled schema and its recorded hash do not belong together".into()));
    }
    fit(repo, sidecar, &compiled).await
}

/// Why the compiled schema is not the one that this change makes, if it is not: told by the tables it names and, for
/// rewritten ones, by their columns.
async fn fit(repo: &Repository, sidecar: &Sidecar, compiled: &Compiled) -> Result<Option<String>> {
    let names = |table: &TableKey| compiled.tables.contains_key(table);
    if let Some(new) = sidecar.registrations.iter().find(|new| !names(&new.table)) {
        return Ok(Some(format!("the contract files do not know {} yet", new.table)));
    }
    if let Some(dropped) = sidecar.tombstones.iter().find(|dropped| names(&dropped.table)) {
        return Ok(Some(format!("the contract files still know {}", dropped.table)));
    }
    for pin in &sidecar.pins {
        let Some(columns) = compiled.tables.get(&pin.table) else {
            return Ok(Some(format!("the contract files do not know {}", pin.table)));
        };
        let Some(table) = repo.table(&pin.table, &pin.branch).await? else { continue };
        if table.columns() != *columns {
            return Ok(Some(format!(
                "the contract files declare other columns for {} than its newest version has",
                pin.table
            )));
        }
    }
    Ok(None)
}
