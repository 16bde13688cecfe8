//! What may be relied on: every value present, within its range, and of a type that cannot hold a wrong one.

use super::values::{Gate, LogFormat, LogLevel, PassName, RepositoryName, Secret};
use crate::runtime::schedule::{Schedule, WindowSchedule};
use crate::store::{RepoUri, StoreSettings};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The shortest token that is accepted, in characters: enough for 80 random bits in base 32.
const SHORTEST_TOKEN: usize = 16;

/// Everything the program can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Activations at once, over all repositories.
    pub concurrency: NonZeroUsize,
    /// The leader lease.
    pub lease: LeaseSettings,
    /// The HTTP server.
    pub http: HttpSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// At least one; names and roots differ.
    pub repositories: Vec<RepositorySettings>,
}

impl Settings {
    /// The repository of that name.
    pub fn repository(&self, name: &str) -> Option<&RepositorySettings> {
        self.repositories.iter().find(|repository| repository.name.as_str() == name)
    }
}

/// The leader lease: it saves work, it guards nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Without a new beat for so long, another reconciler takes over.
    pub ttl: Duration,
    /// Without work for so long, it is given up.
    pub release_after: Duration,
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The token that may wake any repository. Without one, nobody may.
    pub token: Option<TokenSource>,
    /// Requests to reconcile that may wait at once; more are told to come back later.
    pub max_waiting: NonZeroUsize,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Outrigger's own events.
    pub level: LogLevel,
    /// Those of the libraries it uses.
    pub libraries: LogLevel,
    /// Text or JSON.
    pub format: LogFormat,
}

/// One repository.
#[derive(Debug, Clone, PartialEq)]
pub struct RepositorySettings {
    /// Short name, for labels and logs.
    pub name: RepositoryName,
    /// Where it lies.
    pub uri: RepoUri,
    /// Between two looks at it, before jitter.
    pub interval: Duration,
    /// How long a sidecar is left to its writer.
    pub grace: Duration,
    /// How long a sidecar whose tables never moved is left to its writer when no window is open.
    pub idle_grace: Duration,
    /// Whether drift that changes no content is published without asking.
    pub publish_neutral_drift: bool,
    /// Native repositories: whether writers are kept out for a moment when something waits for a window.
    pub gate: Gate,
    /// The token that may wake this repository and no other.
    pub token: Option<TokenSource>,
    /// When no writer is active, so that roll backs may happen.
    pub windows: Vec<WindowSchedule>,
    /// What is done, and how much of it at once. Every pass is there.
    pub passes: BTreeMap<PassName, PassSettings>,
    /// How its store is reached; without credentials, which its client takes from the environment.
    pub store: StoreSettings,
}

impl RepositorySettings {
    /// Passes that are switched on.
    pub fn enabled_passes(&self) -> impl Iterator<Item = (PassName, &PassSettings)> {
        self.passes.iter().filter(|(_, pass)| pass.enabled).map(|(name, pass)| (*name, pass))
    }
}

/// One pass over one repository.
#[derive(Debug, Clone, PartialEq)]
pub struct PassSettings {
    /// Whether it runs at all.
    pub enabled: bool,
    /// When it runs; `None`: whenever there may be something to do.
    pub schedule: Option<Schedule>,
    /// Scopes at once.
    pub concurrency: NonZeroUsize,
    /// An activation that takes longer is given up and begun again later.
    pub timeout: Duration,
}

/// Where a bearer token is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In a file, whose end of line does not count.
    File(PathBuf),
    /// It came from the environment.
    Given(Secret),
}

impl TokenSource {
    /// The token. Fails with [`crate::Kind::Invalid`] if it cannot be read, is shorter than 16 characters, or holds
    /// anything but visible ASCII.
    pub fn read(&self) -> Result<Secret> {
        match self {
            Self::Given(secret) => check_token(secret.clone(), "the token from the environment"),
            Self::File(path) => {
                let name = format!("the token file {}", path.display());
                let text = std::fs::read_to_string(path);
                let text =
                    text.map_err(|error| Error::invalid(format!("cannot read {name}")).caused_by(error))?;
                check_token(Secret::new(text.trim_end_matches(['\r', '\n'])), &name)
            }
        }
    }
}

fn check_token(token: Secret, name: &str) -> Result<Secret> {
    let text = token.reveal();
    if text.len() < SHORTEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let rule = format!("needs at least {SHORTEST_TOKEN} characters, all of them visible ASCII");
        return Err(Error::invalid(format!("{name} {rule}")));
    }
    Ok(token)
}
