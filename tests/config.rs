//! The configuration as its users meet it: the documented file, layers, faults, and the report of `check-config`.

#![cfg(feature = "engine")]

use chrono::{DateTime, Utc};
use outrigger::config::{
    self, Faults, Flag, Gate, Loaded, LogFormat, LogLevel, PassName, Source, Sources, TokenSource, raw,
};
use outrigger::model::Timestamp;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DOCUMENTED: &str = include_str!("../config/outrigger.toml");

const ORDERS: &str = "[[repositories]]\nname = \"orders\"\nuri = \"s3://bucket/orders\"\n";

fn sources(file: &str, env: &[(&str, &str)]) -> Sources {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { file: Some((PathBuf::from("o.toml"), file.to_owned())), env, flags: Vec::new() }
}

fn load(file: &str, env: &[(&str, &str)]) -> Result<Loaded, Faults> {
    config::load(&sources(file, env))
}

fn loaded(file: &str, env: &[(&str, &str)]) -> Loaded {
    load(file, env).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    load(file, env).expect_err("it should be refused").iter().map(ToString::to_string).collect()
}

/// The documented file with every key that is commented out put into force.
fn everything_uncommented() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    DOCUMENTED.lines().map(|line| uncomment(line) + "\n").collect()
}

#[test]
fn the_documented_file_equals_the_defaults() {
    let written: toml::Table = DOCUMENTED.parse().unwrap();
    let read: raw::Config = written.clone().try_into().unwrap();
    assert_eq!(read, raw::Config::defaults());
    // And it leaves none of them to be guessed.
    let mut defaults = serde_json::to_value(raw::Config::defaults()).unwrap();
    drop_absent(&mut defaults);
    assert_eq!(keys_of(&serde_json::to_value(&written).unwrap()), keys_of(&defaults));
}

#[test]
fn the_documented_file_mentions_every_key_and_its_examples_are_accepted() {
    let text = everything_uncommented();
    let accepted = loaded(&text, &[]);
    assert_eq!(accepted.settings.repositories.len(), 1);
    let written: toml::Table = text.parse().unwrap();
    let written = keys_of(&serde_json::to_value(&written).unwrap());
    let mut template = keys_of(&serde_json::to_value(raw::Config::template()).unwrap());
    // The one key that must not stand in a file.
    template.retain(|key| key != "http.token");
    let template: Vec<String> =
        template.iter().map(|key| key.replace("repositories.*", "repositories.0")).collect();
    let missing: Vec<&String> = template.iter().filter(|key| !written.contains(key)).collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
}

fn drop_absent(value: &mut serde_json::Value) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_absent);
    }
}

fn keys_of(value: &serde_json::Value) -> Vec<String> {
    fn walk(value: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
        let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(key, value)| walk(value, &join(key), keys))
            }
            serde_json::Value::Array(list) => {
                list.iter().enumerate().for_each(|(n, value)| walk(value, &join(&n.to_string()), keys));
            }
            _ => keys.push(path.to_owned()),
        }
    }
    let mut keys = Vec::new();
    walk(value, "", &mut keys);
    keys.sort();
    keys
}

#[test]
fn ten_lines_are_enough() {
    let settings = loaded(ORDERS, &[]).settings;
    let orders = settings.repository("orders").unwrap();
    assert_eq!(orders.interval, Duration::from_secs(15));
    assert_eq!(orders.grace, Duration::from_secs(300));
    assert!(orders.publish_neutral_drift);
    assert_eq!(orders.passes[&PassName::Recovery].concurrency.get(), 4);
    assert_eq!(settings.lease.ttl, Duration::from_secs(30));
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:9188");
    assert_eq!((settings.log.level, settings.log.format), (LogLevel::Info, LogFormat::Auto));
    assert_eq!(settings.http.token, None);
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let file = format!("[log]\nlevel = \"warn\"\nlibraries = \"error\"\n{ORDERS}");
    let mut sources =
        sources(&file, &[("OUTRIGGER__LOG__LEVEL", "debug"), ("OUTRIGGER__LOG__FORMAT", "json")]);
    let flag = |key: &str, value: &str| Flag { name: "--log".into(), key: key.into(), value: value.into() };
    sources.flags = vec![flag("log.format", "text")];
    let log = config::load(&sources).unwrap().settings.log;
    assert_eq!((log.libraries, log.level, log.format), (LogLevel::Error, LogLevel::Debug, LogFormat::Text));
}

#[test]
fn a_repository_inherits_key_by_key() {
    let file = format!(
        "[defaults]\ngrace = \"7m\"\n[store]\nregion = \"eu-central-1\"\n[passes.recovery]\nconcurrency = 9\n{ORDERS}\
         interval = \"20s\"\n[repositories.passes.recovery]\ntimeout = \"1m\"\n[repositories.store]\npatience = \"1s\"\n"
    );
    let settings = loaded(&file, &[]).settings;
    let orders = settings.repository("orders").unwrap();
    assert_eq!((orders.grace, orders.interval), (Duration::from_secs(420), Duration::from_secs(20)));
    assert_eq!(
        (orders.store.region.as_deref(), orders.store.patience),
        (Some("eu-central-1"), Duration::from_secs(1))
    );
    let recovery = &orders.passes[&PassName::Recovery];
    assert_eq!((recovery.concurrency.get(), recovery.timeout), (9, Duration::from_secs(60)));
}

#[test]
fn a_gate_is_closed_when_it_is_needed_unless_a_repository_or_all_of_them_say_no() {
    let of = |file: &str| loaded(file, &[]).settings.repository("orders").unwrap().gate;
    assert_eq!(of(ORDERS), Gate::Auto);
    assert_eq!(of(&format!("{ORDERS}gate = \"off\"\n")), Gate::Off);
    assert_eq!(of(&format!("[defaults]\ngate = \"off\"\n{ORDERS}")), Gate::Off);
    assert_eq!(of(&format!("[defaults]\ngate = \"off\"\n{ORDERS}gate = \"auto\"\n")), Gate::Auto);
    let found = faults(&format!("{ORDERS}gate = \"on\"\n"), &[]);
    assert_eq!(found, ["o.toml:4: repositories.orders.gate: \"on\" is not one of auto, off"]);
}

#[test]
fn a_variable_reaches_a_repository_by_its_name() {
    let file = ORDERS.replace("\"orders\"", "\"orders-eu\"");
    let env = [("OUTRIGGER__REPOSITORIES__ORDERS_EU__GRACE", "1h"), ("OUTRIGGER__DAEMON__CONCURRENCY", "7")];
    let settings = loaded(&file, &env).settings;
    assert_eq!(settings.repository("orders-eu").unwrap().grace, Duration::from_secs(3600));
    assert_eq!(settings.concurrency.get(), 7, "a number although the environment holds texts");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Sources::of_process(Some(Path::new("/nowhere/o.toml")), Vec::new()).unwrap_err();
    assert_eq!(error.kind(), outrigger::Kind::Invalid);
    assert!(error.chain().contains("/nowhere/o.toml"), "{error:?}");
}

#[test]
fn a_container_needs_no_file() {
    let env = [("OUTRIGGER__REPOSITORIES__ORDERS__URI".to_owned(), "s3://bucket/orders".to_owned())];
    let sources = Sources { env: env.to_vec(), ..Sources::default() };
    assert_eq!(config::load(&sources).unwrap().settings.repositories.len(), 1);

    // As docs/operations.md has it, and with all that a cron expression may hold.
    let documented = r#"[{cron = "0 3 * * 0", length = "30m"}]"#;
    let two = r#"[{cron = "0 3 * * 0", length = "30m"}, {cron = "*/5 1-2 1,15 * *", timezone = "Europe/Berlin", length = "1h 30m"}]"#;
    let (weekly, often) = (("0 3 * * 0", "UTC", 30), ("*/5 1-2 1,15 * *", "Europe/Berlin", 90));
    for (text, windows) in [(documented, &[weekly][..]), (two, &[weekly, often][..])] {
        let schedules = ("OUTRIGGER__REPOSITORIES__ORDERS__WINDOWS__SCHEDULES".to_owned(), text.to_owned());
        let sources = Sources { env: [&env[..], &[schedules]].concat(), ..Sources::default() };
        let loaded = config::load(&sources).unwrap_or_else(|faults| panic!("{text}: {faults}"));
        let read = loaded.settings.repository("orders").unwrap().windows.iter().map(|window| {
            (window.schedule.cron(), window.schedule.zone().name(), window.length.as_secs() / 60)
        });
        assert_eq!(read.collect::<Vec<_>>(), windows, "{text}");
    }
    let operations = include_str!("../docs/operations.md");
    assert!(operations.contains(&format!("WINDOWS__SCHEDULES='{documented}'")));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let env = [("OUTRIGGER__LOG__LEVEL", ""), ("AWS_REGION", ""), ("PATH", "/bin")];
    let settings = loaded(ORDERS, &env).settings;
    assert_eq!(settings.log.level, LogLevel::Info);
    assert_eq!(settings.repository("orders").unwrap().store.region, None);
}

#[test]
fn the_usual_variables_say_how_s3_is_reached_where_the_configuration_does_not() {
    let env = [
        ("AWS_ENDPOINT_URL", "http://general:1"),
        ("AWS_ENDPOINT_URL_S3", "http://special:1"),
        ("AWS_DEFAULT_REGION", "us-west-2"),
        ("AWS_ALLOW_HTTP", "1"),
        ("AWS_S3_FORCE_PATH_STYLE", "False"),
    ];
    let read = loaded(ORDERS, &env);
    let store = &read.settings.repository("orders").unwrap().store;
    assert_eq!(
        (store.endpoint.as_deref(), store.region.as_deref()),
        (Some("http://special:1"), Some("us-west-2"))
    );
    assert_eq!((store.allow_http, store.force_path_style), (Some(true), Some(false)));
    let report = config::check::report(&read, noon());
    let origin =
        |key: &str| report.settings.iter().find(|setting| setting.key == key).unwrap().origin.source.clone();
    let variable = |name: &str| Source::Env { variable: name.into() };
    assert_eq!(origin("store.endpoint"), variable("AWS_ENDPOINT_URL_S3"));
    assert_eq!(origin("repositories.orders.store.region"), variable("AWS_DEFAULT_REGION"));

    let file = format!("[store]\nregion = \"eu-central-1\"\n{ORDERS}store.endpoint = \"https://own:1\"\n");
    let both = [&env[..], &[("OUTRIGGER__STORE__ALLOW_HTTP", "false")]].concat();
    let settings = loaded(&file, &both).settings;
    let store = &settings.repository("orders").unwrap().store;
    assert_eq!(
        (store.endpoint.as_deref(), store.region.as_deref()),
        (Some("https://own:1"), Some("eu-central-1"))
    );
    assert_eq!(store.allow_http, Some(false));
}

#[test]
fn a_wrong_usual_variable_is_named() {
    let wrong = "$AWS_ENDPOINT_URL: store.endpoint: it needs the scheme https or http, and a host";
    assert_eq!(faults(ORDERS, &[("AWS_ENDPOINT_URL", "localhost:9000")]), [wrong]);
    let found = faults(ORDERS, &[("AWS_ALLOW_HTTP", "maybe")]);
    assert!(found[0].starts_with("$AWS_ALLOW_HTTP: store.allow_http: "), "{found:?}");
}

#[test]
fn a_wrong_timezone_is_named_where_it_stands() {
    let file = format!("{ORDERS}{}", NIGHTLY.replace("Europe/Berlin", "Europe/Berlib"));
    let wrong = "o.toml:6: repositories.orders.windows.schedules.0.timezone: \"Europe/Berlib\" is not an IANA timezone; did you \
                 mean \"Europe/Berlin\"?";
    assert_eq!(faults(&file, &[]), [wrong]);
    let wrong = "o.toml:2: passes.recovery.timezone: \"Utopia\" is not an IANA timezone";
    assert_eq!(
        faults(&format!("[passes.recovery]\ntimezone = \"Utopia\"\nschedule = \"0 3 * * *\"\n{ORDERS}"), &[]),
        [wrong]
    );
}

#[test]
fn where_a_daemon_listens_is_told_whatever_else_is_wrong() {
    let listen =
        |file: &str, env: &[(&str, &str)]| config::listen(&sources(file, env)).map(|at| at.to_string());
    assert_eq!(listen("", &[]).unwrap(), raw::DEFAULT_LISTEN);
    assert_eq!(listen("", &[("OUTRIGGER__HTTP__LISTEN", "0.0.0.0:1")]).unwrap(), "0.0.0.0:1");
    assert_eq!(listen("[http]\nlisten = \"[::1]:2\"\n[defaults]\ngrase = 1\n", &[]).unwrap(), "[::1]:2");
    for (file, fault) in [("[http]\nlisten = \"here\"\n", "http.listen"), ("[http\n", "o.toml:1")] {
        let refused = listen(file, &[]).unwrap_err().to_string();
        assert!(refused.contains(fault), "{refused}");
    }
}

#[test]
fn all_faults_are_named_at_once_with_their_place() {
    let file = "\
[daemon]
concurency = 5
grace = \"5m\"

[defaults]
interval = \"5s\"
grace = 300

[log]
format = \"jsn\"
colour = true

[[repositories]]
name = \"orders\"
uri = \"ftp://host/orders\"
[[repositories.windows.schedules]]
cron = \"0 3 * *\"
length = \"10s\"
";
    let env = [("OUTRIGGER__HTTP__LISTEN", "localhost"), ("OUTRIGGER__LEASES__TTL", "1m")];
    let found = faults(file, &env);
    let expected = [
        "o.toml:2: daemon.concurency: there is no such key; did you mean \"concurrency\"?",
        "o.toml:3: daemon.grace: there is no such key here; did you mean \"defaults.grace\"?",
        "o.toml:6: defaults.interval: 5s is not between 10s and 1m",
        "o.toml:7: defaults.grace: the number 300 stands where a duration such as \"15s\" is expected",
        "o.toml:10: log.format: \"jsn\" is not one of auto, text, json; did you mean \"json\"?",
        "o.toml:11: log.colour: there is no such key; here stand: format, level, libraries",
        "o.toml:15: repositories.orders.uri: repository address \"ftp://host/orders\" has an unknown scheme: s3://, \
         file:// and paths are understood",
        "o.toml:17: repositories.orders.windows.schedules.0.cron: a schedule has 5 fields (minute hour day-of-month month \
         day-of-week), not 4",
        "o.toml:18: repositories.orders.windows.schedules.0.length: 10s is not between 1m and 7days",
        "$OUTRIGGER__HTTP__LISTEN: http.listen: \"localhost\" is not an address and port such as \"127.0.0.1:9188\"",
        "$OUTRIGGER__LEASES__TTL: leases.ttl: there is no such key; did you mean \"lease\"?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_inherited_fault_is_named_once_and_where_it_stands() {
    let two = format!("{ORDERS}[[repositories]]\nname = \"users\"\nuri = \"s3://bucket/users\"\n");
    let found = faults(&format!("[store]\nallow_http = false\nendpoint = \"http://host\"\n{two}"), &[]);
    let wanted = "o.toml:3: store.endpoint: it is not encrypted, which \"allow_http\" = false forbids";
    assert_eq!(found, [wanted]);
}

#[test]
fn a_file_that_is_no_toml_is_refused_by_line_without_quoting_it() {
    let found = faults("[http]\ntoken = \"hunter2\nlisten = 1\n", &[]);
    assert!(found[0].starts_with("o.toml:2: "), "{found:?}");
    assert!(!found.join("").contains("hunter2"), "{found:?}");
}

#[test]
fn repositories_must_be_there_and_differ() {
    let none = "repositories: there is none: add [[repositories]] with a name and a uri to the file that --config names, or \
                set OUTRIGGER__REPOSITORIES__<NAME>__URI";
    assert_eq!(faults("", &[]), [none]);
    let nameless = "[[repositories]]\nuri = \"/x\"\n";
    assert_eq!(
        faults(nameless, &[]),
        ["o.toml:1: repositories: every repository needs a name, a short text"]
    );
    let placeless = "[[repositories]]\nname = \"orders\"\n";
    assert_eq!(faults(placeless, &[]), ["o.toml:1: repositories.orders.uri: \"uri\" is missing"]);
    let twice = ORDERS.to_owned() + ORDERS;
    let same_name =
        "o.toml:4: repositories: two repositories are named \"orders\" ('-' and '_' count as the same)";
    assert_eq!(faults(&twice, &[]), [same_name]);
    let same_root = ORDERS.to_owned() + &ORDERS.replace("name = \"orders\"", "name = \"users\"");
    assert_eq!(
        faults(&same_root, &[]),
        ["o.toml:6: repositories.users.uri: repository \"orders\" has the same root"]
    );
    let keyed = "[repositories.orders]\nuri = \"/x\"\n";
    assert!(faults(keyed, &[])[0].contains("begin each entry with [[repositories]]"));
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    let found = faults(&format!("[http]\ntoken = \"hunter2-hunter2-hunter2\"\n{ORDERS}"), &[]);
    assert!(found[0].starts_with("o.toml:2: http.token: a secret must not stand here"), "{found:?}");
    let found = faults(&format!("[http]\ntoken = 123454321\n{ORDERS}"), &[]);
    assert!(!found.is_empty() && !found.join("").contains("123454321"), "{found:?}");
    for place in
        ["uri = \"s3://me:hunter2@bucket/x\"", "uri = \"/x\"\nstore.endpoint = \"https://me:hunter2@host\""]
    {
        let found = faults(&format!("[[repositories]]\nname = \"orders\"\n{place}\n"), &[]);
        assert!(!found.is_empty() && !found.join("").contains("hunter2"), "{found:?}");
    }
}

#[test]
fn a_token_from_the_environment_is_used_and_never_shown() {
    let env = [("OUTRIGGER__HTTP__TOKEN", "1234567890123456")];
    let sources = sources(ORDERS, &env);
    let loaded = config::load(&sources).unwrap();
    let report = config::check::report(&loaded, noon());
    let shown = format!("{sources:?} {loaded:?} {report} {}", serde_json::to_string(&report).unwrap());
    assert!(!shown.contains(env[0].1), "{shown}");
    assert!(shown.contains("[redacted]"));
    let token = loaded.settings.http.token.unwrap().read().unwrap();
    assert_eq!(token.reveal(), env[0].1);
}

#[test]
fn a_token_file_is_read_without_its_end_of_line() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config-token");
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    assert_eq!(TokenSource::File(path.clone()).read().unwrap().reveal(), "0123456789abcdef");
    for weak in ["", "short", "0123456789 abcdef", "0123456789abcdef\n\n0123456789abcdef"] {
        std::fs::write(&path, weak).unwrap();
        let refused = TokenSource::File(path.clone()).read().unwrap_err();
        assert_eq!(refused.kind(), outrigger::Kind::Invalid);
        assert!(refused.to_string().contains("config-token"), "{refused}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(TokenSource::File(path).read().unwrap_err().to_string().contains("cannot read the token file"));
}

fn noon() -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339("2026-10-24T12:00:00Z").unwrap().with_timezone(&Utc))
}

const NIGHTLY: &str = "\
[[repositories.windows.schedules]]
cron = \"30 2 * * *\"
timezone = \"Europe/Berlin\"
length = \"30m\"
[repositories.passes.recovery]
schedule = \"0 */12 * * *\"
";

#[test]
fn the_report_names_the_origin_of_every_value() {
    let file = format!("[defaults]\ngrace = \"7m\"\n{ORDERS}{NIGHTLY}");
    let loaded = loaded(&file, &[("OUTRIGGER__LOG__LEVEL", "debug")]);
    let report = config::check::report(&loaded, noon());
    let origin = |key: &str| {
        let setting = report.settings.iter().find(|setting| setting.key == key).unwrap();
        (setting.value.to_string(), setting.origin.key.as_str(), &setting.origin.source)
    };
    let file_line = |line| Source::File { path: PathBuf::from("o.toml"), line };
    assert_eq!(origin("repositories.orders.grace"), ("\"7m\"".into(), "defaults.grace", &file_line(2)));
    assert_eq!(origin("repositories.orders.uri").2, &file_line(5));
    assert_eq!(
        origin("repositories.orders.interval"),
        ("\"15s\"".into(), "defaults.interval", &Source::Default)
    );
    assert_eq!(origin("log.level").2, &Source::Env { variable: "OUTRIGGER__LOG__LEVEL".into() });
    assert_eq!(origin("daemon.concurrency"), ("4".into(), "daemon.concurrency", &Source::Default));
}

#[test]
fn the_table_says_once_what_all_repositories_inherit() {
    let report = config::check::report(&loaded(&format!("{ORDERS}grace = \"1m\"\n"), &[]), noon());
    let table = report.to_string();
    assert!(table.contains("repositories.orders.grace "), "{table}");
    assert!(
        table.contains("defaults.idle_grace ") && !table.contains("repositories.orders.idle_grace "),
        "{table}"
    );
    assert!(report.settings.iter().any(|setting| setting.key == "repositories.orders.idle_grace"));
}

#[test]
fn the_report_shows_the_next_three_runs_of_each_schedule() {
    let report = config::check::report(&loaded(&format!("{ORDERS}{NIGHTLY}"), &[]), noon());
    let json = serde_json::to_value(&report).unwrap();
    let expected = serde_json::json!([
        {
            "key": "repositories.orders.passes.recovery.schedule", "cron": "0 */12 * * *", "timezone": "UTC",
            "next": ["2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z", "2026-10-26T00:00:00Z"], "open": null,
        },
        {
            "key": "repositories.orders.windows.schedules.0", "cron": "30 2 * * *", "timezone": "Europe/Berlin",
            "next": ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"], "open": null,
        },
    ]);
    assert_eq!(json["schedules"], expected);
    let table = report.to_string();
    assert!(table.contains("30 2 * * * Europe/Berlin  2026-10-25T00:30:00Z 2026-10-26T01:30:00Z"), "{table}");
}

#[test]
fn the_report_says_that_a_window_is_open() {
    let loaded = loaded(&format!("{ORDERS}{NIGHTLY}"), &[]);
    let inside = noon().plus(Duration::from_secs(12 * 3600 + 40 * 60));
    let report = config::check::report(&loaded, inside);
    assert!(report.to_string().contains("(open until 2026-10-25T01:00:00Z)"), "{report}");
}
