//! What was written: every key, each of them optional.
//!
//! [`Config::defaults`] is the only place that holds default values, and [`Config::template`] the only list of keys.
//! Unknown keys are found by comparing what was written with the template, not by serde, which would stop at the first.

use super::values::{Gate, HumanBytes, HumanDuration, LogFormat, LogLevel, PassName, Secret};
use crate::passes::recovery::decide::Policy;
use crate::store::StoreSettings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the HTTP server listens unless told otherwise: loopback, for its pages are open to whoever reaches them.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9188";

/// In the template, the name of any repository.
pub const ANY_REPOSITORY: &str = "*";

/// Names of keys whose values are secret: taken from the environment only, never shown.
pub const SECRET_KEYS: &[&str] = &["token"];

/// The whole configuration. Repositories are keyed by name here; in the file they are `[[repositories]]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Config {
    pub daemon: Daemon,
    pub defaults: Defaults,
    pub lease: Lease,
    pub passes: BTreeMap<PassName, Pass>,
    pub http: Http,
    pub log: Log,
    pub store: Store,
    pub repositories: BTreeMap<String, Repository>,
}

/// `[daemon]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Daemon {
    pub concurrency: Option<u32>,
}

/// `[defaults]`: what a repository does unless it says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Defaults {
    pub interval: Option<HumanDuration>,
    pub grace: Option<HumanDuration>,
    pub idle_grace: Option<HumanDuration>,
    pub publish_neutral_drift: Option<bool>,
    pub gate: Option<Gate>,
}

/// `[lease]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Lease {
    pub ttl: Option<HumanDuration>,
    pub release_after: Option<HumanDuration>,
}

/// `[passes.<name>]`, also within a repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Pass {
    pub enabled: Option<bool>,
    pub schedule: Option<String>,
    pub timezone: Option<String>,
    pub concurrency: Option<u32>,
    pub timeout: Option<HumanDuration>,
}

/// `[http]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Http {
    pub listen: Option<String>,
    pub token_file: Option<PathBuf>,
    pub token: Option<Secret>,
    pub max_waiting: Option<u32>,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Log {
    pub level: Option<LogLevel>,
    pub libraries: Option<LogLevel>,
    pub format: Option<LogFormat>,
}

/// `[store]`, also within a repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Store {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub allow_http: Option<bool>,
    pub force_path_style: Option<bool>,
    pub request_timeout: Option<HumanDuration>,
    pub connect_timeout: Option<HumanDuration>,
    pub patience: Option<HumanDuration>,
    pub flush: Option<bool>,
    pub metadata_cache: Option<HumanBytes>,
    pub index_cache: Option<HumanBytes>,
}

/// One of `[[repositories]]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Repository {
    pub uri: Option<String>,
    pub interval: Option<HumanDuration>,
    pub grace: Option<HumanDuration>,
    pub idle_grace: Option<HumanDuration>,
    pub publish_neutral_drift: Option<bool>,
    pub gate: Option<Gate>,
    pub token_file: Option<PathBuf>,
    pub windows: Windows,
    pub passes: BTreeMap<PassName, Pass>,
    pub store: Store,
}

/// `[repositories.windows]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Windows {
    pub schedules: Vec<Window>,
}

/// One of `[[repositories.windows.schedules]]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "config/outrigger.toml documents every key with its consequence")]
pub struct Window {
    pub cron: Option<String>,
    pub timezone: Option<String>,
    pub length: Option<HumanDuration>,
}

impl Config {
    /// What holds when nothing is written.
    pub fn defaults() -> Self {
        Self {
            daemon: Daemon { concurrency: Some(4) },
            defaults: repository_defaults(),
            lease: Lease { ttl: Some(HumanDuration::secs(30)), release_after: Some(HumanDuration::secs(60)) },
            passes: PassName::ALL.iter().map(|pass| (*pass, pass_defaults())).collect(),
            http: Http { listen: Some(DEFAULT_LISTEN.to_owned()), max_waiting: Some(16), ..Http::default() },
            log: Log {
                level: Some(LogLevel::Info),
                libraries: Some(LogLevel::Warn),
                format: Some(LogFormat::Auto),
            },
            store: store_defaults(),
            repositories: BTreeMap::new(),
        }
    }

    /// Every key that exists, with one repository named [`ANY_REPOSITORY`] that has one window.
    pub fn template() -> Self {
        let repository = Repository {
            windows: Windows { schedules: vec![Window::default()] },
            passes: PassName::ALL.iter().map(|pass| (*pass, Pass::default())).collect(),
            ..Repository::default()
        };
        Self { repositories: BTreeMap::from([(ANY_REPOSITORY.to_owned(), repository)]), ..Self::defaults() }
    }
}

fn repository_defaults() -> Defaults {
    Defaults {
        interval: Some(HumanDuration::secs(15)),
        grace: Some(HumanDuration(Policy::GRACE)),
        idle_grace: Some(HumanDuration(Policy::IDLE_GRACE)),
        publish_neutral_drift: Some(true),
        gate: Some(Gate::Auto),
    }
}

fn pass_defaults() -> Pass {
    Pass {
        enabled: Some(true),
        schedule: None,
        timezone: Some("UTC".to_owned()),
        concurrency: Some(4),
        timeout: Some(HumanDuration::secs(10 * 60)),
    }
}

fn store_defaults() -> Store {
    let default = StoreSettings::default();
    Store {
        endpoint: default.endpoint,
        region: default.region,
        allow_http: default.allow_http,
        force_path_style: default.force_path_style,
        request_timeout: Some(HumanDuration(default.request_timeout)),
        connect_timeout: Some(HumanDuration(default.connect_timeout)),
        patience: Some(HumanDuration(default.patience)),
        flush: Some(default.flush),
        metadata_cache: Some(HumanBytes(default.metadata_cache_bytes as u64)),
        index_cache: Some(HumanBytes(default.index_cache_bytes as u64)),
    }
}
