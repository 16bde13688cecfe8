//! Fence records: what a roll back is about to do, written before it does it, so that it can be finished without its
//! sidecar and so that a writer that wakes up late is recognised (source: docs/recovery.md, "Fence records").
//!
//! `__recovery/<operation>.fence` is created once and never changed; it is *armed* until
//! `__recovery/<operation>.fence.closed` exists. Both names are ignored by the engines, which read `*.json` only.

use super::ids::{Branch, OperationId, TableKey, Version};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Format version of the JSON below.
pub const FENCE_FORMAT: u32 = 1;

/// The most that is read of a record, in bytes: a sidecar's text may double when it is quoted, and its tables come with it.
pub const MAX_FENCE_BYTES: u64 = 4 * super::sidecar::MAX_SIDECAR_BYTES;

/// The record, as stored (pretty JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRecord {
    /// [`FENCE_FORMAT`].
    pub format: u32,
    /// The operation that is undone or ended.
    pub operation: OperationId,
    /// Unique to the process and attempt that created it: tells our own record from another recoverer's after an
    /// answer got lost.
    pub nonce: String,
    /// The recoverer's clock.
    pub created_at: Timestamp,
    /// The sidecar's text, so that the operation can still be judged once the sidecar is gone.
    pub sidecar: String,
    /// Every table the sidecar names, as seen when the record was made.
    pub tables: Vec<FencedTable>,
}

/// One table in a fence record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencedTable {
    /// The table.
    pub table: TableKey,
    /// The Lance branch on which the writer's commit landed or would land.
    pub branch: Branch,
    /// Head at that time; absent if the branch or the dataset did not exist.
    pub seen_head: Option<Version>,
    /// The version whose content is to be shown: the pin at that time.
    pub restore_to: Version,
}

/// A fence record and whether its work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// What was recorded.
    pub record: FenceRecord,
    /// Work even without a sidecar, until it is closed.
    pub armed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let record = FenceRecord {
            format: FENCE_FORMAT,
            operation: OperationId::parse("01JZ0A3V9Q6T1F4C8R2M5N7P0X").unwrap(),
            nonce: "n".into(),
            created_at: Timestamp::from_micros(1_750_000_000_000_000).unwrap(),
            sidecar: "{}".into(),
            tables: vec![FencedTable {
                table: TableKey::parse("node:Person").unwrap(),
                branch: Branch::parse(Some("feature")).unwrap(),
                seen_head: None,
                restore_to: Version(5),
            }],
        };
        let text = serde_json::to_string_pretty(&record).unwrap();
        assert_eq!(serde_json::from_str::<FenceRecord>(&text).unwrap(), record);
        for (was, bad) in [("01JZ0A3V9Q6T1F4C8R2M5N7P0X", "../x"), ("feature", "../x"), ("node:Person", "")] {
            let hostile = text.replace(&format!("\"{was}\""), &format!("\"{bad}\""));
            assert!(serde_json::from_str::<FenceRecord>(&hostile).is_err(), "{bad:?} for {was}");
        }
    }
}
