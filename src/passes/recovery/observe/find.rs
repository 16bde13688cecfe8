//! What one look at the control objects finds, before any table is read: intents, and who shares tables with whom.

use super::super::observation::{ContractFile, Origin, TableRef};
use super::{CONCURRENCY, schema};
use crate::error::{Kind, Result};
use crate::model::fence::{FenceRecord, MAX_FENCE_BYTES};
use crate::model::sidecar::{MAX_SIDECAR_BYTES, Sidecar, Unreadable};
use crate::model::{Branch, OperationId, StoreTime};
use crate::passes::hint;
use crate::repo::Repository;
use crate::repo::branches::{self, BranchRef};
use crate::repo::snapshot::MANIFEST;
use crate::store::layout::recovery_dir;
use crate::store::{ControlObject, ETag, Key, Meta};
use futures::{FutureExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet};

/// A sidecar that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjudged {
    /// Its name.
    pub key: Key,
    /// Why.
    pub reason: String,
    /// Whether the engines read it too, and then refuse every write.
    pub blocks_writers: bool,
}

/// A claim's file, with what identifies this state of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimFile {
    /// Its name.
    pub key: Key,
    /// Its state.
    pub etag: Option<ETag>,
    /// When the store took it.
    pub stored_at: StoreTime,
    /// Its text.
    pub text: String,
}

/// What one look at the control objects found, before any table is read.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Readable intents, oldest first.
    pub intents: Vec<Intent>,
    /// Sidecars that are held without being judged.
    pub unjudged: Vec<Unjudged>,
    /// Names of all control objects.
    names: BTreeSet<Key>,
    /// Branches of the manifest.
    pub branches: BTreeMap<Branch, BranchRef>,
    /// Fence records whose closing was seen, and when the store took that.
    pub closed_fences: BTreeMap<OperationId, StoreTime>,
    /// Contract files that have a staged form.
    pub staged: Vec<ContractFile>,
    /// When the youngest of them was stored.
    pub staged_at: Option<StoreTime>,
    /// Operations whose sidecars a person took aside: their tables are that person's business.
    pub quarantined: BTreeSet<OperationId>,
    /// Records that a person has put aside, whatever they are called.
    pub put_aside: Vec<Meta>,
    /// Operations for which pinned versions were tagged.
    pub tagged: BTreeSet<OperationId>,
}

/// A readable intent and where it was found.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The intent.
    pub sidecar: Sidecar,
    /// Sidecar or fence record.
    pub origin: Origin,
    /// The writer's own file, if it is still there.
    pub file: Option<ClaimFile>,
    /// When the store took the sidecar or, if that is gone, its fence record.
    pub stored_at: StoreTime,
    /// Whether an armed fence record of it exists.
    pub fenced: bool,
}

impl Found {
    async fn look_for_staged(&mut self, repo: &Repository) -> Result<()> {
        (self.staged, self.staged_at) = schema::staged_in(&repo.store().list_dir(None).await?);
        Ok(())
    }

    /// Records that a person has begun to put aside or back: as long as both names and the note are there, an undoing would
    /// leave no armed record.
    fn hold_half_moved(&mut self) {
        let half_moved = |intent: &Intent| {
            let operation = &intent.sidecar.operation;
            self.quarantined.contains(operation) && self.closed_fences.contains_key(operation)
        };
        let (half, whole) = std::mem::take(&mut self.intents).into_iter().partition(half_moved);
        self.intents = whole;
        let half: Vec<Intent> = half;
        self.unjudged.extend(half.into_iter().filter_map(|intent| intent.file).map(|file| {
            let again = |verb| hint::command(&["sidecars", verb, file.key.file_name()]);
            let (back, aside) = (again("restore"), again("quarantine"));
            let reason =
                format!("it lies in quarantine, too: moving it was interrupted; {back} or {aside} ends that");
            Unjudged { key: file.key, reason, blocks_writers: true }
        }));
    }

    /// The graph's write lock, if it is there.
    pub fn lock(&self) -> Option<&BranchRef> {
        self.branches.get(&branches::schema_lock())
    }

    /// Whether the graph's write lock is there.
    pub fn is_locked(&self) -> bool {
        self.lock().is_some()
    }

    /// Graph branches of people: main and every listed branch that is no lock.
    pub fn public_branches(&self) -> impl Iterator<Item = Branch> {
        branches::public(&self.branches)
    }
}

/// Lists the control objects and reads every intent: two lists, and one read for each intent. What lies staged at the root
/// is listed only if an intent is about it.
pub async fn find(repo: &Repository) -> Result<Found> {
    let mut found = find_claims(repo).await?;
    if found.intents.iter().any(|intent| schema::concerns(&intent.sidecar)) {
        found.look_for_staged(repo).await?;
    }
    Ok(found)
}

/// The same, and what lies staged at the root whatever the intents.
pub async fn find_all(repo: &Repository) -> Result<Found> {
    let mut found = find_claims(repo).await?;
    found.look_for_staged(repo).await?;
    Ok(found)
}

async fn find_claims(repo: &Repository) -> Result<Found> {
    let store = repo.store();
    // Branches second: one that was made meanwhile, with its first sidecar, must not look like one that is gone.
    let listed = store.list(&recovery_dir()).await?;
    let branches = branches::list(store, MANIFEST).await?;
    let names = listed.iter().map(|meta| meta.key.clone()).collect();
    let mut found = Found { branches, names, ..Default::default() };
    let mut sidecars = Vec::new();
    let mut fences = Vec::new();
    for meta in listed {
        match ControlObject::parse(&meta.key) {
            ControlObject::Sidecar(operation) => sidecars.push((operation, meta)),
            ControlObject::OddSidecar(_) => found.unjudged.push(Unjudged {
                key: meta.key,
                reason: "its name is not the id of an operation".into(),
                blocks_writers: true,
            }),
            ControlObject::Fence(operation) => fences.push((operation, meta)),
            ControlObject::FenceClosed(operation) => {
                found.closed_fences.insert(operation, meta.last_modified);
            }
            ControlObject::Quarantined(stem) => {
                found.quarantined.extend(OperationId::parse(stem.as_str()));
                found.put_aside.push(meta);
            }
            ControlObject::Tags(operation) => {
                found.tagged.insert(operation);
            }
            // Leases, windows, beats: not this pass's business.
            _ => {}
        }
    }
    read_sidecars(repo, &mut found, sidecars).await?;
    read_fences(repo, &mut found, fences).await?;
    found.hold_half_moved();
    found.intents.sort_by(|a, b| a.sidecar.operation.cmp(&b.sidecar.operation));
    Ok(found)
}

async fn read_sidecars(repo: &Repository, found: &mut Found, listed: Vec<(OperationId, Meta)>) -> Result<()> {
    let reads = futures::stream::iter(listed).map(|(operation, meta)| {
        async move {
            let read = repo.store().get_limited(&meta.key, MAX_SIDECAR_BYTES).await;
            (operation, meta, read)
        }
        .boxed()
    });
    let mut reads = reads.buffered(CONCURRENCY);
    while let Some((operation, meta, read)) = reads.next().await {
        let parsed = match read {
            // Its writer finished between the list and the read.
            Ok(None) => continue,
            Ok(Some(object)) => {
                Sidecar::parse(operation.as_str(), &object.bytes).map(|sidecar| (sidecar, object))
            }
            Err(error) if error.kind() == Kind::Corrupt => Err(Unreadable::TooLarge(meta.size)),
            Err(error) => return Err(error),
        };
        match parsed {
            Ok((sidecar, object)) => {
                let file = ClaimFile {
                    key: object.meta.key,
                    etag: object.meta.etag,
                    // As listed, like the branches' records that it is compared with: a GET tells whole seconds only.
                    stored_at: meta.last_modified,
                    text: String::from_utf8_lossy(&object.bytes).into_owned(),
                };
                found.intents.push(Intent {
                    sidecar,
                    origin: Origin::Sidecar,
                    stored_at: file.stored_at,
                    file: Some(file),
                    fenced: false,
                });
            }
            Err(why) => {
                found.unjudged.push(Unjudged {
                    key: meta.key,
                    reason: why.to_string(),
                    blocks_writers: true,
                });
            }
        }
    }
    Ok(())
}

/// A fence record, `None` if it is gone; or why it cannot be read.
pub(in crate::passes::recovery) async fn fence_record(
    repo: &Repository,
    operation: &OperationId,
) -> Result<Option<std::result::Result<FenceRecord, String>>> {
    let key = ControlObject::Fence(operation.clone()).key();
    match repo.store().get_limited(&key, MAX_FENCE_BYTES).await {
        Ok(None) => Ok(None),
        Ok(Some(object)) => {
            Ok(Some(serde_json::from_slice(&object.bytes).map_err(|error| error.to_string())))
        }
        Err(error) if error.kind() == Kind::Corrupt => Ok(Some(Err(error.chain()))),
        Err(error) => Err(error),
    }
}

/// Armed fence records: of an intent that is still there, or in its place.
async fn read_fences(repo: &Repository, found: &mut Found, listed: Vec<(OperationId, Meta)>) -> Result<()> {
    for (operation, meta) in listed {
        if found.closed_fences.contains_key(&operation) {
            continue;
        }
        if let Some(intent) = found.intents.iter_mut().find(|intent| intent.sidecar.operation == operation) {
            intent.fenced = true;
            continue;
        }
        let Some(record) = fence_record(repo, &operation).await? else { continue };
        let sidecar = record.and_then(|record| {
            Sidecar::parse(operation.as_str(), record.sidecar.as_bytes()).map_err(|why| why.to_string())
        });
        match sidecar {
            Ok(sidecar) => {
                found.intents.push(Intent {
                    sidecar,
                    origin: Origin::ArmedFence,
                    stored_at: meta.last_modified,
                    file: None,
                    fenced: true,
                });
            }
            Err(why) => found.unjudged.push(Unjudged {
                key: meta.key,
                reason: format!("this fence record cannot be read: {why}"),
                blocks_writers: false,
            }),
        }
    }
    Ok(())
}

/// Whether a writer has begun since, on a lineage that one of these intents names: what was read of their tables after the
/// listing may be its work. One list, unless somebody has begun.
pub async fn has_company(repo: &Repository, found: &Found, intents: &[Intent]) -> Result<bool> {
    let claims = |meta: &Meta| {
        matches!(ControlObject::parse(&meta.key), ControlObject::Sidecar(_) | ControlObject::OddSidecar(_))
    };
    let listed = repo.store().list(&recovery_dir()).await?;
    if !listed.iter().any(|meta| claims(meta) && !found.names.contains(&meta.key)) {
        return Ok(false);
    }
    let now = find(repo).await?;
    let ours = |intent: &Intent| intents.iter().any(|own| own.sidecar.operation == intent.sidecar.operation);
    let joined = group(&now.intents).into_iter().filter(|group| group.iter().any(ours));
    Ok(joined.flatten().any(|intent| !ours(&intent)))
}

/// Groups intents that share a lineage, directly or through others; each group is observed and settled apart.
pub fn group(intents: &[Intent]) -> Vec<Vec<Intent>> {
    let mut groups: Vec<(BTreeSet<TableRef>, Vec<Intent>)> = Vec::new();
    for intent in intents {
        let mut tables: BTreeSet<_> = lineages(&intent.sidecar).collect();
        let (joined, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(other, _)| !other.is_disjoint(&tables));
        let mut members = Vec::new();
        for (other, intents) in joined {
            tables.extend(other);
            members.extend(intents);
        }
        members.push(intent.clone());
        groups = apart;
        groups.push((tables, members));
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(_, members)| members).collect();
    for members in &mut groups {
        members.sort_by(|a, b| a.sidecar.operation.cmp(&b.sidecar.operation));
    }
    groups.sort_by(|a, b| a[0].sidecar.operation.cmp(&b[0].sidecar.operation));
    groups
}

/// Every lineage that an operation touches.
pub(super) fn lineages(sidecar: &Sidecar) -> impl Iterator<Item = TableRef> {
    sidecar.tables().map(|(table, branch)| TableRef { table: table.clone(), branch: branch.clone() })
}
