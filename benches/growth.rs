//! Looks at a graph with a short and with a long history: a look costs what changed, not the history.
//!
//! Writers compact the manifest now and then; here every [`MAINTAINED`] publishes, and as many lie above the last compaction
//! in both cases. Then the versions before are removed, too: in memory as on disk a listing reads all names there are, where
//! S3 gives a page. A graph that nobody ever maintains is measured beside: each version of its manifest names every fragment,
//! and all versions are there.
//!
//! The graphs lie in memory: no store's latency hides what the work itself takes.

use crate::harness::Hands;
use crate::report::{Report, Row, median};
use crate::support::graph::line::compact;
use crate::support::graph::{Graph, MAIN, MANIFEST, PERSON, next_ulid};
use lance::dataset::cleanup::{CleanupPolicyBuilder, cleanup_old_versions};
use outrigger::model::manifest::{Change, CommitIntent, Publish};
use outrigger::model::{Branch, TableKey};
use outrigger::passes::recovery::act::Handles;
use outrigger::repo::{Dialect, Published, Repository};
use outrigger::runtime::watch::Watch;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const FEW: usize = 100;
const MANY: usize = 10_000;
const NEVER_MAINTAINED: usize = 2_000;
/// Publishes between two times of maintenance.
const MAINTAINED: usize = 100;
const LOOKS: usize = 200;
const MOST_GROWTH: f64 = 1.2;

/// What a graph of one age costs.
struct Costs {
    idle: Duration,
    published: Duration,
    start: Duration,
    publish: Duration,
    requests: (u64, u64),
}

pub async fn measure(report: &mut Report) {
    for dialect in [Dialect::GraphV4, Dialect::GraphV3] {
        let name = dialect.as_str();
        let few = costs(dialect, FEW, true).await;
        few.tell(report, &format!("{name}, {FEW} publishes"));
        let many = costs(dialect, MANY, true).await;
        many.tell(report, &format!("{name}, {MANY} publishes"));
        let growth = |what: &str, few: Duration, many: Duration| {
            let what = format!("{name}: {what}, after {MANY} publishes against after {FEW}");
            Row::new(what, many.as_secs_f64() / few.as_secs_f64(), "×").at_most(MOST_GROWTH)
        };
        report.tell(growth("idle look", few.idle, many.idle));
        report.tell(growth("look that finds one publish", few.published, many.published));
        let never = costs(dialect, NEVER_MAINTAINED, false).await;
        never.tell(report, &format!("{name}, {NEVER_MAINTAINED} publishes, never maintained"));
    }
}

impl Costs {
    fn tell(&self, report: &mut Report, of: &str) {
        report.tell(Row::requests(format!("{of}: idle look"), self.requests.0 as usize).at_most(2.0));
        report.tell(Row::requests(format!("{of}: look that finds one publish"), self.requests.1 as usize));
        report.tell(Row::time(format!("{of}: time of an idle look"), self.idle));
        report.tell(Row::time(format!("{of}: time of a look that finds one publish"), self.published));
        report.tell(Row::time(format!("{of}: cold start"), self.start));
        report.tell(Row::time(format!("{of}: our publish"), self.publish));
    }
}

async fn costs(dialect: Dialect, publishes: usize, maintained: bool) -> Costs {
    let graph = Graph::in_memory(dialect).await;
    let writer = graph.recoverer().open().await.expect("a graph");
    for n in 1..=publishes {
        publish(&writer).await;
        if maintained && n % MAINTAINED == 0 && n < publishes {
            maintain(&graph).await;
        }
    }
    let keeper = graph.recoverer().open().await.expect("a graph");
    let mut watch = Watch::default();
    watch.look(&keeper).await.expect("a look");
    let mut idle = Vec::new();
    let before = keeper.store().requests().total();
    for _ in 0..LOOKS {
        let began = Instant::now();
        let news = watch.look(&keeper).await.expect("a look");
        idle.push(began.elapsed());
        assert!(!news.published);
    }
    let idle_requests = keeper.store().requests().total() - before;
    let (mut published, mut publishing) = (Vec::new(), Vec::new());
    let before = keeper.store().requests().total();
    for _ in 0..LOOKS / 4 {
        let began = Instant::now();
        publish(&writer).await;
        publishing.push(began.elapsed());
        let began = Instant::now();
        let news = watch.look(&keeper).await.expect("a look");
        published.push(began.elapsed());
        assert!(news.published);
    }
    let publish_requests = keeper.store().requests().total() - before;
    let mut start = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let fresh = graph.recoverer().open().await.expect("a graph");
        start.push(began.elapsed());
        drop(fresh);
    }
    Costs {
        idle: median(idle),
        published: median(published),
        start: median(start),
        publish: median(publishing),
        requests: (idle_requests / LOOKS as u64, publish_requests / (LOOKS / 4) as u64),
    }
}

/// Compacts the manifest and keeps only its last versions.
async fn maintain(graph: &Graph) {
    let mut manifest = graph.open(MANIFEST, MAIN).await;
    compact(&mut manifest).await;
    let policy = CleanupPolicyBuilder::default().retain_n_versions(&manifest, 2).await.expect("versions");
    cleanup_old_versions(&manifest, policy.build()).await.expect("a cleanup");
}

/// One more version of one table, as a writer that knows the newest manifest publishes it.
async fn publish(repo: &Repository) {
    let main = repo.snapshot(&Branch::main()).await.expect("a snapshot").expect("main");
    let table = TableKey::parse(PERSON).expect("a key");
    let mut entry = main.state.entry(&table).expect("it is shown").clone();
    let expected = BTreeMap::from([(table.clone(), entry.version)]);
    entry.version = entry.version.next();
    let commit = CommitIntent { id: next_ulid(), actor: None, merged_parent: None, created_at: Hands.now() };
    let changes = vec![Change::Show { table, entry }];
    let publish = Publish { expected, changes, commits: vec![commit], ..Publish::default() };
    let ended = repo.publish(&main, &publish, "bench").await.expect("a publish");
    assert!(matches!(ended, Published::Committed(_)), "{ended:?}");
}
