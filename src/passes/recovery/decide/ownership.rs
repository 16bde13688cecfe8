//! Whose a commit may be. Native writers name their operation in every commit, and that alone counts; on graph dialects there is
//! only plausibility: the right kind of commit, staged on a version that the writer can have read.
//!
//! Maintenance (index builds, compaction, settings, deletes of nothing) changes no row, so whoever shows it does no harm:
//! it is looked through wherever it lies. What remains, the *data*, must be somebody's.

use super::super::observation::Lineage;
use crate::model::Version;
use crate::model::history::{Step, StepKind};
use crate::model::sidecar::{Pin, Sidecar, WriterKind};

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

/// Whether a commit names the operation: proof, not plausibility.
pub fn is_named(sidecar: &Sidecar, step: &Step) -> bool {
    step.operation.as_deref() == Some(sidecar.operation.as_str())
}

/// Deletes that were each committed at once, before the sidecar, which then promises the version of the last one.
pub fn is_inline(pin: &Pin) -> bool {
    pin.post_commit > pin.expected.next()
}

fn is_inline_delete(pin: &Pin, step: &Step) -> bool {
    step.kind == StepKind::Delete && step.version <= pin.post_commit
}

/// The data of a tail that this claim may have committed. Who names one commit names all.
pub fn own_data<'a>(sidecar: &Sidecar, pin: &Pin, tail: &'a [Step]) -> Vec<&'a Step> {
    let data = || tail.iter().filter(|step| step.kind.is_data() && fits(sidecar.kind, &step.kind));
    let named: Vec<&Step> = data().filter(|step| is_named(sidecar, step)).collect();
    if named.is_empty() { data().filter(|step| is_plausible(sidecar, pin, step)).collect() } else { named }
}

fn is_plausible(sidecar: &Sidecar, pin: &Pin, step: &Step) -> bool {
    let staged = match sidecar.kind {
        // Its second commit is staged on its first. Nothing follows what it confirmed.
        WriterKind::BranchMerge => pin.confirmed.is_none_or(|confirmed| step.version <= confirmed),
        _ => step.read_version <= pin.expected || is_inline_delete(pin, step),
    };
    staged && step.operation.is_none() && !sidecar.names_commits
}

/// Whether the data of a tail is exactly this operation's work on the table.
pub fn is_own_tail(sidecar: &Sidecar, pin: &Pin, tail: &[Step]) -> bool {
    let data: Vec<&Step> = tail.iter().filter(|step| !step.kind.is_neutral()).collect();
    let own = own_data(sidecar, pin, tail);
    let follows_expected = tail.first().is_some_and(|step| step.version == pin.expected.next());
    match sidecar.kind {
        WriterKind::EnsureIndices | WriterKind::Optimize => data.is_empty(),
        // A delete that matched no row is the operation's commit too.
        WriterKind::Mutation | WriterKind::Load if data.is_empty() => {
            let deletes_nothing =
                |step: &Step| step.kind == StepKind::EmptyDelete && step.read_version <= pin.expected;
            follows_expected && !sidecar.names_commits && tail.iter().any(deletes_nothing)
        }
        _ if data.is_empty() || own.len() != data.len() => false,
        WriterKind::BranchMerge => true,
        WriterKind::SchemaApply => data.len() == 1,
        WriterKind::Mutation | WriterKind::Load => {
            own.iter().all(|step| is_named(sidecar, step))
                || if is_inline(pin) {
                    follows_expected && own.iter().all(|step| is_inline_delete(pin, step))
                } else {
                    own.len() == 1
                }
        }
    }
}

/// The steps in (E, P] that count as the operation's own: named, or plausible and no later than the version that the writer
/// meant to reach. Maintenance that came first only moved that version on.
pub fn shown_commits<'a>(sidecar: &Sidecar, pin: &Pin, inner: &'a [Step]) -> Vec<&'a Step> {
    let mut maintenance = 0;
    let mut own = Vec::new();
    for step in inner {
        if is_shown_commit(sidecar, pin, step, Version(pin.post_commit.0 + maintenance)) {
            own.push(step);
        }
        // Inline deletes were counted when all of them were there.
        maintenance += u64::from(step.kind.is_neutral() && !is_inline(pin));
    }
    own
}

fn is_shown_commit(sidecar: &Sidecar, pin: &Pin, step: &Step, latest: Version) -> bool {
    if matches!(step.kind, StepKind::Restore(_)) {
        return false;
    }
    if step.operation.is_some() || sidecar.names_commits {
        return is_named(sidecar, step);
    }
    match pin.confirmed {
        Some(confirmed) => step.version == confirmed,
        None if sidecar.kind.is_maintenance() => step.kind.is_neutral(),
        None => fits(sidecar.kind, &step.kind) && step.read_version <= pin.expected && step.version <= latest,
    }
}

/// Whether a commit that the graph shows names the operation.
pub fn is_proven(sidecar: &Sidecar, pin: &Pin, lineage: &Lineage) -> bool {
    let shown = shown_commits(sidecar, pin, lineage.inner(pin.expected));
    shown.iter().any(|step| is_named(sidecar, step))
}
