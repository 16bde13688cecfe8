//! A plan reads; and it says what the run then does.

use crate::claims;
use crate::on_both_dialects;
use crate::support::graph::Graph;
use crate::wrecks::{ALL, Wreck};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;
use outrigger::repo::Dialect;

/// Makes each wreck in a fresh graph, a few at a time.
async fn of_each<F>(dialect: Dialect, claim: impl Fn(&'static Wreck, Graph, String) -> F)
where
    F: Future<Output = ()>,
{
    for wreck in ALL {
        let graph = Graph::on_disk(dialect).await;
        let operation = wreck.make(&graph).await;
        claim(wreck, graph, operation).await;
    }
}

on_both_dialects!(a_plan_of_any_wreck_changes_no_byte_and_says_what_the_run_does);

async fn a_plan_of_any_wreck_changes_no_byte_and_says_what_the_run_does(graph: Graph) {
    of_each(graph.dialect, |wreck, graph, operation| async move {
        let name = wreck.name;
        let before = graph.picture().await;
        let planned = graph.plan().await;
        assert!(graph.picture().await == before, "{name}: a plan changed the graph");
        assert_eq!(planned.requests.put + planned.requests.delete, 0, "{name}");

        let scope = planned.of(&operation);
        let due = if wreck.verdict == Verdict::Hold { Outcome::Held } else { Outcome::Due };
        assert_eq!((scope.verdict, scope.outcome), (wreck.verdict, due), "{name}: {scope:?}");

        let done = graph.recover().await;
        let ended = done.of(&operation);
        let outcome = if wreck.verdict == Verdict::Hold { Outcome::Held } else { Outcome::Done };
        assert_eq!((ended.verdict, ended.outcome), (wreck.verdict, outcome), "{name}: {ended:?}");
        assert_eq!(ended.tables, scope.tables, "{name}");
        match wreck.verdict {
            Verdict::Hold => assert!(graph.picture().await == before, "{name}: what is held is untouched"),
            _ => graph.is_settled().await,
        }
    })
    .await;
}
