//! The real program: configuration, HTTP, signals.

use crate::support::graph::Graph;
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
        let mut child = Command::new(BINARY)
            .args(["run", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .env("OUTRIGGER__HTTP__TOKEN", TOKEN)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
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

    /// SIGTERM; how long it took and how it ended.
    fn terminate(mut self) -> (Duration, Option<i32>) {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        while began.elapsed() < Duration::from_secs(15) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (began.elapsed(), status.code());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not stop");
    }
}

fn outrigger(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
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
    assert!(missing.contains("no repository"), "{missing}");
    assert!(!missing.contains(dir.path().to_str().unwrap()), "an address is shown: {missing}");
    assert!(daemon.get("/metrics").unwrap().contains("outrigger_lease_held{repository=\"orders\"} 0"));

    let operation = wrecks::complete(&graph).await;
    let authorization = format!("Authorization: Bearer {TOKEN}\r\n");
    let (status, _) = daemon.ask("POST /v1/reconcile HTTP/1.1", &authorization).unwrap();
    assert_eq!(status, 202);
    let done = |daemon: &Running| {
        let metrics = daemon.get("/metrics").unwrap_or_default();
        metrics.contains(
            "outrigger_actions_total{action=\"delete_sidecar\",outcome=\"committed\",repository=\"orders\"} 1",
        )
    };
    daemon.until("recovered", done);
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

/// A server that takes connections and never answers.
#[test]
fn it_stops_within_ten_seconds_though_a_store_hangs() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "[store]\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\nrequest_timeout = \"10m\"\n[[repositories]]\nname = \"far\"\nuri = \"s3://bucket/graph\"\n"
    );
    let daemon = Running::start(dir.path(), &config);
    daemon.until("alive", |daemon| daemon.health().status.success());
    assert!(daemon.get("/readyz").is_none(), "its one repository was not looked at yet");
    let _request = silent.accept().unwrap();
    let (took, code) = daemon.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
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
