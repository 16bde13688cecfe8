//! The real program: configuration, HTTP, signals.

use crate::support::graph::{Graph, MAIN, PERSON};
use crate::support::process::alone;
use crate::wrecks;
use outrigger::repo::Dialect;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_outrigger");
const TOKEN: &str = "a-token-of-these-tests";

/// A daemon of its own process; killed if a test forgets it.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts it on a free port of loopback, which it chooses and tells.
    fn start(dir: &Path, config: &str) -> Self {
        let file = dir.join("outrigger.toml");
        std::fs::write(&file, config).unwrap();
        Self::start_with(&[("OUTRIGGER_CONFIG", file.to_str().unwrap()), ("OUTRIGGER__HTTP__TOKEN", TOKEN)])
    }

    /// The same from the environment alone.
    fn start_with(variables: &[(&str, &str)]) -> Self {
        let mut child = alone(BINARY)
            .arg("run")
            .env("OUTRIGGER__HTTP__LISTEN", "127.0.0.1:0")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let told = log.by_ref().find(|line| line.contains("\"running\""));
        let told: Value = serde_json::from_str(&told.expect("it says that it runs")).unwrap();
        // A pipe that nobody empties would stop it one day.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address: told["address"].as_str().unwrap().to_owned() }
    }

    fn health(&self) -> Output {
        outrigger(&["health", "--listen", &self.address])
    }

    /// What a browser or Prometheus would get; `None` unless the answer is 200.
    fn get(&self, path: &str) -> Option<String> {
        let (status, body) = self.ask(&format!("GET {path} HTTP/1.1"), "")?;
        (status == 200).then_some(body)
    }

    /// One request, one answer.
    fn ask(&self, line: &str, headers: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let request = format!("{line}\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !holds(self) {
            assert!(Instant::now() < end, "it did not come about: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to look at everything; the status of the answer.
    fn reconcile(&self) -> Option<u16> {
        let authorization = format!("Authorization: Bearer {TOKEN}\r\n");
        self.ask("POST /v1/reconcile HTTP/1.1", &authorization).map(|(status, _)| status)
    }

    fn has_metric(&self, line: &str) -> bool {
        self.get("/metrics").is_some_and(|metrics| metrics.lines().any(|known| known == line))
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// SIGTERM; how long it took and how it ended.
    fn terminate(self) -> (Duration, Option<i32>) {
        self.signal("TERM");
        self.ends()
    }

    /// How long it takes until it ends, and how it does.
    fn ends(mut self) -> (Duration, Option<i32>) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (began.elapsed(), status.code());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not stop");
    }
}

const SETTLED_ONE: &str =
    "outrigger_actions_total{action=\"delete_sidecar\",outcome=\"committed\",repository=\"orders\"} 1";

fn outrigger(args: &[&str]) -> Output {
    alone(BINARY).args(args).output().unwrap()
}

/// What it said on standard error, and how it ended.
fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn repository(name: &str, root: &Path, more: &str) -> String {
    format!("[[repositories]]\nname = \"{name}\"\nuri = {root:?}\n{more}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_recovers_answers_and_stops() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let dir = tempfile::tempdir().unwrap();
    let root = graph.place.dir().join("graph");
    let config = repository("orders", &root, "grace = \"1s\"\n")
        + &repository("missing", &dir.path().join("nothing"), "");
    let daemon = Running::start(dir.path(), &config);
    daemon.until("ready", |daemon| daemon.get("/readyz").is_some());
    assert!(daemon.health().status.success());
    let status: Value = serde_json::from_str(&daemon.get("/status").unwrap()).unwrap();
    assert_eq!(status["repositories"]["orders"]["dialect"], "graph-v4");
    let missing = status["repositories"]["missing"]["error"].as_str().unwrap();
    assert!(missing.contains("no repository") && missing.contains("uri in the configuration"), "{missing}");
    assert!(!missing.contains(dir.path().to_str().unwrap()), "an address is shown: {missing}");
    assert!(daemon.get("/metrics").unwrap().contains("outrigger_lease_held{repository=\"orders\"} 0"));

    let operation = wrecks::complete(&graph).await;
    assert_eq!(daemon.reconcile(), Some(202));
    daemon.until("recovered", |daemon| daemon.has_metric(SETTLED_ONE));
    let listed = outrigger(&["sidecars", "list", "--repo", root.to_str().unwrap()]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(&operation));

    let address = daemon.address.clone();
    let (took, code) = daemon.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!outrigger(&["health", "--listen", &address]).status.success());
    let released = graph.controls().await;
    assert_eq!(released, ["lease.00000000000000000002"], "the lease is given up");
}

/// A container without a file, and S3 by the usual variables: nothing of it is asked of Amazon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_s3_the_environment_is_all_it_needs() {
    let graph = Graph::on_s3(Dialect::GraphV4).await;
    let operation = wrecks::complete(&graph).await;
    let daemon = Running::start_with(&[
        ("AWS_ENDPOINT_URL", &crate::support::ministack::server().endpoint()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_S3_FORCE_PATH_STYLE", "true"),
        ("OUTRIGGER__REPOSITORIES__ORDERS__URI", graph.place.uri().as_str()),
        ("OUTRIGGER__REPOSITORIES__ORDERS__GRACE", "0s"),
    ]);
    let sidecar = Graph::sidecar_key(&operation);
    let end = Instant::now() + Duration::from_secs(30);
    while graph.place.get(&sidecar).await.unwrap().is_some() {
        assert!(Instant::now() < end, "it did not recover: {:?}", daemon.get("/status"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let listen = ("OUTRIGGER__HTTP__LISTEN", daemon.address.as_str());
    let health = alone(BINARY).arg("health").envs([listen]).output().unwrap();
    assert_eq!(told(&health), (Some(0), String::new()), "it asks where the environment says");
    assert_eq!(daemon.terminate().1, Some(0));
}

/// A daemon whose one store takes connections and never answers; it is alive.
fn with_a_silent_store(dir: &Path, silent: &TcpListener) -> Running {
    let address = silent.local_addr().unwrap();
    let config = format!(
        "[store]\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\nrequest_timeout = \"10m\"\n[[repositories]]\nname = \"far\"\nuri = \"s3://bucket/graph\"\n"
    );
    let daemon = Running::start(dir, &config);
    daemon.until("alive", |daemon| daemon.health().status.success());
    daemon
}

#[test]
fn it_stops_within_ten_seconds_though_a_store_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = with_a_silent_store(dir.path(), &silent);
    assert!(daemon.get("/readyz").is_none(), "its one repository was not looked at yet");
    let _request = silent.accept().unwrap();
    let (took, code) = daemon.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// A daemon over a graph on a disk that stopped to answer: whoever opens one of the manifest's files waits for ever, as on a
/// mount whose server is gone.
async fn over_a_hanging_disk(graph: &Graph) -> Running {
    let root = graph.place.dir().join("graph");
    for file in std::fs::read_dir(root.join("__manifest/data")).unwrap() {
        let file = file.unwrap().path();
        std::fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    }
    let daemon = Running::start(graph.place.dir(), &repository("orders", &root, ""));
    daemon.until("alive", |daemon| daemon.health().status.success());
    std::thread::sleep(Duration::from_millis(500));
    assert!(daemon.get("/readyz").is_none(), "its look hangs");
    daemon
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_that_it_stops_and_does_within_ten_seconds_though_a_disk_hangs() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = over_a_hanging_disk(&graph).await;
    assert_eq!(daemon.reconcile(), Some(202));
    daemon.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(daemon.reconcile(), Some(503));
    assert_eq!(daemon.ask("GET /readyz HTTP/1.1", "").map(|(status, _)| status), Some(503));
    assert!(daemon.has_metric("outrigger_reconcile_requests_total{outcome=\"shutting_down\"} 1"));
    assert!(daemon.health().status.success(), "it is no use to kill it");
    let (took, code) = daemon.ends();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once_though_a_disk_hangs() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let daemon = over_a_hanging_disk(&graph).await;
    daemon.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    daemon.signal("INT");
    let (took, code) = daemon.ends();
    assert_eq!(code, Some(1));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_stops_it_in_order() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let root = graph.place.dir().join("graph");
    let daemon = Running::start(graph.place.dir(), &repository("orders", &root, ""));
    daemon.until("ready", |daemon| daemon.get("/readyz").is_some());
    daemon.signal("INT");
    let (took, code) = daemon.ends();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_one_works_and_the_other_follows_when_it_is_killed() {
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let root = graph.place.dir().join("graph");
    let config = "[lease]\nttl = \"5s\"\n".to_owned() + &repository("orders", &root, "grace = \"1s\"");
    let [mut one, mut other] = ["one", "other"].map(|name| {
        let dir = graph.place.dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Running::start(&dir, &config)
    });
    wrecks::complete(&graph).await;
    let ready = |daemon: &Running| daemon.get("/readyz").is_some();
    one.until("ready", ready);
    other.until("ready", ready);
    one.until("one of them has settled it", |_| {
        one.reconcile();
        other.reconcile();
        std::thread::sleep(Duration::from_millis(300));
        one.has_metric(SETTLED_ONE) || other.has_metric(SETTLED_ONE)
    });
    let leads = "outrigger_lease_held{repository=\"orders\"} 1";
    if other.has_metric(leads) {
        std::mem::swap(&mut one, &mut other);
    }
    assert!(one.has_metric(leads) && !other.has_metric(leads) && !other.has_metric(SETTLED_ONE));

    let operation = wrecks::complete(&graph).await;
    one.child.kill().unwrap();
    other.until("the other has settled the second", |daemon| {
        daemon.reconcile();
        std::thread::sleep(Duration::from_millis(300));
        daemon.has_metric(SETTLED_ONE)
    });
    assert!(other.has_metric(leads));
    assert!(!graph.controls().await.contains(&format!("{operation}.json")));
    assert_eq!(graph.pin(MAIN, PERSON).await, 3);
}

#[test]
fn a_busy_port_and_a_weak_token_are_told_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = dir.path().join("outrigger.toml");
    let file = file.to_str().unwrap();
    std::fs::write(file, repository("orders", dir.path(), "")).unwrap();
    let (exit, err) = told(&outrigger(&["run", "--config", file, "--listen", &address]));
    assert_eq!(exit, Some(78), "{err}");
    assert!(err.contains(&address) && err.contains("http.listen"), "{err}");

    let token = dir.path().join("token");
    std::fs::write(&token, "short").unwrap();
    std::fs::write(file, repository("orders", dir.path(), &format!("token_file = {token:?}"))).unwrap();
    for command in ["run", "check-config"] {
        let (exit, err) = told(&outrigger(&[command, "--config", file]));
        assert_eq!(exit, Some(78), "{command}: {err}");
        assert!(err.contains("at least 16 characters"), "{command}: {err}");
    }
}

#[test]
fn without_any_configuration_it_says_how_to_give_one() {
    let (exit, err) = told(&outrigger(&["run"]));
    assert_eq!(exit, Some(78), "{err}");
    assert!(err.contains("--config") && err.contains("OUTRIGGER__REPOSITORIES__"), "{err}");
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outrigger.toml");
    std::fs::write(&file, "[defaults]\ngrase = \"5m\"\n").unwrap();
    let output = outrigger(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("grase") && told.contains("grace"), "{told}");
}
