//! How it turns: schedules, backoff, and the queue that runs one thing per key.
//!
//! | file | for |
//! |---|---|
//! | [`schedule`] | cron expressions as pure functions of a time: next run, open window |
//! | [`wake`] | wakes a channel when a schedule is due; decides nothing |
//! | [`backoff`] | how long to leave a scope alone after a failure |
//! | [`queue`] | which key runs next: wakes that coalesce, one run per key |
//! | [`runner`] | runs them: bounded concurrency, delayed returns, panics contained |
//! | [`watch`] | what is new in a repository, for two requests |
//! | [`windows`] | which window is open, by the calendar or by hand |
//! | [`lease`] | reconcilers take turns |
//! | [`gate`] | keeps the writers of a native repository out while something is undone |
//! | `states` | what both are made of: numbered states and a beat |
//!
//! Nothing here knows what a pass does. Time, chance and work are handed in, so that every rule of this room can be
//! tested without waiting.
pub mod backoff;
pub mod gate;
pub mod lease;
pub mod queue;
pub mod runner;
pub mod schedule;
mod states;
pub mod wake;
pub mod watch;
pub mod windows;
