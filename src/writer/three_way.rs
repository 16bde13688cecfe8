//! Rows of one table, as both sides of a merge have changed them since they parted.

use super::draft::Draft;
use super::error::{Error, Result};
use super::keys::{Keyed, kept_rows, key_text};
use super::lost::{Bases, Lost};
use super::repository::Repository;
use crate::model::manifest::Entry;
use crate::repo::select::Selected;
use crate::repo::tables::Table;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use std::collections::{BTreeMap, HashMap};

/// One table: where both parted, and each side now.
pub(super) struct Sides {
    pub(super) base: Table,
    pub(super) theirs: Table,
    pub(super) ours: Table,
}

/// A row of one side: what it holds, told by a value that compares, and where to find it.
struct Row {
    content: OwnedRow,
    batch: usize,
    index: usize,
}

/// Rows of one side that the other may not have, by their keys.
struct Part {
    batches: Vec<Selected>,
    rows: HashMap<OwnedRow, Row>,
}

/// Keys as text.
pub(super) type Keys = Vec<Vec<String>>;

impl Sides {
    /// The change of the target, or the keys of the rows that both have changed.
    ///
    /// Of rows whose base is on a branch that is gone, all is tried that it may have been: they are a conflict if that makes a
    /// difference.
    pub(super) async fn merged(
        &self,
        repository: &Repository,
        shown: &Entry,
        lost: Option<&Lost>,
    ) -> Result<Result<Draft, Keys>> {
        let Self { base, theirs, ours } = self;
        let table = &ours.key;
        if theirs.schema() != base.schema() || theirs.schema() != ours.schema() {
            return Err(Error::invalid(format!(
                "the columns of {table} differ between the branches: merge them by hand"
            )));
        }
        let key = ours.key_columns();
        let mut draft = Draft::new(ours.clone(), shown.clone());
        if key.is_empty() {
            self.counted(repository, &mut draft, lost).await?;
            return Ok(Ok(draft));
        }
        let [was, is] = parts(base, theirs, &key).await?;
        let [was_there, is_here] = parts(base, ours, &key).await?;
        let of_both = match lost {
            Some(lost) => lost.bases(repository, base).await?,
            None => Bases::new(),
        };
        let (mut goes, mut comes, mut stays, mut conflicts) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (id, bases) in &of_both {
            let (there, here) = (held(id, &is, &was, &was_there), held(id, &is_here, &was_there, &was));
            let [of_there, of_here] = [there, here].map(|held| held.map(|(_, row)| &row.content));
            let is_base =
                |row: Option<&OwnedRow>| !bases.is_empty() && bases.iter().all(|base| row == base.as_ref());
            if of_there == of_here || is_base(of_there) {
                continue;
            }
            if is_base(of_here) {
                goes.extend(here.map(|_| id.clone()));
                match is.rows.get(id) {
                    Some(row) => comes.push(row),
                    None => stays.extend(there.map(|(_, row)| row)),
                }
                continue;
            }
            let held = there.or(here);
            let (part, row) = held.ok_or_else(|| crate::Error::internal("a row that differs is nowhere"))?;
            conflicts.push(part.text_of(row, &key)?);
        }
        for (id, before) in was.rows.iter().filter(|(id, _)| !of_both.contains_key(*id)) {
            let now = is.rows.get(id);
            if now.is_some_and(|now| now.content == before.content) {
                continue;
            }
            // What the target has of it: as it was, unless it has changed it as well.
            let touched = was_there
                .rows
                .get(id)
                .is_some_and(|there| is_here.rows.get(id).is_none_or(|here| here.content != there.content));
            let here = is_here.rows.get(id);
            let same = here.map(|here| &here.content) == now.map(|now| &now.content);
            match (touched, same) {
                (true, true) => {}
                (true, false) => conflicts.push(was.text_of(before, &key)?),
                (false, _) => {
                    goes.push(id.clone());
                    comes.extend(now);
                }
            }
        }
        let is_new = |id: &OwnedRow| !was.rows.contains_key(id) && !of_both.contains_key(id);
        for (id, new) in is.rows.iter().filter(|(id, _)| is_new(id)) {
            let here = is_here.rows.get(id).filter(|_| !was_there.rows.contains_key(id));
            match here {
                None => comes.push(new),
                Some(here) if here.content == new.content => {}
                Some(_) => conflicts.push(is.text_of(new, &key)?),
            }
        }
        if !conflicts.is_empty() {
            conflicts.sort();
            return Ok(Err(conflicts));
        }
        let mut rows = is.taken(&comes)?;
        rows.extend(was_there.taken(&stays)?);
        draft.replace_keys(goes, rows).await?;
        Ok(Ok(draft))
    }

    /// Rows that cannot be told apart are counted: what the source has more of comes, what it has less of goes, unless the target has
    /// taken as many of these away by itself.
    ///
    /// Equal rows that came to both sides are of both, unless they came from the same branch, which is gone: then the base had them.
    async fn counted(&self, repository: &Repository, draft: &mut Draft, lost: Option<&Lost>) -> Result<()> {
        // A row that stayed comes as well, if the lost base had not got it.
        let fragments = match lost {
            Some(_) => [&self.base, &self.theirs].map(|side| side.fragment_files().into_keys().collect()),
            None => differing(&self.base, &self.theirs),
        };
        let mut theirs = counts_in(&self.base, &self.theirs, fragments).await?;
        let mut ours = counts(&self.base, &self.ours).await?;
        if let Some(lost) = lost {
            let mut unknown = 0;
            for (row, had) in lost.counts(repository, &self.base).await? {
                let [there, here] =
                    [&mut theirs, &mut ours].map(|side| &mut side.rows.entry(row.clone()).or_default().0);
                let had = had.or((there == here).then_some(*here));
                unknown += usize::from(had.is_none());
                let had = had.unwrap_or_default();
                (*there, *here) = (*there - had, *here - had);
            }
            if unknown > 0 {
                return Err(Error::invalid(format!(
                    "{} has no key, and {unknown} of its rows came to both branches from one that is deleted since (its commit {}) in \
                     different ways: whether they are the same rows cannot be told; make both branches hold as many of each, and merge \
                     again",
                    self.ours.key, lost.commit
                )));
            }
        }
        let gone_here = |row: &OwnedRow| ours.rows.get(row).map_or(0, |(count, _)| (-count).max(0));
        let mut goes: HashMap<OwnedRow, i64> = HashMap::new();
        let mut comes = Vec::new();
        for (row, (count, place)) in theirs.rows.drain() {
            if count > 0 {
                let place = place.ok_or_else(|| crate::Error::internal("a row that comes is nowhere"))?;
                comes.extend(std::iter::repeat_n(place, count as usize));
            }
            let left = -count - gone_here(&row);
            if left > 0 {
                goes.insert(row, left);
            }
        }
        if !goes.is_empty() {
            let whole = whole_rows(&self.ours)?;
            for Selected { rows, addresses } in self.ours.select(None).await? {
                for (row, address) in converted(&whole, &rows)?.into_iter().zip(addresses) {
                    if let Some(left) = goes.get_mut(&row).filter(|left| **left > 0) {
                        *left -= 1;
                        draft.take_away(address);
                    }
                }
            }
        }
        let mut rows = Vec::new();
        for (batch, index) in comes {
            rows.push(theirs.batches[batch].slice(index, 1));
        }
        draft.add(rows)
    }
}

/// How many more of each row one version has than another, with a place of one that it has.
struct Counts {
    batches: Vec<RecordBatch>,
    rows: HashMap<OwnedRow, (i64, Option<(usize, usize)>)>,
}

async fn counts(base: &Table, now: &Table) -> Result<Counts> {
    counts_in(base, now, differing(base, now)).await
}

/// The same, of these fragments of both.
async fn counts_in(base: &Table, now: &Table, [of_base, of_now]: [Vec<u64>; 2]) -> Result<Counts> {
    let whole = whole_rows(base)?;
    let mut rows: HashMap<OwnedRow, (i64, Option<(usize, usize)>)> = HashMap::new();
    for found in base.select_fragments(&of_base).await? {
        for row in converted(&whole, &found.rows)? {
            rows.entry(row).or_default().0 -= 1;
        }
    }
    let mut batches = Vec::new();
    for (batch, found) in now.select_fragments(&of_now).await?.into_iter().enumerate() {
        for (index, row) in converted(&whole, &found.rows)?.into_iter().enumerate() {
            let (count, place) = rows.entry(row).or_default();
            (*count, *place) = (*count + 1, Some((batch, index)));
        }
        batches.push(found.rows);
    }
    Ok(Counts { batches, rows })
}

/// Compares whole rows.
fn whole_rows(table: &Table) -> Result<RowConverter> {
    let schema = table.schema();
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    RowConverter::new(fields.collect())
        .map_err(|error| Error::invalid(format!("rows of {} cannot be compared: {error}", table.key)))
}

fn converted(whole: &RowConverter, rows: &RecordBatch) -> Result<Vec<OwnedRow>> {
    let contents = whole.convert_columns(rows.columns());
    let contents = contents.map_err(|error| Error::invalid(format!("rows cannot be compared: {error}")))?;
    Ok(contents.iter().map(|row| row.owned()).collect())
}

/// Fragments that one version has and another has not, of each of both: rows in the others are the same.
fn differing(one: &Table, other: &Table) -> [Vec<u64>; 2] {
    let (of_one, of_other) = (one.fragment_files(), other.fragment_files());
    let missing = |from: &BTreeMap<u64, String>, of: &BTreeMap<u64, String>| {
        from.iter()
            .filter(|(_, files)| !of.values().any(|known| known == *files))
            .map(|(id, _)| *id)
            .collect()
    };
    [missing(&of_one, &of_other), missing(&of_other, &of_one)]
}

/// Rows that are not the same in two versions, by their keys: what each holds, `None` where it has none.
pub(super) type Changed = HashMap<OwnedRow, [Option<OwnedRow>; 2]>;

/// Those of a table with a key.
pub(super) async fn changed_rows(one: &Table, other: &Table) -> Result<Changed> {
    let [was, is] = parts(one, other, &other.key_columns()).await?;
    let ids = was.rows.keys().chain(is.rows.keys());
    let content = |part: &Part, id: &OwnedRow| part.rows.get(id).map(|row| row.content.clone());
    let pair = |id: &OwnedRow| (id.clone(), [content(&was, id), content(&is, id)]);
    Ok(ids.map(pair).filter(|(_, [was, is])| was != is).collect())
}

/// How many more of each row the other version has.
pub(super) async fn changed_counts(one: &Table, other: &Table) -> Result<HashMap<OwnedRow, i64>> {
    let rows = counts(one, other).await?.rows.into_iter();
    Ok(rows.map(|(row, (count, _))| (row, count)).filter(|(_, count)| *count != 0).collect())
}

/// What a side holds of a row. If its own part does not tell, it is as in the base, of which the other side's part tells then.
fn held<'p>(id: &OwnedRow, is: &'p Part, was: &Part, base: &'p Part) -> Option<(&'p Part, &'p Row)> {
    let unchanged = || base.rows.get(id).filter(|_| !was.rows.contains_key(id)).map(|row| (base, row));
    is.rows.get(id).map(|row| (is, row)).or_else(unchanged)
}

/// The rows of two versions that may differ.
async fn parts(one: &Table, other: &Table, key: &[String]) -> Result<[Part; 2]> {
    let [of_one, of_other] = differing(one, other);
    Ok([part(one, &of_one, key).await?, part(other, &of_other, key).await?])
}

async fn part(table: &Table, fragments: &[u64], key: &[String]) -> Result<Part> {
    let batches = table.select_fragments(fragments).await?;
    let schema = table.schema();
    let keyed = Keyed::by(&schema, key)?;
    let whole = whole_rows(table)?;
    let mut rows = HashMap::new();
    for (batch, found) in batches.iter().enumerate() {
        let contents = converted(&whole, &found.rows)?;
        for (index, (id, content)) in keyed.of(&found.rows)?.into_iter().zip(contents).enumerate() {
            let row = Row { content, batch, index };
            if rows.insert(id, row).is_some() {
                let known = key_text(&found.rows, index, key)?.join("/");
                return Err(Error::invalid(format!(
                    "{} has more than one row with the key {known}, so it cannot be merged: delete them, and append one",
                    table.key
                )));
            }
        }
    }
    Ok(Part { batches, rows })
}

impl Part {
    /// The key of a row as text.
    fn text_of(&self, row: &Row, key: &[String]) -> Result<Vec<String>> {
        key_text(&self.batches[row.batch].rows, row.index, key)
    }

    /// These rows of it, as batches.
    fn taken(&self, wanted: &[&Row]) -> Result<Vec<RecordBatch>> {
        let mut masks: Vec<Vec<bool>> =
            self.batches.iter().map(|found| vec![false; found.rows.num_rows()]).collect();
        wanted.iter().for_each(|row| masks[row.batch][row.index] = true);
        let kept = self.batches.iter().zip(masks);
        let mut taken = Vec::new();
        for (found, mask) in kept.filter(|(_, mask)| mask.contains(&true)) {
            taken.push(kept_rows(&found.rows, &BooleanArray::from(mask))?);
        }
        Ok(taken)
    }
}
