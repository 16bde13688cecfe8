//! The write protocol as a library: commits over several Lance tables that are shown all at once or not at all.
//!
//! For native repositories, those that [`Repository::create`] makes. Any number of processes may write; no server, no lock and no
//! lease is needed, and a writer that dies at any moment leaves nothing half shown: what it had completed is shown by whoever looks
//! next ([`Repository::heal`], or an Outrigger beside the writers), what it had not is undone.
//!
//! ```
//! use outrigger::arrow::array::{Int64Array, RecordBatch, StringArray};
//! use outrigger::arrow::datatypes::{DataType, Field, Schema};
//! use outrigger::writer::{NewTable, Repository};
//! use std::sync::Arc;
//!
//! # async fn example(dir: &str) -> Result<(), outrigger::writer::Error> {
//! let text = |name| Field::new(name, DataType::Utf8, false);
//! let accounts = Arc::new(Schema::new(vec![text("id"), Field::new("balance", DataType::Int64, false)]));
//! let transfers = Arc::new(Schema::new(vec![text("from"), text("to")]));
//! let tables = [
//!     NewTable { name: "accounts".into(), schema: accounts.clone(), key: vec!["id".into()] },
//!     NewTable { name: "transfers".into(), schema: transfers.clone(), key: vec![] },
//! ];
//! let bank = Repository::create(dir, &tables).await?;
//!
//! let mut tx = bank.begin("main").await?;
//! let ids = Arc::new(StringArray::from(vec!["ann", "bob"]));
//! let balances = Arc::new(Int64Array::from(vec![100, 100]));
//! tx.append("accounts", RecordBatch::try_new(accounts, vec![ids, balances]).unwrap()).await?;
//! tx.commit().await?;
//!
//! let mut tx = bank.begin("main").await?.by("ann");
//! tx.update("accounts", "id = 'ann'", &[("balance", "balance - 30")]).await?;
//! tx.update("accounts", "id = 'bob'", &[("balance", "balance + 30")]).await?;
//! let (from, to) = (Arc::new(StringArray::from(vec!["ann"])), Arc::new(StringArray::from(vec!["bob"])));
//! tx.append("transfers", RecordBatch::try_new(transfers, vec![from, to]).unwrap()).await?;
//! let committed = tx.commit().await?.expect("it changes rows");
//! assert_eq!(committed.tables.len(), 2);
//! # Ok(())
//! # }
//! # let dir = tempfile::tempdir().unwrap();
//! # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path().to_str().unwrap())).unwrap();
//! ```
//!
//! | file | for |
//! |---|---|
//! | `repository` | the handle: snapshots, history, transactions, healing |
//! | `snapshot` | what a branch shows, for readers |
//! | `transaction` | what is to be done to several tables |
//! | `draft`, `keys` | what is to be done to one, folded into one change |
//! | `commit` | the phases: crash record, tables, manifest, crash record removed; who goes first; undoing |
//! | `branches`, `merge`, `three_way`, `lost` | branches, and putting them together: the commits, the rows of a table, and what came from branches that are gone |
//! | `queue`, `admission` | one commit at a time on a table and branch; how much at once |
//! | `beat` | that a commit is still under way |
//! | `error` | why not |
//!
//! The protocol for those who write their own: `docs/protocol.md`.

mod admission;
mod beat;
mod branches;
mod commit;
mod draft;
mod error;
mod example;
mod keys;
mod lost;
mod merge;
mod queue;
mod repository;
mod snapshot;
mod three_way;
mod transaction;

pub use crate::model::manifest::GraphCommit;
pub use crate::repo::create::NewTable;
pub use admission::{Admission, Admitted, Limits};
pub use commit::Committed;
pub use error::{Error, Limit, MergeConflict, Result};
#[doc(hidden)]
pub use example::{balances, entries, example};
pub use merge::MergeOutcome;
pub use queue::{Manager, Turns};
pub use repository::{Parts, Repository};
pub use snapshot::{At, KeyPart, Snapshot};
pub use transaction::Transaction;
