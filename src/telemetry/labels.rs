//! The closed sets of words that metrics carry as labels. A free text would let one bad name make a thousand series.

use crate::config::PassName;
use crate::model::audit::Verdict;
use crate::passes::report::{ActionKind, ActionOutcome, WaitReason};
use serde::Serialize;
use std::fmt;

/// A label with a closed set of values.
pub trait Label: Copy + 'static {
    /// Every value.
    fn all() -> &'static [Self];
    /// The word for it.
    fn word(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $word)] $value,)+
        }

        impl Label for $name {
            fn all() -> &'static [Self] {
                &[$(Self::$value),+]
            }
            fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    )+ };
}

labels! {
    /// How a run of a pass ended.
    ActivationOutcome {
        /// Nothing is left to do.
        Converged = "converged",
        /// Something waits for its grace, a window or its turn.
        Waiting = "waiting",
        /// Something waits for a person.
        Held = "held",
        /// The repository is of a format that is not written.
        Refused = "refused",
        /// An error of the store or of this program.
        Failed = "failed",
    }

    /// How a request to reconcile was answered.
    RequestOutcome {
        /// It was accepted.
        Accepted = "accepted",
        /// No token, a wrong one, or one for another repository.
        Denied = "denied",
        /// It could not be understood, or names no repository of ours.
        Invalid = "invalid",
        /// Too many were waiting.
        Busy = "busy",
        /// The daemon was shutting down.
        ShuttingDown = "shutting_down",
    }

    /// A kind of request, as stores bill them.
    StoreOperation {
        /// Reads of objects or parts of them.
        Get = "get",
        /// Reads of metadata.
        Head = "head",
        /// Pages of listings.
        List = "list",
        /// Writes.
        Put = "put",
        /// Deletions.
        Delete = "delete",
    }
}

impl ActivationOutcome {
    /// Whether the run did its work. That something waits or is held is not the run's failure.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Converged | Self::Waiting | Self::Held)
    }
}

macro_rules! words_of_others {
    ($($name:ty),+) => { $(
        impl Label for $name {
            fn all() -> &'static [Self] {
                Self::ALL
            }
            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    )+ };
}

words_of_others! { ActionKind, ActionOutcome, PassName, Verdict, WaitReason }
