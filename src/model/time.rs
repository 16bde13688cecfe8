//! Two clocks that are never compared by accident: ours and the store's.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

macro_rules! clock_reading {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub DateTime<Utc>);

        impl $name {
            /// From microseconds since the Unix epoch; `None` outside the calendar.
            pub fn from_micros(micros: i64) -> Option<Self> {
                DateTime::from_timestamp_micros(micros).map(Self)
            }

            /// Microseconds since the Unix epoch.
            pub fn as_micros(self) -> i64 {
                self.0.timestamp_micros()
            }

            /// Time passed since `earlier`; zero if `earlier` lies in the future.
            pub fn since(self, earlier: Self) -> Duration {
                (self.0 - earlier.0).to_std().unwrap_or(Duration::ZERO)
            }

            /// The reading `later` by a duration; saturates at the end of the calendar.
            pub fn plus(self, later: Duration) -> Self {
                chrono::Duration::from_std(later)
                    .ok()
                    .and_then(|later| self.0.checked_add_signed(later))
                    .map_or(Self(DateTime::<Utc>::MAX_UTC), Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%SZ"))
            }
        }
    };
}

clock_reading! {
    /// A reading of this host's clock. Good for records and logs, never for safety.
    Timestamp
}

clock_reading! {
    /// A reading of the store's clock: an object's `LastModified` or the `Date` of an answer.
    StoreTime
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> StoreTime {
        StoreTime::from_micros(micros).unwrap()
    }

    #[test]
    fn no_time_passes_backwards() {
        assert_eq!(at(3_000_000).since(at(1_000_000)), Duration::from_secs(2));
        assert_eq!(at(1_000_000).since(at(3_000_000)), Duration::ZERO);
    }

    #[test]
    fn readings_stay_inside_the_calendar() {
        assert_eq!(at(0).plus(Duration::from_micros(7)).as_micros(), 7);
        for endless in [Duration::MAX, Duration::from_secs(u64::from(u32::MAX) * 1000 * 60)] {
            assert_eq!(at(0).plus(endless), StoreTime(DateTime::<Utc>::MAX_UTC));
        }
        assert_eq!(StoreTime::from_micros(i64::MAX), None);
    }

    #[test]
    fn a_reading_is_printed_in_whole_seconds_of_utc() {
        assert_eq!(at(1_750_000_000_999_999).to_string(), "2025-06-15T15:06:40Z");
    }
}
