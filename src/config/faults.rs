//! What is wrong with a configuration: all of it at once, each with its place and a way out.

use super::origin::{Origin, Source};
use crate::Error;
use serde::Serialize;
use std::fmt;

/// One thing that a person must mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The key and the place where it stands.
    #[serde(flatten)]
    pub origin: Origin,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin.source, self.origin.key.as_str()) {
            (Source::Default, key) => write!(f, "{key}: {}", self.message),
            (source, "") => write!(f, "{source}: {}", self.message),
            (source, key) => write!(f, "{source}: {key}: {}", self.message),
        }
    }
}

/// Everything found wrong; nothing twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault unless the same one is known. A value that many repositories inherit is wrong only once.
    pub(super) fn add(&mut self, origin: Origin, message: impl Into<String>) {
        let fault = Fault { origin, message: message.into() };
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    /// Whether something is known to be wrong with `key` where it stands in its source.
    pub(super) fn mention(&self, key: &str) -> bool {
        self.0.iter().any(|fault| fault.origin.key == key)
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the faults into the order in which a person meets them: by line in the file, then the environment, then flags.
    pub(super) fn sort(&mut self) {
        self.0.sort_by(|a, b| a.origin.source.cmp(&b.origin.source));
    }

    /// The faults, once sorted in the order in which a person meets them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Faults> for Error {
    fn from(faults: Faults) -> Self {
        Error::invalid(format!("the configuration has {} fault(s):\n{faults}", faults.0.len()))
    }
}

/// The most similar of `names`, if any is similar enough to be meant.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(written, name), name));
    let (score, name) = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (score > 0.8).then_some(name)
}
