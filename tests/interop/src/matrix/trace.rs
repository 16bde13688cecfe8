//! What a run without a window may leave behind.

use super::outrigger::{Answer, exit};
use crate::layout;

/// The changes, as told by [`crate::root::difference`], that an answer does not account for. Who is refused, holds or waits
/// changes nothing. Who finishes something adds to datasets and control objects, and deletes the sidecars of what it has
/// finished; it makes no branch, and touches neither contract files, nor locks, nor anything that is there.
pub fn unaccounted(changes: &[String], answer: &Answer) -> Vec<String> {
    changes.iter().filter(|change| !accounts_for(answer, change)).cloned().collect()
}

fn accounts_for(answer: &Answer, change: &str) -> bool {
    let Some((mark, name)) = change.split_once(' ') else { return false };
    let beside = name.strip_prefix(layout::RECOVERY_DIR).and_then(|name| name.strip_prefix('/'));
    let sidecar = beside.and_then(|name| name.strip_suffix(".json"));
    let adds = name.contains('/') && !name.contains("/_refs/") && sidecar.is_none();
    match mark {
        _ if answer.exit == exit::REFUSED => false,
        "+" => answer.has_done_something() && adds,
        "-" => sidecar.is_some_and(|operation| answer.has_done(operation)),
        // Lance 7 keeps a hint beside the versions that it makes; nothing is decided by it.
        "~" => answer.has_done_something() && name.ends_with("/_versions/latest_version_hint.json"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unaccounted_of(changes: &[&str], scopes: &str, exit: i32) -> Vec<String> {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        unaccounted(&changes, &Answer::parse(scopes, exit))
    }

    const DONE: &str = r#"[{"scope": "A", "verdict": "roll_forward", "outcome": "done"}]"#;
    const WAITS: &str = r#"[{"scope": "A", "verdict": "roll_back", "outcome": "waits"}]"#;

    #[test]
    fn what_is_finished_may_add_and_take_its_sidecar_away() {
        let usual = [
            "+ __manifest/_versions/1.manifest",
            "~ __manifest/_versions/latest_version_hint.json",
            "+ __recovery/A.fence",
            "- __recovery/A.json",
        ];
        assert!(unaccounted_of(&usual, DONE, 0).is_empty());
    }

    #[test]
    fn what_waits_or_is_refused_changes_nothing() {
        let changes = ["+ __manifest/_versions/1.manifest", "+ __recovery/A.fence", "- __recovery/A.json"];
        assert_eq!(unaccounted_of(&changes, WAITS, 10), changes);
        assert_eq!(unaccounted_of(&changes, "[]", 78), changes);
    }

    #[test]
    fn nothing_takes_away_what_is_not_its_own_or_touches_what_needs_a_window() {
        let changes = [
            "- __recovery/B.json",
            "+ __recovery/B.json",
            "- _schema.pg.staging",
            "+ _schema.pg",
            "~ _schema.pg",
            "- nodes/a/_versions/1.manifest",
            "~ nodes/a/_versions/1.manifest",
            "- __manifest/_refs/branches/__schema_apply_lock__.json",
            "+ nodes/a/_refs/branches/b.json",
        ];
        assert_eq!(unaccounted_of(&changes, DONE, 0), changes);
    }
}
