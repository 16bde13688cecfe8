//! Runs a state's steps at a root: operations here, crashes in a child process, surgery in between.

mod crash;

use anyhow::{Context, Result};

use crate::engine::{Access, Engine, Graph};
use crate::program::{Act, Step};
use crate::root::Root;

pub use crash::{CrashPoint, die_inside};

/// Which way a state's program goes at a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Course {
    /// Every step, crashes and surgery included.
    Wreck,
    /// Without crash or surgery: what the writers meant.
    Committed,
    /// Up to the first crash or surgery.
    Before,
}

impl Course {
    /// The steps that this course takes, a crash turned into the plain operation where it does not crash.
    pub fn steps(self, steps: &[Step]) -> Vec<Step> {
        match self {
            Self::Wreck => steps.to_vec(),
            Self::Before => {
                let sound = |step: &&Step| matches!(step, Step::Run(_) | Step::Prepare(_));
                steps.iter().take_while(sound).cloned().collect()
            }
            Self::Committed => steps.iter().filter_map(without_crash).collect(),
        }
    }
}

fn without_crash(step: &Step) -> Option<Step> {
    match step {
        Step::Run(act) | Step::Crash { act, .. } => Some(Step::Run(act.clone())),
        Step::Prepare(surgery) => Some(Step::Prepare(surgery.clone())),
        Step::Surgery(_) => None,
    }
}

/// How a writer comes in at step `index`: after damage a read-write open would recover, a read-only one does not.
pub fn access_at(steps: &[Step], index: usize) -> Access {
    let damaged = steps[..index].iter().any(|step| matches!(step, Step::Crash { .. } | Step::Surgery(_)));
    if damaged { Access::ReadOnly } else { Access::ReadWrite }
}

/// Takes the steps at an empty root. `state` names the state for the child that dies.
pub async fn run(engine: Engine, state: &str, steps: &[Step], root: &Root) -> Result<()> {
    root.ensure_empty().await?;
    let mut walk = Walk { engine, state, root, graph: None };
    for (index, step) in steps.iter().enumerate() {
        walk.take(index, step, access_at(steps, index))
            .await
            .with_context(|| format!("step {index} of {state} on engine {engine}: {step:?}"))?;
    }
    Ok(())
}

struct Walk<'a> {
    engine: Engine,
    state: &'a str,
    root: &'a Root,
    graph: Option<Box<dyn Graph>>,
}

impl Walk<'_> {
    async fn take(&mut self, index: usize, step: &Step, access: Access) -> Result<()> {
        match step {
            Step::Run(act) => self.run(act, access).await,
            Step::Crash { failpoint, hit, .. } => {
                self.graph = None;
                let point = CrashPoint { failpoint, hit: *hit };
                crash::kill_child(self.engine, self.state, index, self.root, point).await
            }
            Step::Prepare(surgery) => {
                self.graph = None;
                surgery.operate(self.root).await
            }
            Step::Surgery(surgery) => {
                self.graph = None;
                surgery.operate(self.root).await
            }
        }
    }

    async fn run(&mut self, act: &Act, access: Access) -> Result<()> {
        match self.graph.as_mut().filter(|_| !act.opens()) {
            Some(graph) => act.run(graph.as_mut()).await,
            None => {
                self.graph = Some(act.start(self.engine, self.root.uri(), access).await?);
                Ok(())
            }
        }
    }
}
