//! The S3 server of the tests, and the environment in which everything here talks to it.
//!
//! The engine and Lance read their S3 settings from the environment, so the matrix runs itself again as a child that
//! has them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub const BUCKET: &str = "interop";
/// Says to the child that the environment is its own.
const MARK: &str = "INTEROP_S3";
const POLL: Duration = Duration::from_millis(200);
/// A cold start takes a few seconds on a busy machine.
const READY_POLLS: u32 = 150;
const STOP_LIMIT: Duration = Duration::from_secs(20);

pub fn environment_is_set() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs this very command again with the S3 environment; an empty `endpoint` starts a server for it.
pub async fn run_again(endpoint: &str) -> Result<()> {
    if !endpoint.is_empty() {
        return child(endpoint).await;
    }
    let server = Server::start().await?;
    let outcome = child(&server.endpoint).await;
    server.stop().await?;
    outcome
}

async fn child(endpoint: &str) -> Result<()> {
    let host = endpoint
        .strip_prefix("http://")
        .with_context(|| format!("an endpoint is http://…, not {endpoint:?}"))?;
    let status = request(host.trim_end_matches('/'), "PUT", &format!("/{BUCKET}")).await?;
    ensure!(status == 200 || status == 409, "the bucket cannot be created: status {status}");
    let mut command = Command::new(std::env::current_exe().context("own executable")?);
    command.args(std::env::args_os().skip(1)).kill_on_drop(true);
    command.env(MARK, "1").env("AWS_ENDPOINT_URL", endpoint).env("AWS_ENDPOINT_URL_S3", endpoint);
    command
        .env("AWS_ACCESS_KEY_ID", "interop")
        .env("AWS_SECRET_ACCESS_KEY", "interop")
        .env("AWS_REGION", "us-east-1");
    command.env("AWS_ALLOW_HTTP", "true").env("AWS_S3_FORCE_PATH_STYLE", "true");
    command.env_remove("AWS_SESSION_TOKEN").env_remove("AWS_PROFILE");
    let status = command.status().await.context("run the matrix on S3")?;
    ensure!(status.success(), "the matrix on S3 ended with {status}");
    Ok(())
}

struct Server {
    child: Child,
    endpoint: String,
    directory: PathBuf,
}

impl Server {
    async fn start() -> Result<Self> {
        let program = install().await?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = std::env::temp_dir().join(format!("interop-s3-{port}"));
        let (data, state) = (directory.join("data"), directory.join("state"));
        for folder in [&data, &state] {
            std::fs::create_dir_all(folder)?;
        }
        let mut command = Command::new(program);
        command
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("LOG_LEVEL", "WARNING");
        command
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", &data)
            .env("PERSIST_STATE", "1")
            .env("STATE_DIR", &state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().context("start the S3 server")?;
        let host = format!("127.0.0.1:{port}");
        let server = Self { child, endpoint: format!("http://{host}"), directory };
        for _ in 0..READY_POLLS {
            if request(&host, "GET", "/_ministack/health").await.is_ok_and(|status| status == 200) {
                return Ok(server);
            }
            tokio::time::sleep(POLL).await;
        }
        server.stop().await?;
        bail!("the S3 server did not become ready")
    }

    /// SIGTERM: a kill in the middle of an overwrite could tear an object.
    async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id() {
            Command::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status()
                .await
                .context("stop the S3 server")?;
        }
        tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .context("the S3 server does not stop")??;
        std::fs::remove_dir_all(&self.directory).context("remove the S3 server's data")
    }
}

/// Has the repository's script install the server, which it does once.
async fn install() -> Result<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => PathBuf::from(path),
        None => cache()?.join("outrigger").join("target"),
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/setup-s3-server");
    let mut command = Command::new(&script);
    command.env("CARGO_TARGET_DIR", &target).stdin(Stdio::null());
    let status = command.status().await.with_context(|| format!("run {}", script.display()))?;
    ensure!(status.success(), "the S3 server cannot be installed: {status}");
    Ok(target.join("ministack/bin/ministack"))
}

fn cache() -> Result<PathBuf> {
    match std::env::var_os("XDG_CACHE_HOME") {
        Some(path) => Ok(PathBuf::from(path)),
        None => Ok(Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache")),
    }
}

/// The status of a plain HTTP request without a body.
async fn request(host: &str, method: &str, path: &str) -> Result<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(host).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = vec![0; 64];
        let count = stream.read(&mut answer).await?;
        answer.truncate(count);
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange).await.context("no answer")??;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    status.with_context(|| format!("{text:?} is no HTTP answer"))
}
