//! From what was written to what may be relied on.
//!
//! ```text
//!   file, environment, flags → layers → resolve → build → Settings
//!                              merge    nothing   every value
//!                                       unknown   in range
//! ```
//!
//! | file | for |
//! |---|---|
//! | [`values`] | the smallest things: names, durations, addresses, secrets |
//! | [`raw`] | every key, each optional; the defaults; the list of keys |
//! | `file`, `layers` | TOML, `OUTRIGGER__SECTION__KEY` and flags, laid over each other |
//! | `resolve` | refuses unknown keys and wrong types, completes repositories with what they inherit |
//! | `build` | checks ranges and combinations |
//! | [`settings`] | the result |
//! | [`origin`], [`faults`] | where a value came from; all that is wrong, at once |
//! | [`check`] | the effective settings as a report |
//!
//! A configuration is read once, at the start. Secrets come from the environment or from files that the configuration
//! names, and are never shown.
mod build;
pub mod check;
pub mod faults;
mod file;
mod layers;
pub mod origin;
pub mod raw;
mod resolve;
pub mod settings;
pub mod values;

pub use faults::{Fault, Faults};
pub use layers::{Flag, Sources, environment_variable};
pub use origin::{Origin, Source};
pub use settings::{
    HttpSettings, LeaseSettings, LogSettings, PassSettings, RepositorySettings, Settings, TokenSource,
};
pub use values::{Gate, HumanBytes, HumanDuration, LogFormat, LogLevel, PassName, RepositoryName, Secret};

/// A configuration that was accepted, with the tree it came from.
pub struct Loaded {
    /// What the program relies on.
    pub settings: Settings,
    values: figment::value::Dict,
    origins: origin::Origins,
}

/// Shows the settings only: the tree beneath may hold a token.
impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Reads a configuration. Pure: files and the environment were read into `sources` before, token files are read later
/// by [`TokenSource::read`]. Fails with everything that is wrong.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let mut faults = Faults::default();
    let loaded = try_load(sources, &mut faults);
    faults.sort();
    match loaded {
        Some(loaded) if faults.is_empty() => Ok(loaded),
        _ => Err(faults),
    }
}

/// Where the daemon of a configuration listens: all that a health check needs. What else is wrong with it is not the check's
/// business; a daemon would not have started.
pub fn listen(sources: &Sources) -> Result<std::net::SocketAddr, Faults> {
    let mut elsewhere = Faults::default();
    let merged = layers::merge(sources, &mut elsewhere);
    if elsewhere.iter().any(is_syntax) {
        return Err(elsewhere);
    }
    let resolved = resolve::resolve(merged, &mut elsewhere);
    let mut faults = Faults::default();
    build::listen(&resolved, &mut faults).ok_or(faults)
}

/// A file that is no TOML: nothing else can be told of it.
fn is_syntax(fault: &Fault) -> bool {
    fault.origin.key.is_empty() && matches!(fault.origin.source, Source::File { .. })
}

fn try_load(sources: &Sources, faults: &mut Faults) -> Option<Loaded> {
    let merged = layers::merge(sources, faults);
    if faults.iter().any(is_syntax) {
        // What else seems wrong with it would only mislead.
        return None;
    }
    let resolved = resolve::resolve(merged, faults);
    let settings = build::build(&resolved, faults)?;
    Some(Loaded { settings, values: resolved.values, origins: resolved.origins })
}
