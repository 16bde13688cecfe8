//! The beat of native writers: how often, and when one that stands still means that its writer is gone.

use std::time::Duration;

/// Between two beats.
pub const EVERY: Duration = Duration::from_secs(2);

/// Beats that may be missed before a writer is taken for dead.
pub const MISSED: u32 = 3;

/// After so long without a new beat a writer is taken for dead, and a gate for abandoned.
pub const TTL: Duration = Duration::from_secs(2 * MISSED as u64);
