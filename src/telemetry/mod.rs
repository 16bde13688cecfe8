//! What the world sees of a running daemon: metrics, logs, probes, status.
//!
//! | file | for |
//! |---|---|
//! | [`labels`] | the closed sets of words that metrics may carry |
//! | [`families`] | every metric's name, kind, labels and meaning, in one list |
//! | [`metrics`] | counts |
//! | [`logging`] | log lines on standard error |
//! | [`http`] | the HTTP server: metrics, probes, status, requests to reconcile |
//! | [`tokens`] | who may ask for what |
//! | `connections` | no more of them than can be served, none for ever |
//! | [`health`] | asks a running daemon how it is |
//!
//! A repository shows by its configured short name, never by its address. No secret is ever shown.
mod connections;
pub mod families;
pub mod health;
pub mod http;
pub mod labels;
pub mod logging;
pub mod metrics;
pub mod tokens;

pub use http::{Accepted, Daemon, Rejected, Server};
pub use labels::{ActivationOutcome, RequestOutcome, StoreOperation};
pub use metrics::{Metrics, RepositoryMetrics};
pub use tokens::Tokens;
