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

/// A number of bytes as people write it: `"512KiB"`, `"64MiB"`, `"1GiB"`, or plain bytes as `"4096B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanBytes(pub u64);

/// Largest first, so that a size is shown in the largest unit that divides it.
const BYTE_UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |shift: u32| self.0 > 0 && self.0.trailing_zeros() >= shift;
        let (unit, shift) = BYTE_UNITS.into_iter().find(|(_, shift)| fits(*shift)).unwrap_or(("B", 0));
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

impl FromStr for HumanBytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size such as \"64MiB\"");
        let unit = BYTE_UNITS.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
        let (number, shift) = unit.ok_or_else(wrong)?;
        let number: u64 = number.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

impl Serialize for HumanBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed("a size such as \"64MiB\"", std::marker::PhantomData))
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
    /// Whether a native repository's writers may be kept out for a moment.
    Gate {
        /// When something waits for a window.
        Auto = "auto",
        /// Never.
        Off = "off",
    }
}

words! {
    /// A kind of work that the daemon does.
    PassName {
        /// Finishes or undoes crashed commits.
        Recovery = "recovery",
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
    fn a_size_reads_back_as_it_is_shown() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1GiB", 1 << 30), ("1536KiB", 1536 << 10), ("5B", 5), ("0B", 0)]
        {
            assert_eq!(text.parse(), Ok(HumanBytes(bytes)));
            assert_eq!(HumanBytes(bytes).to_string(), text);
        }
        for bad in ["", "64", "64MB", "-1B", "MiB", "99999999999GiB"] {
            assert!(bad.parse::<HumanBytes>().is_err(), "{bad:?}");
        }
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
