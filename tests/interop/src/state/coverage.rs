//! Which failpoint is covered by which state, and why some are by none.

/// Failpoints that leave nothing on storage that a kill elsewhere does not leave too.
#[cfg(test)]
const LEAVES_NOTHING: [(&str, &str); 7] = [
    ("classify.fresh_read", "simulates an unreadable branch inside a running process"),
    ("cleanup.reconcile_fork", "the orphan is still there, as before the cleanup"),
    ("cleanup.resolve_branch_snapshot", "reads only"),
    ("cleanup.table_gc", "old versions of some tables are gone, which is what cleanup is for"),
    ("recovery.sidecar_list", "reads only"),
    ("publish.load_state_retryable_contention", "simulates contention inside a running process"),
    ("mutation.delete_node_pre_primary_delete", "0.8.0 only: deletes are staged"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::LEAVES_NOTHING;
    use crate::engine::Engine;
    use crate::program::Step;
    use crate::state;

    const SHARED: [&str; 34] = [
        "branch_delete.before_table_cleanup",
        "branch_merge.adopt_after_append_pre_upsert",
        "branch_merge.adopt_after_upsert_pre_delete",
        "branch_merge.post_phase_b_pre_manifest_commit",
        "branch_merge.rewrite_after_delete_pre_index",
        "branch_merge.rewrite_after_merge_pre_delete",
        "classify.fresh_read",
        "cleanup.reconcile_fork",
        "cleanup.resolve_branch_snapshot",
        "cleanup.table_gc",
        "ensure_indices.post_phase_b_pre_manifest_commit",
        "ensure_indices.post_stage_pre_commit_btree",
        "fork.before_classify",
        "fork.before_reclaim",
        "graph_publish.after_manifest_commit",
        "graph_publish.before_commit_append",
        "init.after_coordinator_init",
        "init.after_schema_contract_written",
        "init.after_schema_pg_written",
        "mutation.delete_node_pre_primary_delete",
        "mutation.post_finalize_pre_publisher",
        "optimize.before_compact",
        "optimize.inject_reindex_conflict",
        "optimize.post_phase_b_pre_manifest_commit",
        "recovery.before_roll_forward_publish",
        "recovery.orphan_discard_audit_append",
        "recovery.record_audit",
        "recovery.sidecar_confirm",
        "recovery.sidecar_delete",
        "recovery.sidecar_list",
        "recovery.sidecar_write",
        "schema_apply.after_manifest_commit",
        "schema_apply.after_staging_write",
        "schema_apply.before_staging_write",
    ];

    fn names(engine: Engine) -> BTreeSet<&'static str> {
        let own: &[&str] = match engine {
            Engine::V072 => {
                &["branch_create.after_manifest_branch_create", "branch_delete.before_commit_graph_reclaim"]
            }
            Engine::V080 => &["publish.load_state_retryable_contention"],
        };
        SHARED.iter().chain(own).copied().collect()
    }

    fn used(engine: Engine) -> BTreeSet<&'static str> {
        let states = state::all().into_iter().filter(|state| state.engines.contains(&engine));
        let point = |step: Step| match step {
            Step::Crash { failpoint, .. } => Some(failpoint),
            _ => None,
        };
        states.flat_map(|state| state.steps).filter_map(point).collect()
    }

    #[test]
    fn every_failpoint_has_a_state_or_a_reason() {
        for engine in Engine::ALL {
            let used = used(engine);
            for name in names(engine) {
                let excused = LEAVES_NOTHING.iter().any(|(excused, _)| *excused == name);
                assert!(used.contains(name) || excused, "no state crashes engine {engine} at {name}");
            }
        }
    }

    #[test]
    fn states_name_real_failpoints() {
        for engine in Engine::ALL {
            let unknown: Vec<_> = used(engine).difference(&names(engine)).copied().collect();
            assert!(unknown.is_empty(), "engine {engine} has no {unknown:?}");
        }
    }
}
