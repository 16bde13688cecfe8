//! Reads everything that the decisions about one repository need. No request here changes anything.
//!
//! What cannot be read in one scope becomes a value in that scope; only a store that does not answer ends the whole look.

pub mod drift;
mod evidence;
mod merge;
mod schema;
mod table;

pub use evidence::{Grace, Quiet};
pub(super) use schema::layout_file;
pub use schema::leftover;

use super::observation::{BranchSeen, Claim, Component, ContractFile, Origin, TableRef};
use crate::error::{Error, Kind, Result};
use crate::model::fence::{FenceRecord, MAX_FENCE_BYTES};
use crate::model::sidecar::{MAX_SIDECAR_BYTES, Sidecar, Unreadable};
use crate::model::{Branch, OperationId, StoreTime, Version};
use crate::passes::hint;
use crate::repo::branches::{self, BranchRef, SCHEMA_LOCK};
use crate::repo::tables::Table;
use crate::repo::{Dialect, Repository, Snapshot};
use crate::store::{ControlObject, ETag, Key, Meta};
use futures::{FutureExt, StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Reads of one look that may be under way at once.
const CONCURRENCY: usize = 16;

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
        let named = self.branches.keys().filter(|branch| branch.name() != Some(SCHEMA_LOCK)).cloned();
        std::iter::once(Branch::main()).chain(named)
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
    let dir = crate::store::layout::recovery_dir();
    // Branches second: one that was made meanwhile, with its first sidecar, must not look like one that is gone.
    let listed = store.list(&dir).await?;
    let branches = branches::list(store, crate::repo::snapshot::MANIFEST).await?;
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
pub(super) async fn fence_record(
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
    let listed = repo.store().list(&crate::store::layout::recovery_dir()).await?;
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
        let mut tables = lineages(&intent.sidecar);
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

fn lineages(sidecar: &Sidecar) -> BTreeSet<TableRef> {
    sidecar
        .tables()
        .map(|(table, branch)| TableRef { table: table.clone(), branch: branch.clone() })
        .collect()
}

/// A component and the snapshots it was judged against.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The facts.
    pub component: Component,
    /// By graph branch; a branch that is gone has none.
    pub snapshots: BTreeMap<Branch, Arc<Snapshot>>,
    /// The intents, in the component's order of claims.
    pub intents: Vec<Intent>,
    /// The lineages that could be opened, as they were judged: their versions need not be looked up again.
    pub tables: BTreeMap<TableRef, Table>,
    /// The graph's write lock as it was judged.
    pub lock: Option<BranchRef>,
    /// The branches of the manifest as they were listed.
    pub branches: BTreeMap<Branch, BranchRef>,
}

/// Observes one group against fresh snapshots of its graph branches.
pub async fn component(
    repo: &Repository,
    found: &Found,
    intents: Vec<Intent>,
    quiet: &Quiet<'_>,
) -> Result<Seen> {
    let mut snapshots = BTreeMap::new();
    let mut unusable = BTreeMap::new();
    let branches: BTreeSet<Branch> = intents.iter().map(|intent| intent.sidecar.branch.clone()).collect();
    for branch in branches {
        match usable_snapshot(repo, found, &branch).await {
            Ok(Some(snapshot)) => {
                snapshots.insert(branch, Arc::new(snapshot));
            }
            Ok(None) => {}
            Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::Refused) => {
                unusable.insert(branch, error.chain());
            }
            Err(error) => return Err(error),
        }
    }
    let component = Component { locked: found.is_locked(), ..Component::default() };
    let (lock, branches) = (found.lock().cloned(), found.branches.clone());
    let mut seen = Seen { component, snapshots, lock, branches, ..Seen::default() };
    read_tables(repo, &mut seen, &intents).await?;
    for intent in intents {
        let claim = claim(repo, found, &seen, &intent, &unusable, quiet).await?;
        seen.component.claims.push(claim);
        seen.intents.push(intent);
    }
    Ok(seen)
}

/// The branch's snapshot if it is listed and may be written; an error of kind `Corrupt` or `Refused` says why not.
async fn usable_snapshot(repo: &Repository, found: &Found, branch: &Branch) -> Result<Option<Snapshot>> {
    if !branch.is_main() && !found.branches.contains_key(branch) {
        return Ok(None);
    }
    let Some(snapshot) = repo.snapshot(branch).await? else {
        return Err(Error::corrupt(format!("branch {branch} is listed but has no versions")));
    };
    snapshot.writable()?;
    if snapshot.recognised.dialect == Dialect::GraphV3 && !repo.has_commit_branch(branch).await? {
        return Err(Error::corrupt(format!(
            "branch {branch} has no commit history (its creation died half-way); `outrigger repair branch --exclusive` removes it"
        )));
    }
    Ok(Some(snapshot))
}

async fn read_tables(repo: &Repository, seen: &mut Seen, intents: &[Intent]) -> Result<()> {
    let mut wanted: BTreeMap<TableRef, (Version, Arc<Snapshot>)> = BTreeMap::new();
    for intent in intents {
        let Some(snapshot) = seen.snapshots.get(&intent.sidecar.branch) else { continue };
        if snapshot.state.marker(&intent.sidecar.operation).is_some() {
            continue;
        }
        for pin in &intent.sidecar.pins {
            let at = TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
            let (floor, _) = wanted.entry(at).or_insert_with(|| (pin.expected, snapshot.clone()));
            *floor = pin.expected.min(*floor);
        }
    }
    let reads = futures::stream::iter(wanted).map(|(at, (floor, snapshot))| {
        async move {
            let found = table::lineage(repo, &snapshot, &at, floor).await?;
            Ok::<_, Error>((at, found))
        }
        .boxed()
    });
    let mut reads = reads.buffered(CONCURRENCY);
    while let Some((at, (found, table))) = reads.try_next().await? {
        seen.tables.extend(table.map(|table| (at.clone(), table)));
        seen.component.tables.insert(at, found);
    }
    Ok(())
}

async fn claim(
    repo: &Repository,
    found: &Found,
    seen: &Seen,
    intent: &Intent,
    unusable: &BTreeMap<Branch, String>,
    quiet: &Quiet<'_>,
) -> Result<Claim> {
    let sidecar = &intent.sidecar;
    let snapshot = seen.snapshots.get(&sidecar.branch);
    let branch = match (found.branches.get(&sidecar.branch), unusable.get(&sidecar.branch)) {
        (_, Some(why)) => BranchSeen::Unusable(why.clone()),
        (None, _) if !sidecar.branch.is_main() => BranchSeen::Gone,
        // Also younger than a fence record: whoever armed that has seen the branch that it is about.
        (Some(listed), _) if listed.stored_at > intent.stored_at => BranchSeen::Younger,
        _ if snapshot.is_none() => {
            BranchSeen::Unusable(format!("branch {} could not be read", sidecar.branch))
        }
        _ => BranchSeen::Live,
    };
    // The marker of an orphan lies on main: its own branch has no manifest to put it in.
    let marker = match &branch {
        BranchSeen::Gone | BranchSeen::Younger => repo
            .snapshot(&Branch::main())
            .await?
            .and_then(|main| main.state.marker(&sidecar.operation).cloned()),
        _ => snapshot.and_then(|snapshot| snapshot.state.marker(&sidecar.operation).cloned()),
    };
    let settled = marker.is_some();
    let mut claim = Claim {
        sidecar: sidecar.clone(),
        origin: intent.origin,
        branch,
        marker,
        quiet_for: None,
        merge: None,
        schema: None,
    };
    if claim.branch == BranchSeen::Live {
        claim.schema = schema::observe(repo, found, snapshot.map(|at| &**at), sidecar).await?;
    }
    if settled {
        return Ok(claim);
    }
    if let (Some(snapshot), BranchSeen::Live) = (snapshot, &claim.branch) {
        claim.merge = merge::observe(repo, found, snapshot, sidecar).await?;
    }
    claim.quiet_for = quiet.of(repo, intent, &seen.component).await?;
    Ok(claim)
}
