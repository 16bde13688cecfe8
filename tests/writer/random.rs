//! Random work on two branches that are merged to and fro, beside a model that holds its rows in maps.

use crate::world::{ACCOUNTS, JOURNAL, MAIN, World, accounts, balances, journal};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use outrigger::writer::{Error, MergeOutcome, Repository, Transaction};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

const TRIAL: &str = "trial";
const SEEDS: u64 = 3;
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

/// How many merges were made, and how many were refused.
async fn random_work(seed: u64, steps: usize) -> (usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::in_memory().await;
    let bank = world.open().await;
    bank.create_branch(TRIAL, MAIN).await.unwrap();
    let mut base = shown(&bank, MAIN).await;
    let mut models = BTreeMap::from([(MAIN, base.clone()), (TRIAL, base.clone())]);
    let (mut merges, mut refused, mut done) = (0, 0, Vec::new());
    for step in 0..steps {
        let (branch, other) = if random.random_bool(0.5) { (MAIN, TRIAL) } else { (TRIAL, MAIN) };
        if random.random_bool(0.2) {
            let expected = merged(&base, &models[branch], &models[other]);
            done.push(format!("{step} merge {branch} into {other}"));
            match (bank.merge(branch, other, None).await, expected) {
                (Ok(outcome), Ok(expected)) => {
                    merges += usize::from(outcome != MergeOutcome::AlreadyUpToDate);
                    base = models[branch].clone();
                    models.insert(other, expected);
                }
                (Err(Error::MergeConflicts(conflicts)), Err(keys)) => {
                    assert_eq!(conflicts[0].keys, keys, "seed {seed}: {done:#?}");
                    refused += 1;
                    // They are put in order by taking what the other has.
                    let theirs = models[branch].accounts.clone();
                    let mut tx = bank.begin(other).await.unwrap();
                    let rows: Vec<_> = theirs.iter().map(|(id, balance)| (id.as_str(), *balance)).collect();
                    tx.overwrite(ACCOUNTS, accounts(&rows)).await.unwrap();
                    tx.commit().await.unwrap();
                    models.get_mut(other).unwrap().accounts = theirs;
                }
                (ended, expected) => panic!("seed {seed}: {ended:?}, not {expected:?}: {done:#?}"),
            }
        } else {
            let mut tx = bank.begin(branch).await.unwrap();
            let mut model = models[branch].clone();
            for _ in 0..random.random_range(1..6) {
                let what = operate(&mut random, &mut tx, &mut model).await;
                done.push(format!("{step} {branch}: {what}"));
                if random.random_bool(0.3) {
                    assert_eq!(staged(&mut tx).await, model, "seed {seed}: {done:#?}");
                }
            }
            if random.random_bool(0.9) {
                tx.commit().await.unwrap_or_else(|error| panic!("seed {seed}: {error}: {done:#?}"));
                models.insert(branch, model);
            } else {
                done.push(format!("{step} forgotten"));
            }
        }
        for branch in [MAIN, TRIAL] {
            assert_eq!(shown(&bank, branch).await, models[branch], "seed {seed}, {branch}: {done:#?}");
        }
    }
    world.is_settled().await;
    (merges, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_work_on_two_branches_is_what_a_model_says() {
    let (mut merges, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let (merged, conflicts) = random_work(seed, 60).await;
        (merges, refused) = (merges + merged, refused + conflicts);
    }
    assert!(merges > SEEDS as usize && refused > SEEDS as usize, "{merges} merges, {refused} refused");
}
