//! The smallest things a person writes into a configuration, each checked where it is read.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time as people write it: `"250ms"`, `"15s"`, `"1h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// That many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for HumanDuration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |error| format!("{text:?} is not a duration such as \"15s\" or \"1h 30m\": {error}");
        humantime::parse_duration(text).map(Self).map_err(wrong)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed("a duration such as \"15s\"", std::marker::PhantomData))
    }
}

/// The short name of a repository, used for logs, metrics, URLs and environment variables: a lower-case letter, then up
/// to 62 lower-case letters, digits, `-` or `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Checks the rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let begins_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        // `__` separates the parts of an environment variable.
        if begins_well && text.len() <= 63 && text.chars().all(good) && !text.contains("__") {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(format!(
            "{shown:?} is not a repository name: it needs 1 to 63 lower-case letters, digits, '-' or single '_', \
             beginning with a letter"
        ))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The root of a repository: `s3://bucket/prefix`, `file:///dir` or an absolute path. Without a trailing `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RepositoryUri(String);

impl RepositoryUri {
    /// Checks scheme and shape. A URI with credentials or a query is refused: secrets come from the environment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim_end_matches('/');
        if trimmed.starts_with('/') && !trimmed.contains('\0') {
            return Ok(Self(trimmed.to_owned()));
        }
        let url =
            url::Url::parse(trimmed).map_err(|_| wrong_uri("it is neither an absolute path nor a URI"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong_uri("it must not hold credentials; give them in the environment (AWS_*)"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong_uri("it must not have a query ('?') or a fragment ('#')"));
        }
        match (url.scheme(), url.host_str()) {
            ("file", None) if url.path() != "/" => Ok(Self(trimmed.to_owned())),
            ("s3" | "gs" | "az", Some(_)) => Ok(Self(trimmed.to_owned())),
            ("s3" | "gs" | "az" | "file", _) => Err(wrong_uri("it names no bucket or directory")),
            (scheme, _) => Err(wrong_uri(&format!("scheme {scheme:?} is not s3, gs, az or file"))),
        }
    }

    /// The URI without a trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says what is wrong without repeating the URI, which might hold a secret.
fn wrong_uri(rule: &str) -> String {
    format!("not the root of a repository: {rule}")
}

impl fmt::Display for RepositoryUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryUri {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for RepositoryUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed("a repository URI", std::marker::PhantomData))
    }
}

/// A secret text. It shows as `[redacted]` wherever it might be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Compare it in constant time; do not format it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

impl FromStr for Secret {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed("a text", std::marker::PhantomData))
    }
}

/// A closed set of words: the enum, every value once, and the word for each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $word)] $value,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// A kind of work that the daemon does.
    PassName {
        /// Finishes or undoes crashed commits.
        Recovery = "recovery",
    }
}

words! {
    /// Whether a roll back may close the gate of a native repository for its writers.
    Gate {
        /// Close it for as long as a roll back takes, 30 s at most.
        Auto = "auto",
        /// Never; roll backs wait for another window.
        Never = "never",
    }
}

words! {
    /// How log lines look.
    LogFormat {
        /// Text if standard error is a terminal, else JSON.
        Auto = "auto",
        /// One line of text per event.
        Text = "text",
        /// One JSON object per event and line.
        Json = "json",
    }
}

words! {
    /// The least important events that are logged.
    LogLevel {
        /// What a person must look at.
        Error = "error",
        /// What went wrong and was dealt with.
        Warn = "warn",
        /// What was done.
        Info = "info",
        /// What was looked at and decided.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

/// Reads a text through `FromStr`; the field says what was expected in its place.
struct Parsed<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_name_fits_into_labels_and_variables() {
        for good in ["a", "orders", "orders-eu_2"] {
            assert!(RepositoryName::parse(good).is_ok(), "{good:?}");
        }
        let long = "a".repeat(64);
        for bad in ["", "Orders", "1a", "-a", "a b", "a.b", "a/b", "a__b", "ä", &long] {
            assert!(RepositoryName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_repository_root_is_an_absolute_place_without_secrets() {
        for (text, kept) in [
            ("s3://bucket/graphs/orders/", "s3://bucket/graphs/orders"),
            ("s3://bucket", "s3://bucket"),
            ("/var/lib/graph/", "/var/lib/graph"),
            ("file:///var/lib/graph", "file:///var/lib/graph"),
        ] {
            assert_eq!(RepositoryUri::parse(text).unwrap().as_str(), kept);
        }
        for bad in
            ["", "/", "orders", "./orders", "s3://", "file:///", "http://host/x", "s3://b/p?versionId=1"]
        {
            assert!(RepositoryUri::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_uri_does_not_repeat_its_password() {
        let refused = RepositoryUri::parse("s3://key:hunter2@bucket/x").unwrap_err();
        assert!(refused.contains("credentials") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[redacted]\"");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_duration_reads_back_as_it_is_shown() {
        for text in ["15s", "1h 30m", "250ms", "0s"] {
            assert_eq!(text.parse::<HumanDuration>().unwrap().to_string(), text);
        }
        assert!("5".parse::<HumanDuration>().is_err());
    }
}
