//! Where one pin of a claim stands: the only place where the shape of a tail is judged.
//!
//! Maintenance (index builds, compaction, settings, deletes of nothing) changes no row, so whoever shows it does no harm:
//! it is looked through wherever it lies in a tail. What remains, the *data*, must be explained.

use super::super::observation::{Lineage, TableSeen};
use crate::model::Version;
use crate::model::history::{Step, StepKind, describe};
use crate::model::sidecar::{Pin, Sidecar, WriterKind};

/// Where a pin stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of the operation is on the lineage.
    Unmoved,
    /// Nothing of the operation can be there: the lineage itself is not.
    Missing(String),
    /// The graph shows the operation's commit.
    Shown,
    /// The graph showed the commit, and a later restore went below it.
    RestoredSince,
    /// The tail is exactly this operation's commit, ready to be shown.
    Complete,
    /// The tail is this operation's, but it is not ready or the pin has moved since it began.
    Own(String),
    /// The tail ends with a restore to the content that the graph shows.
    Undone,
    /// The tail ends with a restore to something else.
    StaleUndo(String),
    /// Only maintenance lies in the tail; rows are as the graph shows them.
    Neutral,
    /// Content that this operation does not explain.
    Foreign(String),
    /// It cannot be told; says why.
    Unknown(String),
}

/// Judges one pin against its lineage. `elsewhere`: the data in the tail is other claims', so only what the graph shows
/// can be this one's.
pub fn standing(sidecar: &Sidecar, pin: &Pin, seen: Option<&TableSeen>, elsewhere: bool) -> Standing {
    match seen {
        None => Standing::Unknown(format!("{} was not observed", pin.table)),
        Some(TableSeen::Unreadable(why)) => Standing::Unknown(format!("{} cannot be read: {why}", pin.table)),
        Some(TableSeen::Missing { what, placed: true, .. }) => {
            Standing::Unknown(format!("the graph shows {} but {what}", pin.table))
        }
        Some(TableSeen::Missing { what, .. }) => Standing::Missing(what.clone()),
        Some(TableSeen::Present(lineage)) => match contradiction(pin, lineage) {
            Some(why) => Standing::Unknown(why),
            None if elsewhere || lineage.tail().is_empty() => shown(sidecar, pin, lineage),
            None => moved(sidecar, pin, lineage),
        },
    }
}

/// Versions that cannot all be true.
fn contradiction(pin: &Pin, lineage: &Lineage) -> Option<String> {
    let Pin { table, expected, .. } = pin;
    let Lineage { pin: shown, head, .. } = lineage;
    // Recorded once it was there: a merge's confirmation, and inline deletes, whose sidecar follows them.
    let reached = pin.confirmed.unwrap_or(pin.post_commit);
    let was_reached = pin.confirmed.is_some() || reached > expected.next();
    if *shown == Version::ABSENT {
        Some(format!("the graph does not show {table}"))
    } else if head < shown {
        Some(format!("the graph shows {table} at version {shown}, above its newest version {head}"))
    } else if expected > shown {
        Some(format!("{table} was at version {expected} when the writer began and is shown at {shown} now"))
    } else if was_reached && reached > *head {
        Some(format!("the writer of {table} had reached version {reached}, above its newest version {head}"))
    } else if !lineage.tail_is_whole() {
        Some(format!("a transaction of {table} above version {shown} cannot be read"))
    } else {
        None
    }
}

/// What the history between E and P tells: whether the graph shows the operation's commit.
fn shown(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
    // Before its fork is published a branch's commits cannot be part of what the parent's lineage shows.
    if pin.expected == lineage.pin || !lineage.is_placed(&pin.branch) {
        return Standing::Unmoved;
    }
    if !lineage.inner_is_whole(pin.expected) {
        return Standing::Unknown(format!(
            "the history of {} between versions {} and {} is gone",
            pin.table, pin.expected, lineage.pin
        ));
    }
    let inner = lineage.inner(pin.expected);
    let own: Vec<&Step> = inner.iter().filter(|step| is_shown_commit(sidecar, pin, step)).collect();
    if own.is_empty() {
        Standing::Unmoved
    } else if never_confirmed(sidecar, pin) {
        Standing::Unknown(format!(
            "the merge into {} was never confirmed, yet the graph shows what may be a part of it",
            pin.table
        ))
    } else if own.iter().any(|step| is_ancestor(inner, step.version)) {
        Standing::Shown
    } else {
        Standing::RestoredSince
    }
}

/// A merge of format 2 publishes only after it has confirmed.
fn never_confirmed(sidecar: &Sidecar, pin: &Pin) -> bool {
    sidecar.kind == WriterKind::BranchMerge && sidecar.format >= 2 && pin.confirmed.is_none()
}

/// Whether a step in (E, P] counts as the operation's own. Without the transaction property that is plausibility: right
/// kind, staged on E or earlier, and no later than the version that the writer meant to reach.
fn is_shown_commit(sidecar: &Sidecar, pin: &Pin, step: &Step) -> bool {
    if matches!(step.kind, StepKind::Restore(_)) {
        return false;
    }
    if let Some(operation) = &step.operation {
        return *operation == sidecar.operation.as_str();
    }
    match pin.confirmed {
        Some(confirmed) => step.version == confirmed,
        None if sidecar.kind.is_maintenance() => step.kind.is_neutral(),
        None => {
            fits(sidecar.kind, &step.kind)
                && step.read_version <= pin.expected
                && step.version <= pin.post_commit
        }
    }
}

/// Whether the newest of these versions is built on `version`: every version on its predecessor, a restored one on the
/// version that it restores.
fn is_ancestor(steps: &[Step], version: Version) -> bool {
    let mut wanted = Version(u64::MAX);
    for step in steps.iter().rev().filter(|step| step.version >= version) {
        if step.version > wanted {
            continue;
        }
        if step.version == version {
            return true;
        }
        if let StepKind::Restore(to) = step.kind {
            wanted = to;
        }
    }
    false
}

/// Whether every commit that makes a pin [`Standing::Shown`] names the operation: proof, not plausibility.
pub fn is_proven(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> bool {
    let names = |step: &Step| step.operation.as_deref() == Some(sidecar.operation.as_str());
    lineage.inner(pin.expected).iter().any(names)
}

/// Whether a writer of this kind commits such a step as its work.
pub fn fits(kind: WriterKind, step: &StepKind) -> bool {
    match kind {
        WriterKind::Mutation | WriterKind::Load => step.is_data() || *step == StepKind::EmptyDelete,
        WriterKind::SchemaApply => *step == StepKind::Overwrite,
        WriterKind::BranchMerge => {
            matches!(step, StepKind::Append | StepKind::Update | StepKind::Delete | StepKind::EmptyDelete)
        }
        WriterKind::EnsureIndices => *step == StepKind::CreateIndex,
        WriterKind::Optimize => step.is_neutral(),
    }
}

/// Whether a step of the tail may be data that this claim committed. The transaction property decides where there is one.
pub fn may_own(sidecar: &Sidecar, pin: &Pin, step: &Step) -> bool {
    if !step.kind.is_data() || !fits(sidecar.kind, &step.kind) {
        return false;
    }
    if let Some(operation) = &step.operation {
        return *operation == sidecar.operation.as_str();
    }
    match sidecar.kind {
        // Its second commit is staged on its first. Nothing follows what it confirmed.
        WriterKind::BranchMerge => pin.confirmed.is_none_or(|confirmed| step.version <= confirmed),
        _ => step.read_version <= pin.expected || is_inline_delete(pin, step),
    }
}

/// A delete that is committed at once, up to the version that the sidecar, written afterwards, promises.
fn is_inline_delete(pin: &Pin, step: &Step) -> bool {
    step.kind == StepKind::Delete && pin.expected < step.version && step.version <= pin.post_commit
}

fn moved(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
    let tail = lineage.tail();
    if let Some((to, rest)) = after_restore(tail) {
        return restored(sidecar, pin, lineage, to, rest);
    }
    if is_own_tail(sidecar, pin, tail) {
        return readiness(sidecar, pin, lineage);
    }
    if tail.iter().all(|step| step.kind.is_neutral()) {
        return match shown(sidecar, pin, lineage) {
            Standing::Unmoved => Standing::Neutral,
            told => told,
        };
    }
    Standing::Foreign(format!("{} has commits that nothing explains: {}", pin.table, describe(tail)))
}

/// The newest restore of a tail and what follows it. What lies below it is hidden, whoever wrote it.
pub(super) fn after_restore(tail: &[Step]) -> Option<(Version, &[Step])> {
    tail.iter().enumerate().rev().find_map(|(at, step)| match step.kind {
        StepKind::Restore(to) => Some((to, &tail[at + 1..])),
        _ => None,
    })
}

/// A restore is never a writer's content: only what follows the newest one counts.
fn restored(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage, to: Version, rest: &[Step]) -> Standing {
    if !rest.iter().all(|step| step.kind.is_neutral()) {
        let found = format!("{} has commits after a restore: {}", pin.table, describe(rest));
        return if is_own_tail(sidecar, pin, rest) { Standing::Own(found) } else { Standing::Foreign(found) };
    }
    let tail = lineage.tail();
    if !tail.iter().any(|step| may_own(sidecar, pin, step)) {
        // Somebody else's commit was undone; this operation's may be shown long since.
        let told = shown(sidecar, pin, lineage);
        if told != Standing::Unmoved {
            return told;
        }
    }
    if to == lineage.pin || lineage.head_equals_pin {
        Standing::Undone
    } else {
        Standing::StaleUndo(format!(
            "{} was restored to version {to}, but the graph shows {}",
            pin.table, lineage.pin
        ))
    }
}

/// Whether the data of a tail is exactly this operation's work on the table.
fn is_own_tail(sidecar: &Sidecar, pin: &Pin, tail: &[Step]) -> bool {
    let data: Vec<&Step> = tail.iter().filter(|step| !step.kind.is_neutral()).collect();
    let own = data.iter().all(|step| may_own(sidecar, pin, step));
    let proven = data.iter().all(|step| step.operation.is_some());
    match sidecar.kind {
        WriterKind::EnsureIndices | WriterKind::Optimize => data.is_empty(),
        WriterKind::Mutation | WriterKind::Load if data.is_empty() => deletes_nothing(pin, tail),
        _ if data.is_empty() || !own => false,
        _ if proven => true,
        WriterKind::Mutation | WriterKind::Load if pin.post_commit > pin.expected.next() => {
            are_inline_deletes(pin, tail, &data)
        }
        WriterKind::Mutation | WriterKind::Load | WriterKind::SchemaApply => data.len() == 1,
        WriterKind::BranchMerge => true,
    }
}

/// A delete that matched no row: the operation's commit, although nothing changed.
fn deletes_nothing(pin: &Pin, tail: &[Step]) -> bool {
    tail.iter().any(|step| step.kind == StepKind::EmptyDelete && step.read_version <= pin.expected)
}

/// Deletes that were each committed at once, all of them in the tail.
fn are_inline_deletes(pin: &Pin, tail: &[Step], data: &[&Step]) -> bool {
    tail.first().is_some_and(|step| step.version == pin.expected.next())
        && data.iter().all(|step| is_inline_delete(pin, step))
}

/// An own tail: ready to be shown, or why not.
fn readiness(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
    if pin.expected != lineage.pin && !sidecar.kind.is_maintenance() {
        return Standing::Own(format!(
            "the writer of {} began at version {}, the graph shows {} now",
            pin.table, pin.expected, lineage.pin
        ));
    }
    if sidecar.kind == WriterKind::BranchMerge && pin.confirmed.is_none() {
        return Standing::Own(format!("the merge into {} is not confirmed", pin.table));
    }
    Standing::Complete
}
