//! Thin wrappers around an object store, each with one job, each forwarding every method.
//!
//! Their order, from the caller inwards, and why:
//!
//! | layer | job | why here |
//! |---|---|---|
//! | [`confine`] | refuses writes outside the root | nothing may pass it |
//! | [`retry`] | repeats what may be repeated | each repetition must be seen below |
//! | [`meter`] | counts requests | counts repetitions and injected failures, as a server would |
//! | [`faults`] | lets tests break calls | next to the store, so that everything above meets the failure |
//! | [`ordered`] | sorts local listings | part of making a disk look like an object store |
//!
//! [`super::open`] is the only place that stacks them.
pub mod confine;
pub mod faults;
pub mod meter;
pub mod ordered;
pub mod retry;

use object_store::{GetOptions, PutMode};

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read an object or a part of it.
    Get,
    /// Read an object's metadata.
    Head,
    /// List one page of names.
    List,
    /// Write an object, whatever was there.
    Put,
    /// Write an object if there is none.
    Create,
    /// Write an object if it has not changed.
    Update,
    /// Begin an upload in parts.
    StartUpload,
    /// Send one part of an upload.
    PutPart,
    /// Make the parts of an upload an object.
    FinishUpload,
    /// Drop the parts of an upload.
    AbortUpload,
    /// Delete an object.
    Delete,
    /// Copy an object within the store.
    Copy,
    /// Copy an object and delete the original.
    Rename,
}

impl Verb {
    fn of_get(options: &GetOptions) -> Self {
        if options.head { Self::Head } else { Self::Get }
    }

    fn of_put(mode: &PutMode) -> Self {
        match mode {
            PutMode::Overwrite => Self::Put,
            PutMode::Create => Self::Create,
            PutMode::Update(_) => Self::Update,
        }
    }
}
