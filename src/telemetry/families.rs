//! Every metric: name, kind, labels and meaning. Dashboards and alerts may name these and no others.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// The latest reading.
    Gauge,
    /// Counts by size, with sum and count.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// As exported; counters end in `_total`, units stand last.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal)+) => {
        $(
            #[doc = $help]
            pub const $id: Family =
                Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+

        /// All of them.
        pub const ALL: &[&Family] = &[$(&$id),+];
    };
}

families! {
    BUILD_INFO: Gauge "outrigger_build_info" ["version"]
        "Always 1; the label says which version runs."
    START_TIME: Gauge "outrigger_start_time_seconds" []
        "When the process started, in seconds since 1970."
    ACTIVATIONS: Counter "outrigger_activations_total" ["repository", "pass", "outcome"]
        "Runs of a pass over a repository, by how they ended."
    ACTIVATION_SECONDS: Histogram "outrigger_activation_seconds" ["pass", "outcome"]
        "How long runs of a pass took, over all repositories."
    LAST_SUCCESS: Gauge "outrigger_last_success_timestamp_seconds" ["repository", "pass"]
        "When a run of the pass last did its work, in seconds since 1970; 0 if none has since the start."
    PANICS: Counter "outrigger_panics_total" ["repository"]
        "Runs that ended by a defect of this program. Other repositories went on."
    SCOPES_PENDING: Gauge "outrigger_scopes_pending" ["repository", "verdict"]
        "Crashed commits that are not settled yet, by what is to be done about them."
    SCOPES_WAITING: Gauge "outrigger_scopes_waiting" ["repository", "reason"]
        "Crashed commits that wait, by what they wait for."
    SCOPES_HELD: Gauge "outrigger_scopes_held" ["repository"]
        "Findings that are left untouched until a person decides."
    OLDEST_PENDING: Gauge "outrigger_oldest_pending_seconds" ["repository"]
        "Age of the oldest sidecar that is not settled; 0 if there is none."
    REFUSED: Gauge "outrigger_repository_refused" ["repository"]
        "1 if the repository is of a format that is not written. Nothing is done to it."
    ACTIONS: Counter "outrigger_actions_total" ["repository", "action", "outcome"]
        "Changes made to a store, by kind and how they ended."
    PUBLISH_CONFLICTS: Counter "outrigger_publish_conflicts_total" ["repository"]
        "Publishes that lost against another commit. Each is looked at again; many mean a busy repository."
    STORE_REQUESTS: Counter "outrigger_store_requests_total" ["repository", "operation"]
        "Requests to the store, as it bills them."
    LEASE_HELD: Gauge "outrigger_lease_held" ["repository"]
        "1 while this process holds the repository's leader lease."
    WINDOW_OPEN: Gauge "outrigger_window_open" ["repository"]
        "1 while a window is open in which commits may be undone."
    RECONCILE_REQUESTS: Counter "outrigger_reconcile_requests_total" ["outcome"]
        "Requests to reconcile over HTTP, by how they were answered."
}
