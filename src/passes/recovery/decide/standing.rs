//! Where one pin of a claim stands: the only place where the shape of a tail is judged.

use super::super::observation::{Lineage, TableSeen};
use crate::model::history::{Step, StepKind, describe};
use crate::model::sidecar::{Pin, Sidecar, WriterKind};
use crate::model::{Branch, Version};

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

/// Judges one pin against its lineage.
pub fn standing(sidecar: &Sidecar, pin: &Pin, seen: Option<&TableSeen>) -> Standing {
    match seen {
        None => Standing::Unknown(format!("{} was not observed", pin.table)),
        Some(TableSeen::Unreadable(why)) => Standing::Unknown(format!("{} cannot be read: {why}", pin.table)),
        Some(TableSeen::Missing { what, placed: true, .. }) => {
            Standing::Unknown(format!("the graph shows {} but {what}", pin.table))
        }
        Some(TableSeen::Missing { what, .. }) => Standing::Missing(what.clone()),
        Some(TableSeen::Present(lineage)) => present(sidecar, pin, lineage),
    }
}

fn present(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
    if lineage.head < lineage.pin {
        return Standing::Unknown(format!(
            "the graph shows {} at version {}, above its newest version {}",
            pin.table, lineage.pin, lineage.head
        ));
    }
    if pin.expected > lineage.pin {
        return Standing::Unknown(format!(
            "{} was at version {} when the writer began and is shown at {} now",
            pin.table, pin.expected, lineage.pin
        ));
    }
    if lineage.head == lineage.pin { settled(sidecar, pin, lineage) } else { moved(sidecar, pin, lineage) }
}

/// No tail: what the graph shows is all there is, so the history between E and P tells.
fn settled(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
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
    let Some(own) = inner.iter().position(|step| is_own_commit(sidecar, pin, step)) else {
        return Standing::Unmoved;
    };
    let newest_restore = inner.iter().rev().find_map(|step| match step.kind {
        StepKind::Restore(to) if step.version > inner[own].version => Some(to),
        _ => None,
    });
    match newest_restore {
        Some(to) if to < inner[own].version => Standing::RestoredSince,
        _ => Standing::Shown,
    }
}

/// Whether a shown step is the operation's own commit on this table.
fn is_own_commit(sidecar: &Sidecar, pin: &Pin, step: &Step) -> bool {
    if let Some(operation) = &step.operation {
        return *operation == sidecar.operation.as_str() && !matches!(step.kind, StepKind::Restore(_));
    }
    if sidecar.kind.is_maintenance() {
        return step.kind.is_neutral();
    }
    let landed = pin.confirmed.unwrap_or(pin.post_commit);
    fits(sidecar.kind, &step.kind) && step.read_version <= pin.expected && step.version <= landed
}

/// Whether a writer of this kind commits such a step as its data.
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

fn moved(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
    let tail = lineage.tail();
    if !lineage.tail_is_whole() {
        return Standing::Unknown(format!(
            "a transaction of {} above version {} cannot be read",
            pin.table, lineage.pin
        ));
    }
    if let Some(standing) = after_restore(pin, lineage) {
        return standing;
    }
    if is_own_tail(sidecar, pin, tail) {
        return readiness(sidecar, pin, lineage);
    }
    if tail.iter().all(|step| step.kind.is_neutral()) {
        return Standing::Neutral;
    }
    Standing::Foreign(format!("{} has commits that nothing explains: {}", pin.table, describe(tail)))
}

/// A restore is never a writer's content: only what follows the newest one counts.
fn after_restore(pin: &Pin, lineage: &Lineage) -> Option<Standing> {
    let tail = lineage.tail();
    let newest = tail.iter().rposition(|step| matches!(step.kind, StepKind::Restore(_)))?;
    let StepKind::Restore(to) = tail[newest].kind else { return None };
    let rest = &tail[newest + 1..];
    Some(if !rest.iter().all(|step| step.kind.is_neutral()) {
        let found = describe(rest);
        Standing::Foreign(format!("{} has commits after a restore that nothing explains: {found}", pin.table))
    } else if to == lineage.pin || lineage.head_equals_pin {
        Standing::Undone
    } else {
        Standing::StaleUndo(format!(
            "{} was restored to version {to}, but the graph shows {}",
            pin.table, lineage.pin
        ))
    })
}

/// Whether the whole tail has the shape of this operation's work on the table.
fn is_own_tail(sidecar: &Sidecar, pin: &Pin, tail: &[Step]) -> bool {
    if let Some(operation) = tail.iter().find_map(|step| step.operation.as_deref()) {
        let indexes_follow = tail.iter().skip_while(|step| step.operation.is_some());
        return operation == sidecar.operation.as_str()
            && tail.iter().all(|step| step.operation.as_deref().is_none_or(|named| named == operation))
            && indexes_follow.clone().all(|step| step.kind == StepKind::CreateIndex);
    }
    let data = tail.iter().take_while(|step| step.kind != StepKind::CreateIndex).count();
    let (data, builds) = tail.split_at(data);
    let builds_only = builds.iter().all(|step| step.kind == StepKind::CreateIndex);
    let shape = match sidecar.kind {
        WriterKind::Mutation | WriterKind::Load => one_commit(pin, data) || inline_deletes(pin, data),
        WriterKind::SchemaApply => {
            data.len() == 1 && data[0].kind == StepKind::Overwrite && builds.is_empty()
        }
        WriterKind::BranchMerge => !data.is_empty() && data.iter().all(|step| fits(sidecar.kind, &step.kind)),
        WriterKind::EnsureIndices | WriterKind::Optimize => tail.iter().all(|step| step.kind.is_neutral()),
    };
    shape && (builds_only || sidecar.kind == WriterKind::Optimize)
}

/// One data commit that was staged on the expected version or earlier.
fn one_commit(pin: &Pin, data: &[Step]) -> bool {
    matches!(data, [step] if fits(WriterKind::Load, &step.kind) && step.read_version <= pin.expected)
}

/// Deletes that each committed at once, from E + 1 up to the version that the sidecar promises.
fn inline_deletes(pin: &Pin, data: &[Step]) -> bool {
    let consecutive =
        data.iter().zip(pin.expected.0 + 1..).all(|(step, version)| step.version == Version(version));
    consecutive
        && data.iter().all(|step| matches!(step.kind, StepKind::Delete | StepKind::EmptyDelete))
        && data.last().is_some_and(|step| step.version == pin.post_commit)
}

/// An own tail: ready to be shown, or why not.
fn readiness(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> Standing {
    if pin.expected != lineage.pin {
        return Standing::Own(format!(
            "the writer of {} began at version {}, the graph shows {} now",
            pin.table, pin.expected, lineage.pin
        ));
    }
    match (sidecar.kind, pin.confirmed) {
        (WriterKind::BranchMerge, None) => {
            Standing::Own(format!("the merge into {} is not confirmed", pin.table))
        }
        (WriterKind::BranchMerge, Some(confirmed)) if confirmed != lineage.head => Standing::Own(format!(
            "the merge confirmed {} at version {confirmed}, its newest is {}",
            pin.table, lineage.head
        )),
        _ => Standing::Complete,
    }
}

/// The Lance branch that a claim's commits must land on: its graph branch. Anything else is not a writer we know.
pub fn lands_elsewhere(sidecar: &Sidecar) -> Option<&Pin> {
    let wrong = |branch: &Branch| *branch != sidecar.branch;
    sidecar.pins.iter().find(|pin| wrong(&pin.branch))
}
