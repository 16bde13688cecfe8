//! Asks a running daemon how it is: what a container's health check runs.

use crate::host::Clock;
use crate::{Error, Kind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer of ours that a probe reads is longer.
const LARGEST_ANSWER: u64 = 1 << 20;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Whether the daemon that listens on `listen` answers `/healthz` within `timeout`. Fails with [`Kind::Unavailable`] and
/// says why if it does not.
pub async fn check(listen: SocketAddr, timeout: Duration, clock: &dyn Clock) -> Result<()> {
    let answer = get(listen, "/healthz", timeout, clock).await?;
    match answer.status {
        200 => Ok(()),
        status => Err(unavailable(listen, format!("it answers {status}"))),
    }
}

/// `GET path` from the daemon that listens on `listen`: one connection, one answer.
pub async fn get(listen: SocketAddr, path: &str, timeout: Duration, clock: &dyn Clock) -> Result<Answer> {
    let address = reachable(listen);
    let answer = tokio::select! {
        answer = ask(address, path) => answer,
        () = clock.sleep(timeout) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    let text = answer.map_err(|error| unavailable(listen, "no answer").caused_by(error))?;
    parse(&text).ok_or_else(|| unavailable(listen, "what answers does not speak HTTP"))
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Our server sends every body in one piece, so what follows the empty line is the body.
fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// A server that listens everywhere is asked through loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn unavailable(listen: SocketAddr, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Unavailable, format!("the daemon on {listen} is not healthy: {why}"))
}
