//! Which format a repository has, told from storage alone, and what that means for us.
//!
//! One small file per dialect; whatever is not listed here is refused before any write.

mod directory;
mod graph_v3;
mod graph_v4;
mod native;

use crate::error::{Error, Result};
pub use native::{NATIVE_FORMAT, NATIVE_STAMP_KEY, REFUSED_BY_ENGINES};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Key of the format stamp in the schema metadata of `__manifest`.
pub const STAMP_KEY: &str = "omnigraph:internal_schema_version";

/// A format that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// OmniGraph 0.6.2–0.7.2 (stamp 3): the history lies in datasets of its own. Stamp 2 is read, never written.
    GraphV3,
    /// OmniGraph 0.8 (stamp 4): the history lies in the manifest.
    GraphV4,
    /// Made by Outrigger's own writer library: rows as in graph-v4, and every commit names its operation.
    Native,
    /// A folder of independent datasets, with or without a namespace manifest.
    Directory,
}

impl Dialect {
    /// The printed name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GraphV3 => "graph-v3",
            Self::GraphV4 => "graph-v4",
            Self::Native => "native",
            Self::Directory => "directory",
        }
    }

    /// Whether commits of the graph's history are rows of the manifest, written by the same publish.
    pub fn has_inline_lineage(self) -> bool {
        matches!(self, Self::GraphV4 | Self::Native)
    }

    /// Whether every writer names its operation in each commit: then that alone tells whose a commit is.
    pub fn names_commits(self) -> bool {
        self == Self::Native
    }
}

/// What `__manifest` says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ManifestLook<'a> {
    /// Column names.
    pub columns: Vec<&'a str>,
    /// Schema metadata.
    pub metadata: &'a HashMap<String, String>,
}

/// A recognised format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recognised {
    /// The format.
    pub dialect: Dialect,
    /// The stamp, 0 where there is none to have.
    pub stamp: u32,
    /// Whether we may write.
    pub writable: bool,
}

/// Recognises a manifest, or says why it is refused.
pub(super) fn recognise(look: &ManifestLook) -> Result<Recognised> {
    if directory::is_namespace(look) {
        return Ok(Recognised { dialect: Dialect::Directory, stamp: 0, writable: false });
    }
    if let Some(native) = native::recognise(look) {
        return native;
    }
    let stamp = stamp(look)?;
    graph_v3::recognise(stamp).or_else(|| graph_v4::recognise(stamp)).ok_or_else(|| {
        let advice = match stamp {
            0 | 1 => "it was made by OmniGraph 0.3 or older: open it once with a 0.6 or 0.7 release",
            _ => "it was made by a newer OmniGraph than this release of Outrigger knows",
        };
        Error::refused(format!("__manifest has format stamp {stamp}: {advice}; nothing was written"))
    })
}

/// A missing stamp is 1, as the engines read it; one that is not a number is refused.
fn stamp(look: &ManifestLook) -> Result<u32> {
    match look.metadata.get(STAMP_KEY) {
        None => Ok(1),
        Some(text) => text.trim().parse().map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            Error::refused(format!(
                "__manifest has the unreadable format stamp {shown:?}; nothing was written"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look<'a>(columns: &[&'a str], metadata: &'a HashMap<String, String>) -> ManifestLook<'a> {
        ManifestLook { columns: columns.to_vec(), metadata }
    }

    fn graph(stamp: Option<&str>) -> Result<Recognised> {
        let metadata = stamp.map(|stamp| (STAMP_KEY.to_owned(), stamp.to_owned())).into_iter().collect();
        recognise(&look(&["object_id", "table_key", "table_version"], &metadata))
    }

    #[test]
    fn the_stamp_decides_the_dialect() {
        assert_eq!(
            graph(Some("2")).unwrap(),
            Recognised { dialect: Dialect::GraphV3, stamp: 2, writable: false }
        );
        assert_eq!(
            graph(Some("3")).unwrap(),
            Recognised { dialect: Dialect::GraphV3, stamp: 3, writable: true }
        );
        assert_eq!(
            graph(Some("4")).unwrap(),
            Recognised { dialect: Dialect::GraphV4, stamp: 4, writable: true }
        );
    }

    #[test]
    fn the_native_stamp_counts_before_the_one_that_engines_refuse() {
        let native = |format: &str| {
            let stamps = [(NATIVE_STAMP_KEY, format), (STAMP_KEY, "1000000")];
            let metadata = stamps.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            recognise(&look(&["object_id", "table_key", "table_version"], &metadata))
        };
        let known = Recognised { dialect: Dialect::Native, stamp: 1, writable: true };
        assert_eq!(native("1").unwrap(), known);
        for other in ["0", "2", "", "one"] {
            assert_eq!(native(other).unwrap_err().kind(), crate::Kind::Refused, "{other:?}");
        }
    }

    #[test]
    fn what_is_not_listed_is_refused_and_named() {
        for stamp in [None, Some("0"), Some("1"), Some("5"), Some("6"), Some("1000000"), Some("three")] {
            let error = graph(stamp).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::Refused);
            assert!(error.to_string().contains(stamp.unwrap_or("1")), "{error}");
        }
    }

    #[test]
    fn a_manifest_without_versions_is_a_namespace() {
        let metadata = HashMap::new();
        let found = recognise(&look(&["object_id", "object_type", "location"], &metadata)).unwrap();
        assert_eq!(found.dialect, Dialect::Directory);
        assert!(!found.writable);
    }
}
