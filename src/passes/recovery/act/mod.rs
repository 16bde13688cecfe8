//! Carries one decision out. Every write travels with the condition it was decided under; whatever has moved since ends in
//! [`Acted::LookAgain`], and nothing of it is forced.
//!
//! The order, and what a stop after each step leaves behind:
//!
//! | # | step | a stop after it leaves |
//! |---|---|---|
//! | 1 | fence record, create-only | an armed record beside its sidecar: the same judgement again |
//! | 2 | sidecar looked at again; gone: stop | an armed record: judged at the next look |
//! | 2a | schema changes and version-1 merges: sidecar deleted, for engines would roll it forward | an armed record in its place |
//! | 3 | restores, each on exactly the head that was judged | *already undone*: published without a window |
//! | 4 | publish: pins, fillers, marker | the marker: *finish* |
//! | 5 | commit and actor rows (graph-v3), audit row, each exactly once | the marker: *finish*, finds them |
//! | 6 | contract files, datasets, lock (schema changes) | the marker: *finish*, repeats them |
//! | 7 | sidecar deleted, then the record closed | an armed record with a marker: *finish* |

mod fence;
mod publish;
mod schema;

use super::decide::{Decision, TablePlan, TableWork};
use super::observation::{Origin, TableRef};
use super::observe::{Intent, Seen};
use crate::error::{Error, Kind, Result};
use crate::model::audit::{RecoveryKind, Verdict};
use crate::model::manifest::Marker;
use crate::model::{Branch, OperationId, Permit, Timestamp, Version, Window};
use crate::passes::report::{ActionKind, ActionOutcome};
use crate::repo::history::{Audit, CommitRecord, RECOVERY_ACTOR};
use crate::repo::tables::{Restored, Table};
use crate::repo::{Dialect, Repository, Snapshot, branches, snapshot};
use crate::store::ControlObject;
use async_trait::async_trait;
use publish::{Publication, Stopped};
use std::collections::BTreeMap;

/// What the edges give to an act: time, fresh ids, and leave to act.
#[async_trait]
pub trait Handles: Send + Sync {
    /// This host's clock, for records.
    fn now(&self) -> Timestamp;
    /// A fresh ULID.
    fn ulid(&self) -> String;
    /// Whether it is our turn; asked before the first act on a scope. Saves work, guards nothing.
    async fn turn(&self) -> Result<Turn>;
    /// The right to undo, looked for anew: `None` once no window is open. Asked before every act that needs it.
    async fn permit(&self) -> Result<Option<Permit>>;
    /// Counts an act.
    fn acted(&self, kind: ActionKind, outcome: ActionOutcome);
    /// Counts a defect of this program that ended the work on one scope.
    fn panicked(&self);
}

/// Whether it is our turn to act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is.
    Ours,
    /// Another reconciler leads: its name.
    Of(String),
}

/// How an act ended.
#[derive(Debug)]
pub enum Acted {
    /// The operations are settled.
    Settled,
    /// Something moved; says what. A fresh look decides anew.
    LookAgain(String),
}

/// Carries a decision out. An error may leave it carried out in part. Wherever it is noticed that something moved, or that an
/// answer was lost, it ends in [`Acted::LookAgain`].
pub async fn act(
    repo: &Repository,
    seen: &Seen,
    decision: &Decision,
    handles: &dyn Handles,
) -> Result<Acted> {
    match acted(repo, seen, decision, handles).await {
        Err(error) if matches!(error.kind(), Kind::Moved | Kind::Unknown) => {
            Ok(Acted::LookAgain(error.chain()))
        }
        ended => ended,
    }
}

async fn acted(repo: &Repository, seen: &Seen, decision: &Decision, handles: &dyn Handles) -> Result<Acted> {
    let intents: Vec<&Intent> = decision
        .operations
        .iter()
        .filter_map(|operation| seen.intents.iter().find(|intent| intent.sidecar.operation == *operation))
        .collect();
    let operation = match decision.operations.first() {
        Some(first) => first.to_string(),
        None => handles.ulid(),
    };
    let act = Act { repo, seen, decision, handles, intents, operation };
    match decision.verdict {
        Verdict::Hold | Verdict::Unknown => Err(Error::internal("a held operation was to be acted on")),
        Verdict::Finish => act.finish(&decision.branch, &BTreeMap::new()).await,
        _ if decision.operations.is_empty() && decision.tables.is_empty() => act.conclude_schema().await,
        _ => act.settle().await,
    }
}

/// Why an undoing stops half-way.
const WINDOW_CLOSED: &str = "the window has closed";

struct Act<'a> {
    repo: &'a Repository,
    seen: &'a Seen,
    decision: &'a Decision,
    handles: &'a dyn Handles,
    intents: Vec<&'a Intent>,
    /// What every commit of this act names: the first operation that it settles; for drift, the commit that settles it.
    operation: String,
}

impl Act<'_> {
    /// Staged files and lock that no sidecar explains: nothing to publish.
    async fn conclude_schema(&self) -> Result<Acted> {
        self.repo.require_writable(&self.decision.branch).await?;
        self.conclude().await?;
        Ok(Acted::Settled)
    }

    /// The steps after the publish of a schema change, if there are any.
    async fn conclude(&self) -> Result<()> {
        let Some(work) = &self.decision.schema else { return Ok(()) };
        let ended = schema::conclude(self.repo, work, self.seen.lock.as_ref(), self.handles).await;
        self.count(ActionKind::Schema, &ended, |()| false);
        ended
    }

    async fn settle(&self) -> Result<Acted> {
        let base = self.base().await?.ok_or_else(|| Error::moved("the branch went away"))?;
        base.writable()?;
        self.require_unlocked().await?;
        if let Some(moved) = self.decision.tables.iter().find(|plan| !shows_pin(&base, plan)) {
            return Err(Error::moved(format!("{} was published to", moved.at.table)));
        }
        // Before the first write of an undoing; before each restore it is asked again.
        let permit = if self.undoes() { self.handles.permit().await? } else { None };
        if self.undoes() && permit.is_none() {
            return Err(Error::moved(WINDOW_CLOSED));
        }
        let is_own = permit.is_some_and(|permit| permit.window() == Window::Own);
        if self.decision.needs_fence {
            self.fence().await?;
        }
        if self.undoes() && self.is_seen_by_engines() {
            self.delete_files().await?;
        }
        let mut made = BTreeMap::new();
        let published = match self.restore_and_publish(&base, &mut made, is_own).await {
            Ok(published) => published,
            Err(Stopped::Before(error)) => {
                self.take_back_if_gone(&base.branch, &made).await;
                return Err(error);
            }
            // What may be shown must stay.
            Err(Stopped::Perhaps(error)) => return Err(error),
        };
        match self.intents.is_empty() {
            true => self.conclude_drift(&published).await,
            false => self.finish(&base.branch, &published.markers).await,
        }
    }

    /// Adds to `made` what it has restored, however it ends.
    async fn restore_and_publish(
        &self,
        base: &Snapshot,
        made: &mut BTreeMap<TableRef, Table>,
        is_own: bool,
    ) -> Result<Publication, Stopped> {
        self.restore(base, made).await.map_err(Stopped::Before)?;
        let opened = self.seen.tables.clone().into_iter().chain(made.clone()).collect();
        let published = publish::publish(self, base, &opened, is_own).await;
        let outcome = match &published {
            Ok(_) => ActionOutcome::Committed,
            Err(Stopped::Before(error) | Stopped::Perhaps(error)) => ActionOutcome::of(error),
        };
        self.handles.acted(ActionKind::Publish, outcome);
        published
    }

    /// While a schema change holds the graph's write lock, a publish on main that is not its own recovery's would break it if
    /// it is alive; it may have begun since the look. *It begins just now*: its own lock is no strict one either.
    async fn require_unlocked(&self) -> Result<()> {
        let publishes_under_it = self.decision.schema.is_some() || self.seen.lock.is_some();
        if publishes_under_it || !self.decision.branch.is_main() {
            return Ok(());
        }
        match self.repo.store().head(&branches::schema_lock_record()).await? {
            Some(_) => Err(Error::moved("a schema change has begun and holds the graph's write lock")),
            None => Ok(()),
        }
    }

    /// Arms the records and looks at the sidecars again: an error if one is gone, or not the one that was judged. The record
    /// stays armed and is judged at the next look: the writer may have finished, or another recoverer have put the record in
    /// the sidecar's place.
    async fn fence(&self) -> Result<()> {
        for intent in &self.intents {
            let armed = fence::arm(self.repo, self.seen, intent, self.handles).await;
            self.count(ActionKind::Fence, &armed, |()| false);
            armed?;
        }
        for intent in self.intents.iter().filter(|intent| intent.origin == Origin::Sidecar) {
            let operation = &intent.sidecar.operation;
            let now = self.repo.store().head(&ControlObject::Sidecar(operation.clone()).key()).await?;
            let now = now.ok_or_else(|| Error::moved(format!("the sidecar of {operation} is gone")))?;
            // A merge that was confirmed meanwhile.
            if intent.file.as_ref().is_some_and(|judged| judged.etag != now.etag) {
                return Err(Error::moved(format!("the sidecar of {operation} was written anew")));
            }
        }
        Ok(())
    }

    /// After a stop before the publish: if the branch has gone meanwhile, what was restored on it is taken back, for it would
    /// come back as files without a record. Why it was stopped matters more than that this failed, too.
    async fn take_back_if_gone(&self, branch: &Branch, made: &BTreeMap<TableRef, Table>) {
        if made.is_empty() {
            return;
        }
        let taken_back = match self.is_unchanged(branch).await {
            Ok(true) => Ok(()),
            Ok(false) => self.take_back(made).await,
            Err(error) => Err(error),
        };
        if let Err(error) = taken_back {
            tracing::warn!(%branch, error = %error.chain(), "what was restored on a branch that may be gone is left there");
        }
    }

    /// Whether a branch is still listed, and still the one that was judged: another may have its name by now.
    async fn is_unchanged(&self, branch: &Branch) -> Result<bool> {
        if branch.is_main() {
            return Ok(true);
        }
        let listed = branches::list(self.repo.store(), snapshot::MANIFEST).await?;
        let judged = self.seen.branches.get(branch);
        Ok(listed.get(branch).is_some_and(|now| judged.is_none_or(|judged| judged == now)))
    }

    /// The newest version of each lineage, if it is still the one that we have made there.
    async fn take_back(&self, made: &BTreeMap<TableRef, Table>) -> Result<()> {
        for table in made.values().filter(|table| !table.branch.is_main()) {
            self.repo.unmake(&table.made(self.repo.store())).await?;
        }
        Ok(())
    }

    /// The snapshot that the decision was made against: of the operations' branch, or of main if that branch is gone.
    async fn base(&self) -> Result<Option<Snapshot>> {
        let branch = &self.decision.branch;
        match self.seen.snapshots.get(branch) {
            Some(snapshot) if self.decision.verdict != Verdict::DiscardOrphan => {
                Ok(Some((**snapshot).clone()))
            }
            _ => self.repo.snapshot(branch).await,
        }
    }

    fn undoes(&self) -> bool {
        self.decision.verdict == Verdict::RollBack
    }

    /// Whether an engine that opens the graph now would judge these sidecars in its own way: it rolls version-1 merges and
    /// schema changes forward, over our restores. Their record takes their place before anything is restored.
    fn is_seen_by_engines(&self) -> bool {
        use crate::model::sidecar::WriterKind as Kind;
        self.intents.iter().any(|intent| match intent.sidecar.kind {
            Kind::SchemaApply => true,
            Kind::BranchMerge => intent.sidecar.format == 1,
            _ => false,
        })
    }

    /// Counts an act by its ending; `lost` says of one that did not fail whether its precondition no longer held.
    fn count<T>(&self, kind: ActionKind, ended: &Result<T>, lost: impl Fn(&T) -> bool) {
        let outcome = match ended {
            Ok(ending) if lost(ending) => ActionOutcome::Conflict,
            Ok(_) => ActionOutcome::Committed,
            Err(error) => ActionOutcome::of(error),
        };
        self.handles.acted(kind, outcome);
    }

    /// Restores every table of the plan, and adds what it has `made`. The manifest is looked at before each: a writer that
    /// published in between is not to be hidden.
    async fn restore(&self, base: &Snapshot, made: &mut BTreeMap<TableRef, Table>) -> Result<()> {
        let moved = |why: String| Err(Error::moved(why));
        for plan in &self.decision.tables {
            let TableWork::Restore { head } = plan.work else { continue };
            let Some(permit) = self.handles.permit().await? else {
                return moved(WINDOW_CLOSED.into());
            };
            let now = self.repo.snapshot(&base.branch).await?;
            if now.is_none_or(|now| now.version != base.version) {
                return moved(format!("branch {} was published to", base.branch));
            }
            let Some(table) = self.repo.table(&plan.at.table, &plan.at.branch).await? else {
                return moved(format!("{} went away", plan.at.table));
            };
            if table.head() != head {
                return moved(format!("{} moved from version {head} to {}", plan.at.table, table.head()));
            }
            let restored = table.restore(plan.pin, &self.operation, permit).await;
            self.count(ActionKind::Restore, &restored, |ended| matches!(ended, Restored::Moved(_)));
            match restored? {
                Restored::Yes(table) => made.insert(plan.at.clone(), *table),
                Restored::Moved(why) => return moved(why.chain()),
            };
        }
        Ok(())
    }

    async fn close_fence(&self, operation: &OperationId) -> Result<()> {
        let closed = fence::close(self.repo, operation, self.handles).await;
        self.count(ActionKind::Fence, &closed, |()| false);
        closed
    }

    /// Steps 5 to 7, repeatable: everything is derived from the marker, which we have just published on `branch` or look up.
    async fn finish(&self, branch: &Branch, published: &BTreeMap<OperationId, Marker>) -> Result<Acted> {
        for intent in &self.intents {
            let operation = &intent.sidecar.operation;
            let known = published.get(operation).map(|marker| (branch.clone(), marker.clone()));
            let found = match known {
                Some(known) => Some(known),
                None => self.marker(operation, branch).await?,
            };
            let Some((on, marker)) = found else {
                return Err(Error::moved(format!("the marker of {operation} is not there yet")));
            };
            self.record(intent, &on, &marker).await?;
            self.conclude().await?;
            self.delete_file(operation).await?;
            if intent.fenced || self.decision.needs_fence || intent.origin == Origin::ArmedFence {
                self.close_fence(operation).await?;
            }
        }
        Ok(Acted::Settled)
    }

    /// Drift has no operation to settle: on graph-v3 its commit row follows the publish, as the engine's own does. *Dies
    /// between*: a manifest version without a commit row, as after any engine crash at that point.
    async fn conclude_drift(&self, published: &Publication) -> Result<Acted> {
        if self.repo.recognised().dialect == Dialect::GraphV3 {
            for commit in &published.commits {
                let record = CommitRecord {
                    id: &commit.id,
                    branch: &self.decision.branch,
                    manifest_version: published.version,
                    actor: commit.actor.as_deref().unwrap_or(RECOVERY_ACTOR),
                    merged_parent: None,
                    created_at: commit.created_at.as_micros(),
                };
                self.repo.record_commit(&record, &commit.id).await?;
            }
        }
        Ok(Acted::Settled)
    }

    async fn marker(&self, operation: &OperationId, branch: &Branch) -> Result<Option<(Branch, Marker)>> {
        for at in [branch.clone(), Branch::main()] {
            let found = self.repo.snapshot(&at).await?.and_then(|at| at.state.marker(operation).cloned());
            if let Some(marker) = found {
                return Ok(Some((at, marker)));
            }
        }
        Ok(None)
    }

    async fn record(&self, intent: &Intent, on: &Branch, marker: &Marker) -> Result<()> {
        let operation = &intent.sidecar.operation;
        if self.repo.recognised().dialect == Dialect::GraphV3 {
            let commit = CommitRecord {
                id: &marker.graph_commit_id,
                branch: on,
                manifest_version: marker.manifest_version,
                actor: RECOVERY_ACTOR,
                merged_parent: marker.merged_parent.as_deref(),
                created_at: marker.created_at,
            };
            self.repo.record_commit(&commit, operation.as_str()).await?;
        }
        let kind = marker.verdict.recovery_kind().unwrap_or(RecoveryKind::RolledBack);
        let outcomes = serde_json::to_string(&marker.outcomes)
            .map_err(|error| Error::new(Kind::Internal, "outcomes do not serialise").caused_by(error))?;
        let audit = Audit {
            graph_commit_id: &marker.graph_commit_id,
            kind,
            actor: intent.sidecar.actor.as_deref(),
            operation,
            writer: intent.sidecar.kind,
            outcomes,
            created_at: marker.created_at,
        };
        let recorded = self.repo.record_audit(&audit).await;
        self.count(ActionKind::Audit, &recorded, |()| false);
        recorded
    }

    async fn delete_files(&self) -> Result<()> {
        for intent in self.intents.iter().filter(|intent| intent.origin == Origin::Sidecar) {
            self.delete_file(&intent.sidecar.operation).await?;
        }
        Ok(())
    }

    async fn delete_file(&self, operation: &OperationId) -> Result<()> {
        let deleted = self.repo.store().delete(&ControlObject::Sidecar(operation.clone()).key()).await;
        self.count(ActionKind::DeleteSidecar, &deleted, |()| false);
        deleted?;
        // The beat goes after the record, as its writer would have it. *Dies between*: it stands still, and the sweep removes it.
        if self.repo.recognised().dialect.names_commits() {
            self.repo.store().delete(&ControlObject::Beat(operation.clone()).key()).await?;
        }
        Ok(())
    }
}

/// Whether a snapshot still shows what a plan was made against.
fn shows_pin(base: &Snapshot, plan: &TablePlan) -> bool {
    base.state.entry(&plan.at.table).is_some_and(|entry| entry.version == plan.pin)
}

/// Versions strictly between the pin and the version to be shown.
fn between(pin: Version, shown: Version) -> impl Iterator<Item = Version> {
    (pin.0 + 1..shown.0).map(Version)
}
