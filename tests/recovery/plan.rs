//! A plan reads; and it says what the run then does.

use crate::support::graph::Graph;
use crate::wrecks::of_each;
use crate::{claims, on_both_dialects};
use outrigger::model::audit::Verdict;
use outrigger::passes::report::Outcome;

on_both_dialects!(a_plan_of_any_wreck_changes_no_byte_and_says_what_the_run_does);

async fn a_plan_of_any_wreck_changes_no_byte_and_says_what_the_run_does(graph: Graph) {
    of_each(graph.dialect, |wreck, graph, operation| async move {
        let before = graph.picture().await;
        let planned = graph.plan().await;
        assert!(graph.picture().await == before, "a plan changed the graph");
        assert_eq!(planned.requests.put + planned.requests.delete, 0);

        let held = wreck.verdict == Verdict::Hold;
        let scope = planned.of(&operation);
        let due = if held { Outcome::Held } else { Outcome::Due };
        assert_eq!((scope.verdict, scope.outcome), (wreck.verdict, due), "{scope:?}");

        let ended = graph.recover().await.of(&operation).clone();
        let done = if held { Outcome::Held } else { Outcome::Done };
        assert_eq!((ended.verdict, ended.outcome), (wreck.verdict, done), "{ended:?}");
        assert_eq!(ended.tables, scope.tables);
        match held {
            true => assert!(graph.picture().await == before, "what is held is untouched"),
            false => graph.is_settled().await,
        }
    })
    .await;
}
