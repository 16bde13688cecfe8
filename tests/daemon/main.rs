//! The daemon beside live writers: when it looks and what that costs, when it acts, whose turn it is, how it stops.
#![allow(
    clippy::disallowed_methods,
    reason = "tests stand in for other programs: they write, wait and read the clock"
)]

#[allow(dead_code, reason = "the recovery tests use all of it")]
#[path = "../recovery/harness.rs"]
mod recoverer;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the writer's tests use all of it")]
#[path = "../writer/world.rs"]
mod world;
#[allow(dead_code, reason = "the recovery tests use all of it")]
#[path = "../recovery/wrecks.rs"]
mod wrecks;

mod bad_input;
mod gate;
mod harness;
mod lease;
mod looking;
mod process;
mod upkeep;
mod windows;
