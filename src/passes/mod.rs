//! Verbs: one room for each kind of work, all of one shape.
//!
//! | file | does | may |
//! |---|---|---|
//! | `observe` | reads everything that a decision needs into one value | read |
//! | `decide` | turns that value, a policy and durations into plans | compute |
//! | `act` | carries a plan out, each write under the condition it was decided under | write |
//!
//! A pass never calls another pass. It works on scopes and fails in one scope alone. [`report`] is what a run says, [`hint`]
//! how it names a command that a person is to type.

pub mod hint;
pub mod recovery;
pub mod report;
