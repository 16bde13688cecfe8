//! The composition root: the only place that builds the real things.

use crate::error::Result;
use crate::model::Timestamp;
use crate::passes::recovery::act::Handles;
use crate::passes::recovery::decide::Policy;
use crate::passes::recovery::observe::Grace;
use crate::passes::recovery::run::Run;
use crate::repo::Repository;
use crate::runtime::clock::{Clock, SystemClock};
use crate::store::{RepoUri, Store, StoreParts, StoreSettings};
use std::sync::Arc;

/// Opens a repository at an address, with the usual `AWS_*` settings. Reads only.
pub async fn open(uri: &RepoUri) -> Result<Repository> {
    let settings = StoreSettings::default().or_environment(crate::config::environment_variable);
    let store = Store::open(uri, &settings, StoreParts::real()).await?;
    Repository::open(store).await
}

/// The real clock and fresh ids, for acts of a one-shot command: its window is the command's own run.
struct OneShot {
    clock: SystemClock,
}

impl Handles for OneShot {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[expect(clippy::disallowed_methods, reason = "the composition root is where ids come from")]
    fn ulid(&self) -> String {
        ulid::Ulid::generate().to_string()
    }

    fn window_is_open(&self) -> bool {
        true
    }
}

/// Handles of a command that a person runs.
pub fn handles() -> Arc<dyn Handles> {
    Arc::new(OneShot { clock: SystemClock::new() })
}

/// What a one-shot command runs the recovery pass with.
pub fn one_shot(policy: Policy, dry: bool) -> Arc<Run> {
    let clock = SystemClock::new();
    let uptime = clock.clone();
    Arc::new(Run {
        policy,
        dry,
        concurrency: 4,
        handles: Arc::new(OneShot { clock }),
        grace: Arc::new(Grace::default()),
        uptime: Arc::new(move || uptime.monotonic().since(Default::default())),
    })
}
