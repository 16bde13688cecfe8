//! From what was written to what may be relied on. Looks at everything before it gives up, so that all faults show.

use super::faults::Faults;
use super::origin::{Origins, Source};
use super::raw;
use super::resolve::Resolved;
use super::settings::{
    HttpSettings, LeaseSettings, LogSettings, PassSettings, RepositorySettings, Settings, TokenSource,
};
use super::values::{HumanBytes, HumanDuration, RepositoryName};
use crate::runtime::schedule::{BadSchedule, Schedule, WindowSchedule};
use crate::store::{RepoUri, StoreSettings};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

const fn secs(range: (u64, u64)) -> RangeInclusive<HumanDuration> {
    HumanDuration::secs(range.0)..=HumanDuration::secs(range.1)
}

/// Each bound keeps out what would surely be a slip of the pen: a busy loop, or a daemon that seems to sleep.
const INTERVAL: RangeInclusive<HumanDuration> = secs((10, 60));
const GRACE: RangeInclusive<HumanDuration> = secs((0, 7 * 86_400));
const LEASE_TTL: RangeInclusive<HumanDuration> = secs((5, 600));
const RELEASE_AFTER: RangeInclusive<HumanDuration> = secs((1, 3_600));
const PASS_TIMEOUT: RangeInclusive<HumanDuration> = secs((10, 86_400));
const WINDOW_LENGTH: RangeInclusive<HumanDuration> = secs((60, 7 * 86_400));
const REQUEST_TIMEOUT: RangeInclusive<HumanDuration> = secs((1, 600));
const PATIENCE: RangeInclusive<HumanDuration> = secs((1, 3_600));
const CACHE: RangeInclusive<HumanBytes> = HumanBytes(0)..=HumanBytes(64 << 30);
const CONCURRENCY: RangeInclusive<u32> = 1..=256;
const MAX_WAITING: RangeInclusive<u32> = 1..=1_024;

/// Where the daemon listens, and nothing else of the settings.
pub(super) fn listen(resolved: &Resolved, faults: &mut Faults) -> Option<SocketAddr> {
    let mut build = Builder { origins: &resolved.origins, faults };
    build.listen(&resolved.config.http)
}

/// Builds the settings; `None` if something is wrong, which `faults` then says.
pub(super) fn build(resolved: &Resolved, faults: &mut Faults) -> Option<Settings> {
    let config = &resolved.config;
    let mut build = Builder { origins: &resolved.origins, faults };
    let concurrency = build.count("daemon.concurrency", config.daemon.concurrency, CONCURRENCY);
    let lease = build.lease(&config.lease);
    let http = build.http(&config.http);
    let log = build.log(&config.log);
    let repositories = build.repositories(&config.repositories);
    Some(Settings {
        concurrency: concurrency?,
        lease: lease?,
        http: http?,
        log: log?,
        repositories: repositories?,
    })
}

struct Builder<'a> {
    origins: &'a Origins,
    faults: &'a mut Faults,
}

impl Builder<'_> {
    fn lease(&mut self, lease: &raw::Lease) -> Option<LeaseSettings> {
        let ttl = self.duration("lease.ttl", lease.ttl, LEASE_TTL);
        let release_after = self.duration("lease.release_after", lease.release_after, RELEASE_AFTER);
        Some(LeaseSettings { ttl: ttl?, release_after: release_after? })
    }

    fn http(&mut self, http: &raw::Http) -> Option<HttpSettings> {
        let listen = self.listen(http);
        let max_waiting = self.count("http.max_waiting", http.max_waiting, MAX_WAITING);
        if http.token.is_some() && !matches!(self.origins.of("http.token").source, Source::Env { .. }) {
            let message = "a secret must not stand here: put it into a file and name that in \"token_file\", \
                           or set OUTRIGGER__HTTP__TOKEN";
            self.fault("http.token", message);
        }
        if http.token.is_some() && http.token_file.is_some() {
            self.fault("http.token", "there is a token_file as well; give one of them");
        }
        let given = http.token.clone().map(TokenSource::Given);
        let token = given.or_else(|| http.token_file.clone().map(TokenSource::File));
        Some(HttpSettings { listen: listen?, token, max_waiting: max_waiting? })
    }

    fn listen(&mut self, http: &raw::Http) -> Option<SocketAddr> {
        let listen = self.present("http.listen", http.listen.as_deref())?;
        self.address("http.listen", listen)
    }

    fn log(&mut self, log: &raw::Log) -> Option<LogSettings> {
        let level = self.present("log.level", log.level);
        let libraries = self.present("log.libraries", log.libraries);
        let format = self.present("log.format", log.format);
        Some(LogSettings { level: level?, libraries: libraries?, format: format? })
    }

    fn repositories(
        &mut self,
        written: &BTreeMap<String, raw::Repository>,
    ) -> Option<Vec<RepositorySettings>> {
        if written.is_empty() && !self.faults.mention("repositories") {
            self.fault(
                "repositories",
                "there is none: add [[repositories]] with a name and a uri to the file that --config names, or set \
                 OUTRIGGER__REPOSITORIES__<NAME>__URI",
            );
        }
        let built: Vec<_> =
            written.iter().map(|(name, repository)| self.repository(name, repository)).collect();
        let repositories: Vec<RepositorySettings> = built.into_iter().collect::<Option<_>>()?;
        self.roots_differ(&repositories);
        (!repositories.is_empty()).then_some(repositories)
    }

    /// Two names for one repository would be harmless, and twice the work.
    fn roots_differ(&mut self, repositories: &[RepositorySettings]) {
        let mut seen = BTreeMap::new();
        for repository in repositories {
            if let Some(first) = seen.insert(repository.uri.as_str(), &repository.name) {
                let message = format!("repository \"{first}\" has the same root");
                self.fault(&format!("repositories.{}.uri", repository.name), message);
            }
        }
    }

    fn uri(&mut self, key: &str, uri: &str) -> Option<RepoUri> {
        RepoUri::parse(uri).map_err(|error| self.fault(key, error.chain())).ok()
    }

    fn repository(&mut self, name: &str, written: &raw::Repository) -> Option<RepositorySettings> {
        let key = |key: &str| format!("repositories.{name}.{key}");
        let parsed = RepositoryName::parse(name).map_err(|message| self.fault(&key("name"), message)).ok();
        let uri = self.present(&key("uri"), written.uri.as_deref());
        let uri = uri.and_then(|uri| self.uri(&key("uri"), uri));
        let interval = self.duration(&key("interval"), written.interval, INTERVAL);
        let grace = self.duration(&key("grace"), written.grace, GRACE);
        let idle_grace = self.duration(&key("idle_grace"), written.idle_grace, GRACE);
        let neutral = self.present(&key("publish_neutral_drift"), written.publish_neutral_drift);
        let gate = self.present(&key("gate"), written.gate);
        let windows: Vec<_> = (written.windows.schedules.iter().enumerate())
            .map(|(n, window)| self.window(&key(&format!("windows.schedules.{n}")), window))
            .collect();
        let passes: Vec<_> = (written.passes.iter())
            .map(|(pass, settings)| Some((*pass, self.pass(&key(&format!("passes.{pass}")), settings)?)))
            .collect();
        let store = self.store(&key("store"), &written.store);
        Some(RepositorySettings {
            name: parsed?,
            uri: uri?,
            interval: interval?,
            grace: grace?,
            idle_grace: idle_grace?,
            publish_neutral_drift: neutral?,
            gate: gate?,
            token: written.token_file.clone().map(TokenSource::File),
            windows: windows.into_iter().collect::<Option<_>>()?,
            passes: passes.into_iter().collect::<Option<_>>()?,
            store: store?,
        })
    }

    fn window(&mut self, key: &str, window: &raw::Window) -> Option<WindowSchedule> {
        let cron = self.present(&format!("{key}.cron"), window.cron.as_deref());
        let length = self.duration(&format!("{key}.length"), window.length, WINDOW_LENGTH);
        let schedule = self.schedule(key, "cron", cron?, window.timezone.as_deref());
        Some(WindowSchedule { schedule: schedule?, length: length? })
    }

    fn pass(&mut self, key: &str, pass: &raw::Pass) -> Option<PassSettings> {
        let enabled = self.present(&format!("{key}.enabled"), pass.enabled);
        let concurrency = self.count(&format!("{key}.concurrency"), pass.concurrency, CONCURRENCY);
        let timeout = self.duration(&format!("{key}.timeout"), pass.timeout, PASS_TIMEOUT);
        let schedule = match pass.schedule.as_deref() {
            Some(cron) => Some(self.schedule(key, "schedule", cron, pass.timezone.as_deref())?),
            None => None,
        };
        Some(PassSettings { enabled: enabled?, schedule, concurrency: concurrency?, timeout: timeout? })
    }

    fn store(&mut self, key: &str, store: &raw::Store) -> Option<StoreSettings> {
        let at = |name: &str| format!("{key}.{name}");
        let request_timeout = self.duration(&at("request_timeout"), store.request_timeout, REQUEST_TIMEOUT);
        let connect_timeout = self.duration(&at("connect_timeout"), store.connect_timeout, REQUEST_TIMEOUT);
        let patience = self.duration(&at("patience"), store.patience, PATIENCE);
        let flush = self.present(&at("flush"), store.flush);
        let metadata_cache = self.bytes(&at("metadata_cache"), store.metadata_cache);
        let index_cache = self.bytes(&at("index_cache"), store.index_cache);
        if let Some(Err(message)) = store.endpoint.as_deref().map(|url| check_endpoint(url, store.allow_http))
        {
            self.fault(&at("endpoint"), message);
        }
        Some(StoreSettings {
            endpoint: store.endpoint.clone(),
            region: store.region.clone(),
            allow_http: store.allow_http,
            force_path_style: store.force_path_style,
            credentials: None,
            request_timeout: request_timeout?,
            connect_timeout: connect_timeout?,
            patience: patience?,
            flush: flush?,
            metadata_cache_bytes: metadata_cache?,
            index_cache_bytes: index_cache?,
        })
    }

    fn address(&mut self, key: &str, text: &str) -> Option<SocketAddr> {
        let wrong =
            |_| self.fault(key, format!("{text:?} is not an address and port such as \"127.0.0.1:9188\""));
        text.parse().map_err(wrong).ok()
    }

    /// Reads `cron`, which stands under `name` in the table `key`, with the zone beside it.
    fn schedule(&mut self, key: &str, name: &str, cron: &str, zone: Option<&str>) -> Option<Schedule> {
        let wrong = |error| {
            let name = if matches!(error, BadSchedule::Zone { .. }) { "timezone" } else { name };
            self.fault(&format!("{key}.{name}"), error.to_string());
        };
        Schedule::parse(cron, zone.unwrap_or("UTC")).map_err(wrong).ok()
    }

    fn duration(
        &mut self,
        key: &str,
        value: Option<HumanDuration>,
        range: RangeInclusive<HumanDuration>,
    ) -> Option<Duration> {
        self.within(key, value, range).map(|duration| duration.0)
    }

    fn bytes(&mut self, key: &str, value: Option<HumanBytes>) -> Option<usize> {
        self.within(key, value, CACHE).and_then(|bytes| usize::try_from(bytes.0).ok())
    }

    fn count(&mut self, key: &str, value: Option<u32>, range: RangeInclusive<u32>) -> Option<NonZeroUsize> {
        self.within(key, value, range).and_then(|count| NonZeroUsize::new(count as usize))
    }

    fn within<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: Option<T>,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.present(key, value)?;
        if range.contains(&value) {
            return Some(value);
        }
        self.fault(key, format!("{value} is not between {} and {}", range.start(), range.end()));
        None
    }

    /// A value that must be there. One that was there and wrong has been reported already.
    fn present<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.faults.mention(key) {
            let name = key.rsplit('.').next().unwrap_or(key);
            self.fault(key, format!("{name:?} is missing"));
        }
        value
    }

    /// Reports a fault at `key`, or at the place that `key` inherited its value from.
    fn fault(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.origins.near(key);
        self.faults.add(origin, message);
    }
}

/// Refuses what the store's client would refuse, but with the place at which it stands.
fn check_endpoint(endpoint: &str, allow_http: Option<bool>) -> Result<(), String> {
    let url = url::Url::parse(endpoint)
        .map_err(|error| format!("not a URL such as \"https://host:9000\": {error}"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(
            "it must hold neither credentials (give them in the environment, AWS_*) nor a query".to_owned()
        );
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(()),
        ("http", Some(_)) if allow_http != Some(false) => Ok(()),
        ("http", Some(_)) => Err("it is not encrypted, which \"allow_http\" = false forbids".to_owned()),
        _ => Err("it needs the scheme https or http, and a host".to_owned()),
    }
}
