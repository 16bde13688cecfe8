//! Writers that are processes of their own: many at once, and killed at every step.

use crate::support::process::alone;
use crate::support::repos::{faulty, s3_settings};
use crate::world::{JOURNAL, MAIN, TOTAL, World, accounts, balances, journal, transfer};
use async_trait::async_trait;
use outrigger::config::{LogFormat, LogLevel, LogSettings};
use outrigger::passes::report::Outcome;
use outrigger::repo::history::RECOVERY_ACTOR;
use outrigger::store::{Call, Fault, RepoUri, Store, StoreParts, StoreSettings, Verb};
use outrigger::writer::{At, Error, Limits, NewTable, Parts, Repository, Snapshot};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a child is told.
const TASK: &str = "OUTRIGGER_TEST_TASK";
const REPO: &str = "OUTRIGGER_TEST_REPO";
/// What a child says once it stands at the call that it was told to stop at.
const HELD: &str = "held";

/// A process that does a task on this bank.
fn child(world: &World, task: &str) -> Child {
    command(world, task).stdout(Stdio::piped()).spawn().unwrap()
}

fn command(world: &World, task: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = alone(program.to_str().unwrap());
    command
        .args(["--exact", "processes::child_process", "--ignored", "--nocapture"])
        .env(TASK, task)
        .env(REPO, world.place.uri.to_string())
        .env("ENDPOINT", world.place.settings.endpoint.clone().unwrap_or_default());
    command
}

/// Not a test: what the children of the others run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the others start it"]
async fn child_process() {
    let log = LogSettings { level: LogLevel::Warn, libraries: LogLevel::Error, format: LogFormat::Text };
    outrigger::telemetry::logging::init(&log).unwrap();
    let task = std::env::var(TASK).expect("started by a test of this file");
    match task.split_once(' ') {
        Some(("stop-before", call)) => pay_and_stop(call).await,
        Some(("pay-for", seconds)) => pay_for(Duration::from_secs(seconds.parse().unwrap())).await,
        Some(("reach", "limits")) => reach_limits().await,
        _ => panic!("{task}"),
    }
}

async fn opened(parts: StoreParts) -> Repository {
    let uri = RepoUri::parse(&std::env::var(REPO).unwrap()).unwrap();
    let settings = match std::env::var("ENDPOINT").unwrap() {
        none if none.is_empty() => StoreSettings::default(),
        endpoint => StoreSettings { endpoint: Some(endpoint), ..s3_settings() },
    };
    let host = parts.host.clone();
    let store = Store::open(&uri, &settings, parts).await.unwrap();
    // Ids of several processes must differ: tests' own count from one.
    let ids = Arc::new(|| ulid::Ulid::generate().to_string());
    Repository::open_with(Parts { store, host, ids, limits: Limits::default() }, false).await.unwrap()
}

/// Stops the process at a call, until it is killed.
#[derive(Debug)]
struct Stops {
    verb: Verb,
    part: String,
}

#[async_trait]
impl Fault for Stops {
    async fn before(&self, call: &Call) -> object_store::Result<()> {
        if call.verb == self.verb && call.path.as_ref().contains(&self.part) {
            println!("{HELD}");
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

async fn pay_and_stop(call: &str) {
    let (verb, part) = match call.split_once(' ').unwrap() {
        ("create", part) => (Verb::Create, part),
        ("put", part) => (Verb::Put, part),
        ("delete", part) => (Verb::Delete, part),
        other => panic!("{other:?}"),
    };
    let bank = opened(faulty(Arc::new(Stops { verb, part: part.to_owned() }))).await;
    let mut tx = bank.begin(MAIN).await.unwrap();
    transfer(&mut tx, "ann", "bob", 1).await;
    tx.commit().await.unwrap();
}

/// Says which limit two commits at once of one actor meet.
async fn reach_limits() {
    let bank = Repository::open(&std::env::var(REPO).unwrap()).await.unwrap();
    let noted = async || {
        let mut tx = bank.begin(MAIN).await.unwrap().by("ann");
        tx.append(JOURNAL, journal(&[("a", "b", 1)])).await.unwrap();
        tx
    };
    let (mut one, mut other) = (noted().await, noted().await);
    let (first, second) = futures::join!(one.commit(), other.commit());
    first.unwrap().unwrap();
    match second {
        Err(Error::Rejected { limit, .. }) => println!("{LIMIT}{limit:?}"),
        ended => println!("{LIMIT}none: {:?}", ended.map(|committed| committed.is_some())),
    }
}

/// What a child says before the limit that it has met.
const LIMIT: &str = "limit: ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_come_from_the_environment() {
    let world = World::on_disk().await;
    for (variables, limit) in [
        (vec![], "none: Ok(true)"),
        (vec![("OUTRIGGER_WRITER_IN_FLIGHT", "1")], "InFlight(1)"),
        (vec![("OUTRIGGER_WRITER_BYTES", "1")], "Bytes(1)"),
    ] {
        let ended = command(&world, "reach limits").envs(variables).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{said}");
        assert!(said.contains(&format!("{LIMIT}{limit}")), "{said}");
    }
    let wrong = command(&world, "reach limits").env("OUTRIGGER_REWRITES", "none").output().unwrap();
    assert!(!wrong.status.success());
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("OUTRIGGER_REWRITES takes a whole number above zero"), "{said}");
}

/// Where a commit is stopped, and whether its rows are shown once somebody has looked.
const STOPS: [(&str, bool); 7] = [
    ("put __recovery/beat.", false),
    ("create __recovery/01", false),
    ("create accounts.lance/_versions", false),
    ("create journal.lance/_versions", false),
    ("create __manifest/_versions", true),
    ("delete __recovery/01", true),
    ("delete __recovery/beat.", true),
];

async fn killed_at_every_step(world: World) {
    let mut paid = 0;
    for (step, shown) in STOPS {
        let mut writer = child(&world, &format!("stop-before {step}"));
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.into_iter().any(|line| line.contains(HELD)), "it never came to: {step}");
        writer.kill().unwrap();
        writer.wait().unwrap();

        // What is shown meanwhile is whole.
        assert_eq!(world.total().await, TOTAL, "{step}");
        let has_record = world.records().await.iter().any(|name| name.ends_with(".json"));
        let report = world.recover().await;
        assert_eq!(has_record, !report.scopes.is_empty(), "{step}: {report:#?}");
        assert!(report.scopes.iter().all(|scope| scope.outcome == Outcome::Done), "{step}: {report:#?}");
        world.is_settled().await;
        paid += i64::from(shown);
        assert_eq!(world.balances().await["ann"], 100 - paid, "{step}");
        assert_eq!(world.transfers().await, paid as u64, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_any_step_leaves_all_or_nothing_on_disk() {
    killed_at_every_step(World::on_disk().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_any_step_leaves_all_or_nothing_on_s3() {
    killed_at_every_step(World::on_s3().await).await;
}

/// Tables of accounts between which the processes pay; each has this many accounts, of a hundred each.
const BANKS: [&str; 4] = ["accounts_a", "accounts_b", "accounts_c", "accounts_d"];
const CLIENTS: usize = 4;

async fn pay_for(time: Duration) {
    let bank = opened(StoreParts::real()).await;
    let began = Instant::now();
    let (mut paid, mut conflicts, mut waited) = (0, 0, 0);
    let mut chance = std::process::id() as usize;
    let mut draw = |of: usize| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % of
    };
    while began.elapsed() < time {
        let from = draw(BANKS.len());
        let to = (from + 1 + draw(BANKS.len() - 1)) % BANKS.len();
        let (payer, payee) = (format!("id = 'c{}'", draw(CLIENTS)), format!("id = 'c{}'", draw(CLIENTS)));
        let mut tx = bank.begin(MAIN).await.unwrap();
        tx.update(BANKS[from], &payer, &[("balance", "balance - 1")]).await.unwrap();
        tx.update(BANKS[to], &payee, &[("balance", "balance + 1")]).await.unwrap();
        if draw(2) == 0 {
            tx.append(JOURNAL, journal(&[("x", "y", 1)])).await.unwrap();
        }
        match tx.commit().await {
            Ok(committed) => paid += usize::from(committed.is_some()),
            Err(Error::Conflict { .. }) => conflicts += 1,
            Err(Error::Other(error)) if error.kind() == outrigger::Kind::Moved => waited += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    println!("paid {paid}, {conflicts} conflicts, gave up {waited} times");
}

async fn total_of(snapshot: &Snapshot, name: &str) -> i64 {
    balances(&snapshot.rows(name, None).await.unwrap()).values().sum()
}

async fn total_of_banks(bank: &Repository) -> i64 {
    let snapshot = bank.snapshot(MAIN).await.unwrap();
    let mut total = 0;
    for name in BANKS {
        total += total_of(&snapshot, name).await;
    }
    total
}

/// The total at each of some versions of main, every table read once at each of its own.
async fn totals_at(bank: &Repository, versions: RangeInclusive<u64>) -> Vec<i64> {
    let (mut totals, mut known) = (Vec::new(), HashMap::new());
    for version in versions {
        let snapshot = bank.snapshot(At::Version { branch: MAIN.into(), version }).await.unwrap();
        let mut total = 0;
        for name in BANKS {
            let of_table = (name, snapshot.version_of(name).unwrap());
            total += match known.entry(of_table) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(total_of(&snapshot, name).await),
            };
        }
        totals.push(total);
    }
    totals
}

async fn eight_processes(world: World, seconds: u64) {
    let bank = world.open().await;
    let clients: Vec<String> = (0..CLIENTS).map(|client| format!("c{client}")).collect();
    let rows: Vec<(&str, i64)> = clients.iter().map(|client| (client.as_str(), 100)).collect();
    for name in BANKS {
        let [spec, _] = crate::world::tables();
        bank.create_table(&NewTable { name: name.into(), ..spec }).await.unwrap();
        let mut tx = bank.begin(MAIN).await.unwrap();
        tx.append(name, accounts(&rows)).await.unwrap();
        tx.commit().await.unwrap();
    }
    let total = total_of_banks(&bank).await;
    let first = bank.snapshot(MAIN).await.unwrap().version();
    let children: Vec<Child> = (0..8).map(|_| child(&world, &format!("pay-for {seconds}"))).collect();
    let (began, mut looks) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        assert_eq!(total_of_banks(&bank).await, total, "at look {looks}");
        looks += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut paid = Vec::new();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{said}");
        let line = said.lines().find_map(|line| line.split_once("paid ")).expect(&said);
        paid.push(line.1.split_once(',').unwrap().0.parse::<u64>().unwrap());
        println!("{}", line.1);
    }
    assert!(paid.iter().all(|paid| *paid > 0), "nobody is left out: {paid:?}");
    let paid: u64 = paid.iter().sum();
    assert!(looks > 5);
    let last = bank.snapshot(MAIN).await.unwrap().version();
    let middle = first + (last - first) / 2;
    let halves = [first..=middle, middle + 1..=last].map(|half| {
        let bank = bank.clone();
        tokio::spawn(async move { totals_at(&bank, half).await })
    });
    for half in halves {
        let totals = half.await.unwrap();
        assert!(totals.iter().all(|found| *found == total), "{totals:?}");
    }
    assert!(last - first >= paid, "each commit is a version");
    let commits = bank.commits(MAIN).await.unwrap();
    // Those that lost a race half-way have undone it, and say so.
    let of_writers = commits.iter().filter(|commit| commit.actor.as_deref() != Some(RECOVERY_ACTOR)).count();
    let made_here = 2 + 2 * BANKS.len() as u64;
    println!("{paid} paid, {} undone half-way", commits.len() - of_writers);
    assert_eq!(of_writers as u64, paid + made_here, "one commit for each that was acknowledged");
    world.is_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_on_the_same_tables_lose_nothing_on_disk() {
    eight_processes(World::on_disk().await, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_on_the_same_tables_lose_nothing_on_s3() {
    eight_processes(World::on_s3().await, 60).await;
}
