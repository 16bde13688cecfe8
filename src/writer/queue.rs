//! Commits of one process wait for each other: one at a time for each table and branch, others side by side.
//!
//! Two handles of one repository share the queue, and the limits of admission. Between processes nothing waits: there the store
//! decides.

use super::admission::Admission;
use crate::model::{Branch, OperationId, TableKey};
use crate::repo::slots::Slots;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OwnedMutexGuard;

/// What all handles of one repository in this process share: the queue of its tables, and who is admitted.
///
/// ```
/// use outrigger::model::{Branch, TableKey};
/// use outrigger::writer::Manager;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let manager = Manager::of("/srv/bank");
/// let tables = ["accounts", "journal"].map(|name| TableKey::parse(name).unwrap()).into();
/// let turns = manager.turns(&tables, &Branch::main()).await;
/// // Until these are dropped, every other commit of this process to one of both tables waits.
/// drop(turns);
/// # });
/// ```
#[derive(Debug, Default)]
pub struct Manager {
    turns: Slots<(TableKey, Branch), ()>,
    admission: Admission,
    under_way: Arc<Mutex<HashSet<OperationId>>>,
}

/// An operation of this process that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    operation: OperationId,
    all: Arc<Mutex<HashSet<OperationId>>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.operation);
    }
}

/// Turns on tables, until it is dropped.
///
/// ```
/// use outrigger::model::{Branch, TableKey};
/// use outrigger::writer::{Manager, Turns};
///
/// async fn turn(manager: &Manager, table: &str) -> Turns {
///     manager.turns(&[TableKey::parse(table).unwrap()].into(), &Branch::main()).await
/// }
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let manager = Manager::of("/srv/shop");
/// drop(turn(&manager, "stock").await);
/// drop(turn(&manager, "stock").await);
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the turns end when this is dropped"]
pub struct Turns(#[expect(dead_code, reason = "held for its drop")] Vec<OwnedMutexGuard<()>>);

impl Manager {
    /// The manager of the repository at an address: the same for all who ask while one of them holds it.
    ///
    /// ```
    /// use outrigger::writer::Manager;
    ///
    /// let (one, other) = (Manager::of("/srv/bank"), Manager::of("/srv/bank"));
    /// assert!(std::sync::Arc::ptr_eq(&one, &other));
    /// ```
    pub fn of(root: &str) -> Arc<Self> {
        static MANAGERS: Mutex<Option<HashMap<String, Weak<Manager>>>> = Mutex::new(None);
        // A panic elsewhere cannot leave half a map.
        let mut managers = MANAGERS.lock().unwrap_or_else(PoisonError::into_inner);
        let managers = managers.get_or_insert_default();
        managers.retain(|_, manager| manager.strong_count() > 0);
        if let Some(known) = managers.get(root).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::new(Self::default());
        managers.insert(root.to_owned(), Arc::downgrade(&new));
        new
    }

    /// Who is at work. Maintenance takes its rewrites from here.
    ///
    /// ```
    /// use outrigger::writer::{Limits, Manager};
    ///
    /// let manager = Manager::of("/srv/bank");
    /// let compaction = manager.admission().rewrite(&Limits::default())?;
    /// drop(compaction);
    /// # Ok::<_, outrigger::writer::Error>(())
    /// ```
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Notes an operation that holds its turns: no other one of this process is at the same tables.
    pub(super) fn begin(&self, operation: &OperationId) -> UnderWay {
        let all = self.under_way.clone();
        all.lock().unwrap_or_else(PoisonError::into_inner).insert(operation.clone());
        UnderWay { operation: operation.clone(), all }
    }

    /// Whether an operation is one of this process's.
    pub(super) fn is_under_way(&self, operation: &OperationId) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).contains(operation)
    }

    /// Waits for a turn on each of these tables. All ask in the same order, so nobody waits for somebody who waits for him.
    ///
    /// ```
    /// use outrigger::model::{Branch, TableKey};
    /// use outrigger::writer::Manager;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let (manager, stock) = (Manager::of("/srv/shop"), TableKey::parse("stock").unwrap());
    /// let turns = manager.turns(&[stock].into(), &Branch::main()).await;
    /// drop(turns);
    /// # });
    /// ```
    pub async fn turns(&self, tables: &BTreeSet<TableKey>, branch: &Branch) -> Turns {
        let mut turns = Vec::new();
        for table in tables {
            turns.push(self.turns.take((table.clone(), branch.clone())).await);
        }
        Turns(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn tables(names: &[&str]) -> BTreeSet<TableKey> {
        names.iter().map(|name| TableKey::parse(name).unwrap()).collect()
    }

    #[tokio::test]
    async fn two_handles_of_one_repository_share_a_queue_and_others_do_not() {
        let (one, two, other) = (Manager::of("/a"), Manager::of("/a"), Manager::of("/b"));
        let main = Branch::main();
        let held = one.turns(&tables(&["x", "y"]), &main).await;
        assert!(two.turns(&tables(&["y"]), &main).now_or_never().is_none());
        assert!(two.turns(&tables(&["z"]), &main).now_or_never().is_some(), "another table");
        let feature = Branch::parse(Some("feature")).unwrap();
        assert!(two.turns(&tables(&["x"]), &feature).now_or_never().is_some(), "another branch");
        assert!(other.turns(&tables(&["x"]), &main).now_or_never().is_some(), "another repository");
        drop(held);
        assert!(two.turns(&tables(&["y"]), &main).now_or_never().is_some());
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_leaves_no_turn_behind() {
        let manager = Manager::of("/c");
        let main = Branch::main();
        let held = manager.turns(&tables(&["y"]), &main).await;
        assert!(manager.turns(&tables(&["x", "y"]), &main).now_or_never().is_none());
        assert!(manager.turns(&tables(&["x"]), &main).now_or_never().is_some());
        drop(held);
    }
}
