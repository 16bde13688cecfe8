//! The real daemon over many repositories in which nothing happens.

use crate::report::{Report, Row};
use crate::support::graph::Graph;
use crate::support::ministack;
use crate::support::repos;
use outrigger::repo::Dialect;
use outrigger::store::{Key, RepoUri, Store, StoreParts};
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
    let files = graph.place.list(&Key::parse("__manifest").expect("a key")).await.expect("files");
    let mut config = String::new();
    for n in 0..REPOSITORIES {
        let uri = format!("s3://{bucket}/graphs/{n}");
        let place = RepoUri::parse(&uri).expect("an address");
        let store = Store::open(&place, &repos::s3_settings(), StoreParts::real()).await.expect("a store");
        for file in &files {
            let object = graph.place.get(&file.key).await.expect("a file").expect("it is there");
            store.put(&file.key, object.bytes).await.expect("a copy");
        }
        write!(
            config,
            "[[repositories]]\nname = \"graph-{n}\"\nuri = \"{uri}\"\ninterval = \"{INTERVAL}\"\n"
        )
        .expect("text");
    }
    config
}

/// The most memory that the daemon ever held.
fn memory(place: &str, dir: &Path, config: &str) -> Row {
    let daemon = Daemon::start(dir, config);
    daemon.until_ready();
    std::thread::sleep(WATCHED_FOR);
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
            .env("AWS_ENDPOINT_URL", ministack::server().endpoint())
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test-secret")
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon");
        Self { child, address: free.to_string() }
    }

    fn until_ready(&self) {
        let end = Instant::now() + Duration::from_secs(120);
        while !self.is_ready() {
            assert!(Instant::now() < end, "the daemon does not become ready");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn is_ready(&self) -> bool {
        use std::io::{Read, Write};
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
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
