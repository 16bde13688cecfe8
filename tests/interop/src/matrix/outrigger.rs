//! Calls of the Outrigger binary, and what it answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// A small graph takes seconds; longer means that it waits for something that will not come.
const CALL_LIMIT: Duration = Duration::from_secs(180);

/// Exit codes, as documented for the command line.
pub mod exit {
    pub const CONVERGED: i32 = 0;
    pub const WAITS: i32 = 10;
    pub const HELD: i32 = 11;
    pub const DUE: i32 = 12;
    pub const REFUSED: i32 = 78;
}

pub struct Outrigger {
    binary: PathBuf,
}

/// What one call answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub exit: i32,
    /// Of each scope, in order.
    scopes: Vec<Scope>,
    pub stderr: String,
}

impl Answer {
    /// For a cell of the table.
    pub fn words(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for scope in &self.scopes {
            *counts.entry(scope.words()).or_default() += 1;
        }
        let word =
            |(words, count): (String, usize)| if count == 1 { words } else { format!("{words} ×{count}") };
        let scopes: Vec<String> = counts.into_iter().map(word).collect();
        match (scopes.is_empty(), self.exit) {
            (true, exit::CONVERGED) => format!("{} -", self.exit),
            (true, exit::REFUSED) => format!("{} refused", self.exit),
            (true, _) => self.exit.to_string(),
            (false, _) => format!("{} {}", self.exit, scopes.join(", ")),
        }
    }

    /// Whether anything was settled.
    pub fn has_done_something(&self) -> bool {
        self.scopes.iter().any(Scope::is_done)
    }

    /// Whether an operation was settled; a scope may be of several.
    pub fn has_done(&self, operation: &str) -> bool {
        self.scopes.iter().any(|scope| scope.is_done() && scope.scope.contains(operation))
    }

    /// What is judged, whether or not it is done.
    pub fn verdicts(&self) -> Vec<&str> {
        self.scopes.iter().map(|scope| scope.verdict.as_str()).collect()
    }
}

#[cfg(test)]
impl Answer {
    /// Of scopes as a report has them.
    pub fn parse(scopes: &str, exit: i32) -> Self {
        Self { exit, scopes: serde_json::from_str(scopes).expect("scopes"), stderr: String::new() }
    }
}

#[derive(Deserialize)]
struct Report {
    passes: Vec<Pass>,
    exit: i32,
}

#[derive(Deserialize)]
struct Pass {
    scopes: Vec<Scope>,
}

#[derive(Debug, Clone, Deserialize)]
struct Scope {
    /// Operations, or what it is about.
    scope: String,
    verdict: String,
    #[serde(default)]
    outcome: Option<String>,
}

impl Scope {
    fn is_done(&self) -> bool {
        self.outcome.as_deref() == Some("done")
    }

    /// The outcome is said where the verdict alone does not tell it.
    fn words(&self) -> String {
        match self.outcome.as_deref() {
            None | Some("done" | "held") => self.verdict.clone(),
            Some(outcome) => format!("{} {outcome}", self.verdict),
        }
    }
}

impl Outrigger {
    pub fn new(binary: PathBuf) -> Result<Self> {
        ensure!(binary.is_file(), "there is no Outrigger binary at {}", binary.display());
        Ok(Self { binary })
    }

    pub async fn plan(&self, root: &str) -> Result<Answer> {
        self.report(&["plan", "--repo", root, "--grace", "0s", "--format", "json"]).await
    }

    pub async fn once(&self, root: &str, exclusive: bool) -> Result<Answer> {
        let mut arguments = vec!["once", "--repo", root, "--grace", "0s", "--format", "json"];
        if exclusive {
            arguments.push("--exclusive");
        }
        self.report(&arguments).await
    }

    /// A person's command; anything but success is an error.
    pub async fn command(&self, words: &[String], root: &str) -> Result<()> {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.extend(["--repo", root]);
        let (exit, _, stderr) = self.call(&arguments).await?;
        ensure!(exit == exit::CONVERGED, "`{}` ended with {exit}: {}", words.join(" "), stderr.trim());
        Ok(())
    }

    async fn report(&self, arguments: &[&str]) -> Result<Answer> {
        let (exit, stdout, stderr) = self.call(arguments).await?;
        let name = arguments.first().copied().unwrap_or_default();
        if exit == exit::REFUSED {
            return Ok(Answer { exit, scopes: Vec::new(), stderr });
        }
        let report: Report = match serde_json::from_str(&stdout) {
            Ok(report) => report,
            Err(error) => bail!("{name} ended with {exit} and no report ({error}): {}", stderr.trim()),
        };
        ensure!(report.exit == exit, "{name} ended with {exit}, its report says {}", report.exit);
        let scopes = report.passes.into_iter().flat_map(|pass| pass.scopes).collect();
        Ok(Answer { exit, scopes, stderr })
    }

    async fn call(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let mut command = tokio::process::Command::new(&self.binary);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {}", self.binary.display()))?;
        let ended = tokio::time::timeout(CALL_LIMIT, child.wait_with_output()).await;
        let output =
            ended.with_context(|| format!("`{}` took more than {CALL_LIMIT:?}", arguments.join(" ")))??;
        let exit = output.status.code().with_context(|| format!("`{}` was killed", arguments.join(" ")))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((exit, text(output.stdout), text(output.stderr)))
    }
}
