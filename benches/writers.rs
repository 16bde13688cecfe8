//! Commits of the writer library: what one asks of the store, how many writers get on beside each other, and what waiting in line costs.

use crate::report::{Report, Row};
use crate::support::faults::{Breaks, Latency};
use crate::support::repos::faulty;
use crate::world::{MAIN, World, accounts, tables};
use outrigger::model::Branch;
use outrigger::model::TableKey;
use outrigger::store::StoreParts;
use outrigger::writer::{Limits, Manager, NewTable, Repository};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LATENCY: Duration = Duration::from_millis(20);
const WRITERS: usize = 8;
const TIME: Duration = Duration::from_secs(20);
const TABLES: [&str; WRITERS] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];

pub async fn measure(report: &mut Report) {
    let requests = requests_of_three_tables().await;
    report.tell(Row::requests("a commit of 3 tables on S3".to_owned(), requests));

    let far = far_away().await;
    let alone = commits(&far, &TABLES[..1]).await;
    let side_by_side = commits(&far, &TABLES).await;
    let (one, eight): (usize, usize) = (alone.iter().sum(), side_by_side.iter().sum());
    let per_second = |commits: usize| commits as f64 / TIME.as_secs_f64();
    let at = format!("at {LATENCY:?} per request");
    report.tell(Row::new(format!("one writer {at}"), per_second(one), "commits/s"));
    report.tell(Row::new(format!("8 writers on 8 tables {at}"), per_second(eight), "commits/s"));
    report.tell(Row::new("– against one", eight as f64 / one as f64, "×").at_least(3.0));

    let crowded = commits(&far, &[TABLES[0]; WRITERS]).await;
    let (most, least) =
        (crowded.iter().max().copied().unwrap_or(0), crowded.iter().min().copied().unwrap_or(0));
    report.tell(Row::new(
        format!("8 writers on one table {at}"),
        per_second(crowded.iter().sum()),
        "commits/s",
    ));
    report.tell(
        Row::new("– most against least commits of one of them", most as f64 / least as f64, "×").at_most(3.0),
    );

    let line = standing_in_line().await;
    let whole = TIME.as_secs_f64() / one as f64;
    report.tell(Row::new("admission and queue, for each commit of 3 tables", line.as_secs_f64() * 1e6, "µs"));
    report.tell(Row::new("– of a commit", 100.0 * line.as_secs_f64() / whole, "%").at_most(1.0));
}

async fn with_tables(world: &World) {
    let bank = world.open().await;
    for name in TABLES {
        let [table, _] = tables();
        bank.create_table(&NewTable { name: name.into(), ..table }).await.expect("a new table");
    }
}

async fn requests_of_three_tables() -> usize {
    let world = World::on_s3().await;
    with_tables(&world).await;
    let watch = Arc::new(Breaks::watching());
    let bank = world.open_under(watch.clone()).await.expect("a repository");
    let mut before = 0;
    // The first one finds out what the handle then knows.
    for id in ["a", "b"] {
        before = watch.seen().len();
        let mut tx = bank.begin(MAIN).await.expect("a branch");
        for name in &TABLES[..3] {
            tx.append(name, accounts(&[(id, 1)])).await.expect("rows that fit");
        }
        tx.commit().await.expect("nobody else is there");
    }
    watch.seen().len() - before
}

/// A repository in memory, behind a store that takes its time.
async fn far_away() -> Repository {
    let world = World::in_memory().await;
    with_tables(&world).await;
    let far = faulty(Arc::new(Latency(LATENCY)));
    let parts = world.parts(StoreParts { host: StoreParts::real().host, ..far }).await;
    Repository::open_with(parts, false).await.expect("a repository")
}

/// How many commits each of these writers comes to, each on its table.
async fn commits(bank: &Repository, of: &[&'static str]) -> Vec<usize> {
    let serial = AtomicUsize::new(0);
    let began = Instant::now();
    let writer = async |table: &str| {
        let mut done = 0;
        while began.elapsed() < TIME {
            let id = format!("{}-{}", table, serial.fetch_add(1, Ordering::Relaxed));
            let mut tx = bank.begin(MAIN).await.expect("a branch");
            tx.append(table, accounts(&[(&id, 1)])).await.expect("rows that fit");
            tx.by("bench").commit().await.expect("appends do not conflict");
            done += 1;
        }
        done
    };
    futures::future::join_all(of.iter().map(|table| writer(table))).await
}

/// Being admitted and given turns on three tables, with nobody else there.
async fn standing_in_line() -> Duration {
    const TIMES: u32 = 100_000;
    let (manager, limits) = (Manager::of("/nowhere"), Limits::default());
    let tables: BTreeSet<TableKey> =
        TABLES[..3].iter().map(|name| TableKey::parse(name).expect("a name")).collect();
    let began = Instant::now();
    for _ in 0..TIMES {
        let room = manager.admission().commit(&limits, "bench", 1, 0).expect("room");
        let turns = manager.turns(&tables, &Branch::main()).await;
        drop((turns, room));
    }
    began.elapsed() / TIMES
}
