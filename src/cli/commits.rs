//! `outrigger commits`: the graph's own history.

use super::{Format, Target, output};
use crate::app;
use crate::error::{Error, Result};
use crate::model::manifest::GraphCommit;
use crate::model::{Branch, Timestamp};
use crate::passes::hint;
use crate::passes::report::Exit;
use crate::repo::snapshot::MANIFEST;
use crate::repo::{Repository, branches};
use std::collections::BTreeMap;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List the commits that a branch sees, newest first. Reads only.
    #[command(after_help = "Example:\n  outrigger commits list --branch feature --repo /srv/orders")]
    List {
        #[command(flatten)]
        target: Target,
        /// The graph branch; without it main.
        #[arg(long, value_name = "NAME")]
        branch: Option<String>,
    },
    /// Print one commit. Reads only.
    #[command(
        after_help = "Example:\n  outrigger commits show 01M85MF000MH480GGPPK18TZV6 --repo /srv/orders"
    )]
    Show {
        /// The commit's id.
        id: String,
        #[command(flatten)]
        target: Target,
        /// A graph branch that sees it; without it main.
        #[arg(long, value_name = "NAME")]
        branch: Option<String>,
    },
}

impl Action {
    pub(super) fn target(&self) -> &Target {
        match self {
            Self::List { target, .. } | Self::Show { target, .. } => target,
        }
    }
}

pub(super) async fn run(action: Action) -> Result<Exit> {
    match action {
        Action::List { target, branch } => {
            let commits = commits(&target, branch.as_deref()).await?;
            match target.format {
                Format::Json => output::json(&commits),
                Format::Table => print(&commits),
            }
        }
        Action::Show { id, target, branch } => {
            let mut commits = commits(&target, branch.as_deref()).await?;
            commits.retain(|commit| commit.id == id);
            let missing = || {
                let branch = branch.as_deref().unwrap_or("main");
                let list = hint::command(&["commits", "list", "--branch", branch]);
                Error::missing(format!(
                    "no commit {id} on branch {branch}; see {list}, or name another --branch"
                ))
            };
            let commit = commits.first().ok_or_else(missing)?;
            match target.format {
                Format::Json => output::json(commit),
                Format::Table => print(&commits),
            }
        }
    }
    Ok(Exit::Converged)
}

async fn commits(target: &Target, branch: Option<&str>) -> Result<Vec<GraphCommit>> {
    let branch = Branch::parse(branch).map_err(|bad| Error::invalid(bad.to_string()))?;
    let repo = app::open(&target.uri()?).await?;
    repo.require_graph()?;
    let Some(mut commits) = history(&repo, &branch).await? else {
        let there: Vec<_> = all_branches(&repo).await?.iter().map(Branch::to_string).collect();
        return Err(Error::missing(format!("no branch {branch}; there are: {}", there.join(", "))));
    };
    commits.sort_by(|a, b| {
        let order = |commit: &GraphCommit| (commit.manifest_version, commit.created_at, commit.id.clone());
        order(b).cmp(&order(a))
    });
    Ok(commits)
}

/// Every branch but the one that is a schema change's lock.
pub(super) async fn all_branches(repo: &Repository) -> Result<Vec<Branch>> {
    Ok(branches::public(&branches::list(repo.store(), MANIFEST).await?).collect())
}

/// The commits that any branch sees, by id.
pub(super) async fn of_all_branches(repo: &Repository) -> Result<BTreeMap<String, GraphCommit>> {
    let mut all = BTreeMap::new();
    for branch in all_branches(repo).await? {
        let commits = history(repo, &branch).await?.unwrap_or_default();
        all.extend(commits.into_iter().map(|commit| (commit.id.clone(), commit)));
    }
    Ok(all)
}

/// The commits that a branch sees; none if there is no such branch.
async fn history(repo: &Repository, branch: &Branch) -> Result<Option<Vec<GraphCommit>>> {
    let Some(snapshot) = repo.snapshot(branch).await? else { return Ok(None) };
    if snapshot.recognised.dialect.has_inline_lineage() {
        return Ok(Some(snapshot.state.commits().cloned().collect()));
    }
    let mut commits = repo.commit_rows(branch).await?.unwrap_or_default();
    let actors: BTreeMap<String, String> = repo.actors().await?.into_iter().collect();
    for commit in &mut commits {
        commit.actor = actors.get(&commit.id).cloned();
    }
    Ok(Some(commits))
}

fn print(commits: &[GraphCommit]) {
    let rows: Vec<Vec<String>> = commits
        .iter()
        .map(|commit| {
            let at = Timestamp::from_micros(commit.created_at).map(|at| at.to_string());
            let parents =
                [&commit.parent, &commit.merged_parent].into_iter().flatten().cloned().collect::<Vec<_>>();
            vec![
                commit.id.clone(),
                at.unwrap_or_default(),
                commit.branch.to_string(),
                commit.manifest_version.to_string(),
                commit.actor.clone().unwrap_or_else(|| "-".into()),
                parents.join(" "),
            ]
        })
        .collect();
    output::table(&["COMMIT", "TIME", "BRANCH", "MANIFEST", "ACTOR", "PARENTS"], &rows);
}
