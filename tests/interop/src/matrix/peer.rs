//! What the engine's own recovery makes of a wreck.

use super::twins::Seen;
use crate::dump;
use crate::engine::{Access, Engine};
use crate::judge;
use crate::root::Root;

/// The rows after a read-write open, and whether writing goes on.
pub struct PeerOutcome {
    pub rows: PeerRows,
    pub writes_on: bool,
}

pub enum PeerRows {
    /// The operation changes no row, and none has changed.
    Same,
    Before,
    Committed,
    /// As Outrigger is to leave them, where that is none of the above.
    AsExpected,
    /// None of these: something is half there.
    Other,
    /// The open fails.
    FailsToOpen(String),
    Unreadable(String),
}

impl PeerOutcome {
    pub fn words(&self) -> String {
        let rows = match &self.rows {
            PeerRows::Same => "unchanged",
            PeerRows::Before => "before",
            PeerRows::Committed => "committed",
            PeerRows::AsExpected => "as expected",
            PeerRows::Other => "**half**",
            PeerRows::FailsToOpen(_) => return "**fails to open**".to_owned(),
            PeerRows::Unreadable(_) => return "**unreadable**".to_owned(),
        };
        if self.writes_on { rows.to_owned() } else { format!("{rows}, **write-dead**") }
    }

    /// The engine's words, where it gave up.
    pub fn error(&self) -> Option<&str> {
        match &self.rows {
            PeerRows::FailsToOpen(error) | PeerRows::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

pub async fn recover(
    engine: Engine,
    root: &Root,
    before: &Seen,
    committed: &Seen,
    expected: &Seen,
) -> PeerOutcome {
    let open = engine.open(root.uri(), Access::ReadWrite).await;
    if let Err(error) = open {
        return PeerOutcome { rows: PeerRows::FailsToOpen(format!("{error:#}")), writes_on: false };
    }
    drop(open);
    let rows = match dump::collect(engine, root.uri()).await {
        Err(error) => PeerRows::Unreadable(format!("{error:#}")),
        Ok(found) => {
            let is = |seen: &Seen| seen.as_ref().is_ok_and(|rows| *rows == found);
            match (is(before), is(committed), is(expected)) {
                (true, true, _) => PeerRows::Same,
                (true, false, _) => PeerRows::Before,
                (false, true, _) => PeerRows::Committed,
                (false, false, true) => PeerRows::AsExpected,
                (false, false, false) => PeerRows::Other,
            }
        }
    };
    let writes_on = judge::judge(engine, root).await.is_ok();
    PeerOutcome { rows, writes_on }
}
