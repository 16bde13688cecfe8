//! The HTTP server: what is going on, and a way to say "look now".
//!
//! | request | answer |
//! |---|---|
//! | `GET /metrics` | Prometheus's text format |
//! | `GET /healthz` | 200 while the process answers at all |
//! | `GET /readyz` | 200 once every repository was looked at, 503 before and while shutting down |
//! | `GET /status` | JSON: what is pending, held and done |
//! | `POST /v1/reconcile` | 202: somebody looks soon. Body: nothing, or `{"repository": "orders"}` |
//!
//! A request to reconcile must carry `Authorization: Bearer <token>`; that is checked before anything of it is read.
//! Then it is admitted, or told to come back (429 and 503, with `Retry-After`). It carries no facts: it makes the daemon
//! look earlier than it would have. Errors are JSON, `{"error": …}`.

use super::connections::Limited;
use super::labels::RequestOutcome;
use super::metrics::Metrics;
use super::tokens::{Denied, Scope, Tokens};
use crate::host::Clock;
use crate::{Error, Kind, Result};
use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A body larger than this is not read to its end.
const LARGEST_BODY: usize = 4096;

/// After the word to stop, open requests get so long.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the server asks of the daemon. None of it may block.
pub trait Daemon: Send + Sync + 'static {
    /// What is pending, held and done, without secrets and addresses.
    fn status(&self) -> Value;

    /// Whether every repository was looked at at least once, and no shutdown has begun.
    fn ready(&self) -> bool;

    /// Wakes a repository, or all.
    fn reconcile(&self, repository: Option<&str>) -> Result<Accepted, Rejected>;
}

/// Somebody will look soon.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// The names of the repositories that were woken.
    pub repositories: Vec<String>,
}

/// Nobody was woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// Too many requests wait.
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The daemon is about to end.
    ShuttingDown {
        /// When its successor may be there.
        retry_after: Duration,
    },
    /// No repository has that name.
    NoSuchRepository,
}

/// What the handlers share.
struct Shared {
    daemon: Arc<dyn Daemon>,
    metrics: Arc<Metrics>,
    tokens: Tokens,
}

/// A bound server that does not serve yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Server {
    /// Binds to `listen`; port 0 means any free one. Fails with [`Kind::Invalid`] if the address cannot be had.
    pub async fn bind(
        listen: SocketAddr,
        daemon: Arc<dyn Daemon>,
        metrics: Arc<Metrics>,
        tokens: Tokens,
    ) -> Result<Self> {
        let in_use = |error| {
            let next = "set another address, `http.listen` or --listen, or end what holds this one";
            Error::new(Kind::Invalid, format!("cannot listen on {listen}; {next}")).caused_by(error)
        };
        let listener = TcpListener::bind(listen).await.map_err(in_use)?;
        let address = listener.local_addr().map_err(in_use)?;
        Ok(Self { listener, address, router: router(Arc::new(Shared { daemon, metrics, tokens })) })
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then gives open requests two seconds.
    pub async fn run(self, clock: Arc<dyn Clock>, stop: CancellationToken) -> Result<()> {
        let serving = axum::serve(Limited::new(self.listener), self.router)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let farewell = async {
            stop.cancelled().await;
            clock.sleep(FAREWELL).await;
        };
        tokio::select! {
            served = serving => served.map_err(|error| Error::internal("the HTTP server ended").caused_by(error)),
            () = farewell => Ok(()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { answer(StatusCode::OK, &json!({"status": "ok"})) }))
        .route("/readyz", get(readyz))
        .route(
            "/status",
            get(|State(shared): State<Arc<Shared>>| async move {
                answer(StatusCode::OK, &shared.daemon.status())
            }),
        )
        .route("/v1/reconcile", post(reconcile))
        .fallback(|| async { fail(StatusCode::NOT_FOUND, "there is no such page") })
        .method_not_allowed_fallback(|| async {
            fail(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .with_state(shared)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.metrics.export() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => fail(StatusCode::INTERNAL_SERVER_ERROR, &error.chain()),
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match shared.daemon.ready() {
        true => answer(StatusCode::OK, &json!({"status": "ready"})),
        false => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "not ready"})),
    }
}

async fn reconcile(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (outcome, response) = match admit(&shared, request).await {
        Ok(accepted) => (RequestOutcome::Accepted, answer(StatusCode::ACCEPTED, &json!(accepted))),
        Err(refusal) => refusal,
    };
    shared.metrics.reconcile_request(outcome);
    response
}

type Refusal = (RequestOutcome, Response);

/// Token first, then the body, then admission.
async fn admit(shared: &Shared, request: Request) -> Result<Accepted, Refusal> {
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scope = shared.tokens.allow(authorization).map_err(denied)?.clone();
    let asked = asked_for(request.into_body()).await?;
    let repository = match (scope, asked) {
        (Scope::All, asked) => asked,
        (Scope::Only(own), None) => Some(own.to_string()),
        (Scope::Only(own), Some(asked)) if asked == own.as_str() => Some(asked),
        (Scope::Only(_), Some(_)) => {
            let response = fail(StatusCode::FORBIDDEN, "this token is for another repository");
            return Err((RequestOutcome::Denied, response));
        }
    };
    shared.daemon.reconcile(repository.as_deref()).map_err(rejected)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    repository: Option<String>,
}

async fn asked_for(body: Body) -> Result<Option<String>, Refusal> {
    let too_large =
        || (RequestOutcome::Invalid, fail(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
    if body.size_hint().lower() > LARGEST_BODY as u64 {
        return Err(too_large());
    }
    let body = to_bytes(body, LARGEST_BODY).await.map_err(|_| too_large())?;
    if body.is_empty() {
        return Ok(None);
    }
    let wish = serde_json::from_slice::<Wish>(&body).map_err(|_| {
        let message = "the body must be empty or {\"repository\": NAME}";
        (RequestOutcome::Invalid, fail(StatusCode::BAD_REQUEST, message))
    })?;
    Ok(wish.repository)
}

fn denied(denied: Denied) -> Refusal {
    let response = match denied {
        Denied::NoneConfigured => fail(StatusCode::FORBIDDEN, "no token is configured: set http.token_file"),
        Denied::Missing => unauthorized("send Authorization: Bearer TOKEN"),
        Denied::Wrong => unauthorized("the token is wrong"),
    };
    (RequestOutcome::Denied, response)
}

fn unauthorized(message: &str) -> Response {
    with(WWW_AUTHENTICATE, "Bearer".to_owned(), fail(StatusCode::UNAUTHORIZED, message))
}

fn rejected(rejected: Rejected) -> Refusal {
    match rejected {
        Rejected::Busy { retry_after } => {
            let response = fail(StatusCode::TOO_MANY_REQUESTS, "too many requests are waiting");
            (RequestOutcome::Busy, later(retry_after, response))
        }
        Rejected::ShuttingDown { retry_after } => {
            let response = fail(StatusCode::SERVICE_UNAVAILABLE, "the daemon is shutting down");
            (RequestOutcome::ShuttingDown, later(retry_after, response))
        }
        Rejected::NoSuchRepository => {
            (RequestOutcome::Invalid, fail(StatusCode::NOT_FOUND, "no repository has that name"))
        }
    }
}

/// Adds `Retry-After` in whole seconds, at least one.
fn later(retry_after: Duration, response: Response) -> Response {
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    with(RETRY_AFTER, seconds.max(1).to_string(), response)
}

fn with(header: HeaderName, value: String, response: Response) -> Response {
    ([(header, value)], response).into_response()
}

fn fail(status: StatusCode, message: &str) -> Response {
    answer(status, &json!({"error": message}))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, axum::Json(body)).into_response()
}
