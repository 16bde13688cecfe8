//! The program as people and scripts use it: arguments in, exit code, output and the state of the store out.
#![allow(
    clippy::disallowed_methods,
    reason = "tests stand in for other programs: they write, wait and read the clock"
)]

#[allow(dead_code, reason = "the recovery tests use all of it")]
#[path = "../recovery/harness.rs"]
mod harness;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the writer's tests use all of it")]
#[path = "../writer/world.rs"]
mod world;
#[allow(dead_code, reason = "the recovery tests use all of it")]
#[path = "../recovery/wrecks.rs"]
mod wrecks;

mod asked;
mod gate;
mod program;
mod reports;
mod untouched;
