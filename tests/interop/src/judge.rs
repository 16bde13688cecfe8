//! The engine's verdict on a root: nothing is left to recover, and every kind of write works.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::dump::{self, Dump};
use crate::engine::{Access, Engine, Graph, LoadMode, Param};
use crate::fixture;
use crate::layout;
use crate::root::{self, Root};
use crate::state::{Deed, Refusal};
use crate::tables;

/// The judge's own rows; their names start with this.
const MARK: &str = "Judge";
const BRANCH: &str = "judge";

/// What was done, in order.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    pub steps: Vec<String>,
    /// Rows on all branches before the judge wrote.
    pub rows_found: usize,
}

/// What a root is asked beside the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Questions<'a> {
    /// A merge, source and target, that is finished and recorded: doing it again finds nothing to do.
    pub merged: Option<(&'a str, &'a str)>,
    /// What the engine must refuse, and for this reason.
    pub refusal: Option<&'a Refusal>,
}

/// Judges a root and leaves it changed: rows and a type are added, all branches but main are deleted.
pub async fn judge(engine: Engine, root: &Root, questions: Questions<'_>) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    if let Some(refusal @ Refusal { of: Deed::Open, .. }) = questions.refusal {
        check_refusal(refusal, engine.open(root.uri(), Access::ReadWrite).await.map(drop))?;
        verdict.steps.push("could not be opened".to_owned());
        return Ok(verdict);
    }
    let found = look(engine, root).await.context("before the judge wrote")?;
    verdict.rows_found = found.row_count();
    let graph = open_clean(engine, root).await?;
    verdict.steps.push("opened read-write with nothing to recover".to_owned());
    write(engine, root, graph.as_ref(), &found, questions, &mut verdict).await?;
    drop(graph);

    open_clean(engine, root).await.context("after the judge wrote")?;
    check_end(&look(engine, root).await?)?;
    verdict.steps.push("opened again with nothing to recover".to_owned());
    Ok(verdict)
}

/// Every kind of write.
async fn write(
    engine: Engine,
    root: &Root,
    graph: &dyn Graph,
    found: &Dump,
    questions: Questions<'_>,
    verdict: &mut Verdict,
) -> Result<()> {
    if let Some((source, target)) = questions.merged {
        check_merged(graph, source, target).await?;
        verdict.steps.push(format!("had nothing to merge from {source} into {target}"));
    }
    let written = write_on_all(graph, found, questions, verdict).await?;
    check_rows(engine, root, found, &written).await?;
    graph.ensure_indices("main").await?;
    graph.optimize().await?;
    verdict.steps.push("ensured indices and optimized".to_owned());
    branch_and_merge(graph).await?;
    verdict.steps.push("created, wrote, merged and deleted a branch".to_owned());
    if let Some(refusal @ Refusal { of: Deed::Create(branch), .. }) = questions.refusal {
        check_refusal(refusal, graph.branch_create("main", branch).await)?;
        verdict.steps.push(format!("could not create {branch}"));
    }
    delete_branches(graph).await?;
    change_schema(graph).await?;
    verdict.steps.push("applied a schema and loaded into it".to_owned());
    Ok(())
}

async fn check_merged(graph: &dyn Graph, source: &str, target: &str) -> Result<()> {
    let outcome = graph.branch_merge(source, target).await?;
    ensure!(outcome == UP_TO_DATE, "the merge of {source} into {target} is not known to be done: {outcome}");
    Ok(())
}

const UP_TO_DATE: &str = "AlreadyUpToDate";

/// Through a read-only open, which recovers nothing.
async fn look(engine: Engine, root: &Root) -> Result<Dump> {
    dump::collect(engine.open(root.uri(), Access::ReadOnly).await?.as_ref()).await
}

/// Writes on every branch but the one on which that must fail, and says which were written.
async fn write_on_all<'a>(
    graph: &dyn Graph,
    found: &'a Dump,
    questions: Questions<'_>,
    verdict: &mut Verdict,
) -> Result<BTreeSet<&'a str>> {
    let mut written = BTreeSet::new();
    for branch in found.branches.keys() {
        let refusal =
            questions.refusal.filter(|refusal| matches!(refusal.of, Deed::Write(on) if on == branch));
        match refusal {
            Some(refusal) => {
                check_refusal(refusal, load_on(graph, branch).await)?;
                verdict.steps.push(format!("could not load on {branch}"));
            }
            None => {
                write_on(graph, branch).await?;
                written.insert(branch.as_str());
                verdict.steps.push(format!("loaded and mutated on {branch}"));
            }
        }
    }
    Ok(written)
}

/// It must have failed, and for the reason that is known.
fn check_refusal(refusal: &Refusal, answer: Result<()>) -> Result<()> {
    match answer {
        Ok(()) => bail!("the engine does what it could not do: {}", refusal.why),
        Err(error) if format!("{error:#}").contains(refusal.error) => Ok(()),
        Err(error) => Err(error.context(format!("not because {}", refusal.why))),
    }
}

/// A read-write open that finds no sidecar, writes no audit row and changes no object.
async fn open_clean(engine: Engine, root: &Root) -> Result<Box<dyn Graph>> {
    let waiting: Vec<String> = sidecars(root).await?;
    ensure!(waiting.is_empty(), "sidecars are left: {waiting:?}");
    let audited = tables::row_count(root, layout::RECOVERIES).await?;
    let before = root.snapshot().await?;
    let graph = engine.open(root.uri(), Access::ReadWrite).await?;
    let changed = root::difference(&before, &root.snapshot().await?);
    ensure!(changed.is_empty(), "the open recovered something: {changed:?}");
    ensure!(audited == tables::row_count(root, layout::RECOVERIES).await?, "the open wrote an audit row");
    Ok(graph)
}

pub async fn sidecars(root: &Root) -> Result<Vec<String>> {
    let names = root.list(layout::RECOVERY_DIR).await?;
    Ok(names.into_iter().filter(|name| name.ends_with(".json")).collect())
}

async fn load_on(graph: &dyn Graph, branch: &str) -> Result<()> {
    graph.load(branch, fixture::JUDGE_MERGE, LoadMode::Merge).await
}

async fn write_on(graph: &dyn Graph, branch: &str) -> Result<()> {
    load_on(graph, branch).await?;
    graph.load(branch, fixture::JUDGE_APPEND, LoadMode::Append).await?;
    let age = |age| [("person", Param::Text("JudgeInserted")), ("age", Param::Int(age))];
    graph.mutate(branch, fixture::QUERIES, "insert_person", &age(76)).await?;
    graph.mutate(branch, fixture::QUERIES, "set_age", &age(77)).await?;
    // This one has an edge of each type, so no edge table is left with an empty delete.
    let removed = [("person", Param::Text("JudgeRemoved"))];
    graph.mutate(branch, fixture::QUERIES, "remove_person", &removed).await
}

/// The judge's rows are there and the rows found before are untouched.
async fn check_rows(engine: Engine, root: &Root, found: &Dump, written: &BTreeSet<&str>) -> Result<()> {
    let now = look(engine, root).await?;
    for (branch, types) in now.branches.iter().filter(|(branch, _)| written.contains(branch.as_str())) {
        let persons = types.get("Person").map(Vec::as_slice).unwrap_or_default();
        let names: BTreeSet<&str> = persons.iter().filter_map(|row| row["data"]["name"].as_str()).collect();
        for name in ["JudgeKept", "JudgeAppended", "JudgeInserted"] {
            ensure!(names.contains(name), "{name} is missing on {branch}");
        }
        ensure!(!names.contains("JudgeRemoved"), "JudgeRemoved is still on {branch}");
        let inserted = persons.iter().find(|row| row["data"]["name"] == "JudgeInserted");
        ensure!(
            inserted.is_some_and(|row| row["data"]["age"] == 77),
            "the update of JudgeInserted is lost on {branch}"
        );
    }
    let before = without_marks(found);
    let after = without_marks(&now);
    ensure!(before == after, "rows that the judge did not touch have changed");
    Ok(())
}

fn without_marks(dump: &Dump) -> Dump {
    let mut dump = dump.clone();
    for types in dump.branches.values_mut() {
        types.values_mut().for_each(|rows| rows.retain(|row| !is_marked(row)));
        types.retain(|_, rows| !rows.is_empty());
    }
    dump
}

fn is_marked(row: &Value) -> bool {
    ["name", "id"].iter().any(|field| row["data"][field].as_str().is_some_and(|text| text.starts_with(MARK)))
}

async fn branch_and_merge(graph: &dyn Graph) -> Result<()> {
    graph.branch_create("main", BRANCH).await?;
    graph.load(BRANCH, fixture::JUDGE_BRANCH, LoadMode::Merge).await?;
    let outcome = graph.branch_merge(BRANCH, "main").await?;
    ensure!(outcome != UP_TO_DATE, "the merge of the judge's branch had nothing to do");
    graph.branch_delete(BRANCH).await
}

/// A schema apply wants no branch but main. A parent may only go after its children, so each round deletes what it can.
async fn delete_branches(graph: &dyn Graph) -> Result<()> {
    let others = |names: Vec<String>| names.into_iter().filter(|name| name != "main").collect::<Vec<_>>();
    let mut left = others(graph.branches().await?);
    while !left.is_empty() {
        let mut refusals = Vec::new();
        for name in &left {
            if let Err(error) = graph.branch_delete(name).await {
                refusals.push(format!("{error:#}"));
            }
        }
        if refusals.len() == left.len() {
            bail!("no branch can be deleted: {refusals:?}");
        }
        left = others(graph.branches().await?);
    }
    Ok(())
}

/// One table is rewritten, one is created.
async fn change_schema(graph: &dyn Graph) -> Result<()> {
    let source = graph.schema_source();
    let wider = source.replacen("node Company {\n", "node Company {\n    judged: I32?\n", 1);
    ensure!(wider != source, "the schema has no Company to widen");
    graph.apply_schema(&format!("{wider}node Verdict {{\n    name: String @key\n}}\n")).await?;
    graph.load("main", fixture::JUDGE_SCHEMA, LoadMode::Append).await
}

fn check_end(dump: &Dump) -> Result<()> {
    let main = dump.branches.get("main").context("main is gone")?;
    let has = |kind: &str, name: &str| {
        main.get(kind).is_some_and(|rows| rows.iter().any(|row| row["data"]["name"] == name))
    };
    ensure!(has("Person", "JudgeMerged"), "the merged row is lost");
    ensure!(has("Verdict", "JudgeVerdict"), "the row of the new type is lost");
    ensure!(has("Company", "JudgeWide"), "the row of the widened type is lost");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: Refusal = Refusal { of: Deed::Write("b"), error: "no index", why: "of a limit" };

    #[test]
    fn a_refusal_counts_for_its_own_reason_only() {
        let failed = |text: &'static str| Err(anyhow::anyhow!(text).context("load Merge on b"));
        assert!(check_refusal(&REFUSAL, failed("there is no index there")).is_ok());
        let other = check_refusal(&REFUSAL, failed("sidecars are left")).expect_err("another reason");
        assert!(format!("{other:#}").contains("sidecars are left"), "{other:#}");
        assert!(check_refusal(&REFUSAL, Ok(())).is_err());
    }
}
