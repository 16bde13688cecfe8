//! Recovery end to end, on real graphs of both dialects: every verdict, every crash, bad input, and what it costs.
#![allow(
    clippy::disallowed_methods,
    reason = "tests stand in for other programs: they write, wait and read the clock"
)]

#[path = "../support/mod.rs"]
mod support;

mod back;
mod bad_input;
mod company;
mod cost;
mod deaths;
mod ends;
mod forward;
mod grace;
mod guards;
mod harness;
mod held;
mod maintenance;
mod merge;
mod plan;
mod remembered;
mod repairs;
mod schema;
mod settled;
mod wrecks;

/// Makes one test per dialect of each claim, on disk: `async fn claim(graph: Graph)`.
macro_rules! on_both_dialects {
    ($($claim:ident),* $(,)?) => {
        claims!(v3 on_disk GraphV3 $($claim)*);
        claims!(v4 on_disk GraphV4 $($claim)*);
    };
}

/// The same on a real S3 server.
macro_rules! on_s3 {
    ($($claim:ident),* $(,)?) => {
        claims!(s3_v3 on_s3 GraphV3 $($claim)*);
        claims!(s3_v4 on_s3 GraphV4 $($claim)*);
    };
}

macro_rules! claims {
    ($name:ident $place:ident $dialect:ident $($claim:ident)*) => {
        mod $name {
            use crate::support::graph::Graph;
            use outrigger::repo::Dialect;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::$claim(Graph::$place(Dialect::$dialect).await).await
                }
            )*
        }
    };
}
use {claims, on_both_dialects, on_s3};
