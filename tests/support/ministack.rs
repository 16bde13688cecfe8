//! A real S3 server on the loopback device: the one that `scripts/with-s3-server` names in `OUTRIGGER_TEST_S3`, else one per
//! test process on a free port.
//!
//! A shell waits beside the server for the end of its standard input, which closes when the test process ends in any way,
//! then stops the server gently (SIGTERM; a killed server may leave a torn object) and removes its files.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const STARTS: usize = 3;
const READY_POLLS: usize = 300;
const POLL: Duration = Duration::from_millis(50);

/// Runs the program `$0` until standard input ends, then stops it and removes the directory `$1`.
const GUARD: &str = r#"
    "$0" </dev/null & server=$!
    cat >/dev/null
    kill -TERM $server 2>/dev/null
    wait $server
    rm -rf "$1"
"#;

/// A running server.
pub struct Ministack {
    address: SocketAddr,
    /// The shell beside it, whose standard input stays open as long as this process lives.
    _own: Option<Child>,
}

/// The server of this test process, started at the first call.
pub fn server() -> &'static Ministack {
    static SERVER: OnceLock<Ministack> = OnceLock::new();
    SERVER.get_or_init(|| {
        (0..STARTS)
            .find_map(|_| Ministack::start())
            .expect("the S3 server does not become ready; look at its output")
    })
}

impl Ministack {
    /// `http://127.0.0.1:port`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a bucket that no other test uses, and returns its name.
    pub fn bucket(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bucket-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let answer = self.ask("PUT", &format!("/{name}")).expect("the S3 server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        name
    }

    /// One try; another process may take the port between finding and using it.
    fn start() -> Option<Self> {
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let files = tempfile::tempdir().expect("a temporary directory").keep();
        let server = Self { address, _own: Some(spawn(address.port(), &files)) };
        (0..READY_POLLS)
            .any(|_| {
                std::thread::sleep(POLL);
                server
                    .ask("GET", "/_ministack/health")
                    .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
            })
            .then_some(server)
    }

    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

/// The server's own files: data, state, home.
fn spawn(port: u16, files: &Path) -> Child {
    let program = program();
    assert!(
        program.exists(),
        "the S3 server is not installed: run `make setup` (looked at {})",
        program.display()
    );
    Command::new("sh")
        .args(["-c", GUARD])
        .arg(program)
        .arg(files)
        .envs([
            ("BIND_HOST", "127.0.0.1"),
            ("LOG_LEVEL", "WARNING"),
            ("S3_PERSIST", "1"),
            ("PERSIST_STATE", "1"),
        ])
        .env("GATEWAY_PORT", port.to_string())
        .env("S3_DATA_DIR", files.join("data"))
        .env("STATE_DIR", files.join("state"))
        .current_dir(files)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell starts")
}

/// `<target>/ministack/bin/ministack`; this test lies in `<target>/debug/deps/`.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its file");
    let target = test.ancestors().nth(3).expect("a test lies in <target>/<profile>/deps");
    target.join("ministack/bin/ministack")
}
