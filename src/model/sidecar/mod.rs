//! A writer's crash record: `__recovery/<operation id>.json`, written before its first table commit and removed after its
//! publish (source: docs/formats.md, "Sidecars").
//!
//! One file per format version reads that version's JSON into the one [`Sidecar`] that the rest of the code knows. What
//! cannot be read is a value, [`Unreadable`], never an error that stops the others: such a sidecar is held and named.

mod v1;
mod v2;

use super::ids::{BadName, Branch, BranchIdentity, OperationId, TableKey, Version};
use super::table_path::table_path;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Largest sidecar that is read, in bytes. A sidecar holds a few hundred bytes per table; 4 MiB is some ten thousand
/// tables, and a bound on what one hostile object may cost.
pub const MAX_SIDECAR_BYTES: u64 = 4 * 1024 * 1024;

/// What the writer was doing. Names as stored (`writer_kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WriterKind {
    /// A query that inserts, updates or deletes rows.
    Mutation,
    /// A bulk load.
    Load,
    /// A change of the graph's schema.
    SchemaApply,
    /// A merge of one graph branch into another.
    BranchMerge,
    /// Building missing indexes.
    EnsureIndices,
    /// Compaction and index upkeep of one table.
    Optimize,
}

impl WriterKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::Mutation,
        Self::Load,
        Self::SchemaApply,
        Self::BranchMerge,
        Self::EnsureIndices,
        Self::Optimize,
    ];

    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutation => "Mutation",
            Self::Load => "Load",
            Self::SchemaApply => "SchemaApply",
            Self::BranchMerge => "BranchMerge",
            Self::EnsureIndices => "EnsureIndices",
            Self::Optimize => "Optimize",
        }
    }

    /// Whether all that this kind commits leaves every row as it was.
    pub fn is_maintenance(self) -> bool {
        matches!(self, Self::EnsureIndices | Self::Optimize)
    }
}

/// One table that the operation moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The table's key in the manifest.
    pub table: TableKey,
    /// Where the writer said the table lies. Evidence only: paths are derived from the key.
    pub recorded_path: String,
    /// E: the version that the manifest showed when the writer began.
    pub expected: Version,
    /// The version that the writer promised to reach (`expected` + 1, or the last inline delete).
    pub post_commit: Version,
    /// Merges from format 2 on: the head after all of the merge's commits, recorded once they had all landed.
    pub confirmed: Option<Version>,
    /// The Lance branch on which the commit lands.
    pub branch: Branch,
}

/// A table that a schema change creates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The new table's key.
    pub table: TableKey,
    /// Its path relative to the graph's root, as recorded.
    pub recorded_path: String,
    /// The Lance branch that holds it.
    pub branch: Branch,
}

/// A table that a merge shows on its target, which had none of that name, as the source shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// The table's key.
    pub table: TableKey,
    /// The Lance branch of the version that is shown.
    pub branch: Branch,
    /// The version.
    pub version: Version,
}

/// A table that a schema change drops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The dropped table's key.
    pub table: TableKey,
    /// The version under which the drop is recorded: the last pin + 1.
    pub version: Version,
}

/// A readable sidecar of any supported format version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// Format version of the file, 1 or 2.
    pub format: u32,
    /// The operation, equal to the file's name.
    pub operation: OperationId,
    /// The writer's clock at the start; a hint for people.
    pub started_at: Option<Timestamp>,
    /// The graph branch whose manifest the operation publishes.
    pub branch: Branch,
    /// Who asked for it; null stays null.
    pub actor: Option<String>,
    /// What the writer was doing.
    pub kind: WriterKind,
    /// The tables that it moves, at most one entry for a table.
    pub pins: Vec<Pin>,
    /// Merges: the commit at the head of the merged branch.
    pub merge_source: Option<String>,
    /// Schema changes: tables that it creates.
    pub registrations: Vec<Registration>,
    /// Schema changes: tables that it drops.
    pub tombstones: Vec<Tombstone>,
    /// Merges of native writers: tables that the target lacks. Nothing is committed to them.
    #[serde(default)]
    pub brought: Vec<Brought>,
    /// Native writers: which of the branches of that name it was written for.
    pub branch_identity: Option<BranchIdentity>,
    /// Each of its commits names it, as the repository's format demands of every writer: then nothing else is its commit. Not
    /// stored; whoever knows the repository sets it.
    #[serde(default)]
    pub names_commits: bool,
}

/// Why a sidecar cannot be judged. Each text names the finding; none of them is a reason to stop the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The object is larger than [`MAX_SIDECAR_BYTES`].
    #[error("it has {0} bytes; the most that is read is {MAX_SIDECAR_BYTES}")]
    TooLarge(u64),
    /// The object has no bytes: its writer died while creating it, or somebody emptied it.
    #[error("it is empty")]
    Empty,
    /// Not JSON, not UTF-8, nested too deeply, or a field is missing or of the wrong type.
    #[error("it is not a sidecar: {0}")]
    NotASidecar(String),
    /// Written by a newer release than this one knows.
    #[error("its format version {0} is newer than the newest known, 2: a newer Outrigger may read it")]
    NewerFormat(u64),
    /// A kind of writer that no rule covers.
    #[error("its writer kind {0:?} is unknown: a newer Outrigger may know it")]
    UnknownKind(String),
    /// A name inside breaks its rule.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// The file is named after another operation.
    #[error("it is named {file} but records operation {inside}")]
    NameMismatch {
        /// The file's name without `.json`.
        file: String,
        /// The operation that the file records.
        inside: String,
    },
    /// The same table twice: which entry counts is not defined.
    #[error("it names {0} twice")]
    DuplicateTable(TableKey),
    /// The recorded path is not where a table of this key lies.
    #[error("it records {path:?} for {table}, which lies elsewhere")]
    PathElsewhere {
        /// The table.
        table: TableKey,
        /// The path as recorded.
        path: String,
    },
}

/// The part of a sidecar that every version shares and that is read first.
#[derive(Deserialize)]
struct Head {
    schema_version: u64,
}

impl Sidecar {
    /// Reads the bytes of `__recovery/<stem>.json`.
    ///
    /// Missing `branch` and `actor_id` are null, unknown fields are ignored, as the writers' own parser does.
    pub fn parse(stem: &str, bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() as u64 > MAX_SIDECAR_BYTES {
            return Err(Unreadable::TooLarge(bytes.len() as u64));
        }
        if bytes.is_empty() {
            return Err(Unreadable::Empty);
        }
        let head: Head = from_json(bytes)?;
        let sidecar = match head.schema_version {
            1 => v1::parse(bytes)?,
            2 => v2::parse(bytes)?,
            newer @ 3.. => return Err(Unreadable::NewerFormat(newer)),
            0 => return Err(Unreadable::NotASidecar("format version 0 never existed".into())),
        };
        sidecar.checked(stem)
    }

    fn checked(self, stem: &str) -> Result<Self, Unreadable> {
        if self.operation.as_str() != stem {
            let inside = self.operation.to_string();
            return Err(Unreadable::NameMismatch { file: stem.chars().take(80).collect(), inside });
        }
        let mut seen = std::collections::BTreeSet::new();
        let tables = self.pins.iter().map(|pin| &pin.table);
        for table in tables.chain(self.registrations.iter().map(|new| &new.table)) {
            if !seen.insert(table) {
                return Err(Unreadable::DuplicateTable(table.clone()));
            }
        }
        let recorded = self.pins.iter().map(|pin| (&pin.table, &pin.recorded_path));
        for (table, path) in
            recorded.chain(self.registrations.iter().map(|new| (&new.table, &new.recorded_path)))
        {
            if !lies_at(table, path) {
                return Err(Unreadable::PathElsewhere {
                    table: table.clone(),
                    path: path.chars().take(200).collect(),
                });
            }
        }
        Ok(self)
    }

    /// The bytes of `__recovery/<operation>.json`, in format 2.
    pub fn to_json(&self) -> String {
        v2::print(self)
    }

    /// Every lineage that the operation touches: pins, registrations, and what it drops, on its own branch.
    pub fn tables(&self) -> impl Iterator<Item = (&TableKey, &Branch)> {
        let pins = self.pins.iter().map(|pin| (&pin.table, &pin.branch));
        let created = self.registrations.iter().map(|new| (&new.table, &new.branch));
        pins.chain(created).chain(self.tombstones.iter().map(|dropped| (&dropped.table, &self.branch)))
    }
}

/// Whether a recorded path, however its root is spelled, ends where a table of this key lies.
fn lies_at(table: &TableKey, recorded: &str) -> bool {
    let Some(derived) = table_path(table) else { return false };
    let recorded = recorded.trim_end_matches('/');
    recorded == derived || recorded.strip_suffix(&derived).is_some_and(|root| root.ends_with('/'))
}

fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|error| Unreadable::NotASidecar(error.to_string()))
}

fn kind_from(name: &str) -> Result<WriterKind, Unreadable> {
    let known = WriterKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    known.ok_or_else(|| Unreadable::UnknownKind(name.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: &str = "01JZ0A3V9Q6T1F4C8R2M5N7P0X";

    fn file(extra: &str) -> String {
        format!(
            r#"{{"schema_version": 2, "operation_id": "{OPERATION}", "started_at": "1751300000123456",
                "branch": null, "actor_id": "act-alice", "writer_kind": "Load", "tables": [
                  {{"table_key": "node:Person", "table_path": "/data/g1/nodes/40d76f1f51639ec0",
                    "expected_version": 5, "post_commit_pin": 6}}]{extra}}}"#
        )
    }

    fn parse(text: &str) -> Result<Sidecar, Unreadable> {
        Sidecar::parse(OPERATION, text.as_bytes())
    }

    #[test]
    fn both_formats_give_the_same_sidecar() {
        let two = parse(&file("")).unwrap();
        let one = parse(&file("").replace("\"schema_version\": 2", "\"schema_version\": 1")).unwrap();
        assert_eq!(one.format, 1);
        assert_eq!(Sidecar { format: 2, ..one }, two);
        assert_eq!(two.pins[0].expected, Version(5));
        assert_eq!(two.started_at.unwrap().as_micros(), 1_751_300_000_123_456);
    }

    #[test]
    fn what_is_written_is_read_back_and_leaves_out_what_is_empty() {
        let identity = BranchIdentity(vec![(3, "c4a1".into())]);
        let plain = parse(&file("")).unwrap();
        assert!(!plain.to_json().contains("branch_identifier"), "an engine's own field only");
        let mut native = Sidecar { branch_identity: Some(identity), ..plain };
        native.branch = Branch::parse(Some("feature")).unwrap();
        native.pins[0].branch = native.branch.clone();
        native.pins[0].confirmed = Some(Version(6));
        native.merge_source = Some("01JYZZ9X2V4B6N8M0Q1W3E5R7T".into());
        let text = native.to_json();
        assert_eq!(parse(&text).unwrap(), native);
        assert!(text.contains(r#""started_at": "1751300000123456""#), "{text}");
        for absent in ["tombstones", "additional_registrations"] {
            assert!(!text.contains(absent), "{text}");
        }
    }

    #[test]
    fn a_confirmed_version_counts_from_format_two_on() {
        let confirmed =
            file("").replace("\"post_commit_pin\": 6", "\"post_commit_pin\": 6, \"confirmed_version\": 7");
        assert_eq!(parse(&confirmed).unwrap().pins[0].confirmed, Some(Version(7)));
        let one = confirmed.replace("\"schema_version\": 2", "\"schema_version\": 1");
        assert_eq!(parse(&one).unwrap().pins[0].confirmed, None);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let refused = |text: &str| parse(text).unwrap_err();
        assert_eq!(Sidecar::parse(OPERATION, b"").unwrap_err(), Unreadable::Empty);
        assert!(matches!(Sidecar::parse(OPERATION, &[0xff, 0xfe]).unwrap_err(), Unreadable::NotASidecar(_)));
        assert!(matches!(refused(&"[".repeat(100_000)), Unreadable::NotASidecar(_)));
        assert_eq!(refused(&file("").replace(": 2,", ": 9,")), Unreadable::NewerFormat(9));
        assert_eq!(
            refused(&file("").replace("\"Load\"", "\"Teleport\"")),
            Unreadable::UnknownKind("Teleport".into())
        );
        let huge = vec![b' '; MAX_SIDECAR_BYTES as usize + 1];
        assert_eq!(Sidecar::parse(OPERATION, &huge).unwrap_err(), Unreadable::TooLarge(huge.len() as u64));
    }

    #[test]
    fn a_file_under_another_name_is_not_followed() {
        let error = Sidecar::parse("01JZ0A3V9Q6T1F4C8R2M5N7P0Y", file("").as_bytes()).unwrap_err();
        assert!(matches!(error, Unreadable::NameMismatch { .. }), "{error}");
    }

    #[test]
    fn a_recorded_root_may_differ_but_not_the_table_in_it() {
        for root in ["s3://other/copy/", "relative/", ""] {
            assert!(parse(&file("").replace("/data/g1/", root)).is_ok(), "{root:?}");
        }
        for path in ["nodes/0000000000000000", "/data/g1/xnodes/40d76f1f51639ec0", "/etc/passwd", ".."] {
            let error = parse(&file("").replace("/data/g1/nodes/40d76f1f51639ec0", path)).unwrap_err();
            assert!(matches!(error, Unreadable::PathElsewhere { .. }), "{path}: {error}");
        }
    }

    #[test]
    fn a_branch_that_leaves_its_tree_is_refused() {
        let error = parse(&file("").replace("\"branch\": null", "\"branch\": \"../../x\"")).unwrap_err();
        assert!(matches!(error, Unreadable::BadName(_)), "{error}");
    }

    #[test]
    fn a_table_named_twice_is_refused() {
        let twice = file(
            r#", "additional_registrations": [{"table_key": "node:Person", "table_path": "nodes/40d76f1f51639ec0"}]"#,
        );
        assert!(matches!(parse(&twice).unwrap_err(), Unreadable::DuplicateTable(_)));
    }
}
