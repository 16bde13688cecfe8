//! A recoverer may die after any of its writes, lose the answer to any, or meet another recoverer at any call: the end is
//! always the one that an undisturbed run comes to.

use crate::support::faults::{Breaks, Dies, LosesAnswer, Meanwhile, is_write};
use crate::support::graph::{Graph, MAIN};
use crate::wrecks::{self, FEATURE, Wreck};
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;
use outrigger::store::Fault;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that a person or a program could tell two ends apart by, without ids that differ from run to run.
#[derive(Debug, PartialEq)]
struct End {
    rows: BTreeMap<String, Vec<String>>,
    feature: Option<BTreeMap<String, Vec<String>>>,
    commits: usize,
    /// Kind, writer, actor and outcomes of each audit line.
    audit: Vec<String>,
    controls: Vec<String>,
    schema: Vec<String>,
    branches: Vec<String>,
}

async fn end(graph: &Graph, operation: &str) -> End {
    let branches = graph.open(crate::support::graph::MANIFEST, MAIN).await.list_branches().await.unwrap();
    let mut branches: Vec<String> = branches.into_keys().collect();
    branches.sort();
    let feature = match branches.iter().any(|branch| branch == FEATURE) {
        true => Some(graph.content(FEATURE).await),
        false => None,
    };
    let line = |line: crate::support::graph::look::AuditLine| {
        let tables: Vec<String> = line.outcomes.as_array().unwrap().iter().map(ToString::to_string).collect();
        format!("{} {} {:?} {tables:?}", line.kind, line.writer, line.actor)
    };
    let root = graph.place.list_dir(None).await.unwrap();
    End {
        rows: graph.content(MAIN).await,
        feature,
        commits: graph.history(MAIN).await.len(),
        audit: graph.audit().await.into_iter().map(line).collect(),
        controls: graph.controls().await.into_iter().map(|name| name.replace(operation, "OP")).collect(),
        schema: root.objects.iter().map(|object| object.key.to_string()).collect(),
        branches,
    }
}

/// A wreck of its own, one disturbed run, and one without disturbance.
async fn disturbed(wreck: &Wreck, dialect: Dialect, fault: Arc<dyn Fault>) -> End {
    let graph = Graph::on_disk(dialect).await;
    let operation = wreck.make(&graph).await;
    // What it says does not matter: it may be dead.
    let _ = graph.recoverer().under(fault).run().await;
    settled(&graph).await;
    end(&graph, &operation).await
}

async fn settled(graph: &Graph) {
    let told = graph.recover().await;
    let is_over = |outcome| matches!(outcome, Outcome::Done | Outcome::Held);
    assert!(told.report.scopes.iter().all(|scope| is_over(scope.outcome)), "{:#?}", told.report);
}

/// The end of a run that nobody disturbs, and how many writes and calls it makes.
async fn undisturbed(wreck: &Wreck, dialect: Dialect) -> (End, usize, usize) {
    let watching = Arc::new(Breaks::watching());
    let end = disturbed(wreck, dialect, watching.clone()).await;
    let seen = watching.seen();
    (end, seen.iter().filter(|call| is_write(call)).count(), seen.len())
}

/// Tries a wreck with each disturbance in turn; names the first that leads elsewhere.
async fn with_each<F: Fault>(
    wreck: &Wreck,
    dialect: Dialect,
    range: impl Iterator<Item = usize>,
    expected: &End,
    fault: impl Fn(usize) -> F,
) {
    for n in range {
        let end = disturbed(wreck, dialect, Arc::new(fault(n))).await;
        assert_eq!(end, *expected, "{}, {} at {n}", wreck.name, dialect.as_str());
    }
}

async fn dies_after_any_write(wreck: &'static Wreck, dialect: Dialect) {
    let (expected, writes, _) = undisturbed(wreck, dialect).await;
    with_each(wreck, dialect, 0..writes, &expected, Dies::after_writes).await;
}

async fn loses_any_answer(wreck: &'static Wreck, dialect: Dialect) {
    let (expected, writes, _) = undisturbed(wreck, dialect).await;
    with_each(wreck, dialect, 1..=writes, &expected, LosesAnswer::to_write).await;
}

/// The second recoverer runs from beginning to end just before one call of the first.
async fn meets_another(wreck: &'static Wreck, dialect: Dialect) {
    let (expected, _, calls) = undisturbed(wreck, dialect).await;
    for n in 0..calls {
        let graph = Arc::new(Graph::on_disk(dialect).await);
        let operation = wreck.make(&graph).await;
        let other = graph.clone();
        let meanwhile = Meanwhile::before_call(n, async move {
            other.recover().await;
        });
        let _ = graph.recoverer().under(Arc::new(meanwhile)).run().await;
        settled(&graph).await;
        assert_eq!(
            end(&graph, &operation).await,
            expected,
            "{}, {} at call {n}",
            wreck.name,
            dialect.as_str()
        );
    }
}

/// One test for each wreck and disturbance: they run side by side and fail by name.
macro_rules! trials {
    ($claim:ident on $dialect:ident: $($wreck:ident),* $(,)?) => {
        mod $claim {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $wreck() {
                let dialect = outrigger::repo::Dialect::$dialect;
                super::super::$claim(crate::deaths::named(stringify!($wreck)), dialect).await;
            })*
        }
    };
}

fn named(name: &str) -> &'static Wreck {
    wrecks::ALL.iter().find(|wreck| wreck.name == name).unwrap()
}

/// graph-v3 makes more writes: its history lies in datasets of its own.
mod v3 {
    trials!(dies_after_any_write on GraphV3:
        complete_on_three_tables, complete_first_write_on_a_branch, indexes_half_built, merge_confirmed, schema_complete,
        half_done, stale_undo, merge_unconfirmed, schema_half_done, already_undone, rolled_back_since, not_begun, orphan,
        recovery_died_before_deleting);
    trials!(loses_any_answer on GraphV3: complete, half_done, schema_half_done, merge_confirmed, not_begun);
    trials!(meets_another on GraphV3: half_done);
}

mod v4 {
    trials!(dies_after_any_write on GraphV4: complete_on_three_tables, half_done_on_a_branch, already_published, not_forked);
    trials!(loses_any_answer on GraphV4:
        complete_first_write_on_a_branch, indexes_half_built, schema_complete, half_done, stale_undo, merge_unconfirmed,
        already_undone, already_published, rolled_back_since, not_forked, orphan);
    trials!(meets_another on GraphV4: complete, schema_half_done, not_begun);
}
