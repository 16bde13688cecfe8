//! S3 for the matrix: `scripts/with-s3-server` names a server, and the matrix runs itself again with its settings.
//!
//! The engine and Lance read their S3 settings from the environment, which a process cannot change safely for itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

pub const BUCKET: &str = "interop";
/// Names the server; set by `scripts/with-s3-server`.
pub const ENDPOINT: &str = "OUTRIGGER_TEST_S3";
/// Says to the process that its S3 settings are made.
const READY: &str = "INTEROP_S3_READY";
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Whether the S3 settings of this process are those of the server.
pub fn is_ready() -> bool {
    std::env::var_os(READY).is_some()
}

/// The server that this process has not been set up for yet.
pub fn server() -> Option<String> {
    if is_ready() { None } else { std::env::var(ENDPOINT).ok() }
}

/// Makes the bucket and runs this very command again with the S3 settings.
pub async fn run_again(endpoint: &str) -> Result<()> {
    create_bucket(endpoint).await?;
    let mut command = Command::new(std::env::current_exe().context("own executable")?);
    command.args(std::env::args_os().skip(1)).env(READY, "1").kill_on_drop(true);
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_ENDPOINT_URL_S3", endpoint);
    command.env("AWS_ACCESS_KEY_ID", "interop").env("AWS_SECRET_ACCESS_KEY", "interop");
    command
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_S3_FORCE_PATH_STYLE", "true");
    command.env_remove("AWS_SESSION_TOKEN").env_remove("AWS_PROFILE");
    let status = command.status().await.context("run the matrix with S3 settings")?;
    ensure!(status.success(), "the matrix with S3 settings ended with {status}");
    Ok(())
}

/// A plain HTTP request: neither Lance nor its object store can make a bucket.
async fn create_bucket(endpoint: &str) -> Result<()> {
    let host = endpoint
        .strip_prefix("http://")
        .with_context(|| format!("{ENDPOINT} is http://…, not {endpoint:?}"))?;
    let host = host.trim_end_matches('/');
    let exchange = async {
        let mut stream = TcpStream::connect(host).await?;
        let head = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = [0; 64];
        let count = stream.read(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
    };
    let answer =
        tokio::time::timeout(ANSWER_LIMIT, exchange).await.context("the S3 server does not answer")??;
    let status = answer.split_whitespace().nth(1);
    ensure!(matches!(status, Some("200" | "409")), "the bucket cannot be created: {answer:?}");
    Ok(())
}
