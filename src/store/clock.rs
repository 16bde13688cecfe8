//! The store's clock: on HTTP stores the `Date` of its latest answer, on local disk and memory the host's wall clock.
//!
//! It decides when to try something and whether a manual window is over; nothing becomes wrong if it is wrong.

use crate::host::{Clock, Monotonic};
use crate::model::StoreTime;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads the store's clock.
#[derive(Debug)]
pub(super) struct StoreClock {
    host: Arc<dyn Clock>,
    /// Whether the store's stamps are made by this host (disk, memory).
    is_ours: bool,
    /// The latest `Date`, and our monotonic clock when it came.
    latest: Mutex<Option<(StoreTime, Monotonic)>>,
}

impl StoreClock {
    /// A clock that follows the answers of a server.
    pub(super) fn of_answers(host: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { host, is_ours: false, latest: Mutex::new(None) })
    }

    /// The host's own wall clock.
    pub(super) fn of_host(host: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { host, is_ours: true, latest: Mutex::new(None) })
    }

    /// The time at the store; `None` until a server has told a `Date`.
    pub(super) fn now(&self) -> Option<StoreTime> {
        if self.is_ours {
            return Some(StoreTime(self.host.now().0));
        }
        let (date, at) = (*self.latest.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(date.plus(self.host.monotonic().since(at)))
    }

    fn record(&self, response: &HttpResponse) {
        let Some(date) = response.headers().get("date").and_then(|date| parse_date(date.to_str().ok()?))
        else {
            return;
        };
        let at = self.host.monotonic();
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((date, at));
    }
}

/// `Tue, 15 Nov 1994 08:12:31 GMT`
fn parse_date(text: &str) -> Option<StoreTime> {
    Some(StoreTime(DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc)))
}

/// Connects as usual and lets the clock see each answer.
#[derive(Debug)]
pub(super) struct Listening(pub(super) Arc<StoreClock>);

impl HttpConnector for Listening {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(ListeningService { client, clock: self.0.clone() }))
    }
}

#[derive(Debug)]
struct ListeningService {
    client: HttpClient,
    clock: Arc<StoreClock>,
}

#[async_trait]
impl HttpService for ListeningService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.client.execute(request).await?;
        self.clock.record(&response);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_read_to_the_second() {
        let time = parse_date("Tue, 15 Nov 1994 08:12:31 GMT").unwrap();
        assert_eq!(time.to_string(), "1994-11-15T08:12:31Z");
        assert_eq!(parse_date("yesterday"), None);
    }
}
