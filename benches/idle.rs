//! The real daemon over many repositories in which nothing happens.

use crate::report::{Report, Row};
use crate::support::graph::Graph;
use crate::support::ministack;
use crate::support::repos;
use outrigger::repo::Dialect;
use outrigger::store::{Key, RepoUri, Store, StoreParts};
use serde_json::Value;
use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REPOSITORIES: usize = 100;
const MOST_MIB: f64 = 256.0;
/// Looks follow each other in ten seconds, so that several are measured.
const INTERVAL: &str = "10s";
const WATCHED_FOR: Duration = Duration::from_secs(60);

pub async fn measure(report: &mut Report) {
    let dir = tempfile::tempdir().expect("a directory");
    let graph = Graph::on_disk(Dialect::GraphV4).await;
    let files = graph.place.dir().join("graph");
    let mut on_disk = String::new();
    for n in 0..REPOSITORIES {
        let root = dir.path().join(format!("graph-{n}"));
        copy(&files, &root);
        write!(
            on_disk,
            "[[repositories]]\nname = \"graph-{n}\"\nuri = {root:?}\ninterval = \"{INTERVAL}\"\n"
        )
        .expect("text");
    }
    let on_s3 = on_s3(&graph).await;
    report.tell(memory("on disk", dir.path(), &on_disk));
    report.tell(memory("on S3", dir.path(), &on_s3));
}

/// The same graph in many places of one bucket: a graph without branches holds no address.
async fn on_s3(graph: &Graph) -> String {
    let bucket = ministack::server().bucket();
    let files = graph.picture().await;
    let endpoint = ministack::server().endpoint();
    let mut config = format!("[store]\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\n");
    for n in 0..REPOSITORIES {
        let uri = format!("s3://{bucket}/graphs/{n}");
        let place = RepoUri::parse(&uri).expect("an address");
        let store = Store::open(&place, &repos::s3_settings(), StoreParts::real()).await.expect("a store");
        for (key, bytes) in &files {
            store.put(&Key::parse(key).expect("a key"), bytes.clone().into()).await.expect("a copy");
        }
        write!(
            config,
            "[[repositories]]\nname = \"graph-{n}\"\nuri = \"{uri}\"\ninterval = \"{INTERVAL}\"\n"
        )
        .expect("text");
    }
    config
}

/// The most memory that the daemon ever held: all of it open, and nothing to do.
fn memory(place: &str, dir: &Path, config: &str) -> Row {
    let daemon = Daemon::start(dir, config);
    daemon.until_all_is_well();
    std::thread::sleep(WATCHED_FOR);
    assert_eq!(daemon.not_well(), [""; 0], "{place}");
    let what = format!("{REPOSITORIES} idle repositories {place}: the most memory in use");
    Row::new(what, daemon.peak_mib(), "MiB").at_most(MOST_MIB)
}

struct Daemon {
    child: Child,
    address: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    fn start(dir: &Path, config: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let file = dir.join("outrigger.toml");
        std::fs::write(&file, config).expect("a configuration");
        let child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(["run", "--listen", &free.to_string(), "--config"])
            .arg(&file)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test-secret")
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon");
        Self { child, address: free.to_string() }
    }

    fn until_all_is_well(&self) {
        let end = Instant::now() + Duration::from_secs(120);
        while !self.not_well().is_empty() {
            assert!(Instant::now() < end, "not every repository could be opened: {:?}", self.not_well());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Repositories that are not open, or in which something is to be done; and why.
    fn not_well(&self) -> Vec<String> {
        let Some(status) = self.status() else { return vec!["no answer".to_owned()] };
        let repositories = status["repositories"].as_object().expect("repositories");
        assert_eq!(repositories.len(), REPOSITORIES);
        let is_well =
            |of: &Value| of["dialect"] == "graph-v4" && of["outcome"] == "converged" && of["error"].is_null();
        repositories.iter().filter(|(_, of)| !is_well(of)).map(|(name, of)| format!("{name}: {of}")).collect()
    }

    fn status(&self) -> Option<Value> {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let request = format!("GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        (kib / 1024.0).round()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}
