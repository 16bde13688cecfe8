//! Where one pin of a claim stands: its versions and its tail, judged for this claim alone.

use super::super::observation::{Claim, Lineage, Origin, TableSeen};
use super::ownership::{is_inline, is_own_tail, own_data, shown_commits};
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

/// Said where what the graph shows is gone: the record is not what is to be mended.
pub const FILES_FIRST: &str = "restore its files from a backup";

/// Said where something is there and cannot be read.
pub const GOES_ON: &str = "once it can, this goes on by itself";

/// Judges one pin against its lineage. `elsewhere`: the data in the tail is other claims', so only what the graph shows
/// can be this one's.
pub fn standing(claim: &Claim, pin: &Pin, seen: Option<&TableSeen>, elsewhere: bool) -> Standing {
    match seen {
        None => Standing::Unknown(format!("{} was not observed", pin.table)),
        Some(TableSeen::Unreadable(why)) => {
            Standing::Unknown(format!("{} cannot be read: {why}; {GOES_ON}", pin.table))
        }
        Some(TableSeen::Missing { what, placed: true, .. }) => {
            Standing::Unknown(format!("the graph shows {} but {what}", pin.table))
        }
        Some(TableSeen::Missing { what, .. }) => Standing::Missing(what.clone()),
        Some(TableSeen::Present(lineage)) => match contradiction(pin, lineage) {
            Some(why) => Standing::Unknown(why),
            None if elsewhere || lineage.tail().is_empty() => below(claim, pin, lineage),
            None => moved(claim, pin, lineage),
        },
    }
}

/// Versions that cannot all be true.
fn contradiction(pin: &Pin, lineage: &Lineage) -> Option<String> {
    let Pin { table, expected, .. } = pin;
    let Lineage { pin: shown, head, .. } = lineage;
    // Recorded once it was there: a merge's confirmation, and inline deletes, whose sidecar follows them.
    let reached = pin.confirmed.unwrap_or(pin.post_commit);
    let was_reached = pin.confirmed.is_some() || is_inline(pin);
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
fn below(claim: &Claim, pin: &Pin, lineage: &Lineage) -> Standing {
    let sidecar = &claim.sidecar;
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
    let table = &pin.table;
    let inner = lineage.inner(pin.expected);
    let own = shown_commits(sidecar, pin, inner);
    let kept = own.iter().filter(|step| is_ancestor(inner, step.version)).count();
    if own.is_empty() {
        Standing::Unmoved
    } else if kept == 0 {
        Standing::RestoredSince
    } else if never_confirmed(claim, pin) {
        let odd = "was never confirmed, yet the graph shows what may be a part of it";
        Standing::Unknown(format!("the merge into {table} {odd}"))
    } else if kept == own.len() || sidecar.kind.is_maintenance() {
        Standing::Shown
    } else {
        Standing::Unknown(format!("a later restore of {table} left a part of the operation's commits"))
    }
}

/// A merge of format 2 publishes only after it has confirmed. A record that was made of its sidecar before that does not know. A
/// native one is known by its name, and makes one commit.
fn never_confirmed(claim: &Claim, pin: &Pin) -> bool {
    let Claim { sidecar, origin, .. } = claim;
    let confirms = sidecar.kind == WriterKind::BranchMerge && sidecar.format >= 2 && !sidecar.names_commits;
    confirms && pin.confirmed.is_none() && *origin == Origin::Sidecar
}

/// Whether the newest of these versions is built on `version`: every version on its predecessor, a restored one on the
/// version that it restores.
fn is_ancestor(steps: &[Step], version: Version) -> bool {
    let mut newest = Version(u64::MAX);
    for step in steps.iter().rev() {
        if step.version > newest {
            continue;
        }
        if step.version == version {
            return true;
        }
        if let StepKind::Restore(to) = step.kind {
            newest = to;
        }
    }
    false
}

fn moved(claim: &Claim, pin: &Pin, lineage: &Lineage) -> Standing {
    let sidecar = &claim.sidecar;
    let tail = lineage.tail();
    if let Some((to, rest)) = after_restore(tail) {
        return restored(claim, pin, lineage, to, rest);
    }
    if is_own_tail(sidecar, pin, tail) {
        return readiness(sidecar, pin, lineage);
    }
    if tail.iter().all(|step| step.kind.is_neutral()) {
        return match below(claim, pin, lineage) {
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
fn restored(claim: &Claim, pin: &Pin, lineage: &Lineage, to: Version, rest: &[Step]) -> Standing {
    let sidecar = &claim.sidecar;
    if !rest.iter().all(|step| step.kind.is_neutral()) {
        let found = format!("{} has commits after a restore: {}", pin.table, describe(rest));
        return if is_own_tail(sidecar, pin, rest) { Standing::Own(found) } else { Standing::Foreign(found) };
    }
    let tail = lineage.tail();
    if own_data(sidecar, pin, tail).is_empty() {
        // Somebody else's commit was undone; this operation's may be shown long since.
        let told = below(claim, pin, lineage);
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

/// An own tail: ready to be shown, or why not.
fn readiness(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
    if pin.expected != lineage.pin && !sidecar.kind.is_maintenance() {
        return Standing::Own(format!(
            "the writer of {} began at version {}, the graph shows {} now",
            pin.table, pin.expected, lineage.pin
        ));
    }
    if sidecar.kind == WriterKind::BranchMerge && pin.confirmed.is_none() && !sidecar.names_commits {
        return Standing::Own(format!("the merge into {} is not confirmed", pin.table));
    }
    Standing::Complete
}
