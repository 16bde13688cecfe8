//! Every object that Outrigger names itself, in both directions: what it is from its name, and its name from what it is.
//!
//! All control objects lie flat under `__recovery/`, so one list shows them all. The engines read every direct child that
//! ends in `.json` as a writer's sidecar and ignore the rest; so nothing of ours ends in `.json`.
//!
//! | name under `__recovery/` | what | written by |
//! |---|---|---|
//! | `<ULID>.json` | a writer's intent (sidecar) | writers |
//! | `<stem>.json.quarantined` | a sidecar that a person took out of the engines' sight | `sidecars quarantine` |
//! | `<operation>.fence`, `<operation>.fence.closed` | fence record: armed, closed | recovery |
//! | `<operation>.tags` | the tables whose pinned versions are tagged while an undoing waits | recovery |
//! | `beat.<operation>` | a native writer's heartbeat | native writers |
//! | `lease.<20 digits>`, `lease.beat` | leader lease: create-only chain, heartbeat | the runtime |
//! | `gate.<20 digits>`, `gate.beat` | writers' gate: create-only chain, its holder's heartbeat | recovery and native writers |
//! | `window.<ULID>` | a manual window | `window open` |

use super::uri::Key;
use crate::model::OperationId;
use std::fmt;

/// The folder of all control objects.
pub const RECOVERY_DIR: &str = "__recovery";

/// What a root-relative name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ControlObject {
    /// A writer's intent under its operation's id.
    Sidecar(OperationId),
    /// A `.json` child whose stem is no operation id. Engines read it as a sidecar; we hold and name it.
    OddSidecar(Stem),
    /// A sidecar under a name that engines ignore; the stem that it had.
    Quarantined(Stem),
    /// The armed fence record of an operation: work, even without a sidecar.
    Fence(OperationId),
    /// The closed fence record of an operation.
    FenceClosed(OperationId),
    /// Which tables carry a tag of ours for an operation that waits for its window.
    Tags(OperationId),
    /// The heartbeat of a native writer.
    Beat(OperationId),
    /// State n of the leader lease; the highest number is the state.
    Lease(u64),
    /// The heartbeat of the lease's holder.
    LeaseBeat,
    /// State n of the writers' gate; the highest number is the state.
    Gate(u64),
    /// The heartbeat of whoever holds the gate.
    GateBeat,
    /// A manual window.
    Window(OperationId),
    /// One of a graph's three schema contract files, final or staged.
    Schema {
        /// Which of the three.
        file: SchemaFile,
        /// Whether this is the `.staging` name that a crashed schema apply leaves.
        staged: bool,
    },
    /// A dataset that every graph keeps beside its tables.
    System(SystemDataset),
    /// Any other name. Left untouched.
    Unknown(Key),
}

/// What stands before `.json` in a name found under `__recovery/`, or an operation's id. Safe as part of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stem(String);

impl Stem {
    /// The text as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&OperationId> for Stem {
    fn from(id: &OperationId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The three schema contract files, in the order in which a schema apply promotes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaFile {
    /// `_schema.pg`: the accepted schema source.
    Source,
    /// `_schema.ir.json`: the compiled schema.
    Ir,
    /// `__schema_state.json`: hash record of the compiled schema.
    State,
}

impl SchemaFile {
    /// All three, in promotion order.
    pub const ALL: [Self; 3] = [Self::Source, Self::Ir, Self::State];

    fn name(self) -> &'static str {
        match self {
            Self::Source => "_schema.pg",
            Self::Ir => "_schema.ir.json",
            Self::State => "__schema_state.json",
        }
    }
}

/// Datasets that a graph keeps beside its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemDataset {
    /// `__manifest`: the pins of all tables.
    Manifest,
    /// `_graph_commits.lance`: lineage, graph-v3 only.
    Commits,
    /// `_graph_commit_actors.lance`: who committed, graph-v3 only.
    Actors,
    /// `_graph_commit_recoveries.lance`: the audit of recoveries.
    Recoveries,
}

impl SystemDataset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Manifest, Self::Commits, Self::Actors, Self::Recoveries];

    fn name(self) -> &'static str {
        match self {
            Self::Manifest => "__manifest",
            Self::Commits => "_graph_commits.lance",
            Self::Actors => "_graph_commit_actors.lance",
            Self::Recoveries => "_graph_commit_recoveries.lance",
        }
    }

    /// The dataset's root-relative key.
    pub fn key(self) -> Key {
        ControlObject::System(self).key()
    }
}

/// The folder of all control objects as a key.
pub fn recovery_dir() -> Key {
    Key::trusted(RECOVERY_DIR.to_owned())
}

impl ControlObject {
    /// What a name stands for.
    pub fn parse(key: &Key) -> Self {
        let name = key.as_str();
        let known = match name.strip_prefix(RECOVERY_DIR).and_then(|rest| rest.strip_prefix('/')) {
            Some(child) => Self::parse_recovery(child),
            None => Self::parse_root(name),
        };
        known.unwrap_or_else(|| Self::Unknown(key.clone()))
    }

    fn parse_recovery(child: &str) -> Option<Self> {
        if child.contains('/') {
            return None;
        }
        if let Some(stem) = child.strip_suffix(".json") {
            return Some(match operation(stem) {
                Some(id) => Self::Sidecar(id),
                None => Self::OddSidecar(Stem(stem.to_owned())),
            });
        }
        if let Some(stem) = child.strip_suffix(".json.quarantined") {
            return Some(Self::Quarantined(Stem(stem.to_owned())));
        }
        if let Some(id) = child.strip_suffix(".fence.closed") {
            return operation(id).map(Self::FenceClosed);
        }
        if let Some(id) = child.strip_suffix(".fence") {
            return operation(id).map(Self::Fence);
        }
        if let Some(id) = child.strip_suffix(".tags") {
            return operation(id).map(Self::Tags);
        }
        match child.split_once('.')? {
            ("lease", "beat") => Some(Self::LeaseBeat),
            ("lease", n) => chain_number(n).map(Self::Lease),
            ("gate", "beat") => Some(Self::GateBeat),
            ("gate", n) => chain_number(n).map(Self::Gate),
            ("beat", id) => operation(id).map(Self::Beat),
            ("window", id) => operation(id).map(Self::Window),
            _ => None,
        }
    }

    fn parse_root(name: &str) -> Option<Self> {
        if let Some(dataset) = SystemDataset::ALL.into_iter().find(|dataset| dataset.name() == name) {
            return Some(Self::System(dataset));
        }
        let (plain, staged) = match name.strip_suffix(".staging") {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let file = SchemaFile::ALL.into_iter().find(|file| file.name() == plain)?;
        Some(Self::Schema { file, staged })
    }

    /// The name of the object; the inverse of [`ControlObject::parse`].
    pub fn key(&self) -> Key {
        Key::trusted(self.name())
    }

    fn name(&self) -> String {
        let child = match self {
            Self::Sidecar(id) => format!("{id}.json"),
            Self::OddSidecar(stem) => format!("{stem}.json"),
            Self::Quarantined(stem) => format!("{stem}.json.quarantined"),
            Self::Fence(id) => format!("{id}.fence"),
            Self::FenceClosed(id) => format!("{id}.fence.closed"),
            Self::Tags(id) => format!("{id}.tags"),
            Self::Beat(id) => format!("beat.{id}"),
            Self::Lease(n) => format!("lease.{n:020}"),
            Self::LeaseBeat => "lease.beat".to_owned(),
            Self::Gate(n) => format!("gate.{n:020}"),
            Self::GateBeat => "gate.beat".to_owned(),
            Self::Window(id) => format!("window.{id}"),
            Self::Schema { file, staged: true } => return format!("{}.staging", file.name()),
            Self::Schema { file, staged: false } => return file.name().to_owned(),
            Self::System(dataset) => return dataset.name().to_owned(),
            Self::Unknown(key) => return key.to_string(),
        };
        format!("{RECOVERY_DIR}/{child}")
    }
}

fn operation(text: &str) -> Option<OperationId> {
    OperationId::parse(text).ok()
}

/// Exactly twenty digits, so that names sort as numbers do.
fn chain_number(digits: &str) -> Option<u64> {
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01JZ0A3V9Q6T1F4C8R2M5N7P0X";

    fn id() -> OperationId {
        OperationId::parse(ID).unwrap()
    }

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    fn samples() -> Vec<(ControlObject, String)> {
        use ControlObject::*;
        let below = |child: &str| format!("__recovery/{child}");
        vec![
            (Sidecar(id()), below(&format!("{ID}.json"))),
            (OddSidecar(Stem("not a ulid".into())), below("not a ulid.json")),
            (Quarantined(Stem::from(&id())), below(&format!("{ID}.json.quarantined"))),
            (Fence(id()), below(&format!("{ID}.fence"))),
            (FenceClosed(id()), below(&format!("{ID}.fence.closed"))),
            (Tags(id()), below(&format!("{ID}.tags"))),
            (Beat(id()), below(&format!("beat.{ID}"))),
            (Lease(7), below("lease.00000000000000000007")),
            (Lease(u64::MAX), below("lease.18446744073709551615")),
            (LeaseBeat, below("lease.beat")),
            (Gate(1), below("gate.00000000000000000001")),
            (GateBeat, below("gate.beat")),
            (Window(id()), below(&format!("window.{ID}"))),
            (Schema { file: SchemaFile::Source, staged: false }, "_schema.pg".into()),
            (Schema { file: SchemaFile::Ir, staged: true }, "_schema.ir.json.staging".into()),
            (Schema { file: SchemaFile::State, staged: true }, "__schema_state.json.staging".into()),
            (System(SystemDataset::Manifest), "__manifest".into()),
            (System(SystemDataset::Recoveries), "_graph_commit_recoveries.lance".into()),
            (Unknown(key("nodes/40d76f1f51639ec0")), "nodes/40d76f1f51639ec0".into()),
        ]
    }

    #[test]
    fn every_name_translates_both_ways() {
        for (object, name) in samples() {
            assert_eq!(object.key(), key(&name));
            assert_eq!(ControlObject::parse(&key(&name)), object, "{name}");
        }
    }

    #[test]
    fn nothing_of_ours_looks_like_a_sidecar_to_an_engine() {
        for (object, name) in samples() {
            let sidecar = matches!(object, ControlObject::Sidecar(_) | ControlObject::OddSidecar(_));
            assert_eq!(name.starts_with("__recovery/") && name.ends_with(".json"), sidecar, "{name}");
        }
    }

    #[test]
    fn a_name_that_is_nearly_right_is_unknown() {
        for name in [
            "__recovery/lease.7",
            "__recovery/lease.99999999999999999999",
            "__recovery/lease.+0000000000000000007",
            "__recovery/x.fence",
            "__recovery/sub/01JZ0A3V9Q6T1F4C8R2M5N7P0X.json",
            "__recovery",
            "_schema.pg.staging.staging",
            "__manifest/x",
            "__recovery/.json.fence",
        ] {
            assert_eq!(ControlObject::parse(&key(name)), ControlObject::Unknown(key(name)));
        }
    }
}
