//! The recovery pass: finishes or undoes commits whose writer is gone.
//!
//! *Unit of work*: the component, all claims (sidecars and armed fence records) that share a table and Lance branch.
//! *Safe beside live writers*: every act goes through a precondition that the store checks. What cannot be made safe that
//! way, `restore`, waits for a window.
//! *Never*: touches what it does not understand, follows a path that a sidecar records, or deletes a sidecar whose outcome
//! is not recorded in the manifest first.

#[cfg(feature = "engine")]
pub mod act;
pub mod decide;
pub mod observation;
#[cfg(feature = "engine")]
pub mod observe;
#[cfg(feature = "engine")]
mod protect;
#[cfg(feature = "engine")]
pub mod quarantine;
#[cfg(feature = "engine")]
pub mod repair;
#[cfg(feature = "engine")]
mod retire;
#[cfg(feature = "engine")]
pub mod run;
#[cfg(feature = "engine")]
mod sweep;
#[cfg(feature = "engine")]
mod tell;
#[cfg(feature = "engine")]
pub mod undo;
