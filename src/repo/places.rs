//! Where the rows of a manifest lie that a publish may replace.

use crate::model::TableKey;
use crate::model::manifest::{ManifestRow, ManifestState};
use lance_table::format::Fragment;
use std::collections::HashMap;

/// By `object_id`: registrations, heads of the history, and the shown version of each table, which may be handed over to
/// another branch. All other rows are only ever added.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(HashMap<String, Place>);

/// A row's address and, if it is a version of a table, which.
#[derive(Debug, Clone)]
struct Place {
    address: u64,
    version: Option<(String, u64)>,
}

impl Place {
    /// `None` for a row of a kind that is never replaced.
    fn of(row: &ManifestRow, address: u64) -> Option<Self> {
        let version = match row.object_type.as_str() {
            "table" | "graph_head" => None,
            "table_version" => Some((row.table_key.clone(), row.table_version?)),
            _ => return None,
        };
        Some(Self { address, version })
    }

    fn may_be_replaced(&self, state: &ManifestState) -> bool {
        self.version.as_ref().is_none_or(|(table, version)| {
            let table = TableKey::parse(table).ok();
            let shown = table.as_ref().and_then(|table| state.entry(table));
            shown.is_some_and(|entry| entry.version.0 == *version)
        })
    }
}

/// The address of a row: fragment in the upper half, offset in it in the lower.
pub(super) fn address(fragment: u64, offset: usize) -> u64 {
    fragment << 32 | offset as u64
}

impl Places {
    /// Notes where a row lies; of two forms of one row the later noted counts.
    pub(super) fn note(&mut self, row: &ManifestRow, address: u64) {
        self.0.extend(Place::of(row, address).map(|place| (row.object_id.clone(), place)));
    }

    /// Forgets what will not be replaced any more.
    pub(super) fn forget(&mut self, state: &ManifestState) {
        self.0.retain(|_, place| place.may_be_replaced(state));
    }

    /// Where a row lies; `None` if there is none that a publish would replace.
    pub(super) fn of(&self, object_id: &str) -> Option<u64> {
        self.0.get(object_id).map(|place| place.address)
    }

    /// Whether a fragment holds nothing but rows of which every publish may write a newer form (heads of the history): then
    /// it goes when these are written, and nothing that was read is untrue. Versions of tables are not among them, for what
    /// another branch of the same name has shown must be noticed.
    pub(super) fn may_vanish(&self, fragment: &Fragment) -> bool {
        let passes = |place: &&Place| place.version.is_none() && place.address >> 32 == fragment.id;
        let count = self.0.values().filter(passes).count();
        fragment.num_rows() == Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, kind: &str) -> ManifestRow {
        ManifestRow {
            object_id: id.into(),
            object_type: kind.into(),
            table_key: "node:Person".into(),
            table_version: Some(2),
            ..ManifestRow::default()
        }
    }

    fn fragment(id: u64, rows: usize) -> Fragment {
        Fragment { physical_rows: Some(rows), ..Fragment::new(id) }
    }

    #[test]
    fn only_a_fragment_of_heads_alone_may_vanish() {
        let mut places = Places::default();
        places.note(&row("graph_head:main", "graph_head"), address(3, 0));
        places.note(&row("graph_head:main", "graph_head"), address(4, 0));
        places.note(&row("node:Person$2", "table_version"), address(5, 0));
        places.note(&row("01J", "graph_commit"), address(6, 0));
        assert_eq!(places.of("graph_head:main"), Some(4 << 32), "the later form counts");
        assert_eq!(places.of("01J"), None, "commits are only ever added");
        let may_vanish = |id, rows| places.may_vanish(&fragment(id, rows));
        assert!(may_vanish(4, 1));
        assert!(!may_vanish(4, 2), "it holds another row");
        assert!(!may_vanish(5, 1), "a shown version");
        assert!(!may_vanish(6, 1), "a commit");
    }
}
