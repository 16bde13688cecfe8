//! The contract files around a schema change: which are staged, and whether staged and final together are one schema that
//! fits the tables.

use super::super::observation::{ContractFile, Origin, SchemaSeen};
use super::{Found, Intent};
use crate::error::{Error, Kind, Result};
use crate::model::contract::{Compiled, StateFile};
use crate::model::sidecar::{MAX_SIDECAR_BYTES, Sidecar, WriterKind};
use crate::model::{Branch, StoreTime, TableKey};
use crate::passes::recovery::decide::schema::{Leftover, Owner};
use crate::repo::{Repository, Snapshot};
use crate::store::layout::SchemaFile;
use crate::store::{ControlObject, Listing};
use std::collections::{BTreeMap, BTreeSet};

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

/// Largest contract file that is read, in bytes.
const MAX_CONTRACT_BYTES: u64 = 64 * 1024 * 1024;

/// Files that have a staged form, and when that was stored.
pub(super) type Staged = BTreeMap<ContractFile, StoreTime>;

const ALL: [ContractFile; 3] = [ContractFile::Source, ContractFile::Compiled, ContractFile::State];

/// The files that have a staged form, and when that was stored.
pub(super) fn staged_in(root: &Listing) -> Staged {
    let staged_form = |file: ContractFile| {
        let key = ControlObject::Schema { file: layout_file(file), staged: true }.key();
        root.objects.iter().find(|object| object.key == key).map(|object| (file, object.last_modified))
    };
    ALL.into_iter().filter_map(staged_form).collect()
}

/// Staged files or a lock that no sidecar explains.
pub async fn leftover(repo: &Repository, found: &Found) -> Result<Leftover> {
    let explained = found.intents.iter().any(|intent| concerns(&intent.sidecar));
    if explained || (found.staged.is_empty() && !found.is_locked()) {
        return Ok(Leftover::default());
    }
    // Only a set whose state is staged may be complete.
    let inconsistent = match found.staged.contains_key(&ContractFile::State) {
        false => None,
        true => match contract(repo, &found.staged).await? {
            Err(why) => Some(why),
            Ok(compiled) => misfit(repo, &compiled).await?,
        },
    };
    let seen = SchemaSeen {
        staged: found.staged.keys().copied().collect(),
        inconsistent,
        missing_datasets: Vec::new(),
        left_datasets: Vec::new(),
        made_before: None,
        written_since: None,
        published: false,
        locked: found.is_locked(),
    };
    let youngest = found.staged.values().max().copied();
    let quiet_for = repo.store().now().zip(youngest).map(|(now, stored)| now.since(stored));
    Ok(Leftover { seen, quiet_for, owner: possible_owner(repo, found).await? })
}

/// A record that may be the schema change's own, though it is not judged: one that cannot be read, or that a person has put
/// aside.
async fn possible_owner(repo: &Repository, found: &Found) -> Result<Option<Owner>> {
    if let Some(unjudged) = found.unjudged.first() {
        return Ok(Some(Owner { record: unjudged.key.to_string(), is_put_aside: false }));
    }
    for aside in &found.put_aside {
        let owner = || Some(Owner { record: aside.key.to_string(), is_put_aside: true });
        let read = repo.store().get_limited(&aside.key, MAX_SIDECAR_BYTES).await;
        let text = match read {
            Ok(None) => continue,
            Ok(Some(object)) => object.bytes,
            Err(error) if error.kind() == Kind::Corrupt => return Ok(owner()),
            Err(error) => return Err(error),
        };
        let ControlObject::Quarantined(stem) = ControlObject::parse(&aside.key) else { continue };
        if Sidecar::parse(stem.as_str(), &text).map_or(true, |sidecar| concerns(&sidecar)) {
            return Ok(owner());
        }
    }
    Ok(None)
}

/// Why a schema is not that of the tables which main shows, if it is not: told by their names and their columns.
async fn misfit(repo: &Repository, compiled: &Compiled) -> Result<Option<String>> {
    let Some(main) = repo.snapshot(&Branch::main()).await? else {
        return Ok(Some("the graph cannot be read".into()));
    };
    let live: BTreeSet<_> = main.state.entries().map(|(key, _)| key).collect();
    if compiled.tables.keys().collect::<BTreeSet<_>>() != live {
        return Ok(Some("it names other tables than the graph has".into()));
    }
    for (key, entry) in main.state.entries() {
        match repo.shown_columns(key, entry).await {
            Ok(columns) if compiled.tables.get(key) == Some(&columns) => {}
            Ok(_) => return Ok(Some(format!("it declares other columns for {key} than the graph shows"))),
            Err(error) if error.is_local() => return Ok(Some(error.chain())),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// `None` unless the claim is a schema change.
///
/// Files and lock do not say whose they are. While the sidecar is there no other schema change begins. Once a record has taken
/// its place one may: what is younger than the record is that one's, and if its own record is there, so is all that it names,
/// whatever a clock says of its age.
///
/// # Errors
/// What cannot be read is an error that is local to this claim ([`Error::is_local`]): unknown is not incomplete.
pub(super) async fn observe(
    repo: &Repository,
    found: &Found,
    snapshot: Option<&Snapshot>,
    intent: &Intent,
) -> Result<Option<SchemaSeen>> {
    let sidecar = &intent.sidecar;
    if !concerns(sidecar) {
        return Ok(None);
    }
    let made_before = (intent.origin != Origin::Sidecar).then_some(intent.stored_at);
    let others = found.intents.iter().map(|intent| &intent.sidecar);
    let others: Vec<&Sidecar> =
        others.filter(|other| concerns(other) && other.operation != sidecar.operation).collect();
    if let (Some(other), None) = (others.first(), made_before) {
        return Err(Error::refused(format!(
            "whose the staged schema files are cannot be told before schema change {} is settled, or one of the two is put aside",
            other.operation
        )));
    }
    let may_be_its =
        |stored: StoreTime| others.is_empty() && made_before.is_none_or(|record| stored <= record);
    let mut staged = found.staged.clone();
    staged.retain(|_, stored| may_be_its(*stored));
    let (mut missing_datasets, mut left_datasets) = (Vec::new(), Vec::new());
    for new in &sidecar.registrations {
        let is_anothers = others.iter().any(|other| other.tables().any(|(table, _)| *table == new.table));
        if !is_anothers && repo.has_files(&new.table, made_before).await? {
            left_datasets.push(new.table.clone());
        }
        if !repo.dataset_exists(&new.table).await? {
            missing_datasets.push(new.table.clone());
        }
    }
    let inconsistent = inconsistency(repo, &staged, sidecar).await?;
    Ok(Some(SchemaSeen {
        staged: staged.into_keys().collect(),
        inconsistent,
        missing_datasets,
        left_datasets,
        made_before,
        written_since: snapshot.and_then(|shown| written_since(shown, sidecar)),
        published: snapshot.is_some_and(|shown| is_published(shown, sidecar)),
        locked: found.lock().is_some_and(|lock| may_be_its(lock.stored_at)),
    }))
}

/// Tables come and go in the same publish, so one of them tells of all.
fn is_published(shown: &Snapshot, sidecar: &Sidecar) -> bool {
    let is_shown = |table: &TableKey| shown.state.entry(table).is_some();
    sidecar.registrations.iter().any(|new| is_shown(&new.table))
        || sidecar.tombstones.iter().any(|dropped| !is_shown(&dropped.table))
}

/// A table that the change drops and that the graph shows at another version than the change has read.
fn written_since(shown: &Snapshot, sidecar: &Sidecar) -> Option<TableKey> {
    let moved = sidecar.tombstones.iter().find(|dropped| {
        shown.state.entry(&dropped.table).is_some_and(|entry| entry.version.next() != dropped.version)
    })?;
    Some(moved.table.clone())
}

/// Why staged and final files together are not the schema that this change makes, if they are not.
async fn inconsistency(repo: &Repository, staged: &Staged, sidecar: &Sidecar) -> Result<Option<String>> {
    match contract(repo, staged).await? {
        Err(why) => Ok(Some(why)),
        Ok(compiled) => fit(repo, sidecar, &compiled).await,
    }
}

/// The schema that staged files make where there are any, else final ones; or why they are none.
async fn contract(repo: &Repository, staged: &Staged) -> Result<std::result::Result<Compiled, String>> {
    let store = repo.store();
    let read = async |file: ContractFile| -> Result<Option<bytes::Bytes>> {
        let staged = staged.contains_key(&file);
        let key = ControlObject::Schema { file: layout_file(file), staged }.key();
        Ok(store.get_limited(&key, MAX_CONTRACT_BYTES).await?.map(|object| object.bytes))
    };
    if read(ContractFile::Source).await?.is_none() {
        return Ok(Err("the schema's source is missing".into()));
    }
    let (Some(compiled), Some(state)) =
        (read(ContractFile::Compiled).await?, read(ContractFile::State).await?)
    else {
        return Ok(Err("a contract file is missing".into()));
    };
    Ok(Compiled::parse(&compiled).and_then(|compiled| {
        let state = StateFile::parse(&state)?;
        let belongs = compiled.hash == state.schema_ir_hash;
        belongs
            .then_some(compiled)
            .ok_or_else(|| "the compiled schema and its recorded hash do not belong together".into())
    }))
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
