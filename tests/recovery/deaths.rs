//! A recoverer may die between any two of its writes, lose the answer to any, or meet another recoverer at any call: the end
//! is always the one that an undisturbed run comes to. So may a writer that was taken for dead, or one that nobody knows of,
//! publish before any call: what it was told is shown stays.
//!
//! A wreck is made once, in memory, and copied for each trial. The death of a process leaves what it had written: a copy of
//! the memory taken before a write is what remains if the process dies there, and also if it dies when the write before is
//! done and not yet answered. So one watched run gives every such state, and no state is left out.

use crate::ends::{End, end};
use crate::harness::Told;
use crate::support::faults::{Copies, Full, LosesAnswer, Meanwhile};
use crate::support::graph::look::Content;
use crate::support::graph::{COMPANY, Graph, MAIN, PERSON, TABLES};
use crate::support::repos::{Sleepless, faulty};
use crate::wrecks::{Wreck, wakes_up};
use futures::FutureExt;
use futures::future::BoxFuture;
use outrigger::passes::report::{Exit, Outcome};
use outrigger::repo::Dialect;
use outrigger::store::{Fault, StoreParts};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A graph with one wreck in it, to be copied for each trial.
struct Site {
    graph: Graph,
    /// What the wreck's scope is called.
    name: String,
    wreck: &'static Wreck,
    /// Of the calls at which something may happen, one of so many is tried.
    one_in: usize,
}

impl Site {
    async fn of(wreck: &'static Wreck, dialect: Dialect) -> Self {
        let graph = Graph::in_memory(dialect).await;
        let name = wreck.make(&graph).await;
        Self { graph, name, wreck, one_in: 1 }
    }

    /// The end of a run that nobody disturbs.
    async fn expected(&self) -> End {
        let graph = self.graph.copy().await;
        settle(&graph, "undisturbed").await;
        end(&graph, &self.name).await
    }

    async fn ends_as(&self, graph: &Graph, expected: &End, when: &str) {
        assert_eq!(end(graph, &self.name).await, *expected, "{}: {when}", self.wreck.name);
    }
}

/// Recovers under a fault, in no time.
async fn recover_under(graph: &Graph, fault: Arc<dyn Fault>) -> outrigger::Result<Told> {
    let parts = StoreParts { host: Sleepless::default().host(), ..faulty(fault) };
    graph.recoverer().with(parts).run().await
}

/// A run that nobody disturbs comes to an end, with nothing left that waits or is held.
async fn settle(graph: &Graph, when: &str) {
    let told = graph.recover().await;
    assert_eq!(told.exit(), Exit::Converged, "{when}: {:#?}", told.report);
}

async fn dies_between_any_two_writes(site: Site) {
    let graph = site.graph.copy().await;
    let copies = Arc::new(Copies::of(graph.place.memory()));
    recover_under(&graph, copies.clone()).await.unwrap();
    let expected = end(&graph, &site.name).await;
    let copies = copies.take();
    assert!(!copies.is_empty(), "a recovery writes");
    for (n, (call, memory)) in copies.into_iter().enumerate() {
        let (graph, when) = (graph.as_in(memory).await, format!("dead before write {n}, {call:?}"));
        settle(&graph, &when).await;
        site.ends_as(&graph, &expected, &when).await;
    }
}

/// The run itself gets through: it looks again where it cannot know.
async fn loses_any_answer(site: Site) {
    let expected = site.expected().await;
    for n in 1.. {
        let graph = site.graph.copy().await;
        let loses = Arc::new(LosesAnswer::to_write(n));
        let told = recover_under(&graph, loses.clone()).await.unwrap();
        if !loses.happened() {
            break;
        }
        let when = format!("the answer to write {n} got lost");
        assert_eq!(told.exit(), Exit::Converged, "{}: {when}: {:#?}", site.wreck.name, told.report);
        site.ends_as(&graph, &expected, &when).await;
    }
}

/// The process goes on, and says what to do.
async fn finds_the_disk_full_at_any_write(site: Site) {
    let expected = site.expected().await;
    for n in 0.. {
        let graph = site.graph.copy().await;
        let full = Arc::new(Full::after_writes(n));
        let told = recover_under(&graph, full.clone()).await.unwrap();
        if !full.happened() {
            break;
        }
        let when = format!("full after {n} writes");
        let failed = told.report.scopes.iter().find(|scope| scope.outcome == Outcome::Failed);
        let reason = &failed.unwrap_or_else(|| panic!("{when}: {:#?}", told.report)).reason;
        assert!(reason.contains("make room and run again, nothing is lost"), "{when}: {reason}");
        settle(&graph, &when).await;
        site.ends_as(&graph, &expected, &when).await;
    }
}

/// Which calls a sample takes: 0 if `$OUTRIGGER_SEED` gives no other number, so that what failed once fails again. Samples are
/// of one call in at most 4: the seeds 0 to 11 together take every call. Failures tell the seed.
fn seed() -> usize {
    let given = std::env::var("OUTRIGGER_SEED").ok();
    given.map_or(0, |seed| seed.parse().expect("OUTRIGGER_SEED is a number"))
}

/// Something happens just before one call of a recoverer, for each call in turn or each of a sample; then a run that nobody
/// disturbs comes to an end, which is checked.
async fn before_any_call(
    site: &Site,
    what: &str,
    event: impl AsyncFn(Arc<Graph>) -> BoxFuture<'static, ()>,
    check: impl AsyncFn(&Graph, &str),
) {
    let seed = seed();
    for n in (seed % site.one_in..).step_by(site.one_in) {
        let when = format!("{what} before call {n}, of seed {seed}");
        let graph = Arc::new(site.graph.copy().await);
        let meanwhile = Arc::new(Meanwhile::before_telling_call(n, event(graph.clone()).await));
        let told = recover_under(&graph, meanwhile.clone()).await.unwrap();
        if !meanwhile.happened() {
            break;
        }
        assert!(told.exit() != Exit::Failed, "{}: {when}: {:#?}", site.wreck.name, told.report);
        settle(&graph, &when).await;
        check(&graph, &when).await;
    }
}

/// The second recoverer runs from beginning to end.
async fn meets_another_at_any_call(site: Site) {
    let expected = site.expected().await;
    let event = async |graph: Arc<Graph>| async move { settle(&graph, "the other").await }.boxed();
    let check = async |graph: &Graph, when: &str| site.ends_as(graph, &expected, when).await;
    before_any_call(&site, "another recoverer", event, check).await;
}

/// It commits the rest, publishes, and takes its sidecar away.
async fn its_writer_wakes_up_at_any_call(site: Site) {
    let tables: &[&str] = if site.wreck.name == "already_undone" { &[PERSON, COMPANY] } else { &TABLES };
    let ends = a_writer_publishes(&site, tables, Some(site.name.clone())).await;
    assert_eq!(ends, [false, true].into(), "early enough, and too late");
}

/// It writes a table that is not concerned, and moves the manifest.
async fn a_stranger_publishes_at_any_call(site: Site) {
    assert_eq!(a_writer_publishes(&site, &[COMPANY], None).await, [true].into(), "it is not concerned");
}

/// What a writer was told is shown stays, whole; where it is refused the same is shown as without it. Whether it got through,
/// and whether it did not.
async fn a_writer_publishes(
    site: &Site,
    tables: &'static [&'static str],
    done: Option<String>,
) -> BTreeSet<bool> {
    let undisturbed = site.graph.copy().await;
    settle(&undisturbed, "undisturbed").await;
    let expected = undisturbed.content(MAIN).await;
    let told = Arc::new(Mutex::new(None));
    #[allow(clippy::async_yields_async, reason = "what is staged now is committed later")]
    let event = async |graph: Arc<Graph>| {
        let last = graph.table(COMPANY).stage_append(&["late"]).await;
        let (told, done) = (told.clone(), done.clone());
        async move {
            let shown = wakes_up(&graph, last, tables).await;
            if let (Some(_), Some(operation)) = (&shown, done) {
                graph.remove_sidecar(&operation).await;
            }
            *told.lock().unwrap() = shown;
        }
        .boxed()
    };
    let ends = Mutex::new(BTreeSet::new());
    let check = async |graph: &Graph, when: &str| {
        let told = told.lock().unwrap().take();
        ends.lock().unwrap().insert(told.is_some());
        stays(graph, &told.unwrap_or_else(|| expected.clone()), when).await;
    };
    before_any_call(site, "a writer", event, check).await;
    ends.into_inner().unwrap()
}

/// This is shown, and is what the newest versions hold.
async fn stays(graph: &Graph, content: &Content, when: &str) {
    assert_eq!(graph.content(MAIN).await, *content, "{when}");
    for table in TABLES {
        assert_eq!(graph.table(table).head().await, graph.pin(MAIN, table).await, "{when}: {table}");
    }
}

/// One test for each wreck and disturbance: they run side by side and fail by name.
macro_rules! trials {
    ($claim:ident on $dialect:ident: $($wreck:ident),* $(,)?) => {
        trials!($claim on $dialect, one in 1: $($wreck),*);
    };
    ($claim:ident on $dialect:ident, one in $one_in:literal: $($wreck:ident),* $(,)?) => {
        mod $claim {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $wreck() {
                let wreck = crate::wrecks::named(stringify!($wreck));
                let site = crate::deaths::Site::of(wreck, outrigger::repo::Dialect::$dialect).await;
                crate::deaths::$claim(crate::deaths::Site { one_in: $one_in, ..site }).await;
            })*
        }
    };
}

/// graph-v3 makes more writes: its history lies in datasets of its own.
mod v3 {
    trials!(dies_between_any_two_writes on GraphV3:
        complete, complete_on_three_tables, complete_with_index_builds, complete_first_write_on_a_branch, deleted_inline,
        indexes_half_built, compacted, merge_confirmed, schema_complete, half_done, half_done_on_a_branch, overtaken,
        stale_undo, merge_unconfirmed, schema_half_done, already_undone, already_published, rolled_back_since, not_begun,
        not_forked, orphan, younger_branch, recovery_died_before_deleting);
    trials!(loses_any_answer on GraphV3:
        complete, compacted, half_done, overtaken, schema_half_done, merge_confirmed, not_begun);
    trials!(finds_the_disk_full_at_any_write on GraphV3: half_done);
    trials!(meets_another_at_any_call on GraphV3: half_done);
    trials!(its_writer_wakes_up_at_any_call on GraphV3, one in 2: half_done, already_undone);
    trials!(a_stranger_publishes_at_any_call on GraphV3, one in 3: overtaken);

    mod sampled {
        trials!(meets_another_at_any_call on GraphV3, one in 4: complete_on_three_tables, merge_confirmed);
    }
}

mod v4 {
    trials!(dies_between_any_two_writes on GraphV4:
        complete_on_three_tables, complete_with_index_builds, merge_confirmed, half_done, half_done_on_a_branch, overtaken,
        schema_half_done, already_published, not_forked);
    trials!(loses_any_answer on GraphV4:
        complete_first_write_on_a_branch, complete_with_index_builds, indexes_half_built, merge_confirmed, schema_complete,
        half_done, stale_undo, merge_unconfirmed, already_undone, already_published, rolled_back_since, not_forked, orphan);
    trials!(finds_the_disk_full_at_any_write on GraphV4: complete, schema_half_done);
    trials!(meets_another_at_any_call on GraphV4: complete, schema_half_done, not_begun);
    trials!(its_writer_wakes_up_at_any_call on GraphV4, one in 2: half_done, already_undone);
    trials!(a_stranger_publishes_at_any_call on GraphV4, one in 3: overtaken);

    mod sampled {
        trials!(meets_another_at_any_call on GraphV4, one in 4:
            complete_on_a_branch, half_done_on_a_branch, merge_confirmed);
    }
}
