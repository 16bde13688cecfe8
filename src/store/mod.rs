//! The edge to the object store: every key in both directions, reads and conditional writes, and the layers that confine,
//! repeat and count each request — ours and Lance's alike.
//!
//! This is the only room that calls the object store's put and delete. It never decides what is right to write: that comes
//! with a precondition from the passes, and the store checks it.
//!
//! | file | for |
//! |---|---|
//! | [`uri`] | where a repository lies; names that cannot leave it |
//! | [`layout`] | what each control object is called, and what a name means |
//! | [`settings`] | how to reach a store |
//! | [`open`] | the one constructor |
//! | [`ops`], [`create`] | reading, listing, writing, deleting; create-if-absent with its three endings |
//! | [`layers`] | confine, retry, meter, faults, ordered |
pub mod create;
#[expect(clippy::disallowed_methods, reason = "layers pass on what they are asked; `ops` and `create` ask")]
pub mod layers;
pub mod layout;
pub mod open;
pub mod ops;
pub mod settings;
pub mod uri;

mod backend;
mod clock;
mod session;
mod trouble;

pub use create::Written;
pub use layers::Verb;
pub use layers::faults::{Call, Fault};
pub use layers::meter::Requests;
pub use layout::{ControlObject, SchemaFile, Stem, SystemDataset};
pub use open::{Store, StoreParts};
pub use ops::{ETag, Listing, Meta, Object, Removed};
pub use settings::{AWS_VARIABLES, Credentials, StoreSettings};
pub(crate) use trouble::{explain_plainly, kind_of};
pub use uri::{Key, RepoUri, Scheme};
