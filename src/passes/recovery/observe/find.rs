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
    /// All control objects, each with its state: what [`company`] looks for changes of.
    records: Records,
    /// Branches of the manifest.
    pub branches: BTreeMap<Branch, BranchRef>,
    /// Fence records whose closing was seen, and when the store took that.
    pub closed_fences: BTreeMap<OperationId, StoreTime>,
    /// Contract files that have a staged form, and when that was stored.
    pub staged: BTreeMap<ContractFile, StoreTime>,
    /// Operations whose sidecars a person took aside: their tables are that person's business.
    pub quarantined: BTreeSet<OperationId>,
    /// Records that a person has put aside, whatever they are called.
    pub put_aside: Vec<Meta>,
    /// Operations for which pinned versions were tagged.
    pub tagged: BTreeSet<OperationId>,
    /// Beats of native writers.
    pub beats: BTreeMap<OperationId, Meta>,
}

/// Names and states of control objects.
type Records = BTreeMap<Key, Option<ETag>>;

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
    /// Why nothing is done about it, if a person is at work on it.
    pub held: Option<String>,
}

impl Intent {
    /// One that its own writer remembers after a recovery has ended it.
    pub(in crate::passes::recovery) fn remembered(sidecar: Sidecar) -> Self {
        let stored_at = StoreTime(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        Self { sidecar, origin: Origin::ClosedFence, file: None, stored_at, fenced: true, held: None }
    }
}

impl Found {
    async fn look_for_staged(&mut self, repo: &Repository) -> Result<()> {
        self.staged = schema::staged_in(&repo.store().list_dir(None).await?);
        Ok(())
    }

    /// Records that a person has begun to put aside or back: as long as both names and the note are there, an undoing would
    /// leave no armed record. They stay claims on their tables, for others are judged beside them.
    fn hold_half_moved(&mut self) {
        for intent in &mut self.intents {
            let operation = &intent.sidecar.operation;
            if self.quarantined.contains(operation) && self.closed_fences.contains_key(operation) {
                let again = |verb| hint::command(&["sidecars", verb, operation.as_str()]);
                let (back, aside) = (again("restore"), again("quarantine"));
                let why = "it lies in quarantine, too: moving it was interrupted";
                intent.held = Some(format!("{why}; {back} or {aside} ends that"));
            }
        }
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
    let mut found = Found { branches, records: records(&listed), ..Default::default() };
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
            ControlObject::Beat(operation) => {
                found.beats.insert(operation, meta);
            }
            // Leases, windows, the gate: not this pass's business.
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
                let parsed = parsed(repo, &operation, &object.bytes);
                parsed.map(|sidecar| (sidecar, object)).map_err(|why| why.to_string())
            }
            Err(error) if error.kind() == Kind::Corrupt => Err(Unreadable::TooLarge(meta.size).to_string()),
            // One that we may not read may claim any table: nothing can be judged beside it.
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
                    held: None,
                });
            }
            Err(why) => {
                found.unjudged.push(Unjudged { key: meta.key, reason: why, blocks_writers: true });
            }
        }
    }
    Ok(())
}

/// A sidecar's text, read by the rules of this repository.
pub(in crate::passes::recovery) fn parsed(
    repo: &Repository,
    operation: &OperationId,
    text: &[u8],
) -> std::result::Result<Sidecar, Unreadable> {
    let names_commits = repo.recognised().dialect.names_commits();
    Sidecar::parse(operation.as_str(), text).map(|sidecar| Sidecar { names_commits, ..sidecar })
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
            parsed(repo, &operation, record.sidecar.as_bytes()).map_err(|why| why.to_string())
        });
        match sidecar {
            Ok(sidecar) => {
                found.intents.push(Intent {
                    sidecar,
                    origin: Origin::ArmedFence,
                    stored_at: meta.last_modified,
                    file: None,
                    fenced: true,
                    held: None,
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

fn records(listed: &[Meta]) -> Records {
    listed.iter().map(|meta| (meta.key.clone(), meta.etag.clone())).collect()
}

impl Found {
    /// Whether a record that is there now may tell of something that was not known at this look: an operation that began or
    /// changed, or, of one of `ours`, that somebody else is undoing it or putting it aside.
    fn is_news(&self, key: &Key, state: &Option<ETag>, ours: &BTreeSet<&OperationId>) -> bool {
        if self.records.get(key) == Some(state) {
            return false;
        }
        match ControlObject::parse(key) {
            ControlObject::Sidecar(_) | ControlObject::OddSidecar(_) => true,
            // In the place of a sidecar that was not there yet.
            ControlObject::Fence(operation) => {
                let is_known = self.intents.iter().any(|intent| intent.sidecar.operation == operation);
                !is_known || ours.contains(&operation)
            }
            ControlObject::FenceClosed(operation) => ours.contains(&operation),
            ControlObject::Quarantined(stem) => {
                ours.iter().any(|operation| operation.as_str() == stem.as_str())
            }
            _ => false,
        }
    }
}

/// What is found now, if that is news. One list, unless it is.
async fn found_since(
    repo: &Repository,
    found: &Found,
    ours: &BTreeSet<&OperationId>,
) -> Result<Option<Found>> {
    let now = records(&repo.store().list(&recovery_dir()).await?);
    let gone = ours.iter().any(|operation| {
        let key = ControlObject::Sidecar((*operation).clone()).key();
        found.records.contains_key(&key) && !now.contains_key(&key)
    });
    let has_news = gone || now.iter().any(|(key, state)| found.is_news(key, state, ours));
    if has_news { find(repo).await.map(Some) } else { Ok(None) }
}

/// What is found now, if it changes the judgement of these intents: a record that shares a lineage with them has come since, or
/// one of theirs has changed or gone. What was read of tables after the listing may be the work of it.
pub async fn company(repo: &Repository, found: &Found, intents: &[Intent]) -> Result<Option<Found>> {
    let ours = intents.iter().map(|intent| &intent.sidecar.operation).collect();
    let Some(now) = found_since(repo, found, &ours).await? else { return Ok(None) };
    let state = |intent: &Intent| {
        let etag = intent.file.as_ref().and_then(|file| file.etag.clone());
        (intent.sidecar.operation.clone(), etag, intent.fenced, intent.held.clone())
    };
    let joined = group(&now.intents).into_iter();
    let joined = joined.filter(|group| group.iter().any(|intent| ours.contains(&intent.sidecar.operation)));
    let joined: BTreeSet<_> = joined.flatten().map(|intent| state(&intent)).collect();
    let is_same = joined == intents.iter().map(state).collect();
    Ok((!is_same).then_some(now))
}

/// Whether a record has come since that explains what none did.
pub async fn is_explained_since(
    repo: &Repository,
    found: &Found,
    explains: impl Fn(&Sidecar) -> bool,
) -> Result<bool> {
    let now = found_since(repo, found, &BTreeSet::new()).await?;
    Ok(now.is_some_and(|now| now.intents.iter().any(|intent| explains(&intent.sidecar))))
}

/// The lineages of operations that have begun since.
pub async fn begun_since(repo: &Repository, found: &Found) -> Result<BTreeSet<TableRef>> {
    let Some(now) = found_since(repo, found, &BTreeSet::new()).await? else { return Ok(BTreeSet::new()) };
    let known: BTreeSet<_> = found.intents.iter().map(|intent| &intent.sidecar.operation).collect();
    let new = now.intents.iter().filter(|intent| !known.contains(&intent.sidecar.operation));
    Ok(new.flat_map(|intent| lineages(&intent.sidecar)).collect())
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
pub(in crate::passes::recovery) fn lineages(sidecar: &Sidecar) -> impl Iterator<Item = TableRef> {
    sidecar.tables().map(|(table, branch)| TableRef { table: table.clone(), branch: branch.clone() })
}
