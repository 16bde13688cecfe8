//! A recoverer may die between any two of its writes, lose the answer to any, or meet another recoverer at any call: the end
//! is always the one that an undisturbed run comes to.
//!
//! A wreck is made once, in memory, and copied for each trial. The death of a process leaves what it had written: a copy of
//! the memory taken before a write is what remains if the process dies there, and also if it dies when the write before is
//! done and not yet answered. So one watched run gives every such state, and no state is left out.

use crate::ends::{End, end};
use crate::harness::Told;
use crate::support::faults::{Copies, LosesAnswer, Meanwhile};
use crate::support::graph::Graph;
use crate::support::repos::{Sleepless, faulty};
use crate::wrecks::Wreck;
use outrigger::passes::report::Exit;
use outrigger::repo::Dialect;
use outrigger::store::{Fault, StoreParts};
use std::sync::Arc;

/// A graph with one wreck in it, to be copied for each trial.
struct Site {
    graph: Graph,
    /// What the wreck's scope is called.
    name: String,
    wreck: &'static Wreck,
}

impl Site {
    async fn of(wreck: &'static Wreck, dialect: Dialect) -> Self {
        let graph = Graph::in_memory(dialect).await;
        let name = wreck.make(&graph).await;
        Self { graph, name, wreck }
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

/// The second recoverer runs from beginning to end just before one call of the first.
async fn meets_another_at_any_call(site: Site) {
    let expected = site.expected().await;
    for n in 0.. {
        let graph = Arc::new(site.graph.copy().await);
        let (other, when) = (graph.clone(), format!("another recoverer before call {n}"));
        let event = {
            let when = when.clone();
            async move { settle(&other, &when).await }
        };
        let meanwhile = Arc::new(Meanwhile::before_telling_call(n, event));
        let told = recover_under(&graph, meanwhile.clone()).await.unwrap();
        if !meanwhile.happened() {
            break;
        }
        assert!(told.exit() != Exit::Failed, "{}: {when}: {:#?}", site.wreck.name, told.report);
        settle(&graph, &when).await;
        site.ends_as(&graph, &expected, &when).await;
    }
}

/// One test for each wreck and disturbance: they run side by side and fail by name.
macro_rules! trials {
    ($claim:ident on $dialect:ident: $($wreck:ident),* $(,)?) => {
        mod $claim {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $wreck() {
                let wreck = crate::wrecks::named(stringify!($wreck));
                let site = crate::deaths::Site::of(wreck, outrigger::repo::Dialect::$dialect).await;
                super::super::$claim(site).await;
            })*
        }
    };
}

/// graph-v3 makes more writes: its history lies in datasets of its own.
mod v3 {
    trials!(dies_between_any_two_writes on GraphV3:
        complete_on_three_tables, complete_first_write_on_a_branch, indexes_half_built, merge_confirmed, schema_complete,
        half_done, half_done_on_a_branch, stale_undo, merge_unconfirmed, schema_half_done, already_undone,
        already_published, rolled_back_since, not_begun, not_forked, orphan, younger_branch, recovery_died_before_deleting);
    trials!(loses_any_answer on GraphV3: complete, half_done, schema_half_done, merge_confirmed, not_begun);
    trials!(meets_another_at_any_call on GraphV3: half_done);
}

mod v4 {
    trials!(dies_between_any_two_writes on GraphV4: complete_on_three_tables, half_done_on_a_branch, already_published, not_forked);
    trials!(loses_any_answer on GraphV4:
        complete_first_write_on_a_branch, indexes_half_built, schema_complete, half_done, stale_undo, merge_unconfirmed,
        already_undone, already_published, rolled_back_since, not_forked, orphan);
    trials!(meets_another_at_any_call on GraphV4: complete, schema_half_done, not_begun);
}
