//! Why a write did not happen, as what the caller does next.

use crate::model::{Branch, OperationId, TableKey, Version};
use std::fmt;
use std::time::Duration;

/// `Result` with [`Error`].
///
/// ```
/// use outrigger::writer::{Repository, Result};
///
/// async fn balance_sheet(bank: &Repository) -> Result<u64> {
///     bank.snapshot("main").await?.count("accounts")
/// }
/// # use outrigger::writer::example;
/// # example(async |bank| Ok(assert_eq!(balance_sheet(&bank).await?, 2)));
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a write did not happen. Of a commit that ends so nothing is shown, unless the kind says that it may be.
///
/// ```
/// use outrigger::writer::Error;
///
/// fn again(error: &Error) -> bool {
///     // A conflict is solved by reading anew; waiting helps against the others.
///     matches!(error, Error::Conflict { .. } | Error::Paused { .. } | Error::Rejected { .. })
/// }
/// # let paused = Error::Paused { retry_after: std::time::Duration::from_secs(1) };
/// # assert!(again(&paused));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else has changed a table since it was read. Begin anew: what the transaction was based on is no longer so.
    #[error("{table} is at version {actual}, and was read at {expected}: begin the transaction anew")]
    Conflict {
        /// The table.
        table: TableKey,
        /// The version that the transaction has read.
        expected: Version,
        /// The version that is shown now.
        actual: Version,
    },
    /// Writers are asked to wait while something is undone. Nothing is left but files that no version names.
    #[error("writers are paused while a crashed commit is undone: try again in {}", humantime::format_duration(*.retry_after))]
    Paused {
        /// When it may be over.
        retry_after: Duration,
    },
    /// There is too much at work already. Nothing was written.
    #[error("more than {limit} at once: try again in {}", humantime::format_duration(*.retry_after))]
    Rejected {
        /// The limit that would be passed.
        limit: Limit,
        /// When it may be over.
        retry_after: Duration,
    },
    /// A commit that has not come to its end is in the way: another's, or this one's, which a recovery will show or undo. `heal`,
    /// or an Outrigger beside the writers, settles it.
    #[error(
        "operation {sidecar} has not come to its end: call `heal`, or run `outrigger once`; if that says it needs a window, see \
         `outrigger status`"
    )]
    PendingRecovery {
        /// Its crash record is `__recovery/<sidecar>.json`.
        sidecar: OperationId,
    },
    /// Files of something that is no more lie where a table's branch would be made.
    #[error(
        "{table} cannot be forked for branch {branch}, {found} lies there: `outrigger repair fork --table {table} --exclusive` offers to remove it"
    )]
    OrphanedFork {
        /// The table.
        table: TableKey,
        /// The branch.
        branch: Branch,
        /// What lies there.
        found: String,
    },
    /// A table has versions that no commit shows and no crash record explains: another program has written there. Nothing of this
    /// commit was written. A person decides what becomes of them.
    #[error(
        "{table} has versions after {shown} on branch {branch} that no commit shows and no crash record explains, as if another program had \
         written there: see `outrigger status`, then `outrigger repair drift`"
    )]
    Drift {
        /// The table.
        table: TableKey,
        /// The branch.
        branch: Branch,
        /// The version that is shown.
        shown: Version,
    },
    /// Source and target of a merge have changed the same rows in different ways.
    #[error("{}", Listed(.0))]
    MergeConflicts(Vec<MergeConflict>),
    /// Anything else; its kind says what to do.
    #[error(transparent)]
    Other(#[from] crate::Error),
}

impl Error {
    /// An error of this program's caller.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Other(crate::Error::invalid(message))
    }

    /// Somebody else was first, and the same attempt may succeed on what is there now.
    pub(super) fn is_contention(&self) -> bool {
        matches!(self, Self::Other(error) if error.kind() == crate::Kind::Moved)
    }
}

/// What there may not be more of at once.
///
/// ```
/// use outrigger::writer::Limit;
///
/// assert_eq!(Limit::InFlight(16).to_string(), "16 commits of one actor");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Commits of one actor under way.
    InFlight(usize),
    /// Bytes of one actor's commits under way.
    Bytes(u64),
    /// Tables rewritten as a whole.
    Rewrites(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight(most) => write!(f, "{most} commits of one actor"),
            Self::Bytes(most) => write!(f, "{most} bytes of one actor's commits"),
            Self::Rewrites(most) => write!(f, "{most} tables rewritten as a whole"),
        }
    }
}

/// Rows of one table that both sides of a merge have changed.
///
/// ```
/// # use outrigger::writer::{Error, balances, example};
/// # example(async |bank| {
/// bank.create_branch("trial", "main").await?;
/// for (branch, balance) in [("trial", 1), ("main", 2)] {
///     let mut tx = bank.begin(branch).await?;
///     tx.upsert("accounts", balances(&[("ann", balance)])).await?;
///     tx.commit().await?;
/// }
/// let Err(Error::MergeConflicts(conflicts)) = bank.merge("trial", "main", None).await else { panic!() };
/// assert_eq!((conflicts[0].table.as_str(), &conflicts[0].keys), ("accounts", &vec![vec!["ann".to_owned()]]));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeConflict {
    /// The table.
    pub table: TableKey,
    /// Their keys, each column's value as text, in the order of the key's columns.
    pub keys: Vec<Vec<String>>,
}

struct Listed<'a>(&'a [MergeConflict]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Keys of one table that are named; a merge may have thousands.
        const NAMED: usize = 10;
        f.write_str("both branches have changed the same rows: ")?;
        for (nth, MergeConflict { table, keys }) in self.0.iter().enumerate() {
            let named: Vec<String> = keys.iter().take(NAMED).map(|key| key.join("/")).collect();
            let more = keys.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let gap = if nth > 0 { "; " } else { "" };
            write!(f, "{gap}{table} {}{more}", named.join(", "))?;
        }
        Ok(())
    }
}
