//! One contract for every store: disk, memory and a real S3 server; and how the store room behaves on bad days.
#![allow(clippy::disallowed_methods, reason = "tests read the real clock and write past the store room")]

#[path = "../support/mod.rs"]
mod support;

mod contract;
mod creation;
mod datasets;
mod time;
mod weather;
mod wire;

use outrigger::store::StoreParts;
use support::repos::{self, TestStore};

/// Where a claim is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Disk,
    Memory,
    S3,
}

impl Place {
    async fn open(self, parts: StoreParts) -> TestStore {
        match self {
            Self::Disk => repos::on_disk(parts).await,
            Self::Memory => repos::in_memory(parts).await,
            Self::S3 => repos::on_s3(parts).await,
        }
    }
}

/// Makes one test per place of each claim: `async fn claim(place: Place)`.
macro_rules! hold_everywhere {
    ($($claim:ident),* $(,)?) => {
        hold_everywhere!(@ disk Disk $($claim)*);
        hold_everywhere!(@ memory Memory $($claim)*);
        hold_everywhere!(@ s3 S3 $($claim)*);
    };
    (@ $name:ident $place:ident $($claim:ident)*) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::$claim(crate::Place::$place).await
                }
            )*
        }
    };
}
use hold_everywhere;

fn key(text: &str) -> outrigger::store::Key {
    outrigger::store::Key::parse(text).unwrap()
}
