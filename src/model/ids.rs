//! Names that arrive from storage, checked once so that the rest of the code may trust them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A name from storage that breaks its rule; says which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} {rule}")]
pub struct BadName {
    /// What kind of name it is: "branch name", "operation id", …
    pub what: &'static str,
    /// The name as found, shortened to 80 characters.
    pub name: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl BadName {
    fn new(what: &'static str, name: &str, rule: &'static str) -> Self {
        Self { what, name: name.chars().take(80).collect(), rule }
    }
}

/// The name by which the manifest knows a table: `node:Person`, `edge:Knows`.
///
/// Any text without control characters, 1–512 bytes. A key never becomes part of a path: paths are derived by hashing
/// ([`super::table_path`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableKey(String);

impl TableKey {
    /// Checks the rule and keeps the text as it is.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if text.is_empty() || text.len() > 512 {
            return Err(BadName::new("table key", text, "must have 1 to 512 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(BadName::new("table key", text, "must not contain control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TableKey {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::parse(&text)
    }
}

impl From<TableKey> for String {
    fn from(key: TableKey) -> String {
        key.0
    }
}

impl fmt::Display for TableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A branch of a graph and, under the same name, of the tables written on it. `main` is stored as null.
///
/// A named branch obeys Lance's rule: segments of alphanumerics, `.`, `-`, `_`, joined by single `/`, no `..`; so it is
/// safe as a path below `tree/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Option<String>", into = "Option<String>")]
pub struct Branch(Option<String>);

impl Branch {
    /// The main line.
    pub const fn main() -> Self {
        Self(None)
    }

    /// Reads a stored branch: null and `main` are the main line.
    pub fn parse(name: Option<&str>) -> Result<Self, BadName> {
        let Some(name) = name.map(str::trim) else { return Ok(Self::main()) };
        if name == "main" {
            return Ok(Self::main());
        }
        let segment_ok = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if name.is_empty() || name.len() > 512 {
            return Err(BadName::new("branch name", name, "must have 1 to 512 bytes"));
        }
        if name.contains("..") || !name.split('/').all(segment_ok) {
            return Err(BadName::new(
                "branch name",
                name,
                "may only hold letters, digits, '.', '-' and '_' in segments joined by single '/'",
            ));
        }
        Ok(Self(Some(name.to_owned())))
    }

    /// The stored form: `None` on the main line.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether this is the main line.
    pub fn is_main(&self) -> bool {
        self.0.is_none()
    }
}

/// For reports, whose readers know the main line by its name: storage has null.
pub fn spelt<S: serde::Serializer>(branch: &Branch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(branch)
}

impl TryFrom<Option<String>> for Branch {
    type Error = BadName;
    fn try_from(name: Option<String>) -> Result<Self, BadName> {
        Self::parse(name.as_deref())
    }
}

impl From<Branch> for Option<String> {
    fn from(branch: Branch) -> Self {
        branch.0
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("main"))
    }
}

/// Which of the branches that had this name one after the other: Lance's `version_mapping` in the branch's record, the versions
/// and unique ids from the main line down to it. Empty on the main line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchIdentity(pub Vec<(u64, String)>);

/// A writer's operation: the ULID that names its sidecar, never reused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(String);

impl OperationId {
    /// Checks that the text is a ULID (26 characters, Crockford base 32) and keeps it as it is.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        match ulid::Ulid::from_string(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(BadName::new("operation id", text, "is not a ULID")),
        }
    }

    /// The text as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for OperationId {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::parse(&text)
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> String {
        id.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of one Lance dataset (or of one of its branches). Versions count from 1; 0 means "not there".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// "Not there": what the manifest says of a table that it does not know.
    pub const ABSENT: Self = Self(0);

    /// The version that the next commit makes.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_name_cannot_leave_its_tree() {
        for bad in ["", "/a", "a/", "a//b", "../x", "a/../b", "a..b", "a\\b", "a b", "a/./b", "."] {
            assert!(Branch::parse(Some(bad)).is_err(), "{bad:?}");
        }
        for good in ["feature", "a/b.c-d_e", "__schema_apply_lock__", "größe"] {
            assert_eq!(Branch::parse(Some(good)).unwrap().name(), Some(good));
        }
    }

    #[test]
    fn main_and_null_are_the_same_branch() {
        assert_eq!(Branch::parse(Some("main")).unwrap(), Branch::parse(None).unwrap());
        assert_eq!(serde_json::to_string(&Branch::main()).unwrap(), "null");
    }

    #[test]
    fn an_operation_id_is_a_ulid() {
        assert!(OperationId::parse("01JZ0A3V9Q6T1F4C8R2M5N7P0X").is_ok());
        for bad in ["", "x", "../01JZ0A3V9Q6T1F4C8R2M5N7P0X", "01JZ0A3V9Q6T1F4C8R2M5N7P0X.json"] {
            assert!(OperationId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
