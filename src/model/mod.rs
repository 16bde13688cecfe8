//! Nouns: what the bucket holds and what we think of it. No async, no I/O, no clock, no randomness.
//!
//! | file | noun |
//! |---|---|
//! | [`ids`] | table keys, branches, operation ids, Lance versions |
//! | [`time`] | the two clocks: ours and the store's |
//! | [`table_path`] | where a table of a graph lies, derived from its key |
//! | [`manifest`] | what the graph shows, and the rows that change it |
//! | [`lineage`] | the commits of the graph and their common ancestors |
//! | [`history`] | the commits on one table |
//! | [`sidecar`] | a writer's crash record |
//! | [`beat`] | when a native writer is taken for dead |
//! | [`fence`] | what a roll back is about to do, written before it does it |
//! | [`window`] | who promises that no writer is active |
//! | [`audit`] | what a recovery did |
pub mod audit;
pub mod beat;
pub mod contract;
pub mod fence;
pub mod history;
pub mod ids;
pub mod lineage;
pub mod manifest;
pub mod sidecar;
pub mod table_path;
pub mod time;
pub mod window;

pub use ids::{BadName, Branch, BranchIdentity, OperationId, TableKey, Version};
pub use time::{StoreTime, Timestamp};
pub use window::{Permit, Window};
