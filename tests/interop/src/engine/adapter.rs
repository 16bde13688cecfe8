//! One engine release as a [`Graph`]. Compiled once per release; `engine` and `compiler` are that release's crates.

use anyhow::{Context, Result};
use async_trait::async_trait;

use super::compiler::{Literal, ParamMap};
use super::engine::db::{GraphCommit, Omnigraph, ReadTarget, RepairOptions};
use super::engine::loader;
use crate::engine::{Access, Commit, Graph, LoadMode, Param};

struct Handle(Omnigraph);

pub async fn init(root: &str, schema: &str) -> Result<Box<dyn Graph>> {
    let graph = Omnigraph::init(root, schema).await.context("init")?;
    Ok(Box::new(Handle(graph)))
}

pub async fn open(root: &str, access: Access) -> Result<Box<dyn Graph>> {
    let graph = match access {
        Access::ReadWrite => Omnigraph::open(root).await.context("read-write open")?,
        Access::ReadOnly => Omnigraph::open_read_only(root).await.context("read-only open")?,
    };
    Ok(Box::new(Handle(graph)))
}

fn load_mode(mode: LoadMode) -> loader::LoadMode {
    match mode {
        LoadMode::Overwrite => loader::LoadMode::Overwrite,
        LoadMode::Append => loader::LoadMode::Append,
        LoadMode::Merge => loader::LoadMode::Merge,
    }
}

fn param_map(params: &[(&str, Param)]) -> ParamMap {
    let literal = |param: &Param| match param {
        Param::Text(text) => Literal::String((*text).to_owned()),
        Param::Int(number) => Literal::Integer(*number),
    };
    params.iter().map(|(name, param)| ((*name).to_owned(), literal(param))).collect()
}

#[async_trait]
impl Graph for Handle {
    async fn load(&self, branch: &str, jsonl: &str, mode: LoadMode) -> Result<()> {
        self.0
            .load(branch, jsonl, load_mode(mode))
            .await
            .with_context(|| format!("load {mode:?} on {branch}"))?;
        Ok(())
    }

    async fn mutate(&self, branch: &str, source: &str, query: &str, params: &[(&str, Param)]) -> Result<()> {
        let params = param_map(params);
        self.0
            .mutate(branch, source, query, &params)
            .await
            .with_context(|| format!("mutate {query} on {branch}"))?;
        Ok(())
    }

    async fn branches(&self) -> Result<Vec<String>> {
        let mut names = self.0.branch_list().await.context("branch list")?;
        names.sort();
        Ok(names)
    }

    async fn branch_create(&self, from: &str, name: &str) -> Result<()> {
        let source = ReadTarget::from(from);
        self.0
            .branch_create_from(source, name)
            .await
            .with_context(|| format!("branch create {name} from {from}"))
            .map(|_| ())
    }

    async fn branch_delete(&self, name: &str) -> Result<()> {
        self.0.branch_delete(name).await.with_context(|| format!("branch delete {name}"))
    }

    async fn branch_merge(&self, source: &str, target: &str) -> Result<String> {
        let outcome = self.0.branch_merge(source, target).await;
        Ok(format!("{:?}", outcome.with_context(|| format!("branch merge {source} into {target}"))?))
    }

    async fn ensure_indices(&self, branch: &str) -> Result<()> {
        self.0.ensure_indices_on(branch).await.with_context(|| format!("ensure_indices on {branch}"))?;
        Ok(())
    }

    async fn optimize(&self) -> Result<()> {
        self.0.optimize().await.context("optimize")?;
        Ok(())
    }

    async fn repair(&self) -> Result<()> {
        let options = RepairOptions { confirm: true, force: true };
        self.0.repair(options).await.context("repair")?;
        Ok(())
    }

    async fn apply_schema(&self, source: &str) -> Result<()> {
        self.0.apply_schema(source).await.context("schema apply")?;
        Ok(())
    }

    async fn publish_head(&mut self, branch: &str, table: &str) -> Result<()> {
        let table_branch = (branch != "main").then_some(branch);
        let publish =
            self.0.failpoint_publish_table_head_without_index_rebuild_for_test(branch, table, table_branch);
        publish.await.with_context(|| format!("publish the head of {table} on {branch}"))?;
        Ok(())
    }

    async fn export(&self, branch: &str) -> Result<String> {
        self.0.export_jsonl(branch, &[], &[]).await.with_context(|| format!("export of {branch}"))
    }

    async fn commits(&self, branch: &str) -> Result<Vec<Commit>> {
        let commits = self.0.list_commits(Some(branch)).await;
        let commit = |commit: GraphCommit| Commit {
            id: commit.graph_commit_id,
            branch: commit.manifest_branch,
            manifest_version: commit.manifest_version,
            parent: commit.parent_commit_id,
            merged: commit.merged_parent_commit_id,
            actor: commit.actor_id,
            created_at: commit.created_at,
        };
        Ok(commits.with_context(|| format!("commits of {branch}"))?.into_iter().map(commit).collect())
    }

    async fn refresh(&self) -> Result<()> {
        self.0.refresh().await.context("refresh")
    }

    fn schema_source(&self) -> String {
        self.0.schema_source().as_str().to_owned()
    }
}
