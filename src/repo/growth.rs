//! What a dataset has gained since it was last read, so that a look costs what changed and not the history.
//!
//! Rows never change inside a data file, so a fragment that holds the same files holds the same rows; deletions only hide
//! rows that a newer fragment holds in a newer form. What was read stays true as long as its fragments are there.

use super::dataset::{Handle, version_of};
use super::trouble::{explain, kind_of};
use crate::error::{Kind, Result};
use lance_table::format::Fragment;
use std::collections::HashMap;

/// What a fresh look at a dataset found.
pub(super) enum Growth {
    /// There is no such dataset any more.
    Gone,
    /// The version that was read is the newest.
    Same,
    /// The newest version holds all that was read, and the rows of these fragments.
    More(Box<Handle>, Vec<Fragment>),
    /// It is not what was read with something added: compacted, or a branch of the same name that was created anew.
    Other,
}

/// Looks for the newest version: one request if nothing is new, two if something is.
///
/// `may_vanish` tells of a fragment that was read whether newer forms of all its rows are to be expected elsewhere.
pub(super) async fn since(known: &Handle, may_vanish: impl Fn(&Fragment) -> bool) -> Result<Growth> {
    let mut now = known.clone();
    match now.checkout_latest().await {
        Ok(()) => {}
        Err(error) if kind_of(&error) == Kind::Missing => return Ok(Growth::Gone),
        Err(error) => return Err(explain(error, format_args!("cannot look at {}", known.uri()))),
    }
    let same_time = now.manifest().timestamp_nanos == known.manifest().timestamp_nanos;
    if version_of(&now) == version_of(known) && same_time {
        return Ok(Growth::Same);
    }
    if version_of(&now) <= version_of(known) {
        return Ok(Growth::Other);
    }
    let added = added(known.fragments(), now.fragments(), may_vanish);
    Ok(added.map_or(Growth::Other, |added| Growth::More(Box::new(now), added)))
}

/// The fragments of `now` that `then` does not have; `None` if one of `then` is gone that should not be.
pub(super) fn added(
    then: &[Fragment],
    now: &[Fragment],
    may_vanish: impl Fn(&Fragment) -> bool,
) -> Option<Vec<Fragment>> {
    let mut new: HashMap<u64, &Fragment> = now.iter().map(|fragment| (fragment.id, fragment)).collect();
    let all_there = then.iter().all(|known| {
        let kept = new.get(&known.id).is_some_and(|fragment| holds_the_same(known, fragment));
        if kept {
            new.remove(&known.id);
        }
        kept || may_vanish(known)
    });
    let mut new: Vec<Fragment> = new.into_values().cloned().collect();
    new.sort_by_key(|fragment| fragment.id);
    all_there.then_some(new)
}

fn holds_the_same(one: &Fragment, other: &Fragment) -> bool {
    one.files.len() == other.files.len()
        && one.files.iter().zip(&other.files).all(|(one, other)| one.path == other.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lance_table::format::DataFile;

    fn fragment(id: u64, file: &str) -> Fragment {
        let mut fragment = Fragment::new(id);
        fragment.files = vec![DataFile::new_legacy_from_fields(file, vec![0], None)];
        fragment
    }

    fn ids(added: Option<Vec<Fragment>>) -> Option<Vec<u64>> {
        added.map(|added| added.iter().map(|fragment| fragment.id).collect())
    }

    #[test]
    fn what_was_added_is_new_and_nothing_else() {
        let then = [fragment(0, "a"), fragment(1, "b")];
        let now = [fragment(0, "a"), fragment(1, "b"), fragment(2, "c"), fragment(3, "d")];
        assert_eq!(ids(added(&then, &now, |_| false)), Some(vec![2, 3]));
        assert_eq!(ids(added(&then, &then, |_| false)), Some(vec![]));
    }

    #[test]
    fn what_is_gone_makes_it_another_unless_it_was_to_go() {
        let then = [fragment(0, "a"), fragment(1, "b")];
        let now = [fragment(0, "a"), fragment(2, "c")];
        assert_eq!(ids(added(&then, &now, |_| false)), None);
        assert_eq!(ids(added(&then, &now, |fragment| fragment.id == 1)), Some(vec![2]));
    }

    #[test]
    fn another_file_under_the_same_number_is_another_fragment() {
        let (then, now) = ([fragment(0, "a"), fragment(1, "b")], [fragment(0, "a"), fragment(1, "x")]);
        assert_eq!(ids(added(&then, &now, |_| false)), None);
    }
}
