//! What a running daemon shows: metrics, HTTP, and the dashboards and alerts that read them.

#![cfg(feature = "engine")]

use outrigger::config::{self, PassName, RepositoryName, Secret, Settings, Sources};
use outrigger::host::{Clock, SystemClock};
use outrigger::model::Timestamp;
use outrigger::model::audit::Verdict;
use outrigger::passes::report::{ActionKind, ActionOutcome, WaitReason};
use outrigger::store::Requests;
use outrigger::telemetry::families;
use outrigger::telemetry::health;
use outrigger::telemetry::tokens::Scope;
use outrigger::telemetry::{
    Accepted, ActivationOutcome, Daemon, Metrics, Rejected, RepositoryMetrics, Server, Tokens,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DASHBOARD: &str = include_str!("../dashboards/overview.json");
const RULES: &str = include_str!("../deploy/prometheus/outrigger.rules.yml");

fn settings() -> Settings {
    let repositories = "\
[[repositories]]
name = \"orders\"
uri = \"s3://bucket/very-secret-prefix\"
[[repositories]]
name = \"idle\"
uri = \"/srv/idle\"
passes.recovery.enabled = false
";
    let sources =
        Sources { file: Some((PathBuf::from("o.toml"), repositories.to_owned())), ..Sources::default() };
    config::load(&sources).unwrap().settings
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn metrics() -> (Arc<Metrics>, RepositoryMetrics) {
    let metrics = Metrics::new(&settings(), at(1_700_000_000)).unwrap();
    let orders = metrics.repository("orders");
    (metrics, orders)
}

/// Name and labels to value, for all series.
fn series(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.export().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(key, value)| (key.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn every_metric_of_the_list_is_exported_from_the_start() {
    let (metrics, _) = metrics();
    let text = metrics.export().unwrap();
    let exported = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let listed: BTreeSet<&str> = families::ALL.iter().map(|family| family.name).collect();
    assert_eq!(exported.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn all_series_begin_at_zero_and_no_event_adds_one() {
    let (metrics, orders) = metrics();
    let before = series(&metrics);
    let beginning = ["outrigger_build_info", "outrigger_start_time_seconds"];
    assert!(
        before.iter().all(|(key, value)| *value == 0.0 || beginning.iter().any(|name| key.starts_with(name)))
    );
    orders.activation(
        PassName::Recovery,
        ActivationOutcome::Failed,
        Duration::from_secs(3),
        at(1_700_000_100),
    );
    orders.pending(&BTreeMap::from([(Verdict::RollBack, 2)]));
    orders.waiting(&BTreeMap::from([(WaitReason::Window, 2)]));
    orders.action(ActionKind::Restore, ActionOutcome::Unknown);
    orders.requests(Requests { get: 5, ..Requests::default() });
    let after = series(&metrics);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert_ne!(before, after);
}

#[test]
fn a_run_counts_by_its_outcome_and_only_success_moves_the_clock() {
    let (metrics, orders) = metrics();
    let last = "outrigger_last_success_timestamp_seconds{pass=\"recovery\",repository=\"orders\"}";
    orders.activation(PassName::Recovery, ActivationOutcome::Held, Duration::from_secs(1), at(1_700_000_050));
    orders.activation(
        PassName::Recovery,
        ActivationOutcome::Failed,
        Duration::from_secs(1),
        at(1_700_000_100),
    );
    orders.activation(
        PassName::Recovery,
        ActivationOutcome::Refused,
        Duration::from_secs(1),
        at(1_700_000_200),
    );
    let series = series(&metrics);
    assert_eq!(series[last], 1_700_000_050.0);
    let of = |outcome: &str| {
        series[&format!(
            "outrigger_activations_total{{outcome=\"{outcome}\",pass=\"recovery\",repository=\"orders\"}}"
        )]
    };
    assert_eq!([of("held"), of("failed"), of("refused"), of("converged")], [1.0, 1.0, 1.0, 0.0]);
    assert_eq!(series["outrigger_activation_seconds_sum{outcome=\"failed\",pass=\"recovery\"}"], 1.0);
}

#[test]
fn what_is_settled_falls_back_to_zero() {
    let (metrics, orders) = metrics();
    let key = "outrigger_scopes_pending{repository=\"orders\",verdict=\"roll_back\"}";
    orders.pending(&BTreeMap::from([(Verdict::RollBack, 2), (Verdict::Hold, 1)]));
    orders.oldest_pending(Some(Duration::from_secs(90)));
    let pending = series(&metrics);
    assert_eq!(
        (pending[key], pending["outrigger_oldest_pending_seconds{repository=\"orders\"}"]),
        (2.0, 90.0)
    );
    orders.pending(&BTreeMap::new());
    orders.oldest_pending(None);
    let settled = series(&metrics);
    assert_eq!(
        (settled[key], settled["outrigger_oldest_pending_seconds{repository=\"orders\"}"]),
        (0.0, 0.0)
    );
}

#[test]
fn a_lost_publish_is_a_publish_conflict() {
    let (metrics, orders) = metrics();
    orders.action(ActionKind::Publish, ActionOutcome::Conflict);
    orders.action(ActionKind::Restore, ActionOutcome::Conflict);
    orders.action(ActionKind::Publish, ActionOutcome::Committed);
    assert_eq!(series(&metrics)["outrigger_publish_conflicts_total{repository=\"orders\"}"], 1.0);
}

#[test]
fn a_pass_that_is_switched_off_is_not_missed() {
    let (metrics, _) = metrics();
    let text = metrics.export().unwrap();
    let last: Vec<&str> = text.lines().filter(|line| line.starts_with("outrigger_last_success")).collect();
    assert_eq!(last.len(), 1, "{last:?}");
    assert!(last[0].contains("orders"));
    assert!(text.contains("outrigger_scopes_held{repository=\"idle\"} 0"));
}

#[test]
fn a_repository_shows_by_its_name_and_never_by_its_address() {
    let (metrics, _) = metrics();
    assert!(!metrics.export().unwrap().contains("secret"));
}

/// The metric names in a text, with the suffixes of histograms taken off.
fn named_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let names = text.split(word).filter(|word| word.starts_with("outrigger_"));
    let known = |name: &str| families::ALL.iter().any(|family| family.name == name);
    let base = |name: &str| {
        let cut = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        cut.filter(|cut| known(cut)).unwrap_or(name).to_owned()
    };
    names.map(base).collect()
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_exist() {
    let listed: BTreeSet<String> = families::ALL.iter().map(|family| family.name.to_owned()).collect();
    for (file, text) in [("dashboard", DASHBOARD), ("rules", RULES)] {
        let named = named_in(text);
        assert!(!named.is_empty());
        let unknown: Vec<_> = named.difference(&listed).collect();
        assert!(unknown.is_empty(), "the {file} names {unknown:?}");
    }
}

#[test]
fn the_alert_names_the_settings_that_end_a_wait_for_a_window() {
    let alert = RULES.split("- alert: ").find(|alert| alert.starts_with("OutriggerSidecarTooOld")).unwrap();
    let (_, next_step) = alert.split_once("next_step:").unwrap();
    for setting in ["`windows.schedules`", "`gate = \"auto\"`", "`outrigger window open "] {
        assert!(next_step.contains(setting), "{setting}: {next_step}");
    }
}

#[test]
fn every_metric_has_a_place_on_the_dashboard() {
    let named = named_in(DASHBOARD);
    let unseen: Vec<_> = families::ALL.iter().filter(|family| !named.contains(family.name)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

fn panels() -> Vec<serde_json::Value> {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    panels.iter().filter(|panel| panel["type"] != "row").cloned().collect()
}

#[test]
fn every_panel_says_what_it_shows() {
    assert!(panels().len() > 10);
    for panel in panels() {
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 40, "{}: {description:?}", panel["title"]);
    }
}

/// Never is 0, and the longest wait there is: a filter on it would hide what was refused from the start.
#[test]
fn a_repository_that_never_succeeded_shows_as_the_longest_without_success() {
    let all = panels();
    let panel = all.iter().find(|panel| panel["title"] == "Longest without success").unwrap();
    let query = panel["targets"][0]["expr"].as_str().unwrap();
    let series = "max_over_time(outrigger_last_success_timestamp_seconds{repository=~\"$repository\"}[1d])";
    assert_eq!(query, format!("time() - min(max by (repository, pass) ({series}))"));
    let mapping = &panel["fieldConfig"]["defaults"]["mappings"][0]["options"];
    assert!(mapping["from"].as_u64() < Some(1_700_000_000), "{mapping}");
    assert_eq!(mapping["result"]["text"], "never");
}

/// Only a format is refused; what is wrong otherwise fails.
#[test]
fn an_alert_does_not_mistake_wrong_settings_for_a_format() {
    let rule = RULES.split("- alert: ").find(|rule| rule.starts_with("OutriggerNoSuccess")).unwrap();
    let text = rule.split_whitespace().collect::<Vec<_>>().join(" ");
    let (refused, failed) = text.split_once("its format is not written by this version").expect(&text);
    assert!(!refused.contains("setting"), "{text}");
    assert!(failed.starts_with(". Any other error (a wrong address or setting,"), "{text}");
}

#[test]
fn every_alert_says_what_happened_and_what_to_do() {
    let alerts: Vec<&str> = RULES.split("- alert: ").skip(1).collect();
    let names: Vec<&str> = alerts.iter().map(|alert| alert.lines().next().unwrap()).collect();
    assert_eq!(names, ["OutriggerSidecarTooOld", "OutriggerHeld", "OutriggerNoSuccess"]);
    for alert in alerts {
        for part in ["expr:", "for:", "severity:", "summary:", "description:", "next_step:"] {
            assert!(alert.contains(part), "{part} is missing in {alert}");
        }
    }
}

/// Prometheus's own checker, from `$PROMTOOL` or the path, is content. A machine that cannot have it says so by
/// `OUTRIGGER_TESTS_WITHOUT_PROMTOOL`.
#[expect(clippy::disallowed_methods, reason = "says where a tool of this test is, or that there is none")]
fn promtool_accepts(arguments: &[&str]) {
    let program = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    match Command::new(&program).args(arguments).current_dir(folder).output() {
        Ok(run) => {
            let told = String::from_utf8([run.stdout, run.stderr].concat()).unwrap();
            assert!(run.status.success(), "{told}");
        }
        Err(_) if std::env::var_os("OUTRIGGER_TESTS_WITHOUT_PROMTOOL").is_some() => {}
        Err(error) => panic!(
            "{program} cannot be run ({error}): `make setup` gets it; or name the program in PROMTOOL, or set \
             OUTRIGGER_TESTS_WITHOUT_PROMTOOL to do without these tests"
        ),
    }
}

#[test]
fn prometheus_accepts_the_alerts() {
    promtool_accepts(&["check", "rules", "outrigger.rules.yml"]);
}

#[test]
fn the_alerts_fire_when_they_should() {
    promtool_accepts(&["test", "rules", "outrigger.rules.test.yml"]);
}

#[test]
fn prometheus_accepts_every_query_of_the_dashboard() {
    let panels = panels();
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules: Vec<_> = queries
        .map(|query| query["expr"].as_str().unwrap().replace("$repository", ".*"))
        .enumerate()
        .map(|(n, query)| serde_json::json!({"record": format!("query:number{n}"), "expr": query}))
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    promtool_accepts(&["check", "rules", &written("dashboard.rules.yml", &rules)]);
}

/// A file for promtool: JSON is YAML.
fn written(name: &str, content: &serde_json::Value) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Panels of what is told of a repository at the moment, the labels under which each shows it, and how it shows a 2 that is
/// told five minutes after 1970.
const OF_A_REPOSITORY: [(&str, &str, u32); 10] = [
    ("Oldest crashed commit", "{}", 2),
    ("Held for a person", "{}", 2),
    ("Longest without success", "{}", 298),
    ("Refused repositories", "{}", 2),
    ("By verdict", "{verdict=\"any\"}", 2),
    ("What they wait for", "{reason=\"any\"}", 2),
    ("Age of the oldest, by repository", "{repository=\"orders\"}", 2),
    ("Held, by repository", "{repository=\"orders\"}", 2),
    ("Windows", "{repository=\"orders\"}", 2),
    ("Leader lease", "{repository=\"orders\"}", 2),
];

#[test]
fn what_two_daemons_tell_of_one_repository_shows_once() {
    let is_gauge = |family: &&families::Family| {
        family.kind == families::Kind::Gauge && family.labels.first() == Some(&"repository")
    };
    let gauges: Vec<&families::Family> = families::ALL.iter().copied().filter(is_gauge).collect();
    let told_by = |instance: &str| -> Vec<serde_json::Value> {
        let of = |family: &&families::Family| {
            let more: String = family.labels[1..].iter().map(|label| format!("{label}=\"any\",")).collect();
            let series = format!("{}{{repository=\"orders\",{more}instance=\"{instance}\"}}", family.name);
            serde_json::json!({"series": series, "values": "2x10"})
        };
        gauges.iter().map(of).collect()
    };
    let queries = panels().into_iter().map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        (title, panel["targets"][0]["expr"].as_str().unwrap().replace("$repository", ".*"))
    });
    let queries: BTreeMap<_, _> =
        queries.filter(|(_, query)| gauges.iter().any(|gauge| query.contains(gauge.name))).collect();
    let titles: BTreeSet<_> = OF_A_REPOSITORY.iter().map(|(title, ..)| (*title).to_owned()).collect();
    assert_eq!(queries.keys().cloned().collect::<BTreeSet<_>>(), titles);
    let shown = |(title, labels, value): &(&str, &str, u32)| {
        let samples = [serde_json::json!({"labels": labels, "value": value})];
        serde_json::json!({"expr": queries[*title], "eval_time": "5m", "exp_samples": samples})
    };
    let shown: Vec<_> = OF_A_REPOSITORY.iter().map(shown).collect();
    let told = [told_by("a"), told_by("b")].concat();
    let test = serde_json::json!({"interval": "1m", "input_series": told, "promql_expr_test": shown});
    let tests = serde_json::json!({"rule_files": [], "evaluation_interval": "1m", "tests": [test]});
    promtool_accepts(&["test", "rules", &written("dashboard.test.yml", &tests)]);
}

/// A daemon that answers as told and remembers what it was asked.
struct Told {
    answer: Mutex<Result<(), Rejected>>,
    asked: Mutex<Vec<Option<String>>>,
    ready: AtomicBool,
}

impl Daemon for Told {
    fn status(&self) -> serde_json::Value {
        serde_json::json!({"repositories": [{"name": "orders"}]})
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    fn reconcile(&self, repository: Option<&str>) -> Result<Accepted, Rejected> {
        self.asked.lock().unwrap().push(repository.map(str::to_owned));
        self.answer.lock().unwrap().clone()?;
        Ok(Accepted { repositories: vec![repository.unwrap_or("all").to_owned()] })
    }
}

const TOKEN: &str = "0123456789abcdef";

struct World {
    daemon: Arc<Told>,
    metrics: Arc<Metrics>,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<outrigger::Result<()>>,
}

impl World {
    async fn new(tokens: Tokens) -> Self {
        let daemon = Arc::new(Told {
            answer: Mutex::new(Ok(())),
            asked: Mutex::default(),
            ready: AtomicBool::new(true),
        });
        let metrics = metrics().0;
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(listen, daemon.clone(), metrics.clone(), tokens).await.unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let serving = tokio::spawn(server.run(Arc::new(SystemClock::new()), stop.clone()));
        Self { daemon, metrics, address, stop, serving }
    }

    async fn with_token() -> Self {
        let orders = Scope::Only(RepositoryName::parse("orders").unwrap());
        let tokens = [(Scope::All, Secret::new(TOKEN)), (orders, Secret::new("orders-orders-orders"))];
        Self::new(Tokens::new(tokens)).await
    }

    async fn get(&self, path: &str) -> health::Answer {
        health::get(self.address, path, Duration::from_secs(5), &SystemClock::new()).await.unwrap()
    }

    /// Sends a request to reconcile and returns status and whole answer.
    async fn post(&self, token: Option<&str>, body: &str) -> (u16, String) {
        let authorization =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "POST /v1/reconcile HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}Content-Length: {length}\r\n\r\n"
        );
        self.send(&(head + body)).await
    }

    /// Sends a request and returns status and answer, without waiting for the server to hang up.
    async fn send(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).await.unwrap();
            assert!(length > 0, "the answer ends early: {answer}");
            answer.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        (answer[9..12].parse().unwrap(), answer)
    }

    fn answers(&self, answer: Rejected) {
        *self.daemon.answer.lock().unwrap() = Err(answer);
    }

    fn asked(&self) -> Vec<Option<String>> {
        std::mem::take(&mut *self.daemon.asked.lock().unwrap())
    }

    fn counted(&self, outcome: &str) -> f64 {
        series(&self.metrics)[&format!("outrigger_reconcile_requests_total{{outcome=\"{outcome}\"}}")]
    }
}

#[tokio::test]
async fn probes_status_and_metrics_need_no_token() {
    let world = World::with_token().await;
    assert_eq!(world.get("/healthz").await.status, 200);
    assert_eq!(world.get("/readyz").await.status, 200);
    world.daemon.ready.store(false, Ordering::SeqCst);
    assert_eq!(world.get("/readyz").await.status, 503);
    let status: serde_json::Value = serde_json::from_str(&world.get("/status").await.body).unwrap();
    assert_eq!(status["repositories"][0]["name"], "orders");
    assert!(world.get("/metrics").await.body.contains("outrigger_build_info{version="));
}

#[tokio::test]
async fn what_does_not_exist_is_refused_in_json() {
    let world = World::with_token().await;
    let answer = world.get("/nothing").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "{\"error\":\"there is no such page\"}"));
    assert_eq!(world.get("/v1/reconcile").await.status, 405);
}

#[tokio::test]
async fn a_request_to_reconcile_needs_a_token() {
    let world = World::with_token().await;
    for token in [None, Some("wrong"), Some("")] {
        let (status, answer) = world.post(token, "").await;
        assert_eq!(status, 401, "{answer}");
        assert!(answer.to_lowercase().contains("\r\nwww-authenticate: bearer\r\n"), "{answer}");
    }
    assert!(world.asked().is_empty());
    assert_eq!(world.counted("denied"), 3.0);
    assert_eq!(world.post(Some(TOKEN), "").await.0, 202);
    assert_eq!(world.post(Some(TOKEN), "{\"repository\": \"orders\"}").await.0, 202);
    assert_eq!(world.asked(), [None, Some("orders".to_owned())]);
    assert_eq!(world.counted("accepted"), 2.0);
}

#[tokio::test]
async fn without_a_configured_token_nobody_may_ask() {
    let world = World::new(Tokens::new([])).await;
    let (status, answer) = world.post(Some(TOKEN), "").await;
    assert_eq!(status, 403);
    assert!(answer.contains("http.token_file"), "{answer}");
}

#[tokio::test]
async fn a_repositorys_token_wakes_that_repository_alone() {
    let world = World::with_token().await;
    let own = Some("orders-orders-orders");
    assert_eq!(world.post(own, "").await.0, 202);
    assert_eq!(world.post(own, "{\"repository\": \"orders\"}").await.0, 202);
    assert_eq!(world.post(own, "{\"repository\": \"idle\"}").await.0, 403);
    assert_eq!(world.asked(), [Some("orders".to_owned()), Some("orders".to_owned())]);
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let world = World::with_token().await;
    world.answers(Rejected::Busy { retry_after: Duration::from_millis(4_200) });
    let (status, answer) = world.post(Some(TOKEN), "").await;
    assert_eq!(status, 429);
    assert!(answer.to_lowercase().contains("\r\nretry-after: 5\r\n"), "{answer}");
    world.answers(Rejected::ShuttingDown { retry_after: Duration::ZERO });
    let (status, answer) = world.post(Some(TOKEN), "").await;
    assert_eq!(status, 503);
    assert!(answer.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert_eq!((world.counted("busy"), world.counted("shutting_down")), (1.0, 1.0));
}

#[tokio::test]
async fn a_wrong_body_is_refused_after_the_token() {
    let world = World::with_token().await;
    let large = format!("{{\"repository\": \"{}\"}}", "x".repeat(5_000));
    for (body, expected) in [("{", 400), ("[]", 400), ("{\"repo\": \"orders\"}", 400), (large.as_str(), 413)]
    {
        assert_eq!(world.post(Some(TOKEN), body).await.0, expected, "{body:.40}");
        assert_eq!(world.post(Some("wrong"), body).await.0, 401, "{body:.40}");
    }
    world.answers(Rejected::NoSuchRepository);
    assert_eq!(world.post(Some(TOKEN), "{\"repository\": \"nobody\"}").await.0, 404);
    assert_eq!(world.counted("invalid"), 5.0);
}

#[tokio::test]
async fn a_body_of_any_announced_length_is_not_read_to_its_end() {
    let world = World::with_token().await;
    let head = format!("POST /v1/reconcile HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    let (status, _) =
        world.send(&format!("{head}Connection: close\r\nContent-Length: 1000000000\r\n\r\nx")).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn clients_that_never_end_their_request_lose_their_places() {
    let world = World::with_token().await;
    let mut slow = Vec::new();
    for _ in 0..64 {
        slow.push(TcpStream::connect(world.address).await.unwrap());
    }
    // A letter a second each: none of them is silent.
    let dripping = tokio::spawn(async move {
        for letter in b"GET /healthz HTTP/1.1".repeat(10) {
            for stream in &mut slow {
                let _ = stream.write_all(&[letter]).await;
            }
            SystemClock::new().sleep(Duration::from_secs(1)).await;
        }
    });
    let clock = SystemClock::new();
    let asked = health::get(world.address, "/healthz", Duration::from_secs(1), &clock).await;
    assert!(asked.is_err(), "all places are taken: the test shows nothing");
    health::check(world.address, Duration::from_secs(30), &clock).await.unwrap();
    dripping.abort();
}

#[tokio::test]
async fn stopping_does_not_wait_for_an_idle_client() {
    let world = World::with_token().await;
    let _idle = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(world.get("/healthz").await.status, 200);
    world.stop.cancel();
    let clock = SystemClock::new();
    tokio::select! {
        ended = world.serving => ended.unwrap().unwrap(),
        () = clock.sleep(Duration::from_secs(5)) => panic!("it waits"),
    }
}

#[tokio::test]
async fn the_health_check_tells_a_healthy_daemon_from_none() {
    let clock = SystemClock::new();
    let world = World::with_token().await;
    health::check(world.address, Duration::from_secs(5), &clock).await.unwrap();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], world.address.port()));
    health::check(everywhere, Duration::from_secs(5), &clock).await.unwrap();
    // A socket that accepts and never answers.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error =
        health::check(mute.local_addr().unwrap(), Duration::from_millis(50), &clock).await.unwrap_err();
    assert!(error.chain().contains("timed out"), "{error:?}");
    let gone = mute.local_addr().unwrap();
    drop(mute);
    let error = health::check(gone, Duration::from_secs(5), &clock).await.unwrap_err();
    assert_eq!(error.kind(), outrigger::Kind::Unavailable);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let world = World::with_token().await;
    let taken =
        Server::bind(world.address, world.daemon.clone(), world.metrics.clone(), Tokens::new([])).await;
    let error = taken.unwrap_err();
    assert_eq!(error.kind(), outrigger::Kind::Invalid);
    assert!(error.to_string().contains(&world.address.to_string()), "{error}");
}
