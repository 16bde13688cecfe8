//! Crashes of `init`: there is no graph yet, or a whole one.

use super::build::{crash, state};
use super::{Afterwards, Data, Deed, Kind, Refusal, State};
use crate::fixture;
use crate::program::Operation;

const INIT: Operation = Operation::Init { schema: fixture::SCHEMA };
const NO_GRAPH: &str = "there is no graph yet; remove the files and run init again";

pub fn states() -> Vec<State> {
    let unborn = |name: &str, failpoint| {
        state(name, Kind::Init, vec![crash(INIT.on_main(), failpoint)])
            .answers("78 refused", "78 refused")
            .data(Data::Unreadable)
            .afterwards(Afterwards::Left(Refusal { of: Deed::Open, error: "__manifest", why: NO_GRAPH }))
    };
    vec![
        unborn("init-schema-source-only", "init.after_schema_pg_written")
            .notes("refused: no manifest, no stamp"),
        unborn("init-contract-only", "init.after_schema_contract_written")
            .notes("refused: no manifest, no stamp"),
        state("init-complete", Kind::Init, vec![crash(INIT.on_main(), "init.after_coordinator_init")])
            .committed()
            .notes("the graph is whole"),
    ]
}
