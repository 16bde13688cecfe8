//! Periods in which somebody promises that no writer is active, and the right to undo that follows from one.

use serde::{Deserialize, Serialize};

/// Who promises, and how. A promise, not a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The operator's word for this run.
    Exclusive,
    /// A window that somebody opened by hand.
    Manual,
    /// A window by the calendar.
    Schedule,
    /// The native gate, which writers obey.
    Gate,
    /// None: a native writer undoes its own commits, above which nobody else commits.
    Own,
}

impl Window {
    /// Whether it covers acts that the store cannot guard by a precondition (contract files, lock branch, datasets).
    pub fn covers_unguarded_acts(self) -> bool {
        !matches!(self, Self::Schedule | Self::Own)
    }

    /// The printed name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Manual => "manual",
            Self::Schedule => "schedule",
            Self::Gate => "gate",
            Self::Own => "own",
        }
    }
}

/// The right to undo, for one act: handed out by whoever has just looked whether a window is open, and asked for by every
/// call that needs one. It is spent with the act: the next one needs a new look.
#[derive(Debug)]
pub struct Permit {
    window: Window,
}

impl Permit {
    /// The permit of a window that was just seen open.
    pub fn of(window: Window) -> Self {
        Self { window }
    }

    /// The window that it follows from.
    pub fn window(&self) -> Window {
        self.window
    }
}
