//! One thing for each key, used by one task at a time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Cheap to clone; clones share the things.
pub(crate) struct Slots<K, V>(Arc<Mutex<HashMap<K, Arc<AsyncMutex<V>>>>>);

impl<K, V> Clone for Slots<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Slots<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> fmt::Debug for Slots<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slots")
    }
}

impl<K: Hash + Eq, V: Default> Slots<K, V> {
    /// Forgets the things of other keys. One that is in use stays with its user, and is gone for the next.
    pub(crate) fn retain(&self, wanted: impl Fn(&K) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| wanted(key));
    }

    /// The thing of this key, once nobody else uses it. In order of asking.
    pub(crate) async fn take(&self, key: K) -> OwnedMutexGuard<V> {
        let slot = {
            // A panic elsewhere cannot leave half a map: slots are only ever added whole.
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(key).or_default().clone()
        };
        slot.lock_owned().await
    }
}
