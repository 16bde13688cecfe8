//! Branches of a dataset: Lance's records under `_refs/branches/`, with the store's own stamp on each.

use crate::error::{Error, Result};
use crate::model::{Branch, BranchIdentity, StoreTime, Version};
use crate::store::{ETag, Key, Meta, Store};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The branch of the manifest that an OmniGraph schema change holds as the graph's write lock.
pub const SCHEMA_LOCK: &str = "__schema_apply_lock__";

/// That branch.
pub fn schema_lock() -> Branch {
    Branch::parse(Some(SCHEMA_LOCK)).expect("a constant name is a branch")
}

/// Its record on the manifest.
pub fn schema_lock_record() -> Key {
    let name = format!("{}/_refs/branches/{SCHEMA_LOCK}.json", super::snapshot::MANIFEST);
    Key::parse(&name).expect("a constant name is a key")
}

/// A branch's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchRef {
    /// The branch.
    pub branch: Branch,
    /// When the record was stored, by the store's clock.
    pub stored_at: StoreTime,
    /// The record's state in the store: its identity while it is listed.
    pub etag: Option<ETag>,
    /// The record's name.
    pub key: Key,
    /// Marks of those who are about to remove it: see [`super::branching`].
    pub closing: Vec<Mark>,
}

/// A mark beside a branch's record: nobody commits on the branch, and none is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whose it is: no two marks have the same.
    pub nonce: String,
    /// When it was stored, by the store's clock.
    pub stored_at: StoreTime,
}

/// What the record says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BranchRecord {
    /// The branch it was forked from; null is the main line.
    #[serde(default)]
    pub parent_branch: Option<String>,
    /// The version it was forked at.
    pub parent_version: u64,
    /// The writer's clock, seconds since the epoch.
    #[serde(default)]
    pub create_at: u64,
    /// Which of the branches of that name it is.
    #[serde(default, deserialize_with = "identity")]
    pub identifier: BranchIdentity,
}

/// Lance wraps the list once more.
fn identity<'de, D: serde::Deserializer<'de>>(record: D) -> Result<BranchIdentity, D::Error> {
    #[derive(Deserialize)]
    struct Identifier {
        version_mapping: BranchIdentity,
    }
    Identifier::deserialize(record).map(|identifier| identifier.version_mapping)
}

impl BranchRecord {
    /// Branch and version that the fork started from.
    pub fn origin(&self) -> Result<(Branch, Version)> {
        let parent =
            Branch::parse(self.parent_branch.as_deref()).map_err(|bad| Error::corrupt(bad.to_string()))?;
        Ok((parent, Version(self.parent_version)))
    }
}

fn refs_dir(dataset: &str) -> Result<Key> {
    Key::parse(&format!("{dataset}/_refs/branches")).map_err(|bad| Error::internal(bad.to_string()))
}

/// Every named branch of a dataset, one request. Records under names that are no branch names are skipped: Lance would
/// not open them either.
pub async fn list(store: &Store, dataset: &str) -> Result<BTreeMap<Branch, BranchRef>> {
    let (mut known, marks) = list_with_marks(store, dataset).await?;
    for (branch, mark) in marks {
        if let Some(closed) = known.get_mut(&branch) {
            closed.closing.push(mark);
        }
    }
    Ok(known)
}

/// The same apart from all marks, also those of branches that are not there.
pub(super) async fn list_with_marks(
    store: &Store,
    dataset: &str,
) -> Result<(BTreeMap<Branch, BranchRef>, Vec<(Branch, Mark)>)> {
    let (mut known, mut marks) = (BTreeMap::new(), Vec::new());
    for object in store.list(&refs_dir(dataset)?).await? {
        let Meta { key, etag, last_modified, .. } = object;
        if let Some(branch) = branch_in(key.file_name(), RECORD) {
            let stored_at = last_modified;
            known.insert(branch.clone(), BranchRef { branch, stored_at, etag, key, closing: Vec::new() });
        } else if let Some((branch, nonce)) = mark_in(key.file_name()) {
            marks.push((branch, Mark { nonce, stored_at: last_modified }));
        }
    }
    Ok((known, marks))
}

/// Branch and nonce of a mark: `<branch>.<nonce>.closing`.
fn mark_in(file: &str) -> Option<(Branch, String)> {
    let (branch, nonce) = file.strip_suffix(CLOSING)?.rsplit_once('.')?;
    Some((branch_in(branch, "")?, nonce.to_owned()))
}

/// The names of named branches.
pub(super) fn names(listed: &BTreeMap<Branch, BranchRef>) -> Vec<String> {
    listed.keys().filter_map(|branch| branch.name().map(str::to_owned)).collect()
}

/// Graph branches of people: main and every listed branch that is no lock.
pub fn public(listed: &BTreeMap<Branch, BranchRef>) -> impl Iterator<Item = Branch> {
    let named = listed.keys().filter(|branch| branch.name() != Some(SCHEMA_LOCK)).cloned();
    std::iter::once(Branch::main()).chain(named)
}

/// How the names of records end.
pub(super) const RECORD: &str = ".json";

/// How the names of marks end that lie beside them: Lance lists records only.
pub(super) const CLOSING: &str = ".closing";

/// The branch that a file name stands for. A `/` is stored as `%2F`, and stores may encode that `%` once more.
fn branch_in(file: &str, end: &str) -> Option<Branch> {
    let name = file.strip_suffix(end)?.replace("%25", "%").replace("%2F", "/").replace("%2f", "/");
    Branch::parse(Some(&name)).ok()
}

/// A branch's record, `None` if it is not listed.
pub async fn record(store: &Store, dataset: &str, branch: &Branch) -> Result<Option<BranchRecord>> {
    match list(store, dataset).await?.remove(branch) {
        Some(found) => read(store, &found).await,
        None => Ok(None),
    }
}

/// What a listed record says; `None` if it is gone.
pub async fn read(store: &Store, listed: &BranchRef) -> Result<Option<BranchRecord>> {
    let Some(object) = store.get(&listed.key).await? else { return Ok(None) };
    serde_json::from_slice(&object.bytes).map(Some).map_err(|error| {
        Error::corrupt(format!("the record of a branch, {}, cannot be read", listed.key)).caused_by(error)
    })
}
