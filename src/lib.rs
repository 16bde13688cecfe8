//! # Outrigger
//!
//! Finishes or undoes commits that crashed half-way in repositories made of many Lance tables and one `__manifest`.
//!
//! Data flows one way, and the rooms say so:
//!
//! ```text
//!   observe (reads)  →  decide (pure)  →  act (conditional writes)  →  record (audit, metrics)
//!
//!   model ← passes::*::decide            nouns and verdicts: no I/O, no clock, no async
//!   model, repo, store ← passes::*::{observe, act}
//!   passes, runtime ← daemon ← app ← cli ← main
//! ```
//!
//! | room | for |
//! |---|---|
//! | [`model`] | what things are: keys, sidecars, manifest snapshots, fence records, policies |
//! | [`error`] | what went wrong, sorted by what to do next |
//! | `passes` | what is done: one room per pass, each `observe`, `decide`, `act` |
//! | `repo` | the edge to Lance: dialects, snapshots, publish, lineage, audit, tables |
//! | `store` | the edge to the object store: layout, conditional writes, decorators |
//! | `host` | what comes from this machine: time, sleep, chance |
//! | `runtime` | how it turns: queue, watch, schedule, lease, windows |
//! | `daemon` | many repositories, each looked at again and again |
//! | `config`, `telemetry`, `cli`, `app` | settings, metrics, commands, and the one place that builds the real things |
//!
//! Without the cargo feature `engine` the library is [`model`], [`error`] and every `decide`: it compiles in seconds, so
//! that decisions can be fuzzed and mutated.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod error;
pub mod model;
pub mod passes;

#[cfg(feature = "engine")]
pub mod app;
#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod config;
#[cfg(feature = "engine")]
pub mod daemon;
#[cfg(feature = "engine")]
pub mod host;
#[cfg(feature = "engine")]
#[expect(clippy::disallowed_methods, reason = "the one room that makes Lance's mutating calls")]
pub mod repo;
#[cfg(feature = "engine")]
pub mod runtime;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "engine")]
pub mod telemetry;

pub use error::{Error, Kind, Result};
