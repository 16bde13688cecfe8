//! `__manifest`: the rows that pin every table, how they reduce to a snapshot, and which rows a publish adds
//! (source: docs/formats.md, "Manifest").
//!
//! Everything here is pure: [`ManifestState`] absorbs rows in any batches, [`ManifestState::rows_for`] turns a
//! [`Publish`] into the rows to merge or says why it must not.

use super::audit::Verdict;
use super::ids::{Branch, OperationId, TableKey, Version};
use super::time::Timestamp;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// `object_id` of a marker is this and the operation's id.
const MARKER_PREFIX: &str = "outrigger:recovery:";
/// `object_type` of a marker; both engines skip kinds they do not know.
const MARKER_TYPE: &str = "outrigger_recovery";
/// `object_id` of a merged commit is this and the commit's id.
const MERGED_PREFIX: &str = "outrigger:merged:";
/// `object_type` of a merged commit.
const MERGED_TYPE: &str = "outrigger_merged";

/// One row, columns as stored (`base_objects` is always null and left out).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ManifestRow {
    /// Primary key; the row-level compare-and-swap is on this.
    pub object_id: String,
    /// Row kind: `table`, `table_version`, `table_tombstone`, `graph_commit`, `graph_head`, `outrigger_recovery`, ….
    pub object_type: String,
    /// `table` rows: root-relative dataset path.
    pub location: Option<String>,
    /// JSON text; its shape depends on the kind.
    pub metadata: Option<String>,
    /// The table, empty on rows that are about no table.
    pub table_key: String,
    /// A Lance version of the table, or of the manifest on `graph_commit` rows.
    pub table_version: Option<u64>,
    /// Null on the main line.
    pub table_branch: Option<String>,
    /// `table_version` rows: rows at that version.
    pub row_count: Option<u64>,
}

/// What the manifest shows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// P: the version that readers open.
    pub version: Version,
    /// The Lance branch of the table that holds it.
    pub branch: Branch,
    /// Rows at that version.
    pub row_count: u64,
    /// The stored JSON about the version's manifest file; carried along, never trusted.
    pub metadata: String,
}

/// The JSON about a version's manifest file that a `table_version` row carries. Readers use the tag only, as part of a
/// cache key; nulls are written, not left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionMetadata {
    /// Path in the store, without a leading `/`.
    pub manifest_path: String,
    /// Bytes.
    pub manifest_size: Option<u64>,
    /// The store's tag.
    pub e_tag: Option<String>,
    /// Lance's name of the scheme, `V2`.
    pub naming_scheme: Option<String>,
}

impl VersionMetadata {
    /// Compact JSON, fields in the order of declaration.
    pub fn to_json(&self) -> String {
        json_text(self)
    }
}

/// A commit of the graph's history.
///
/// ```
/// use outrigger::model::manifest::{GraphCommit, head_of};
///
/// let commit = |id: &str, version, parent: Option<&str>| -> GraphCommit {
///     let (branch, parent) = (outrigger::model::Branch::main(), parent.map(str::to_owned));
///     let manifest_version = outrigger::model::Version(version);
///     GraphCommit { id: id.into(), branch, manifest_version, parent, merged_parent: None, created_at: 0, actor: None }
/// };
/// let history = [commit("a", 1, None), commit("b", 2, Some("a"))];
/// assert_eq!(head_of(&history).map(|head| head.id.as_str()), Some("b"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphCommit {
    /// ULID.
    pub id: String,
    /// The graph branch it was made on.
    #[serde(serialize_with = "super::ids::spelt")]
    pub branch: Branch,
    /// Version of `__manifest` on that branch.
    pub manifest_version: Version,
    /// First parent.
    pub parent: Option<String>,
    /// Merges: the head of the merged branch.
    pub merged_parent: Option<String>,
    /// Writer's clock, microseconds since the epoch.
    pub created_at: i64,
    /// Who asked for it, where the row says so.
    pub actor: Option<String>,
}

/// The head of a history: the greatest (manifest version, time, id); there is no pointer.
pub fn head_of<'a>(commits: impl IntoIterator<Item = &'a GraphCommit>) -> Option<&'a GraphCommit> {
    commits.into_iter().max_by_key(|commit| (commit.manifest_version, commit.created_at, &commit.id))
}

/// The commit point of a recovery: a row that only one recoverer can insert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// What was decided.
    pub verdict: Verdict,
    /// The recovery's commit in the graph's history; the audit row joins on it.
    pub graph_commit_id: String,
    /// The version of `__manifest` that carries the marker: its publish is fenced to it.
    pub manifest_version: Version,
    /// Merges: the head of the merged branch, second parent of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_parent: Option<String>,
    /// Microseconds since the epoch, the recoverer's clock; the audit row carries the same.
    pub created_at: i64,
    /// What happened to each table.
    pub outcomes: Vec<super::audit::TableOutcome>,
}

/// A stored row that breaks the format. The branch that shows it is refused whole: its pins cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("manifest row {object_id:?}: {fault}")]
pub struct BrokenRow {
    /// The row's key.
    pub object_id: String,
    /// What is wrong.
    pub fault: String,
}

/// Everything that the rows of one manifest branch say, reduced.
///
/// What grows with the history is shared between a state and its copies, so a look that finds one row more costs the same
/// after many publishes as after few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestState {
    locations: BTreeMap<TableKey, String>,
    latest: BTreeMap<TableKey, Entry>,
    tombstones: BTreeMap<TableKey, Version>,
    markers: RedBlackTreeMapSync<OperationId, Marker>,
    commits: RedBlackTreeMapSync<String, GraphCommit>,
    merged: RedBlackTreeMapSync<String, GraphCommit>,
    /// Id of the newest commit.
    head: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct CommitJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_commit_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merged_parent_commit_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    created_at: i64,
}

#[derive(Serialize)]
struct HeadJson<'a> {
    head_commit_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_commit_id: Option<String>,
}

impl ManifestState {
    /// Adds rows. Order does not matter between different rows; of two forms of one row the later absorbed counts.
    pub fn absorb(&mut self, rows: impl IntoIterator<Item = ManifestRow>) -> Result<(), BrokenRow> {
        rows.into_iter().try_for_each(|row| {
            let id = row.object_id.clone();
            self.absorb_row(row)
                .map_err(|fault| BrokenRow { object_id: id.chars().take(200).collect(), fault })
        })
    }

    fn absorb_row(&mut self, row: ManifestRow) -> Result<(), String> {
        match row.object_type.as_str() {
            "table" => {
                let location = row.location.ok_or("a table without a location")?;
                self.locations.insert(key(&row.table_key)?, location);
            }
            "table_version" => self.absorb_version(row)?,
            "table_tombstone" => {
                let dropped = Version(row.table_version.ok_or("a tombstone without a version")?);
                let known = self.tombstones.entry(key(&row.table_key)?).or_default();
                *known = dropped.max(*known);
            }
            "graph_commit" => self.absorb_commit(commit_from(row)?),
            MERGED_TYPE => {
                let id =
                    row.object_id.strip_prefix(MERGED_PREFIX).ok_or("a merged commit under a foreign id")?;
                let id = id.to_owned();
                self.merged.insert_mut(id.clone(), commit_from(ManifestRow { object_id: id, ..row })?);
            }
            MARKER_TYPE => {
                let operation =
                    row.object_id.strip_prefix(MARKER_PREFIX).ok_or("a marker under a foreign id")?;
                let operation = OperationId::parse(operation).map_err(|bad| bad.to_string())?;
                let text = row.metadata.ok_or("a marker without metadata")?;
                let marker = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                self.markers.insert_mut(operation, marker);
            }
            // Kinds of a later or another program: skipped by every reader of this format.
            _ => {}
        }
        Ok(())
    }

    fn absorb_version(&mut self, row: ManifestRow) -> Result<(), String> {
        let entry = Entry {
            version: Version(row.table_version.ok_or("a table version without a version")?),
            branch: Branch::parse(row.table_branch.as_deref()).map_err(|bad| bad.to_string())?,
            row_count: row.row_count.ok_or("a table version without a row count")?,
            metadata: row.metadata.ok_or("a table version without metadata")?,
        };
        let key = key(&row.table_key)?;
        if self.latest.get(&key).is_none_or(|known| entry.version >= known.version) {
            self.latest.insert(key, entry);
        }
        Ok(())
    }

    fn absorb_commit(&mut self, commit: GraphCommit) {
        let is_head = self.head.as_ref() == Some(&commit.id);
        let newest = head_of(self.head().into_iter().chain([&commit])).map(|head| head.id.clone());
        self.commits.insert_mut(commit.id.clone(), commit);
        self.head = match is_head {
            true => head_of(self.commits.values()).map(|head| head.id.clone()),
            false => newest,
        };
    }

    /// To be asked once all rows are absorbed: every version row has its table row.
    pub fn check(&self) -> Result<(), BrokenRow> {
        match self.latest.keys().find(|key| !self.locations.contains_key(*key)) {
            None => Ok(()),
            Some(key) => Err(BrokenRow {
                object_id: key.to_string(),
                fault: "versions of a table that is not registered".into(),
            }),
        }
    }

    /// The live entry of a table: absent if never published or dropped since.
    pub fn entry(&self, key: &TableKey) -> Option<&Entry> {
        let entry = self.latest.get(key)?;
        (self.dropped(key) < entry.version).then_some(entry)
    }

    /// Every live table.
    pub fn entries(&self) -> impl Iterator<Item = (&TableKey, &Entry)> {
        self.latest.iter().filter(|(key, entry)| self.dropped(key) < entry.version)
    }

    /// Whether the key has a `table` row, live or dropped.
    pub fn is_registered(&self, key: &TableKey) -> bool {
        self.locations.contains_key(key)
    }

    /// Every key that has a `table` row, live or dropped.
    pub fn registered(&self) -> impl Iterator<Item = &TableKey> {
        self.locations.keys()
    }

    fn dropped(&self, key: &TableKey) -> Version {
        self.tombstones.get(key).copied().unwrap_or_default()
    }

    /// What a publish's expectation is compared with: the live version, else the highest tombstone, else 0.
    pub fn actual(&self, key: &TableKey) -> Version {
        self.entry(key).map_or_else(|| self.dropped(key), |entry| entry.version)
    }

    /// The recovery that has already ended this operation, if any.
    pub fn marker(&self, operation: &OperationId) -> Option<&Marker> {
        self.markers.get(operation)
    }

    /// The newest commit in this manifest, as [`head_of`] tells it.
    pub fn head(&self) -> Option<&GraphCommit> {
        self.commits.get(self.head.as_ref()?)
    }

    /// Commits in this manifest (graph-v4; empty on graph-v3, whose history lies in a dataset of its own).
    pub fn commits(&self) -> impl Iterator<Item = &GraphCommit> {
        self.commits.values()
    }

    /// Those, and all commits of other branches from which merges came (native): what led to the newest commit is all here, also when
    /// a branch that was merged is deleted. A commit that is only here may not be readable any more.
    pub fn history(&self) -> impl Iterator<Item = &GraphCommit> {
        self.commits.values().chain(self.merged.values())
    }

    /// A commit in this manifest, as of [`commits`](Self::commits), by its id.
    pub fn commit(&self, id: &str) -> Option<&GraphCommit> {
        self.commits.get(id)
    }

    /// A commit of the [`history`](Self::history), by its id.
    pub fn known(&self, id: &str) -> Option<&GraphCommit> {
        self.commit(id).or_else(|| self.merged.get(id))
    }
}

fn key(text: &str) -> Result<TableKey, String> {
    TableKey::parse(text).map_err(|bad| bad.to_string())
}

fn commit_from(row: ManifestRow) -> Result<GraphCommit, String> {
    let text = row.metadata.ok_or("a commit without metadata")?;
    let json: CommitJson = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(GraphCommit {
        id: row.object_id,
        branch: Branch::parse(row.table_branch.as_deref()).map_err(|bad| bad.to_string())?,
        manifest_version: Version(row.table_version.ok_or("a commit without a manifest version")?),
        parent: json.parent_commit_id,
        merged_parent: json.merged_parent_commit_id,
        created_at: json.created_at,
        actor: json.actor_id,
    })
}

/// One change of what the manifest shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Name a table that was not there. Skipped if it is registered at the same place.
    Register {
        /// The new key.
        table: TableKey,
        /// Root-relative dataset path.
        location: String,
    },
    /// Show a version of a table; also fills history that nobody shall publish any more.
    Show {
        /// The table.
        table: TableKey,
        /// Version, branch, rows and metadata.
        entry: Entry,
    },
    /// Drop a table.
    Drop {
        /// The table.
        table: TableKey,
        /// The version under which the drop is recorded.
        version: Version,
    },
}

/// A recovery's commit, minted once before the first attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitIntent {
    /// ULID of the commit.
    pub id: String,
    /// Who is recorded as its author.
    pub actor: Option<String>,
    /// Merges: the head of the merged branch.
    pub merged_parent: Option<String>,
    /// The recoverer's clock.
    pub created_at: Timestamp,
}

/// One compare-and-swap of the manifest: changes, and what must still be shown for them to be right.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Publish {
    /// Changes in order.
    pub changes: Vec<Change>,
    /// What the writer of each change believed to be shown; anything else means *look again*.
    pub expected: BTreeMap<TableKey, Version>,
    /// The operations that this publish settles.
    pub markers: BTreeMap<OperationId, Marker>,
    /// Commits to record, each the parent of the next.
    pub commits: Vec<CommitIntent>,
    /// Commits of other branches that are about to be merged (native).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<GraphCommit>,
    /// The writer's own operation: a recovery that has settled it meanwhile was first.
    pub unsettled: Option<OperationId>,
}

impl Publish {
    /// Shows a table that has no row yet, as far as its writer knows: `expected` is what would be shown of it then.
    pub fn add(&mut self, table: &TableKey, location: String, entry: Entry, expected: Version) {
        self.expected.insert(table.clone(), expected);
        self.changes.push(Change::Register { table: table.clone(), location });
        self.changes.push(Change::Show { table: table.clone(), entry });
    }
}

/// Why a publish must not be attempted on the state that was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody published in between.
    #[error("{table} is shown at version {actual}, not at {expected}")]
    ExpectedVersionMismatch {
        /// The table.
        table: TableKey,
        /// What was believed.
        expected: Version,
        /// What is shown.
        actual: Version,
    },
    /// A recoverer has already settled this operation.
    #[error("operation {0} is already settled")]
    AlreadySettled(OperationId),
    /// A version would be shown of a table that has no `table` row.
    #[error("{0} is not registered")]
    NotRegistered(TableKey),
    /// The key is registered at another place.
    #[error("{table} is registered at {known:?}")]
    RegisteredElsewhere {
        /// The table.
        table: TableKey,
        /// Where it is registered.
        known: String,
    },
    /// A version that is not above what is shown or dropped: (table, version) may stand for one content only, and what
    /// lies below is not seen.
    #[error("version {version} of {table} is not above what is shown")]
    NotAbove {
        /// The table.
        table: TableKey,
        /// The version.
        version: Version,
    },
    /// A row that may be written only once is in the publish twice, or is a commit that is recorded already, made here or merged.
    #[error("row {0:?} would be written twice")]
    WrittenTwice(String),
}

impl ManifestState {
    /// The rows that carry out `publish` on this state, which was read at `read_version` of the manifest of `branch`.
    ///
    /// `inline_lineage` (graph-v4) adds commit and head rows; elsewhere commits are appended to their own dataset.
    pub fn rows_for(
        &self,
        publish: &Publish,
        branch: &Branch,
        read_version: Version,
        inline_lineage: bool,
    ) -> Result<Vec<ManifestRow>, Refusal> {
        let mut settles = publish.markers.keys().chain(&publish.unsettled);
        if let Some(settled) = settles.find(|operation| self.markers.contains_key(operation)) {
            return Err(Refusal::AlreadySettled(settled.clone()));
        }
        for (table, expected) in &publish.expected {
            let actual = self.actual(table);
            if actual != *expected {
                return Err(Refusal::ExpectedVersionMismatch {
                    table: table.clone(),
                    expected: *expected,
                    actual,
                });
            }
        }
        let mut rows = Vec::new();
        for change in &publish.changes {
            rows.extend(self.row_for(change, publish)?);
        }
        let made = read_version.next();
        let marked = |(operation, marker): (_, &Marker)| {
            marker_row(operation, &Marker { manifest_version: made, ..marker.clone() })
        };
        rows.extend(publish.markers.iter().map(marked));
        if inline_lineage {
            rows.extend(self.lineage_rows(&publish.commits, branch, made));
            rows.extend(publish.history.iter().map(merged_row));
        }
        let mut ids = BTreeSet::new();
        let mut written = rows.iter().map(|row| &row.object_id);
        let is_known = |id: &str| self.known(id.strip_prefix(MERGED_PREFIX).unwrap_or(id)).is_some();
        match written.find(|id| !ids.insert(*id) || is_known(id)) {
            Some(twice) => Err(Refusal::WrittenTwice(twice.clone())),
            None => Ok(rows),
        }
    }

    fn row_for(&self, change: &Change, publish: &Publish) -> Result<Option<ManifestRow>, Refusal> {
        match change {
            Change::Register { table, location } => match self.locations.get(table) {
                Some(known) if known != location => {
                    Err(Refusal::RegisteredElsewhere { table: table.clone(), known: known.clone() })
                }
                Some(_) => Ok(None),
                None => Ok(Some(row(table.to_string(), "table", table, |row| {
                    row.location = Some(location.clone())
                }))),
            },
            Change::Show { table, entry } => {
                let registers =
                    |change: &Change| matches!(change, Change::Register { table: new, .. } if new == table);
                if !self.is_registered(table) && !publish.changes.iter().any(registers) {
                    return Err(Refusal::NotRegistered(table.clone()));
                }
                if entry.version <= self.newest(table) && !self.is_handoff(table, entry) {
                    return Err(Refusal::NotAbove { table: table.clone(), version: entry.version });
                }
                Ok(Some(version_row(table, entry)))
            }
            Change::Drop { table, .. } if !self.is_registered(table) => {
                Err(Refusal::NotRegistered(table.clone()))
            }
            Change::Drop { table, version } if *version <= self.newest(table) => {
                Err(Refusal::NotAbove { table: table.clone(), version: *version })
            }
            Change::Drop { table, version } => {
                let id = format!("{table}$tombstone${:020}", version.0);
                Ok(Some(row(id, "table_tombstone", table, |row| row.table_version = Some(version.0))))
            }
        }
    }

    /// The greatest version that was ever shown or dropped.
    fn newest(&self, table: &TableKey) -> Version {
        let shown = self.latest.get(table).map(|entry| entry.version);
        shown.unwrap_or_default().max(self.dropped(table))
    }

    /// The first version on a fresh fork has the number of its source: the row is handed over in place.
    fn is_handoff(&self, table: &TableKey, entry: &Entry) -> bool {
        self.entry(table).is_some_and(|known| {
            known.version == entry.version
                && known.branch != entry.branch
                && known.row_count == entry.row_count
        })
    }

    /// A row for each commit, and for the last one the head of the branch; commits carry the branch, the head is named by it.
    fn lineage_rows(&self, commits: &[CommitIntent], branch: &Branch, made: Version) -> Vec<ManifestRow> {
        let mut parent = self.head.clone();
        let mut rows = Vec::new();
        let mut head = None;
        for commit in commits {
            let made = GraphCommit {
                id: commit.id.clone(),
                branch: branch.clone(),
                manifest_version: made,
                parent: parent.clone(),
                merged_parent: commit.merged_parent.clone(),
                created_at: commit.created_at.as_micros(),
                actor: commit.actor.clone(),
            };
            rows.push(commit_row(commit.id.clone(), "graph_commit", &made));
            head = Some(HeadJson { head_commit_id: &commit.id, parent_commit_id: parent.take() });
            parent = Some(commit.id.clone());
        }
        rows.extend(head.map(|head| ManifestRow {
            object_id: format!("graph_head:{branch}"),
            object_type: "graph_head".into(),
            metadata: Some(json_text(&head)),
            ..Default::default()
        }));
        rows
    }
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs of strings and numbers serialise")
}

fn row(id: String, object_type: &str, table: &TableKey, fill: impl FnOnce(&mut ManifestRow)) -> ManifestRow {
    let mut row = ManifestRow {
        object_id: id,
        object_type: object_type.into(),
        table_key: table.to_string(),
        ..Default::default()
    };
    fill(&mut row);
    row
}

fn version_row(table: &TableKey, entry: &Entry) -> ManifestRow {
    row(format!("{table}${:020}", entry.version.0), "table_version", table, |row| {
        row.metadata = Some(entry.metadata.clone());
        row.table_version = Some(entry.version.0);
        row.table_branch = entry.branch.name().map(str::to_owned);
        row.row_count = Some(entry.row_count);
    })
}

/// The inverse of [`commit_from`].
fn commit_row(object_id: String, object_type: &str, commit: &GraphCommit) -> ManifestRow {
    let json = CommitJson {
        parent_commit_id: commit.parent.clone(),
        merged_parent_commit_id: commit.merged_parent.clone(),
        actor_id: commit.actor.clone(),
        created_at: commit.created_at,
    };
    ManifestRow {
        object_id,
        object_type: object_type.into(),
        metadata: Some(json_text(&json)),
        table_version: Some(commit.manifest_version.0),
        table_branch: commit.branch.name().map(str::to_owned),
        ..Default::default()
    }
}

fn merged_row(commit: &GraphCommit) -> ManifestRow {
    commit_row(format!("{MERGED_PREFIX}{}", commit.id), MERGED_TYPE, commit)
}

fn marker_row(operation: &OperationId, marker: &Marker) -> ManifestRow {
    ManifestRow {
        object_id: format!("{MARKER_PREFIX}{operation}"),
        object_type: MARKER_TYPE.into(),
        metadata: Some(json_text(marker)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
