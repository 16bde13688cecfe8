//! Looks at a graph with a short and with a long history: a look costs what changed, not the history.
//!
//! *Maintained*: somebody runs the engine's `optimize`, which compacts the manifest, and a cleanup of old versions; here
//! after every [`MAINTAINED`] publishes, and as many lie above the last compaction in both cases. In memory as on disk a listing
//! reads all names there are, where S3 gives a page: that is why the versions go, too.
//!
//! *Never maintained*: each version of the manifest names every fragment that was ever published, so the file that a look must
//! read grows with the history (docs/adr/0010).
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
/// An idle look takes microseconds: so many are timed as one.
const IDLE: u32 = 50;
const MOST_GROWTH: f64 = 1.2;

pub async fn measure(report: &mut Report) {
    for dialect in [Dialect::GraphV4, Dialect::GraphV3] {
        let name = dialect.as_str();
        let mut few = Watched::after(dialect, FEW, true).await;
        let mut many = Watched::after(dialect, MANY, true).await;
        // In turns: whatever else this machine does meanwhile slows both.
        for _ in 0..LOOKS {
            few.look().await;
            many.look().await;
        }
        few.tell(report, &format!("{name}, {FEW} publishes")).await;
        many.tell(report, &format!("{name}, {MANY} publishes")).await;
        let growth = |what: &str, few: &[Duration], many: &[Duration]| {
            let what = format!("{name}: {what}, after {MANY} publishes against after {FEW}");
            let times = median(many).as_secs_f64() / median(few).as_secs_f64();
            Row::new(what, times, "×").at_most(MOST_GROWTH)
        };
        report.tell(growth("idle look", &few.idle, &many.idle));
        report.tell(growth("look that finds one publish", &few.found, &many.found));
        let mut never = Watched::after(dialect, NEVER_MAINTAINED, false).await;
        for _ in 0..LOOKS / 4 {
            never.look().await;
        }
        never.tell(report, &format!("{name}, {NEVER_MAINTAINED} publishes, never maintained")).await;
    }
}

/// A graph of one age, its writer, one who watches it, and what that took.
struct Watched {
    graph: Graph,
    writer: Repository,
    keeper: Repository,
    watch: Watch,
    idle: Vec<Duration>,
    found: Vec<Duration>,
    publish: Vec<Duration>,
    /// Of an idle look, and of one that finds a publish.
    requests: (u64, u64),
}

impl Watched {
    async fn after(dialect: Dialect, publishes: usize, maintained: bool) -> Self {
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
        let (idle, found, publish) = (Vec::new(), Vec::new(), Vec::new());
        Self { graph, writer, keeper, watch, idle, found, publish, requests: (0, 0) }
    }

    /// An idle look, a publish, and the look that finds it.
    async fn look(&mut self) {
        let mut idle = Duration::ZERO;
        for _ in 0..IDLE {
            let (took, requests) = self.timed(false).await;
            idle += took;
            self.requests.0 = requests;
        }
        self.idle.push(idle / IDLE);
        let began = Instant::now();
        publish(&self.writer).await;
        self.publish.push(began.elapsed());
        let (took, requests) = self.timed(true).await;
        self.found.push(took);
        self.requests.1 = requests;
    }

    async fn timed(&mut self, published: bool) -> (Duration, u64) {
        let before = self.keeper.store().requests().total();
        let began = Instant::now();
        let news = self.watch.look(&self.keeper).await.expect("a look");
        let took = began.elapsed();
        assert_eq!(news.published, published);
        (took, self.keeper.store().requests().total() - before)
    }

    async fn tell(&self, report: &mut Report, of: &str) {
        let mut start = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            self.graph.recoverer().open().await.expect("a graph");
            start.push(began.elapsed());
        }
        let (idle, found) = self.requests;
        report.tell(Row::requests(format!("{of}: idle look"), idle as usize).at_most(2.0));
        report.tell(Row::requests(format!("{of}: look that finds one publish"), found as usize));
        report.tell(Row::time(format!("{of}: time of an idle look"), median(&self.idle)));
        report.tell(Row::time(format!("{of}: time of a look that finds one publish"), median(&self.found)));
        report.tell(Row::time(format!("{of}: cold start"), median(&start)));
        report.tell(Row::time(format!("{of}: our publish"), median(&self.publish)));
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
