//! One lineage against what the graph branch shows.

use super::super::observation::{Lineage, TableRef, TableSeen};
use crate::error::Result;
use crate::model::history::StepKind;
use crate::model::{Branch, Version};
use crate::passes::hint;
use crate::passes::recovery::decide::standing::FILES_FIRST;
use crate::repo::tables::Table;
use crate::repo::{Repository, Snapshot};

/// A lineage, and the handle it was read through if it could be opened.
pub(super) type Look = (TableSeen, Option<Table>);

/// Reads a lineage with every transaction above `floor`. Only a store that does not answer is an error.
pub(super) async fn lineage(
    repo: &Repository,
    snapshot: &Snapshot,
    at: &TableRef,
    floor: Version,
) -> Result<Look> {
    match read(repo, snapshot, at, floor).await {
        Ok(seen) => Ok(seen),
        Err(error) if error.is_local() => Ok((TableSeen::Unreadable(error.chain()), None)),
        Err(error) => Err(error),
    }
}

async fn read(repo: &Repository, snapshot: &Snapshot, at: &TableRef, floor: Version) -> Result<Look> {
    if !snapshot.state.is_registered(&at.table) {
        let unknown = format!("branch {} does not know this table", snapshot.branch);
        return Ok((TableSeen::Unreadable(unknown), None));
    }
    let shown = snapshot.state.entry(&at.table);
    let pin = shown.map_or(Version::ABSENT, |entry| entry.version);
    let pin_branch = shown.map_or_else(Branch::main, |entry| entry.branch.clone());
    let placed = shown.is_some() && pin_branch == at.branch;
    let missing = |what: String| (TableSeen::Missing { what, pin, placed }, None);
    if !at.branch.is_main() {
        match repo.table_branch(&at.table, &at.branch).await? {
            None => {
                let what = format!("{} has no branch {}", at.table, at.branch);
                let anew =
                    hint::command(&["repair", "missing-ref", "--exclusive", "--table", at.table.as_str()]);
                return Ok(missing(match placed {
                    true => format!("{what}: its record is lost; {anew} offers to write it anew"),
                    false => what,
                }));
            }
            Some(record) if !placed && record.origin()? != (pin_branch.clone(), pin) => {
                let (from, version) = record.origin()?;
                let what = format!(
                    "branch {} of {} was forked from version {version} of {from}, which is not what the graph shows",
                    at.branch, at.table
                );
                return Ok(missing(what));
            }
            Some(_) => {}
        }
    }
    let Some(table) = repo.table(&at.table, &at.branch).await? else {
        let what = format!("{} has no versions on branch {}", at.table, at.branch);
        return Ok(missing(if placed { format!("{what}; {FILES_FIRST}") } else { what }));
    };
    // An unplaced fork continues the numbers of the lineage that it was forked from: its own history starts above the pin.
    let floor = if placed { floor.min(pin) } else { pin };
    let steps = table.steps_above(floor).await?;
    let restored = steps.iter().any(|step| step.version > pin && matches!(step.kind, StepKind::Restore(_)));
    let head_equals_pin = restored && repo.same_content(&table, pin, &pin_branch).await?;
    let lineage = Lineage { pin, pin_branch, head: table.head(), steps, head_equals_pin };
    Ok((TableSeen::Present(lineage), Some(table)))
}
