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

/// `repo` and the layers of `store` are excused from the list in `clippy.toml` as a whole, for the sake of what they commit and
/// pass on. Of the rest of that list they may do nothing.
#[cfg(all(test, feature = "engine"))]
mod excused_rooms {
    use std::path::Path;

    const ROOMS: [&str; 2] = ["src/repo", "src/store/layers"];
    const NOT_MEANT: [&str; 2] = ["lance::", "object_store::"];

    /// The last two words of each forbidden path, as in `Instant::now`.
    fn forbidden() -> Vec<String> {
        let list: toml::Table = include_str!("../clippy.toml").parse().unwrap();
        let paths = list["disallowed-methods"].as_array().unwrap().iter();
        let paths = paths.map(|entry| entry["path"].as_str().unwrap());
        let meant = paths.filter(|path| !NOT_MEANT.iter().any(|other| path.starts_with(other)));
        meant
            .map(|path| path.rsplitn(3, "::").take(2).collect::<Vec<_>>())
            .map(|two| [two[1], two[0]].join("::"))
            .collect()
    }

    fn search(dir: &Path, words: &[String], found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                search(&path, words, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let used = words.iter().filter(|word| text.contains(word.as_str()));
            found.extend(used.map(|word| format!("{} in {}", word, path.display())));
        }
    }

    #[test]
    fn read_no_clock_and_no_environment_and_draw_no_lots() {
        let (words, mut found) = (forbidden(), Vec::new());
        assert!(
            words.iter().any(|word| word == "Instant::now") && words.iter().any(|word| word == "env::var")
        );
        for room in ROOMS {
            search(&Path::new(env!("CARGO_MANIFEST_DIR")).join(room), &words, &mut found);
        }
        assert_eq!(found, [""; 0]);
    }
}
