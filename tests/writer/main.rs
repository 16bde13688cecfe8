//! The writer library: transactions, their phases, and every crash in them.
#![allow(
    clippy::disallowed_methods,
    reason = "tests stand in for other programs: they write, wait and read the clock"
)]
#![allow(clippy::disallowed_macros, reason = "the processes that tests start speak to them")]

#[path = "../support/mod.rs"]
mod support;

mod branches;
mod commits;
mod crashes;
mod expressions;
mod gate;
mod healing;
mod meetings;
mod merges;
mod processes;
mod random;
mod reads;
mod world;
mod zombies;

/// Makes a test of each claim, on disk and on a real S3 server: `async fn claim(world: World)`.
macro_rules! everywhere {
    ($($claim:ident),* $(,)?) => {
        everywhere!(on_disk $($claim)*);
        everywhere!(on_s3 $($claim)*);
    };
    ($place:ident $($claim:ident)*) => {
        mod $place {
            use crate::world::World;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::$claim(World::$place().await).await
                }
            )*
        }
    };
}
use everywhere;
