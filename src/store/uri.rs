//! Where a repository lies, and the names of objects below it.
//!
//! An address is normalised once: `file://` becomes a path, relative paths become absolute (lexically, as the engines do
//! it), a trailing `/` goes away. Everything else speaks of root-relative [`Key`]s, which cannot leave the root.

use crate::error::{Error, Result};
use crate::model::BadName;
use object_store::path::Path;
use std::fmt;
use std::path::{Component, PathBuf};

/// What kind of store an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A directory of this host: a path or `file://`.
    Local,
    /// Memory of this process; tests and simulations.
    Memory,
    /// `s3://bucket/prefix`: Amazon S3 and everything that speaks its protocol.
    S3,
    /// `gs://bucket/prefix`: Google Cloud Storage (cargo feature `gcp`).
    Gs,
    /// `az://container/prefix`: Azure Blob Storage (cargo feature `azure`).
    Az,
}

impl Scheme {
    /// The scheme under which Lance asks for datasets of this kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "file",
            Self::Memory => "memory",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        }
    }
}

/// The normalised address of a repository's root. Holds no secret: addresses with user or password are refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepoUri {
    scheme: Scheme,
    bucket: String,
    root: Path,
    text: String,
}

impl RepoUri {
    /// Reads `s3://bucket/prefix`, `file:///dir`, a path, and with their cargo features `gs://…` and `az://…`.
    ///
    /// A relative path is taken from the process's working directory. Anything that could be read in two ways (`?`, `#`,
    /// `%` in a bucket's prefix, `..` in it, a user name) is refused.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |rule: &str| Err(Error::invalid(format!("repository address {:?} {rule}", shown(text))));
        if text.trim().is_empty() {
            return Err(Error::invalid(
                "the repository address is empty: give s3://bucket/prefix or a directory",
            ));
        }
        if text.chars().any(char::is_control) {
            return refuse("holds control characters");
        }
        match text.split_once("://") {
            None => Self::local(text),
            Some(("file", rest)) => match rest.strip_prefix("localhost/").or(rest.strip_prefix('/')) {
                Some(path) => Self::local(&format!("/{}", percent_decoded(path)?)),
                None => refuse("names another host: write file:///directory"),
            },
            Some(("s3", rest)) => Self::bucket(Scheme::S3, text, rest),
            Some(("gs", rest)) if cfg!(feature = "gcp") => Self::bucket(Scheme::Gs, text, rest),
            Some(("az", rest)) if cfg!(feature = "azure") => Self::bucket(Scheme::Az, text, rest),
            Some(("gs" | "az", _)) => refuse("needs a build with the cargo feature gcp or azure"),
            Some(_) => refuse("has an unknown scheme: s3://, file:// and paths are understood"),
        }
    }

    /// A repository in the memory of this process, for tests and simulations.
    ///
    /// # Panics
    /// If the name is not a single plain word.
    pub fn memory(name: &str) -> Self {
        assert!(
            name.chars().all(|c| c.is_ascii_alphanumeric()) && !name.is_empty(),
            "a plain word: {name:?}"
        );
        Self {
            scheme: Scheme::Memory,
            bucket: name.to_owned(),
            root: Path::from(name),
            text: format!("memory://{name}"),
        }
    }

    fn local(path: &str) -> Result<Self> {
        let bad = |rule: String| {
            Error::invalid(format!(
                "repository directory {:?} {rule}",
                path.chars().take(200).collect::<String>()
            ))
        };
        let absolute = std::path::absolute(path)
            .map_err(|cause| bad("cannot be made absolute".into()).caused_by(cause))?;
        let clean = without_dots(&absolute);
        let root =
            Path::from_absolute_path(&clean).map_err(|cause| bad(format!("is not usable: {cause}")))?;
        if root.is_root() {
            return Err(bad("is the root of the file system".into()));
        }
        let Some(text) = clean.to_str() else { return Err(bad("is not UTF-8".into())) };
        Ok(Self { scheme: Scheme::Local, bucket: String::new(), root, text: text.to_owned() })
    }

    fn bucket(scheme: Scheme, text: &str, rest: &str) -> Result<Self> {
        let refuse = |rule: &str| Err(Error::invalid(format!("repository address {:?} {rule}", shown(text))));
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains('@') {
            return refuse(
                "holds a user name: give credentials by environment or configuration, never in an address",
            );
        }
        if bucket.is_empty() || !bucket.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
            return refuse("has no valid bucket name");
        }
        let prefix = prefix.trim_end_matches('/');
        let root = match prefix {
            "" => Path::ROOT,
            _ => match Key::parse(prefix) {
                Ok(key) => Path::parse(key.as_str()).map_err(|cause| Error::invalid(cause.to_string()))?,
                Err(bad) => return refuse(&format!("has a prefix that {}", bad.rule)),
            },
        };
        let text = match prefix {
            "" => format!("{}://{bucket}", scheme.name()),
            _ => format!("{}://{bucket}/{prefix}", scheme.name()),
        };
        Ok(Self { scheme, bucket: bucket.to_owned(), root, text })
    }

    /// What kind of store this is.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Bucket or container; empty on local disk.
    pub fn bucket_name(&self) -> &str {
        &self.bucket
    }

    /// The normalised text: an absolute path or `scheme://bucket/prefix`, without trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address by which Lance opens the dataset at a key: `<root>/<key>`.
    pub fn dataset(&self, key: &Key) -> String {
        format!("{}/{key}", self.text)
    }

    /// The root as the object store sees it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The object store's path of a key.
    pub(crate) fn path(&self, key: &Key) -> Path {
        let below = match self.root.is_root() {
            true => key.0.clone(),
            false => format!("{}/{key}", self.root),
        };
        Path::parse(below).expect("a key obeys the rules of paths")
    }

    /// The key of an object store's path; `None` outside the root.
    pub(crate) fn key(&self, path: &Path) -> Option<Key> {
        let rest = match self.root.is_root() {
            true => path.as_ref(),
            false => path.as_ref().strip_prefix(self.root.as_ref())?.strip_prefix('/')?,
        };
        (!rest.is_empty()).then(|| Key::trusted(rest.to_owned()))
    }
}

impl fmt::Display for RepoUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for RepoUri {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// The name of an object or prefix, relative to the root: `__recovery/lease.beat`.
///
/// Segments joined by single `/`; none is empty, `.` or `..`; no control character, `\`, `%`, `?` or `#`. So a key never
/// leaves the root, and means the same to Lance (which reads addresses as URLs) and to the object store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// A file about a branch of a dataset, named as Lance names its record: a `/` in the branch's name is `%2F`. The one exception
    /// from the rules.
    pub fn branch_file(dataset: &Self, branch: &str, end: &str) -> Self {
        Self::trusted(format!("{dataset}/_refs/branches/{}{end}", branch.replace('/', "%2F")))
    }

    /// Checks the rules and keeps the text as it is.
    pub fn parse(text: &str) -> std::result::Result<Self, BadName> {
        let refuse = |rule| Err(BadName { what: "object name", name: text.chars().take(80).collect(), rule });
        if text.is_empty() || text.len() > 1024 {
            return refuse("must have 1 to 1024 bytes");
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\\' | '%' | '?' | '#')) {
            return refuse("must not contain control characters, '\\', '%', '?' or '#'");
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse("must not have empty, '.' or '..' segments");
        }
        Ok(Self(text.to_owned()))
    }

    /// A key whose parts are known to be good.
    pub(super) fn trusted(text: String) -> Self {
        debug_assert!(Path::parse(&text).is_ok(), "{text:?}");
        Self(text)
    }

    /// A key one or more segments below this one.
    pub fn join(&self, below: &str) -> std::result::Result<Self, BadName> {
        Self::parse(&format!("{}/{below}", self.0))
    }

    /// The text, without leading or trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address fit for a message: shortened, and without what stands before an `@`.
fn shown(text: &str) -> String {
    let safe = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, after))) => format!("{scheme}://…@{after}"),
        _ => text.to_owned(),
    };
    safe.chars().take(200).collect()
}

/// Resolves `.` and `..` by their text alone; symbolic links are not followed.
fn without_dots(path: &std::path::Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
        clean
    })
}

fn percent_decoded(path: &str) -> Result<String> {
    match Path::from_url_path(path) {
        Ok(decoded) => Ok(decoded.to_string()),
        Err(cause) => {
            Err(Error::invalid(format!("repository address file:///{path} is not usable: {cause}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_spelling() {
        for (text, normal) in [
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("file:///srv/graph/", "/srv/graph"),
            ("file://localhost/srv/my%20graph", "/srv/my graph"),
            ("/srv/./x/../graph//", "/srv/graph"),
        ] {
            assert_eq!(RepoUri::parse(text).unwrap().as_str(), normal, "{text}");
        }
    }

    #[test]
    fn a_relative_path_starts_at_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(RepoUri::parse("graph").unwrap().as_str(), here.join("graph").to_str().unwrap());
    }

    #[test]
    fn an_address_that_is_not_understood_is_refused() {
        for bad in [
            "",
            " ",
            "ftp://x/y",
            "s3://",
            "s3:///x",
            "s3://b/../x",
            "s3://b/a//b",
            "s3://b/a?x",
            "s3://b/%41",
            "file://host/x",
            "/",
        ] {
            assert_eq!(RepoUri::parse(bad).unwrap_err().kind(), crate::Kind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn a_secret_in_an_address_is_refused_and_not_repeated() {
        let error = RepoUri::parse("s3://AKIA:hunter2@bucket/graph").unwrap_err();
        assert!(!error.chain().contains("hunter2") && !error.chain().contains("AKIA"), "{error}");
    }

    #[test]
    fn no_key_leaves_the_root() {
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a\\b",
            "a\nb",
            "a%2e",
            "a?b",
            "a#1",
        ] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Key::parse("nodes/40d76f1f51639ec0/tree/größe").is_ok());
    }

    #[test]
    fn keys_and_paths_translate_both_ways() {
        for root in ["s3://bucket/graphs/one", "s3://bucket", "/srv/graph one"] {
            let uri = RepoUri::parse(root).unwrap();
            let key = Key::parse("__recovery/lease.beat").unwrap();
            assert_eq!(uri.key(&uri.path(&key)), Some(key), "{root}");
        }
        let uri = RepoUri::parse("s3://bucket/graph").unwrap();
        assert_eq!(uri.key(&Path::from("graph-2/x")), None);
        assert_eq!(uri.key(&Path::from("graph")), None);
    }
}
