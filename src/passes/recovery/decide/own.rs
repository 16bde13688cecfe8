//! What a native writer that cannot go on does about its own operation, without a window: it undoes what it has moved itself.
//! Nothing of others can be hidden, for on native repositories nobody commits above a version that is not shown.
//!
//! Only of an operation that is not complete: nobody else can roll it forward meanwhile.

use super::super::observation::{Claim, Component, Lineage, TableRef, TableSeen};
use super::ownership::is_named;
use super::{Decision, TablePlan, TableWork, Timing};
use crate::model::audit::Verdict;
use crate::model::history::StepKind;

/// What is right for its own operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// No table has moved: the sidecar goes, and that is all.
    Untouched,
    /// A recovery has settled it, or what it has moved is to be undone.
    Settle(Box<Decision>),
    /// A recovery has to judge it; says why.
    Leave(String),
}

/// Decides a writer's own claim.
pub fn own(component: &Component, claim: &Claim) -> Own {
    if let Some(marker) = &claim.marker {
        let reason = format!("its {} is published already", marker.verdict.as_str());
        return Own::Settle(Box::new(decision(claim, Verdict::Finish, reason, Vec::new())));
    }
    match moved(component, claim) {
        Err(why) => Own::Leave(why),
        Ok((tables, _)) if tables.is_empty() => Own::Untouched,
        Ok((_, true)) => Own::Leave("every table has moved: it is to be shown".into()),
        Ok((tables, false)) => {
            let reason = "its writer could not go on".into();
            Own::Settle(Box::new(decision(claim, Verdict::RollBack, reason, tables)))
        }
    }
}

/// Decides what a writer has moved after a recovery had ended its operation as one that had not: nobody will show it any more.
pub fn own_late(component: &Component, claim: &Claim) -> Own {
    match moved(component, claim) {
        Err(why) => Own::Leave(why),
        Ok((tables, _)) if tables.is_empty() => Own::Untouched,
        Ok((tables, _)) => {
            let reason = format!("operation {} was ended before its writer was", claim.operation());
            let late = decision(claim, Verdict::RollBack, reason, tables);
            // Its marker is there: what follows is drift.
            Own::Settle(Box::new(Decision { operations: Vec::new(), ..late }))
        }
    }
}

/// What of its tables the operation has moved, and whether that is all of them.
fn moved(component: &Component, claim: &Claim) -> Result<(Vec<TablePlan>, bool), String> {
    let (mut moved, mut complete) = (Vec::new(), true);
    for pin in &claim.sidecar.pins {
        let at = TableRef { table: pin.table.clone(), branch: pin.branch.clone() };
        match component.tables.get(&at) {
            Some(TableSeen::Missing { placed: false, .. }) => complete = false,
            Some(TableSeen::Present(lineage)) => match work(claim, lineage) {
                Ok(Some(work)) => {
                    complete &= matches!(work, TableWork::Restore { .. });
                    let (pin, pin_branch) = (lineage.pin, lineage.pin_branch.clone());
                    moved.push(TablePlan { at, pin, pin_branch, work });
                }
                Ok(None) => complete = false,
                Err(why) => return Err(format!("{}: {why}", pin.table)),
            },
            _ => return Err(format!("{} cannot be read", pin.table)),
        }
    }
    Ok((moved, complete))
}

/// What of one table is to be undone: a tail of the operation alone.
fn work(claim: &Claim, lineage: &Lineage) -> Result<Option<TableWork>, String> {
    if !lineage.tail_is_whole() {
        return Err("a version above what is shown cannot be read".into());
    }
    let tail = lineage.tail();
    let named = tail.iter().filter(|step| is_named(&claim.sidecar, step)).count();
    match tail.last() {
        // Others' commits, or none: nothing of this operation.
        _ if named == 0 => Ok(None),
        Some(last) if named == tail.len() => Ok(Some(match last.kind {
            StepKind::Restore(_) => TableWork::ShowUndone { head: lineage.head },
            _ => TableWork::Restore { head: lineage.head },
        })),
        _ => Err("others have committed above what is shown".into()),
    }
}

fn decision(claim: &Claim, verdict: Verdict, reason: String, tables: Vec<TablePlan>) -> Decision {
    Decision {
        branch: claim.sidecar.branch.clone(),
        operations: vec![claim.operation().clone()],
        verdict,
        timing: Timing::Now,
        reason,
        tables,
        schema: None,
        needs_fence: false,
    }
}
