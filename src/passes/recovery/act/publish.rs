//! The one publish of a recovery: pins, fillers, markers and commits together.

use super::{Act, between};
use crate::error::{Error, Kind, Result};
use crate::model::Timestamp;
use crate::model::audit::{TableOutcome, Verdict};
use crate::model::history::StepKind;
use crate::model::manifest::{Change, CommitIntent, Marker, Publish};
use crate::model::sidecar::{Brought, Sidecar};
use crate::model::{OperationId, Version};
use crate::passes::recovery::decide::{Decision, TablePlan, TableWork};
use crate::passes::recovery::observation::{Origin, TableRef, TableSeen};
use crate::passes::recovery::observe::{Intent, Seen};
use crate::repo::history::RECOVERY_ACTOR;
use crate::repo::tables::{Table, dataset_path};
use crate::repo::{Made, Published, Repository, Snapshot};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a publish has made.
pub(super) struct Publication {
    /// Its commits.
    pub commits: Vec<CommitIntent>,
    /// Its markers, as stored.
    pub markers: BTreeMap<OperationId, Marker>,
    /// The version of the manifest that it is.
    pub version: Version,
}

/// Why there is no publication.
pub(super) enum Stopped {
    /// Nothing of it is published.
    Before(Error),
    /// It may be published, or was and could not be taken back.
    Perhaps(Error),
}

/// Publishes a decision whose restores are done; `tables` are the lineages that were opened, as they are now.
///
/// Stops with an error of kind [`Kind::Moved`] if something else was published, or a table is not as it was judged. A writer that
/// undoes its `own` commits goes on if that was of other tables: in a crowd it would never come to its turn.
pub(super) async fn publish(
    act: &Act<'_>,
    base: &Snapshot,
    tables: &BTreeMap<TableRef, Table>,
    is_own: bool,
) -> Result<Publication, Stopped> {
    let publish = prepared(act, base, tables).await.map_err(Stopped::Before)?;
    let Act { repo, decision, operation, .. } = act;
    let restored = decision.tables.iter().any(|plan| !matches!(plan.work, TableWork::Show { .. }));
    let ended = if restored && !is_own {
        repo.publish_exactly(base, &publish, operation).await
    } else {
        repo.publish(base, &publish, operation).await
    };
    let made = match ended {
        Ok(Published::Committed(made)) => made,
        Ok(Published::Refused(refusal)) => return Err(Stopped::Before(Error::moved(refusal.to_string()))),
        Ok(Published::Contended(error)) => return Err(Stopped::Before(Error::moved(error.chain()))),
        Err(error) if error.kind() == Kind::Unknown => return Err(Stopped::Perhaps(error)),
        Err(error) => return Err(Stopped::Before(error)),
    };
    if act.is_unchanged(&base.branch).await.map_err(Stopped::Perhaps)? {
        return Ok(published(publish, &made));
    }
    // What we have made on it would come back as files without a record, or as a version of another branch. The newest
    // first, so that what is left at any moment is shown by nobody.
    repo.unmake(&made).await.map_err(Stopped::Perhaps)?;
    Err(Stopped::Before(Error::moved(format!("branch {} was deleted meanwhile", base.branch))))
}

/// All that is to be published.
async fn prepared(act: &Act<'_>, base: &Snapshot, tables: &BTreeMap<TableRef, Table>) -> Result<Publish> {
    let Act { repo, decision, handles, intents, operation, .. } = act;
    let mut publish = Publish::default();
    for plan in &decision.tables {
        changes(repo, plan, tables.get(&plan.at), &mut publish).await?;
    }
    let forward = decision.verdict == Verdict::RollForward;
    for (nth, intent) in intents.iter().enumerate() {
        let mut whole = true;
        if forward {
            schema_changes(repo, base, &intent.sidecar, &mut publish).await?;
            whole = bring(repo, base, &intent.sidecar, &mut publish).await?;
        }
        let leaves_all = decision.tables.is_empty();
        if decision.verdict == Verdict::NothingToDo || (decision.verdict == Verdict::RollBack && leaves_all) {
            expect_unmoved(base, &intent.sidecar, &mut publish);
        }
        settle(act, intent, nth, whole, &mut publish);
    }
    if intents.is_empty() {
        publish.commits.push(CommitIntent {
            id: operation.clone(),
            actor: Some(DRIFT_ACTOR.to_owned()),
            merged_parent: None,
            created_at: handles.now(),
        });
    }
    Ok(publish)
}

/// Who is recorded as the author of a publish that settles drift.
const DRIFT_ACTOR: &str = "outrigger:drift";

fn published(publish: Publish, made: &Made) -> Publication {
    let stored = |marker: Marker| Marker { manifest_version: made.version, ..marker };
    let markers = publish.markers.into_iter().map(|(operation, marker)| (operation, stored(marker)));
    Publication { commits: publish.commits, markers: markers.collect(), version: made.version }
}

/// The rows of one table: its new version, and after an undoing every version between, so that a writer that wakes up
/// late collides whatever it publishes.
async fn changes(
    repo: &Repository,
    plan: &TablePlan,
    opened: Option<&Table>,
    publish: &mut Publish,
) -> Result<()> {
    let at = &plan.at;
    let opened = match opened {
        Some(table) => Some(table.clone()),
        None => repo.table(&at.table, &at.branch).await?,
    };
    let Some(table) = opened else {
        return Err(Error::moved(format!("{} went away", at.table)));
    };
    let shown = plan.shown();
    if table.head() < shown {
        let head = table.head();
        return Err(Error::moved(format!("{} is at version {head}, not at {shown}", at.table)));
    }
    if !matches!(plan.work, TableWork::Show { .. }) {
        for version in between(plan.pin, shown) {
            match repo.entry_at(&table, version).await {
                Ok(entry) => publish.changes.push(Change::Show { table: at.table.clone(), entry }),
                // Cleaned up since: nobody can show it either.
                Err(error) if error.kind() == Kind::Missing => {}
                Err(error) => return Err(error),
            }
        }
    }
    let entry = repo.entry_at(&table, shown).await?;
    publish.changes.push(Change::Show { table: at.table.clone(), entry });
    publish.expected.insert(at.table.clone(), plan.pin);
    Ok(())
}

/// Tables that a schema change creates and drops; what is there already is skipped.
async fn schema_changes(
    repo: &Repository,
    base: &Snapshot,
    sidecar: &Sidecar,
    publish: &mut Publish,
) -> Result<()> {
    for new in &sidecar.registrations {
        if base.state.entry(&new.table).is_some() {
            continue;
        }
        let Some(table) = repo.table(&new.table, &new.branch).await? else {
            return Err(Error::moved(format!("the dataset of {} went away", new.table)));
        };
        let entry = repo.entry_at(&table, table.head()).await?;
        publish.add(&new.table, dataset_path(&new.table)?, entry, base.state.actual(&new.table));
    }
    for dropped in &sidecar.tombstones {
        if base.state.entry(&dropped.table).is_none() {
            continue;
        }
        publish.expected.insert(dropped.table.clone(), Version(dropped.version.0.saturating_sub(1)));
        publish.changes.push(Change::Drop { table: dropped.table.clone(), version: dropped.version });
    }
    Ok(())
}

/// Tables that a merge brings, as its source showed them. `false` if one is there by now in another state: somebody else has brought
/// it, so this is not the whole merge, and the next one has to do the rest.
async fn bring(repo: &Repository, base: &Snapshot, sidecar: &Sidecar, publish: &mut Publish) -> Result<bool> {
    let mut whole = true;
    for Brought { table, branch, version } in &sidecar.brought {
        if let Some(there) = base.state.entry(table) {
            whole &= (&there.branch, there.version) == (branch, *version);
            continue;
        }
        let opened = repo.table(table, branch).await?;
        let opened = opened.ok_or_else(|| Error::moved(format!("the dataset of {table} went away")))?;
        let entry = repo.entry_at(&opened, *version).await?;
        publish.add(table, dataset_path(table)?, entry, base.state.actual(table));
    }
    Ok(whole)
}

/// Nothing was done and nothing is to be done, as long as its tables are shown as they were judged: a writer that has published
/// meanwhile is not to be recorded as undone.
fn expect_unmoved(base: &Snapshot, sidecar: &Sidecar, publish: &mut Publish) {
    for (table, _) in sidecar.tables() {
        publish.expected.insert(table.clone(), base.state.actual(table));
    }
}

/// The marker and the commit of one operation. Of several in one publish each commit is the next one's parent.
fn settle(act: &Act<'_>, intent: &Intent, nth: usize, whole: bool, publish: &mut Publish) {
    let Act { seen, decision, handles, .. } = act;
    let sidecar = &intent.sidecar;
    let created_at = Timestamp(handles.now().0 + Duration::from_micros(nth as u64));
    // On graph-v3 the engine removes a merge's sidecar before it writes the merge commit: ours stands in for it.
    let merged = match decision.verdict {
        Verdict::RollForward => whole,
        // A record that was made before the merge confirmed does not prove that this is it; the writer has recorded its own.
        Verdict::AlreadyPublished => {
            intent.origin == Origin::Sidecar || sidecar.pins.iter().all(|pin| pin.confirmed.is_some())
        }
        _ => false,
    };
    let merged_parent = sidecar.merge_source.clone().filter(|_| merged);
    let id = handles.ulid();
    publish.commits.push(CommitIntent {
        id: id.clone(),
        actor: Some(RECOVERY_ACTOR.to_owned()),
        merged_parent: merged_parent.clone(),
        created_at,
    });
    let marker = Marker {
        verdict: decision.verdict,
        graph_commit_id: id,
        manifest_version: Version::ABSENT,
        merged_parent,
        created_at: created_at.as_micros(),
        outcomes: outcomes(decision, seen, sidecar, publish),
    };
    publish.markers.insert(sidecar.operation.clone(), marker);
}

fn outcomes(decision: &Decision, seen: &Seen, sidecar: &Sidecar, publish: &Publish) -> Vec<TableOutcome> {
    let own = |plan: &&TablePlan| {
        sidecar.pins.iter().any(|pin| pin.table == plan.at.table)
            || (sidecar.merge_source.is_some() && decision.verdict == Verdict::RollForward)
    };
    let plans = decision.tables.iter().filter(own);
    match decision.verdict {
        Verdict::RollForward => {
            let shown = plans.map(|plan| outcome(plan, plan.pin, plan.shown()));
            let created = sidecar.registrations.iter().filter_map(|new| {
                let shown = publish.changes.iter().find_map(|change| match change {
                    Change::Show { table, entry } if *table == new.table => Some(entry.version),
                    _ => None,
                })?;
                Some(TableOutcome {
                    table_key: new.table.clone(),
                    from_version: Version::ABSENT,
                    to_version: shown,
                })
            });
            shown.chain(created).collect()
        }
        Verdict::AlreadyPublished => {
            let shown = sidecar.pins.iter().filter_map(|pin| match seen.component.lineage_of(pin)? {
                TableSeen::Present(lineage) => Some(TableOutcome {
                    table_key: pin.table.clone(),
                    from_version: pin.expected,
                    to_version: lineage.pin,
                }),
                _ => None,
            });
            shown.collect()
        }
        _ => plans
            .filter(|plan| !matches!(plan.work, TableWork::Show { .. }))
            .filter_map(|plan| Some(outcome(plan, undone_from(seen, plan)?, plan.pin)))
            .collect(),
    }
}

/// The newest version that an undoing takes back: restores are not counted, whoever made them. `None` if it takes nothing
/// back, as where a table that had not moved was restored to what it was.
fn undone_from(seen: &Seen, plan: &TablePlan) -> Option<Version> {
    let Some(TableSeen::Present(lineage)) = seen.component.tables.get(&plan.at) else { return None };
    let undone = lineage.tail().iter().rfind(|step| !matches!(step.kind, StepKind::Restore(_)));
    undone.map(|step| step.version)
}

fn outcome(plan: &TablePlan, from: Version, to: Version) -> TableOutcome {
    TableOutcome { table_key: plan.at.table.clone(), from_version: from, to_version: to }
}
