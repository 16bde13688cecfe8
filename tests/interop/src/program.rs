//! What a state is made of: graph operations, crashes at a failpoint and surgery, in order.

use anyhow::{Result, ensure};

use crate::engine::{Access, Engine, Graph, LoadMode, Param};
use crate::fixture;
use crate::surgery::Surgery;

/// One step on the way to a state.
#[derive(Debug, Clone)]
pub enum Step {
    Run(Act),
    /// The process dies inside `act`, the `hit`-th time it passes the failpoint.
    Crash {
        act: Act,
        failpoint: &'static str,
        hit: u32,
    },
    /// Damage: what a crash leaves where no failpoint is.
    Surgery(Surgery),
    /// A change made by surgery that belongs to the sound graph.
    Prepare(Surgery),
}

/// One operation on one branch.
#[derive(Debug, Clone)]
pub struct Act {
    pub branch: &'static str,
    pub operation: Operation,
}

#[derive(Debug, Clone)]
pub enum Operation {
    Init {
        schema: &'static str,
    },
    /// A read-write open, which recovers.
    Open,
    Load {
        rows: &'static str,
        mode: LoadMode,
    },
    Mutate {
        query: &'static str,
        params: &'static [(&'static str, Param)],
    },
    /// Merges `source` into the act's branch.
    Merge {
        source: &'static str,
    },
    EnsureIndices,
    Optimize,
    Repair,
    ApplySchema {
        source: &'static str,
    },
    /// Creates the act's branch.
    BranchCreate {
        from: &'static str,
    },
    /// Deletes the act's branch.
    BranchDelete,
    /// Publishes a table's head as it is.
    PublishHead {
        table: &'static str,
    },
}

impl Operation {
    pub const fn on(self, branch: &'static str) -> Act {
        Act { branch, operation: self }
    }

    pub const fn on_main(self) -> Act {
        self.on("main")
    }
}

impl Act {
    /// Runs on a graph that is not open yet, and gives back the open graph.
    pub async fn start(&self, engine: Engine, root: &str, access: Access) -> Result<Box<dyn Graph>> {
        match &self.operation {
            Operation::Init { schema } => engine.init(root, schema).await,
            Operation::Open => engine.open(root, Access::ReadWrite).await,
            _ => {
                let mut graph = engine.open(root, access).await?;
                self.run(graph.as_mut()).await?;
                Ok(graph)
            }
        }
    }

    /// Runs on an open graph.
    pub async fn run(&self, graph: &mut dyn Graph) -> Result<()> {
        match &self.operation {
            Operation::Init { .. } | Operation::Open => Ok(()),
            Operation::Load { rows, mode } => graph.load(self.branch, rows, *mode).await,
            Operation::Mutate { query, params } => {
                graph.mutate(self.branch, fixture::QUERIES, query, params).await
            }
            Operation::Merge { source } => {
                let outcome = graph.branch_merge(source, self.branch).await?;
                ensure!(
                    outcome != "AlreadyUpToDate",
                    "the merge of {source} into {} had nothing to do",
                    self.branch
                );
                Ok(())
            }
            Operation::EnsureIndices => graph.ensure_indices(self.branch).await,
            Operation::Optimize => graph.optimize().await,
            Operation::Repair => graph.repair().await,
            Operation::ApplySchema { source } => graph.apply_schema(source).await,
            Operation::BranchCreate { from } => graph.branch_create(from, self.branch).await,
            Operation::BranchDelete => graph.branch_delete(self.branch).await,
            Operation::PublishHead { table } => graph.publish_head(self.branch, table).await,
        }
    }

    /// Whether it needs a graph that is not open.
    pub fn opens(&self) -> bool {
        matches!(self.operation, Operation::Init { .. } | Operation::Open)
    }
}
