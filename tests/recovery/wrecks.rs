//! Every kind of wreck, each left by a writer that died at one moment, with the verdict that is right for it.

use crate::support::faults;
use crate::support::graph::branch::SCHEMA_LOCK;
use crate::support::graph::create::{create_table, write_contract};
use crate::support::graph::line::Staged;
use crate::support::graph::look::Content;
use crate::support::graph::{COMMITS, COMPANY, Graph, KNOWS, MAIN, MANIFEST, PERSON, TABLES, next_ulid};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use outrigger::model::audit::Verdict;
use outrigger::repo::Dialect;
use outrigger::store::{Call, Fault, Verb};
use serde_json::{Value, json};
use std::sync::Arc;

/// The table that schema changes create.
pub const TAG: &str = "node:Tag";
/// The branch that branch wrecks are on.
pub const FEATURE: &str = "feature";

/// A kind of wreck.
pub struct Wreck {
    pub name: &'static str,
    pub verdict: Verdict,
    make: for<'g> fn(&'g Graph) -> BoxFuture<'g, String>,
}

impl Wreck {
    /// Leaves it in a fresh graph; returns the operation.
    pub async fn make(&self, graph: &Graph) -> String {
        (self.make)(graph).await
    }
}

macro_rules! wrecks {
    ($($name:ident => $verdict:ident),* $(,)?) => {
        /// All of them.
        pub const ALL: &[Wreck] = &[$(
            Wreck { name: stringify!($name), verdict: Verdict::$verdict, make: |graph| $name(graph).boxed() }
        ),*];
    };
}

wrecks! {
    complete => RollForward,
    complete_on_three_tables => RollForward,
    complete_with_index_builds => RollForward,
    complete_on_a_branch => RollForward,
    complete_first_write_on_a_branch => RollForward,
    deleted_inline => RollForward,
    deleted_nothing => RollForward,
    indexes_half_built => RollForward,
    compacted => RollForward,
    merge_confirmed => RollForward,
    schema_complete => RollForward,
    half_done => RollBack,
    half_done_on_a_branch => RollBack,
    overtaken => RollBack,
    stale_undo => RollBack,
    merge_unconfirmed => RollBack,
    schema_half_done => RollBack,
    already_undone => AlreadyUndone,
    already_published => AlreadyPublished,
    rolled_back_since => RolledBackSince,
    not_begun => NothingToDo,
    not_forked => NothingToDo,
    orphan => DiscardOrphan,
    younger_branch => DiscardOrphan,
    recovery_died_before_deleting => Finish,
    unexplained => Hold,
    half_shown => Hold,
    unreadable => Hold,
}

/// The wreck of a name.
pub fn named(name: &str) -> &'static Wreck {
    ALL.iter().find(|wreck| wreck.name == name).unwrap_or_else(|| panic!("no wreck {name}"))
}

/// Tries a claim on each wreck in a graph of its own, two at a time; names every wreck for which it does not hold.
pub async fn of_each<F>(dialect: Dialect, claim: fn(&'static Wreck, Graph, String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let trials = futures::stream::iter(ALL).map(|wreck| async move {
        let trial = tokio::spawn(async move {
            let graph = Graph::on_disk(dialect).await;
            let operation = wreck.make(&graph).await;
            claim(wreck, graph, operation).await;
        });
        trial.await.is_err().then_some(wreck.name)
    });
    let failed: Vec<_> = trials.buffered(2).filter_map(std::future::ready).collect().await;
    assert_eq!(failed, [""; 0], "not so for these wrecks; see above");
}

/// Sidecar and one commit.
pub async fn complete(graph: &Graph) -> String {
    let operation = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    operation
}

pub async fn complete_on_three_tables(graph: &Graph) -> String {
    let operation = graph.sidecar("Mutation").of(&TABLES).write().await;
    for table in TABLES {
        graph.table(table).append(&["new"]).await;
    }
    operation
}

/// A first load dies while its second index is built.
pub async fn complete_with_index_builds(graph: &Graph) -> String {
    let operation = graph.sidecar("Load").of(&TABLES).write().await;
    graph.table(PERSON).upsert(&["bob", "eve"]).await;
    graph.table(COMPANY).overwrite(&["three"]).await;
    graph.table(KNOWS).append(&["three"]).await;
    graph.table(PERSON).index().await;
    graph.table(COMPANY).index().await;
    operation
}

/// A branch that has written the table before.
pub async fn complete_on_a_branch(graph: &Graph) -> String {
    graph.branch(FEATURE).await;
    written_on_branch(graph, PERSON, "fay").await;
    let operation = graph.sidecar("Load").on(FEATURE).of(&[PERSON]).write().await;
    graph.table_on(PERSON, FEATURE).append(&["eve"]).await;
    operation
}

/// The branch's first write of two tables: forked, committed, never shown.
pub async fn complete_first_write_on_a_branch(graph: &Graph) -> String {
    graph.branch(FEATURE).await;
    for table in [PERSON, COMPANY] {
        graph.fork(table, FEATURE).await;
    }
    let operation = graph.sidecar("Load").on(FEATURE).of(&[PERSON, COMPANY]).write().await;
    for table in [PERSON, COMPANY] {
        graph.table_on(table, FEATURE).append(&["eve"]).await;
    }
    operation
}

/// 0.7.2 commits deletes at once, then writes the sidecar.
pub async fn deleted_inline(graph: &Graph) -> String {
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    graph.table(PERSON).delete("ann").await;
    graph.table(PERSON).delete("eve").await;
    graph.sidecar("Mutation").pin(PERSON, 2, 4).write().await
}

/// A delete that matched no row is a version of its own.
pub async fn deleted_nothing(graph: &Graph) -> String {
    let operation = graph.sidecar("Mutation").of(&[PERSON]).write().await;
    graph.table(PERSON).delete("nobody").await;
    operation
}

pub async fn indexes_half_built(graph: &Graph) -> String {
    let operation = graph.sidecar("EnsureIndices").of(&[PERSON, COMPANY]).write().await;
    graph.table(PERSON).index().await;
    operation
}

pub async fn compacted(graph: &Graph) -> String {
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    let operation = graph.sidecar("Optimize").of(&[PERSON]).write().await;
    graph.table(PERSON).compact().await;
    operation
}

/// Main is merged into a branch: one table rewritten, one taken over as it is.
pub async fn merge_confirmed(graph: &Graph) -> String {
    let source = merge(graph).await;
    let operation =
        graph.sidecar("BranchMerge").on(FEATURE).confirmed(PERSON, 2, 3).merging(&source).write().await;
    graph.table_on(PERSON, FEATURE).upsert(&["eve"]).await;
    operation
}

/// The same of a release that does not confirm.
pub async fn merge_unconfirmed(graph: &Graph) -> String {
    let source = merge(graph).await;
    let draft = graph.sidecar("BranchMerge").format(1).on(FEATURE).pin(PERSON, 2, 3).merging(&source);
    let operation = draft.write().await;
    graph.table_on(PERSON, FEATURE).upsert(&["eve"]).await;
    operation
}

/// A branch with its own people, and a main line with new people and companies; returns the head to be merged.
pub async fn merge(graph: &Graph) -> String {
    graph.branch(FEATURE).await;
    written_on_branch(graph, PERSON, "fay").await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(COMPANY).append(&["three"]).await;
    graph.publish_heads(&[PERSON, COMPANY]).await;
    graph.history_head(MAIN).await.unwrap().id
}

/// A row written and published on the branch.
pub async fn written_on_branch(graph: &Graph, table: &str, id: &str) {
    written_on(graph, FEATURE, table, id).await;
}

/// The same on any branch.
pub async fn written_on(graph: &Graph, branch: &str, table: &str, id: &str) {
    graph.fork(table, branch).await;
    let version = graph.table_on(table, branch).append(&[id]).await;
    graph.publish(branch, &[(table, version)]).await;
}

/// One table rewritten, one created, one dropped; staged, locked, not yet published.
pub async fn schema_complete(graph: &Graph) -> String {
    let operation = schema_half_done(graph).await;
    write_contract(graph, &[PERSON, COMPANY, TAG], true).await;
    operation
}

/// The same before the contract files were staged.
pub async fn schema_half_done(graph: &Graph) -> String {
    lock(graph).await;
    let draft = graph.sidecar("SchemaApply").anonymous().of(&[PERSON]);
    let operation = draft.registers(&[TAG]).drops(KNOWS, 2).write().await;
    create_table(graph, TAG).await;
    graph.table(PERSON).overwrite(&["ann", "bob"]).await;
    operation
}

/// A schema change's write lock.
pub async fn lock(graph: &Graph) {
    graph.fork_dataset(MANIFEST, MAIN, None, SCHEMA_LOCK).await;
    if !graph.has_inline_lineage() {
        graph.fork_dataset(COMMITS, MAIN, None, SCHEMA_LOCK).await;
    }
}

/// One of three tables never moved.
pub async fn half_done(graph: &Graph) -> String {
    let operation = graph.sidecar("Load").of(&TABLES).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(KNOWS).append(&["three"]).await;
    operation
}

pub async fn half_done_on_a_branch(graph: &Graph) -> String {
    graph.branch(FEATURE).await;
    written_on_branch(graph, PERSON, "fay").await;
    graph.fork(COMPANY, FEATURE).await;
    let operation = graph.sidecar("Load").on(FEATURE).of(&[PERSON, COMPANY]).write().await;
    graph.table_on(PERSON, FEATURE).append(&["eve"]).await;
    operation
}

/// Somebody else published the table between the writer's look and its commit.
pub async fn overtaken(graph: &Graph) -> String {
    let operation = graph.sidecar("Load").of(&[PERSON]).write().await;
    let late = graph.table(PERSON).stage_append(&["eve"]).await;
    graph.table(PERSON).append(&["foreign"]).await;
    graph.publish_heads(&[PERSON]).await;
    late.commit().await.unwrap();
    operation
}

/// A writer that was only slow makes its last commit, on a table that had not moved, and publishes the first new version of
/// these tables, unless somebody was faster: what it was told is shown then.
pub async fn wakes_up(graph: &Graph, last: Staged, tables: &[&str]) -> Option<Content> {
    last.commit().await.ok()?;
    let shown = graph.shown(MAIN).await;
    if tables.iter().any(|table| shown[*table].version != 1) {
        return None;
    }
    let versions: Vec<_> = tables.iter().map(|table| (*table, 2)).collect();
    graph.publish(MAIN, &versions).await;
    Some(graph.content(MAIN).await)
}

/// An old engine undid the commit to a version that the graph no longer shows.
pub async fn stale_undo(graph: &Graph) -> String {
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    let operation = graph.sidecar("Load").of(&[PERSON]).write().await;
    graph.table(PERSON).append(&["fay"]).await;
    graph.table(PERSON).restore(1).await;
    operation
}

/// A recovery restored the one table that had moved and died before its publish.
pub async fn already_undone(graph: &Graph) -> String {
    let operation = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.table(PERSON).restore(1).await;
    operation
}

/// The writer died between its publish and the deletion of its sidecar.
pub async fn already_published(graph: &Graph) -> String {
    let operation = complete_on_three_tables(graph).await;
    graph.publish_heads(&TABLES).await;
    operation
}

/// Published, then undone and published again by an engine.
pub async fn rolled_back_since(graph: &Graph) -> String {
    let operation = complete(graph).await;
    graph.publish_heads(&[PERSON]).await;
    graph.table(PERSON).restore(1).await;
    graph.publish_heads(&[PERSON]).await;
    operation
}

/// The writer died before its first commit.
pub async fn not_begun(graph: &Graph) -> String {
    graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await
}

/// The writer died before it forked the table.
pub async fn not_forked(graph: &Graph) -> String {
    graph.branch(FEATURE).await;
    graph.sidecar("EnsureIndices").on(FEATURE).of(&[PERSON]).write().await
}

/// The branch was deleted under its writer.
pub async fn orphan(graph: &Graph) -> String {
    let operation = complete_on_a_branch(graph).await;
    graph.delete_branch(FEATURE).await;
    operation
}

/// The branch was deleted, and another one of the same name made since.
pub async fn younger_branch(graph: &Graph) -> String {
    let operation = orphan(graph).await;
    if graph.place.stamps_whole_seconds() {
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    graph.branch(FEATURE).await;
    operation
}

/// A recovery that could do everything but delete.
pub async fn recovery_died_before_deleting(graph: &Graph) -> String {
    let operation = complete_on_three_tables(graph).await;
    let report = graph.recoverer().under(Arc::new(NoDeletes)).run().await.unwrap();
    assert_ne!(report.exit().code(), 0);
    operation
}

/// Commits that no rule gives to the writer.
pub async fn unexplained(graph: &Graph) -> String {
    let operation = complete(graph).await;
    graph.table(PERSON).append(&["foreign"]).await;
    operation
}

/// Somebody published one of the two tables.
pub async fn half_shown(graph: &Graph) -> String {
    let operation = graph.sidecar("Load").of(&[PERSON, COMPANY]).write().await;
    graph.table(PERSON).append(&["eve"]).await;
    graph.publish_heads(&[PERSON]).await;
    operation
}

pub async fn unreadable(graph: &Graph) -> String {
    let operation = complete(graph).await;
    graph.put_sidecar(&operation, "{").await;
    operation
}

/// A sidecar that cannot be read.
pub struct Spoiled {
    pub operation: String,
    /// It says why.
    pub word: &'static str,
    pub bytes: Vec<u8>,
}

/// One of each.
pub async fn spoiled(graph: &Graph) -> Vec<Spoiled> {
    let template = next_ulid();
    let mut draft = graph.sidecar("Load").of(&[PERSON]).json(&template).await;
    draft["tables"][0]["table_branch"] = Value::Null;
    let mut bad = Vec::new();
    for (word, bytes) in spoil(&draft) {
        let operation = next_ulid();
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => text.replace(&template, &operation).into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        graph.put_sidecar(&operation, bytes.clone()).await;
        bad.push(Spoiled { operation, word, bytes });
    }
    bad
}

/// A good sidecar, spoiled in every way, and the word that says how.
fn spoil(good: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let with = |path: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        serde_json::to_vec(&bad).unwrap()
    };
    let mut twice = good.clone();
    let first = twice["tables"][0].clone();
    twice["tables"].as_array_mut().unwrap().push(first);
    vec![
        ("empty", Vec::new()),
        ("not a sidecar", b"{".to_vec()),
        ("not a sidecar", vec![0xff, 0xfe, 0x00]),
        ("not a sidecar", "[".repeat(100_000).into_bytes()),
        ("not a sidecar", format!(r#"{{"schema_version":2,"x":{}}}"#, "[".repeat(100_000)).into_bytes()),
        ("not a sidecar", with("/tables/0/expected_version", json!("one"))),
        ("not a sidecar", with("/tables/0/expected_version", json!(-1))),
        ("not a sidecar", with("/schema_version", json!(0))),
        ("newer", with("/schema_version", json!(3))),
        ("newer", with("/schema_version", json!(9))),
        ("unknown", with("/writer_kind", json!("Teleport"))),
        ("records operation", with("/operation_id", json!(next_ulid()))),
        ("operation id", with("/operation_id", json!("../../etc/passwd"))),
        ("branch name", with("/branch", json!("../../x"))),
        ("branch name", with("/tables/0/table_branch", json!("a/../b"))),
        ("table key", with("/tables/0/table_key", json!("node:\nPerson"))),
        ("lies elsewhere", with("/tables/0/table_key", json!("node:../../Person"))),
        ("lies elsewhere", with("/tables/0/table_path", json!("../../nodes/0000000000000000"))),
        ("lies elsewhere", with("/tables/0/table_path", json!("/etc/passwd"))),
        ("twice", serde_json::to_vec(&twice).unwrap()),
        ("bytes", vec![b' '; 10 << 20]),
    ]
}

/// Refuses every deletion.
#[derive(Debug)]
struct NoDeletes;

#[async_trait::async_trait]
impl Fault for NoDeletes {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        if call.verb == Verb::Delete { Err(faults::denied()) } else { Ok(()) }
    }
}
