//! A state's crash in words, for the table of the documentation.

use std::fmt::{Display, Formatter, Result};

use crate::program::{Act, Operation, Step};
use crate::surgery::{SidecarEdit, Surgery};

/// What happened to a sound graph: the steps from the first crash or surgery on.
pub fn story(steps: &[Step]) -> String {
    let damage = |step: &Step| matches!(step, Step::Crash { .. } | Step::Surgery(_));
    let sound = steps.iter().take_while(|step| !damage(step)).count();
    // A state without damage is what its last step leaves.
    let from = if sound == steps.len() { sound.saturating_sub(1) } else { sound };
    steps[from..].iter().map(Step::to_string).collect::<Vec<_>>().join("; ")
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Run(act) => write!(f, "{act}"),
            Self::Crash { act, failpoint, hit: 1 } => write!(f, "{act} dies at `{failpoint}`"),
            Self::Crash { act, failpoint, hit } => write!(f, "{act} dies at `{failpoint}`, pass {hit}"),
            Self::Surgery(surgery) | Self::Prepare(surgery) => write!(f, "{surgery}"),
        }
    }
}

impl Display for Act {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let branch = self.branch;
        match &self.operation {
            Operation::Init { .. } => f.write_str("init"),
            Operation::Open => f.write_str("the engine's recovery"),
            Operation::Load { mode, .. } => {
                write!(f, "load ({}) on {branch}", format!("{mode:?}").to_lowercase())
            }
            Operation::Mutate { query, .. } => write!(f, "mutation {query} on {branch}"),
            Operation::Merge { source } => write!(f, "merge of {source} into {branch}"),
            Operation::EnsureIndices => write!(f, "index build on {branch}"),
            Operation::Optimize => f.write_str("optimize"),
            Operation::Repair => f.write_str("the engine's repair"),
            Operation::ApplySchema { .. } => f.write_str("schema change"),
            Operation::BranchCreate { .. } => write!(f, "creation of {branch}"),
            Operation::BranchDelete => write!(f, "deletion of {branch}"),
            Operation::PublishHead { table } => write!(f, "publish of {table}'s head on {branch}"),
        }
    }
}

impl Display for Surgery {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Uncommit { table, .. } => write!(f, "{table} is not committed yet"),
            Self::RestoreToPin { table, .. } => write!(f, "a recovery dies after its restore of {table}"),
            Self::RestoreBelowPin { table, .. } => {
                write!(f, "a recovery dies that restored {table} below its pin")
            }
            Self::DropFork { table, branch } => write!(f, "{branch} has no fork of {table} yet"),
            Self::DropForkRecord { table, branch } => {
                write!(f, "{branch}'s fork of {table} has files and no record")
            }
            Self::DropBranch { dataset, branch } => write!(f, "{dataset} has no branch {branch} any more"),
            Self::DropBranchRecord { dataset, branch } => {
                write!(f, "the branch {branch} of {dataset} has files and no record")
            }
            Self::Unstage { files } => write!(f, "not staged yet: {}", files.join(", ")),
            Self::Promote { files } => write!(f, "final already: {}", files.join(", ")),
            Self::Sidecar(edit) => write!(f, "{edit}"),
            Self::Poison { bytes: [] } => f.write_str("an empty record lies beside the sidecars"),
            Self::Poison { bytes } => {
                write!(f, "a record with the bytes `{}` beside the sidecars", bytes.escape_ascii())
            }
            Self::ForeignAppend { table, .. } => write!(f, "a foreign program appends to {table}"),
            Self::ForeignUpdate { table, .. } => write!(f, "a foreign program updates {table}"),
            Self::ForeignDelete { table, .. } => write!(f, "a foreign program deletes a row of {table}"),
            Self::ForeignOverwrite { table, .. } => write!(f, "a foreign program overwrites {table}"),
            Self::ForeignCompaction { table } => write!(f, "a foreign program compacts {table}"),
            Self::ForeignEmptyDelete { table } => {
                write!(f, "a foreign program deletes from {table} what matches nothing")
            }
            Self::DropIndex { table, index, .. } => write!(f, "{table} loses the index {index}"),
        }
    }
}

impl Display for SidecarEdit {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Rename { .. } => f.write_str("the sidecar's name is not its operation id"),
            Self::Remove => f.write_str("the sidecar is deleted"),
            Self::Version { to } => write!(f, "the sidecar is of version {to}"),
            Self::AsVersion1 => f.write_str("the sidecar is of version 1"),
            Self::Kind { to } => write!(f, "the sidecar's writer is {to:?}"),
            Self::Paths { under } => write!(f, "the sidecar's paths begin with {under:?}"),
            Self::UnknownTable { key } => write!(f, "the sidecar also names {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;

    #[test]
    fn a_story_begins_with_the_damage() {
        let stories: Vec<String> = state::all()
            .iter()
            .filter(|state| state.name == "load-append-one-unmoved" || state.name == "drift-after-delete")
            .map(|state| story(&state.steps))
            .collect();
        let crash = "load (append) on main dies at `mutation.post_finalize_pre_publisher`";
        assert_eq!(
            stories,
            [&format!("{crash}; edge:WorksAt is not committed yet"), "mutation remove_person on main"]
        );
    }
}
