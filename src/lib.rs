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
//!   passes, runtime ← daemon, writer ← app ← cli ← main
//! ```
//!
//! | room | for |
//! |---|---|
//! | [`model`] | what things are: keys, sidecars, manifest snapshots, fence records, policies |
//! | [`error`] | what went wrong, sorted by what to do next |
//! | `passes` | what is done: one room per pass, each `observe`, `decide`, `act` |
//! | `repo` | the edge to Lance: dialects, snapshots, publish, lineage, audit, tables |
//! | `store` | the edge to the object store: layout, conditional writes, decorators |
//! | `writer` | the write protocol as a library: commits over several tables |
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
#[cfg(feature = "engine")]
pub mod writer;

#[cfg(feature = "engine")]
pub use arrow;
pub use error::{Error, Kind, Result};
#[cfg(feature = "engine")]
pub use lance;

/// `repo` and the layers of `store` are excused from the list in `clippy.toml` as a whole, for the sake of what they commit and
/// pass on. Of the rest of that list they may do nothing.
#[cfg(all(test, feature = "engine"))]
mod excused_rooms {
    use std::path::Path;

    /// Each with the crate for the sake of whose calls it is excused.
    const ROOMS: [(&str, &str); 2] = [("src/repo", "lance"), ("src/store/layers", "object_store")];

    /// What a text holds that calls a forbidden path.
    ///
    /// Most are called by the last two words, as in `Instant::now`. A method of an object store is called by its name alone, which
    /// for the short ones is that of many others; but those need their trait in scope. Those of Lance's own store need none: what
    /// is looked for is the call by which a dataset hands that store out. Lance's others are told by its types.
    fn trace(path: &str) -> String {
        let words: Vec<&str> = path.split("::").collect();
        match words[..] {
            ["object_store", "ObjectStore", method] => method.to_owned(),
            ["object_store", extension, _] => extension.to_owned(),
            ["lance_io", "object_store", "ObjectStore", _] => ".object_store(".to_owned(),
            ["lance", ..] => "lance::".to_owned(),
            [.., of, name] => format!("{of}::{name}"),
            _ => path.to_owned(),
        }
    }

    /// What must not be found in a room that is excused for the sake of a crate.
    fn forbidden(excused: &str) -> Vec<String> {
        let list: toml::Table = include_str!("../clippy.toml").parse().unwrap();
        let paths = list["disallowed-methods"].as_array().unwrap().iter();
        let paths = paths.map(|entry| entry["path"].as_str().unwrap());
        let mut traces: Vec<_> =
            paths.filter(|path| path.split("::").next() != Some(excused)).map(trace).collect();
        traces.sort();
        traces.dedup();
        traces
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
    fn do_nothing_but_what_they_are_excused_for() {
        let mut found = Vec::new();
        for (room, excused) in ROOMS {
            search(&Path::new(env!("CARGO_MANIFEST_DIR")).join(room), &forbidden(excused), &mut found);
        }
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn are_searched_for_clocks_the_environment_and_what_the_other_room_is_for() {
        let [repo, layers] = ROOMS.map(|(_, excused)| forbidden(excused));
        for word in
            ["Instant::now", "env::var", "put_opts", "delete_stream", "ObjectStoreExt", ".object_store("]
        {
            assert!(repo.iter().any(|known| known == word), "{word} is not looked for: {repo:?}");
        }
        for word in ["Instant::now", "env::var", "lance::"] {
            assert!(layers.iter().any(|known| known == word), "{word} is not looked for: {layers:?}");
        }
        assert!(!repo.contains(&"lance::".to_owned()) && !layers.contains(&"put_opts".to_owned()));
    }
}
