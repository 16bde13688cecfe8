//! Random work on branches that are merged to and fro, beside a model that holds their rows in maps and forgets nothing.

use crate::world::{ACCOUNTS, JOURNAL, MAIN, World, accounts, balances, journal};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use outrigger::writer::{Error, MergeOutcome, Repository, Transaction};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const TRIAL: &str = "trial";
/// A branch that comes and goes.
const SHORT: &str = "short";
/// Some in which branches that both have merged are deleted.
const SEEDS: Range<u64> = 40..48;
const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What a branch shows: accounts by their key, and how often each amount is in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shown {
    accounts: BTreeMap<String, i64>,
    journal: BTreeMap<i64, i64>,
}

fn amounts(rows: &RecordBatch) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    for amount in rows.column(2).as_primitive::<Int64Type>().values() {
        *counts.entry(*amount).or_default() += 1;
    }
    counts
}

async fn shown(bank: &Repository, branch: &str) -> Shown {
    let snapshot = bank.snapshot(branch).await.unwrap();
    let (accounts, journal) =
        (snapshot.rows(ACCOUNTS, None).await.unwrap(), snapshot.rows(JOURNAL, None).await.unwrap());
    assert_eq!(snapshot.count(ACCOUNTS).unwrap(), accounts.num_rows() as u64);
    Shown { accounts: balances(&accounts), journal: amounts(&journal) }
}

async fn staged(tx: &mut Transaction) -> Shown {
    let (accounts, journal) = (tx.rows(ACCOUNTS, None).await.unwrap(), tx.rows(JOURNAL, None).await.unwrap());
    Shown { accounts: balances(&accounts), journal: amounts(&journal) }
}

/// One operation on both.
async fn operate(random: &mut StdRng, tx: &mut Transaction, model: &mut Shown) -> String {
    let id = (*IDS.choose(random).unwrap()).to_owned();
    let n = random.random_range(0..4_i64);
    match random.random_range(0..9) {
        0 | 1 => {
            let other = IDS.choose(random).unwrap();
            let mut rows = BTreeMap::from([(id.as_str(), n), (other, n + 10)]);
            rows.retain(|_, balance| *balance != 11);
            let batch: Vec<_> = rows.iter().map(|(id, balance)| (*id, *balance)).collect();
            tx.upsert(ACCOUNTS, accounts(&batch)).await.unwrap();
            model.accounts.extend(rows.iter().map(|(id, balance)| ((*id).to_owned(), *balance)));
            format!("upsert {rows:?}")
        }
        2 => {
            let updated = tx.update(ACCOUNTS, &format!("balance > {n}"), &[("balance", "balance - 1")]).await;
            let mut count = 0;
            for balance in model.accounts.values_mut().filter(|balance| **balance > n) {
                (*balance, count) = (*balance - 1, count + 1);
            }
            assert_eq!(updated.unwrap(), count);
            format!("{count} above {n} get less")
        }
        3 => {
            let deleted = tx.delete(ACCOUNTS, &format!("id = '{id}'")).await.unwrap();
            assert_eq!(deleted, u64::from(model.accounts.remove(&id).is_some()));
            format!("delete {id}")
        }
        4 => {
            let deleted = tx.delete(JOURNAL, &format!("amount = {n}")).await.unwrap();
            assert_eq!(deleted, model.journal.remove(&n).unwrap_or(0) as u64);
            format!("delete all amounts {n}")
        }
        5 if n == 0 => {
            tx.overwrite(ACCOUNTS, accounts(&[(&id, 50)])).await.unwrap();
            model.accounts = BTreeMap::from([(id.clone(), 50)]);
            format!("overwrite by {id}")
        }
        6 => {
            let updated = tx.update(JOURNAL, &format!("amount = {n}"), &[("amount", "amount + 1")]).await;
            let moved = model.journal.remove(&n).unwrap_or(0);
            assert_eq!(updated.unwrap(), moved as u64);
            if moved > 0 {
                *model.journal.entry(n + 1).or_default() += moved;
            }
            format!("amounts {n} get more")
        }
        _ => {
            tx.append(JOURNAL, journal(&[("x", "y", n), ("x", "y", n)])).await.unwrap();
            *model.journal.entry(n).or_default() += 2;
            format!("append {n} twice")
        }
    }
}

/// What a merge makes of the target, or the keys that both have changed.
fn merged(base: &Shown, theirs: &Shown, ours: &Shown) -> Result<Shown, Vec<Vec<String>>> {
    let (mut result, mut conflicts) = (ours.clone(), Vec::new());
    let ids: BTreeSet<&String> =
        [base, theirs, ours].iter().flat_map(|shown| shown.accounts.keys()).collect();
    for id in ids {
        let of = |shown: &Shown| shown.accounts.get(id).copied();
        let (was, theirs, ours) = (of(base), of(theirs), of(ours));
        match theirs {
            theirs if theirs == was || theirs == ours => {}
            _ if ours != was => conflicts.push(vec![id.clone()]),
            Some(balance) => drop(result.accounts.insert(id.clone(), balance)),
            None => drop(result.accounts.remove(id)),
        }
    }
    for amount in 0..10 {
        let of = |shown: &Shown| shown.journal.get(&amount).copied().unwrap_or(0);
        let (was, theirs, now) = (of(base), of(theirs), of(ours));
        // Where both have taken rows away they mean the same ones.
        let goes = (was - theirs - (was - now).max(0)).clamp(0, now);
        let count = now + (theirs - was).max(0) - goes;
        match count {
            0 => drop(result.journal.remove(&amount)),
            count => drop(result.journal.insert(amount, count)),
        }
    }
    if conflicts.is_empty() { Ok(result) } else { Err(conflicts) }
}

/// Every commit that was ever made, with its parents and whether its branch is gone.
struct Model {
    commits: Vec<Known>,
    heads: BTreeMap<&'static str, usize>,
}

struct Known {
    branch: &'static str,
    parents: Vec<usize>,
    shown: Shown,
    gone: bool,
}

impl Model {
    fn shown(&self, branch: &str) -> &Shown {
        &self.commits[self.heads[branch]].shown
    }

    fn commit(&mut self, branch: &'static str, merged: Option<usize>, shown: Shown) {
        let parents = self.heads.get(branch).copied().into_iter().chain(merged).collect();
        self.commits.push(Known { branch, parents, shown, gone: false });
        self.heads.insert(branch, self.commits.len() - 1);
    }

    fn before(&self, commit: usize) -> BTreeSet<usize> {
        let (mut found, mut queue) = (BTreeSet::new(), vec![commit]);
        while let Some(commit) = queue.pop() {
            if found.insert(commit) {
                queue.extend(&self.commits[commit].parents);
            }
        }
        found
    }

    /// The common ancestors of two heads that are before no other.
    fn bases(&self, one: &str, other: &str) -> Vec<usize> {
        let (one, other) = (self.before(self.heads[one]), self.before(self.heads[other]));
        let common: BTreeSet<usize> = one.intersection(&other).copied().collect();
        let is_before = |a: usize, b: usize| a != b && self.before(b).contains(&a);
        common.iter().copied().filter(|a| !common.iter().any(|b| is_before(*a, *b))).collect()
    }
}

/// How often what happened.
#[derive(Debug, Default)]
struct Counts {
    merges: usize,
    conflicts: usize,
    /// Merges whose base was on a branch that is gone.
    lost: usize,
    /// Those of which some keys or rows were refused because of that.
    doubtful: usize,
    /// Refused, for there was more than one base.
    crossed: usize,
}

struct Work {
    random: StdRng,
    bank: Repository,
    model: Model,
    done: Vec<String>,
    counts: Counts,
}

impl Work {
    async fn step(&mut self) {
        let branches: Vec<&'static str> = self.model.heads.keys().copied().collect();
        let branch = *branches.choose(&mut self.random).unwrap();
        match self.random.random_range(0..10) {
            0..2 => {
                let others: Vec<&'static str> =
                    branches.into_iter().filter(|other| *other != branch).collect();
                let target = *others.choose(&mut self.random).unwrap();
                self.merge(branch, target).await;
            }
            2 if branches.contains(&SHORT) => {
                for target in [MAIN, TRIAL] {
                    if self.random.random_bool(0.8) {
                        self.merge(SHORT, target).await;
                    }
                    if self.random.random_bool(0.3) {
                        self.commit(SHORT).await;
                    }
                }
                self.done.push("delete short".into());
                self.bank.delete_branch(SHORT).await.unwrap();
                self.model.heads.remove(SHORT);
                let of_short = self.model.commits.iter_mut().filter(|commit| commit.branch == SHORT);
                of_short.for_each(|commit| commit.gone = true);
            }
            2 => {
                self.done.push(format!("short from {branch}"));
                self.bank.create_branch(SHORT, branch).await.unwrap();
                self.model.heads.insert(SHORT, self.model.heads[branch]);
            }
            _ => self.commit(branch).await,
        }
        for branch in self.model.heads.keys() {
            let done = &self.done;
            assert_eq!(shown(&self.bank, branch).await, *self.model.shown(branch), "{branch}: {done:#?}");
        }
    }

    async fn commit(&mut self, branch: &'static str) {
        let mut tx = self.bank.begin(branch).await.unwrap();
        let mut model = self.model.shown(branch).clone();
        for _ in 0..self.random.random_range(1..6) {
            let what = operate(&mut self.random, &mut tx, &mut model).await;
            self.done.push(format!("{branch}: {what}"));
            if self.random.random_bool(0.3) {
                assert_eq!(staged(&mut tx).await, model, "{:#?}", self.done);
            }
        }
        if self.random.random_bool(0.9) {
            let done = &self.done;
            let committed = tx.commit().await.unwrap_or_else(|error| panic!("{error}: {done:#?}"));
            if committed.is_some() {
                self.model.commit(branch, None, model);
            }
        } else {
            self.done.push("forgotten".into());
        }
    }

    /// Merges; what is a conflict is put in order by taking what the source has, and merged then.
    async fn merge(&mut self, source: &'static str, target: &'static str) {
        if !self.try_merge(source, target).await {
            self.take(source, target).await;
            assert!(self.try_merge(source, target).await, "{:#?}", self.done);
        }
    }

    /// Whether nothing is to be put in order.
    async fn try_merge(&mut self, source: &'static str, target: &'static str) -> bool {
        let (model, counts, done) = (&mut self.model, &mut self.counts, &mut self.done);
        done.push(format!("merge {source} into {target}"));
        let bases = model.bases(source, target);
        let base = &model.commits[bases[0]];
        let is_lost = base.gone;
        let expected = merged(&base.shown, model.shown(source), model.shown(target));
        match (self.bank.merge(source, target, None).await, expected) {
            (Ok(MergeOutcome::AlreadyUpToDate), _) => assert_eq!(bases, [model.heads[source]]),
            (Ok(_), Ok(mut expected)) if bases.len() == 1 => {
                counts.merges += 1;
                if is_lost {
                    counts.lost += 1;
                    // Of rows that both have, and nothing tells whether the base had them, both have the same ones.
                    let now = shown(&self.bank, target).await.journal;
                    let (theirs, ours) = (&model.shown(source).journal, &model.shown(target).journal);
                    for amount in 0..10 {
                        if theirs.get(&amount) == ours.get(&amount) && now.get(&amount) == ours.get(&amount) {
                            expected.journal.remove(&amount);
                            expected.journal.extend(now.get(&amount).map(|count| (amount, *count)));
                        }
                    }
                }
                model.commit(target, Some(model.heads[source]), expected);
            }
            (Err(Error::MergeConflicts(conflicts)), Err(keys)) if bases.len() == 1 && !is_lost => {
                counts.conflicts += 1;
                assert_eq!(conflicts[0].keys, keys, "{done:#?}");
                return false;
            }
            (Err(Error::MergeConflicts(conflicts)), expected) if is_lost => {
                counts.doubtful += 1;
                for key in expected.err().unwrap_or_default() {
                    assert!(conflicts[0].keys.contains(&key), "{key:?}: {done:#?}");
                }
                return false;
            }
            (Err(error), _) if error.to_string().contains("at once") && bases.len() > 1 => {
                counts.crossed += 1
            }
            (Err(error), _) if error.to_string().contains("had commits") && is_lost => counts.crossed += 1,
            (Err(error), _) if error.to_string().contains("has no key") && is_lost => {
                counts.doubtful += 1;
                return false;
            }
            (ended, expected) => panic!("{ended:?}, not {expected:?} from {bases:?}: {done:#?}"),
        }
        true
    }

    async fn take(&mut self, source: &'static str, target: &'static str) {
        let theirs = self.model.shown(source).clone();
        let mut tx = self.bank.begin(target).await.unwrap();
        let rows: Vec<_> = theirs.accounts.iter().map(|(id, balance)| (id.as_str(), *balance)).collect();
        tx.overwrite(ACCOUNTS, accounts(&rows)).await.unwrap();
        let amounts = theirs.journal.iter().flat_map(|(amount, count)| vec![*amount; *count as usize]);
        let rows: Vec<_> = amounts.map(|amount| ("x", "y", amount)).collect();
        tx.overwrite(JOURNAL, journal(&rows)).await.unwrap();
        if tx.commit().await.unwrap().is_some() {
            self.done.push(format!("{target} takes what {source} has"));
            self.model.commit(target, None, theirs);
        }
    }
}

async fn random_work(seed: u64, steps: usize, counts: Counts) -> Counts {
    let world = World::in_memory().await;
    let bank = world.open().await;
    let mut model = Model { commits: Vec::new(), heads: BTreeMap::new() };
    model.commit(MAIN, None, shown(&bank, MAIN).await);
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    model.heads.insert(TRIAL, 0);
    let random = StdRng::seed_from_u64(seed);
    let mut work = Work { random, bank, model, done: vec![format!("seed {seed}")], counts };
    for _ in 0..steps {
        work.step().await;
    }
    world.is_settled().await;
    work.counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_work_on_branches_is_what_a_model_says() {
    let mut all = Counts::default();
    for seed in seeds() {
        all = random_work(seed, 40, all).await;
        println!("up to seed {seed}: {all:?}");
    }
    assert!(all.merges > 10 && all.conflicts > 2 && all.lost > 2, "{all:?}");
}

/// Others by hand: `OUTRIGGER_TEST_SEEDS=43..100`.
fn seeds() -> Range<u64> {
    let given = std::env::var("OUTRIGGER_TEST_SEEDS").ok();
    let range = given.as_deref().and_then(|seeds| seeds.split_once(".."));
    range.map_or(SEEDS, |(first, end)| first.parse().unwrap()..end.parse().unwrap())
}
