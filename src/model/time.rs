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
