//! What went wrong, sorted by what the caller does next.
//!
//! A kind answers "what now?"; the message names the thing and the next step; the source keeps the cause. The chain is
//! printed once, at the edge ([`Error::chain`]).

use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The repository is of a format that we do not write. Nothing was written; exit 78.
    Refused,
    /// Configuration, arguments or an address are wrong. A person mends them; exit 78.
    Invalid,
    /// The named object, table, branch or version does not exist.
    Missing,
    /// The store refused our credentials or our rights.
    Denied,
    /// The store did not answer, throttled us, or is full. The same call may succeed later.
    Unavailable,
    /// The world moved between looking and acting. Look again; nothing of ours was written.
    Moved,
    /// A write may or may not have happened. Look again before anything else.
    Unknown,
    /// Stored bytes cannot be understood. Leave them untouched, report and count.
    Corrupt,
    /// A broken assumption in this program.
    Internal,
}

/// An error with its kind, a message for people and, where there is one, its cause.
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a deeper cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with what was being done in front of the message: `"{doing}: {message}"`.
    pub fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What the caller does next.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is the trouble of the one object, table or branch that was looked at, while the others can go on. Not if the
    /// store does not answer, or something moved.
    pub fn is_local(&self) -> bool {
        match self.kind {
            Kind::Refused | Kind::Invalid | Kind::Missing | Kind::Denied | Kind::Corrupt | Kind::Internal => {
                true
            }
            Kind::Unavailable | Kind::Moved | Kind::Unknown => false,
        }
    }

    /// The message and every cause, each once, joined by `": "`.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let said = cause.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            next = cause.source();
        }
        text
    }

    /// [`Kind::Refused`].
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }
    /// [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }
    /// [`Kind::Missing`].
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(Kind::Missing, message)
    }
    /// [`Kind::Moved`].
    pub fn moved(message: impl Into<String>) -> Self {
        Self::new(Kind::Moved, message)
    }
    /// [`Kind::Unknown`].
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Kind::Unknown, message)
    }
    /// [`Kind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, message)
    }
    /// [`Kind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_each_cause_once() {
        let error = Error::new(Kind::Unavailable, "cannot list __recovery/: disk is full")
            .caused_by(std::io::Error::other("disk is full"))
            .while_doing("recovery");
        assert_eq!(error.chain(), "recovery: cannot list __recovery/: disk is full");
        let error = Error::missing("no table node:Person").caused_by(std::io::Error::other("404"));
        assert_eq!(error.chain(), "no table node:Person: 404");
    }
}
