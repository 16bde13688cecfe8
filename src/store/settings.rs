//! How to reach a store. Each default is what a person would want who said nothing.

use crate::error::{Error, Result};
use std::fmt;
use std::time::Duration;

/// How to reach a store and how long to insist. What is not set comes from the environment
/// ([`StoreSettings::or_environment`]) and then from the defaults named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Base URL of an S3-compatible server, `http://127.0.0.1:9000`. Unset: Amazon S3 itself.
    pub endpoint: Option<String>,
    /// Region that requests are signed for. Unset: `us-east-1` with an endpoint, else asked of the bucket (one request).
    pub region: Option<String>,
    /// Whether an `http://` endpoint may be used. Unset: yes exactly if the endpoint says `http://`.
    pub allow_http: Option<bool>,
    /// `endpoint/bucket/key` (true, the default) or `bucket.endpoint/key` (false).
    pub force_path_style: Option<bool>,
    /// Fixed credentials. Unset: the usual AWS chain (environment, profile, web identity, container, instance).
    pub credentials: Option<Credentials>,
    /// One request, from connecting to the last byte of its answer. Default 30 s.
    pub request_timeout: Duration,
    /// Establishing a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// How long reads and repeatable writes are tried again while the store throttles or does not answer. Default 2 min.
    pub patience: Duration,
    /// Local disk: flush every write and its directory to the medium before going on, so that a power cut cannot
    /// reorder the steps of a recovery. Default true.
    pub flush: bool,
    /// Memory for Lance's cache of manifests and file metadata, in bytes; filled only as needed. Default 64 MiB.
    pub metadata_cache_bytes: usize,
    /// Memory for Lance's cache of index pages, in bytes; filled only as needed. Default 16 MiB.
    pub index_cache_bytes: usize,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            allow_http: None,
            force_path_style: None,
            credentials: None,
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            patience: Duration::from_secs(120),
            flush: true,
            metadata_cache_bytes: 64 << 20,
            index_cache_bytes: 16 << 20,
        }
    }
}

/// The usual variables that stand for settings: for each setting those that may hold it, the first one wins.
///
/// Credentials are not among them: the AWS chain reads its own variables, and renews what expires.
pub const AWS_VARIABLES: [(&str, &[&str]); 4] = [
    ("endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
    ("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("allow_http", &["AWS_ALLOW_HTTP"]),
    ("force_path_style", &["AWS_S3_FORCE_PATH_STYLE"]),
];

impl StoreSettings {
    /// Fills what is not set from [`AWS_VARIABLES`]; `variable` looks one up. An empty one counts as not set.
    pub fn or_environment(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let [endpoint, region, allow_http, force_path_style] =
            AWS_VARIABLES.map(|(_, variables)| variables.iter().find_map(given));
        Self {
            endpoint: self.endpoint.or(endpoint),
            region: self.region.or(region),
            allow_http: self.allow_http.or_else(|| allow_http.as_deref().map(truthy)),
            force_path_style: self.force_path_style.or_else(|| force_path_style.as_deref().map(truthy)),
            ..self
        }
    }

    /// The endpoint as it may be shown: none if it is unset, or not one that would be used.
    pub fn shown_endpoint(&self) -> Option<String> {
        let url = self.checked_endpoint().ok().flatten()?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    }

    /// The endpoint, checked: `http` or `https`, a host, no user name, no query.
    pub(super) fn checked_endpoint(&self) -> Result<Option<url::Url>> {
        let Some(text) = &self.endpoint else { return Ok(None) };
        let refuse =
            |rule: &str| Err(Error::invalid(format!("the S3 endpoint {rule}: write http(s)://host:port")));
        let Ok(url) = url::Url::parse(text) else { return refuse("is no URL") };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return refuse("must not hold credentials or a query");
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http.unwrap_or(true) => {}
            "http" => return refuse("is plain http, which allow_http = false forbids"),
            _ => return refuse("is neither http nor https"),
        }
        match url.host_str() {
            Some(_) => Ok(Some(url)),
            None => refuse("names no host"),
        }
    }
}

fn truthy(value: &str) -> bool {
    matches!(value, "1" | "true" | "TRUE" | "True" | "yes" | "YES" | "on" | "ON")
}

/// An access key. Printing it shows the id's first four characters and nothing of the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id.
    pub key_id: String,
    /// Secret access key.
    pub secret: String,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}…)", self.key_id.chars().take(4).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_environment_fills_only_what_is_not_set() {
        let settings = StoreSettings { region: Some("eu-central-1".into()), ..StoreSettings::default() };
        let settings = settings.or_environment(environment(&[
            ("AWS_ENDPOINT_URL", "http://general:1"),
            ("AWS_ENDPOINT_URL_S3", "http://special:1"),
            ("AWS_REGION", "us-west-2"),
            ("AWS_S3_FORCE_PATH_STYLE", "on"),
        ]));
        assert_eq!(settings.endpoint.as_deref(), Some("http://special:1"));
        assert_eq!(settings.region.as_deref(), Some("eu-central-1"));
        assert_eq!(settings.force_path_style, Some(true));
        assert_eq!(settings.allow_http, None);
    }

    #[test]
    fn plain_http_needs_no_switch_but_can_be_forbidden() {
        let plain =
            StoreSettings { endpoint: Some("http://127.0.0.1:9000".into()), ..StoreSettings::default() };
        assert!(plain.checked_endpoint().unwrap().is_some());
        let forbidden = StoreSettings { allow_http: Some(false), ..plain };
        assert!(forbidden.checked_endpoint().unwrap_err().to_string().contains("allow_http"));
    }

    #[test]
    fn secrets_do_not_show() {
        let key = Credentials {
            key_id: "AKIAEXAMPLE".into(),
            secret: "hunter2".into(),
            session_token: Some("tok".into()),
        };
        let settings = StoreSettings { credentials: Some(key), ..StoreSettings::default() };
        let shown = format!("{settings:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("AKIAEXAMPLE") && !shown.contains("tok"),
            "{shown}"
        );
        let endpoint =
            StoreSettings { endpoint: Some("http://me:hunter2@host".into()), ..StoreSettings::default() };
        assert!(!endpoint.checked_endpoint().unwrap_err().chain().contains("hunter2"));
    }
}
