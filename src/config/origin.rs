//! Where each value came from.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The layer that a value came from, and its place in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// Nobody wrote it.
    Default,
    /// The configuration file.
    File {
        /// As given on the command line.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        variable: String,
    },
    /// A command-line flag.
    Flag {
        /// The flag, with its dashes.
        name: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env { variable } => write!(f, "${variable}"),
            Self::Flag { name } => f.write_str(name),
        }
    }
}

/// A source and the key under which the value stands there. The keys differ where a repository inherits:
/// `repositories.orders.grace` may come from `defaults.grace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The key as it stands in the source.
    pub key: String,
    /// The layer and place.
    #[serde(flatten)]
    pub source: Source,
}

/// Where everything stands that somebody wrote.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins {
    values: BTreeMap<String, Origin>,
    tables: BTreeMap<String, Origin>,
}

impl Origins {
    /// Records that the value of `key` came from `origin`. What was known of keys below it no longer holds.
    pub(super) fn set(&mut self, key: &str, origin: Origin) {
        let below = format!("{key}.");
        self.values.retain(|known, _| !known.starts_with(&below));
        self.values.insert(key.to_owned(), origin);
    }

    /// Records where a table begins. It is no origin for keys that the table does not hold.
    pub(super) fn set_table(&mut self, key: &str, origin: Origin) {
        self.tables.insert(key.to_owned(), origin);
    }

    /// Whether somebody wrote a value for exactly this key.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The origin of the value of `key`, maybe as a part of a list that was written as one.
    pub(super) fn of(&self, key: &str) -> Origin {
        let written = upwards(key).find_map(|key| self.values.get(key));
        written.cloned().unwrap_or_else(|| Origin { key: key.to_owned(), source: Source::Default })
    }

    /// The best place to point at for a fault with `key`: its own, that of something in it, that of the table around it.
    pub(super) fn near(&self, key: &str) -> Origin {
        let own = self.of(key);
        if own.source != Source::Default {
            return own;
        }
        let within = |map: &BTreeMap<String, Origin>| map.get(key).cloned();
        let below = || self.values.iter().find(|(known, _)| known.starts_with(&format!("{key}.")));
        let around = || upwards(key).find_map(|above| self.tables.get(above)).map(|table| &table.source);
        let place = within(&self.tables).or_else(|| below().map(|(_, origin)| origin.clone()));
        let around = || Some(Origin { key: own.key.clone(), source: around()?.clone() });
        place.or_else(around).unwrap_or(own)
    }

    /// Takes over everything that `later` knows.
    pub(super) fn extend(&mut self, later: Origins) {
        for (key, origin) in later.values {
            self.set(&key, origin);
        }
        self.tables.extend(later.tables);
    }
}

/// `a.b.c`, `a.b`, `a`.
fn upwards(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(above, _)| above))
}

/// `above.key`, or `key` at the top.
pub(super) fn join(above: &str, key: &str) -> String {
    if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") }
}
