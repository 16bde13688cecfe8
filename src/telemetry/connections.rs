//! No more connections than can be served, and none that keeps its place without a whole request.
//!
//! Without this, a few hundred idle clients could keep probes and metrics from being answered, and so could a few dozen that
//! send a letter now and then.

use axum::serve::Listener;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at once; more wait in the kernel's queue.
const MOST: usize = 64;

/// A request must be there, whole, so long after its first byte, or after the connection was made. Ours are one packet long.
const REQUEST: Duration = Duration::from_secs(5);

/// From the beginning of one answer to the first byte of the next request. Longer than most scrape intervals.
const BETWEEN: Duration = Duration::from_secs(65);

/// A listener with a limited number of places.
pub(super) struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, place), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives up its place when it ends, and ends when its client is slower than it may be.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// The answer to what was read last has begun.
    answered: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    #[expect(clippy::disallowed_methods, reason = "sockets live in real time")]
    fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, deadline: Box::pin(tokio::time::sleep(REQUEST)), answered: false, _place: place }
    }

    #[expect(clippy::disallowed_methods, reason = "sockets live in real time")]
    fn turns(&mut self, answered: bool) {
        if self.answered != answered {
            self.answered = answered;
            let patience = if answered { BETWEEN } else { REQUEST };
            self.deadline.as_mut().reset(Instant::now() + patience);
        }
    }

    /// What the stream gave, if anything; an error once the client has had its time.
    fn in_time<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.turns(false);
        }
        self.in_time(read, cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.turns(true);
        }
        self.in_time(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
