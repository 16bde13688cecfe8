//! Shared by the integration tests: repositories on disk, in memory and on a real S3 server.
#![allow(dead_code, reason = "each test binary uses its own part")]
pub mod faults;
pub mod graph;
pub mod ministack;
pub mod process;
pub mod proxy;
pub mod repos;
