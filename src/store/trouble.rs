//! What went wrong at the store, told once: which trouble it is, whether it passes by itself, and what a person does next.
//!
//! `object_store` keeps HTTP status and body inside private types, so both are read from the error's text; answers can
//! repeat parts of a signed request, so only status, code and message leave this file.

use super::uri::RepoUri;
use crate::error::{Error, Kind};
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as StdError;
use std::fmt::Display;
use std::time::Duration;

/// Sorts of trouble that lead to different next steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No such object.
    NotFound,
    /// No such bucket or container.
    NoBucket,
    /// The bucket lives in another region.
    WrongRegion,
    /// Credentials wrong, expired or without the right.
    Denied,
    /// No credentials were found to ask with.
    NoCredentials,
    /// An object of that name exists, or another condition of the write failed.
    Conflict,
    /// 429, 503: slow down.
    Throttled,
    /// Another 5xx.
    Server,
    /// Timed out or cut off; a write may have happened.
    NoAnswer,
    /// Nobody listens at the endpoint, or its name is unknown.
    Unreachable,
    /// Disk or quota full.
    NoSpace,
    /// The name cannot be used.
    BadName,
    /// The store cannot do this.
    Unsupported,
    /// None of these.
    Other,
}

/// What the caller of anything that ended in this error does next.
pub(crate) fn kind_of(error: &object_store::Error) -> Kind {
    Trouble::of(error).kind()
}

impl Trouble {
    /// Recognises an error.
    pub(super) fn of(error: &object_store::Error) -> Self {
        use object_store::Error as E;
        match error {
            E::NotFound { .. } if text_of(error).contains("NoSuchBucket") => Self::NoBucket,
            E::NotFound { .. } => Self::NotFound,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied,
            E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => Self::Conflict,
            E::InvalidPath { .. } => Self::BadName,
            E::NotSupported { .. } | E::NotImplemented { .. } => Self::Unsupported,
            other => Self::of_chain(other),
        }
    }

    fn of_chain(error: &object_store::Error) -> Self {
        if let Some(known) = causes(error).filter_map(|cause| cause.downcast_ref()).find_map(Self::of_io) {
            return known;
        }
        let text = text_of(error);
        if let Some(status) = status_of(&text) {
            return Self::of_status(status, &text);
        }
        if text.contains("redirect without LOCATION") {
            return Self::WrongRegion;
        }
        if text.contains("dns error") || text.contains("failed to lookup address") {
            return Self::Unreachable;
        }
        match causes(error).find_map(|cause| cause.downcast_ref::<HttpError>()).map(HttpError::kind) {
            Some(HttpErrorKind::Connect) => Self::Unreachable,
            Some(_) => Self::NoAnswer,
            None if text.to_lowercase().contains("credential") => Self::NoCredentials,
            None => Self::Other,
        }
    }

    fn of_io(error: &std::io::Error) -> Option<Self> {
        use std::io::ErrorKind as K;
        match error.kind() {
            K::StorageFull | K::QuotaExceeded => Some(Self::NoSpace),
            K::PermissionDenied | K::ReadOnlyFilesystem => Some(Self::Denied),
            K::NotADirectory | K::IsADirectory | K::InvalidFilename => Some(Self::BadName),
            K::ConnectionRefused => Some(Self::Unreachable),
            K::TimedOut | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
                Some(Self::NoAnswer)
            }
            _ => None,
        }
    }

    fn of_status(status: u16, text: &str) -> Self {
        match status {
            404 if text.contains("NoSuchBucket") => Self::NoBucket,
            404 => Self::NotFound,
            429 | 503 => Self::Throttled,
            408 => Self::NoAnswer,
            301 | 307 => Self::WrongRegion,
            400 if text.contains("Region") || text.contains("region") => Self::WrongRegion,
            400 if text.contains("Token") || text.contains("Credential") => Self::Denied,
            507 => Self::NoSpace,
            500.. if text.contains("SlowDown") => Self::Throttled,
            500.. => Self::Server,
            _ => Self::Other,
        }
    }

    /// Whether the same call may succeed soon, so that it is worth repeating.
    pub(super) fn passes(self) -> bool {
        matches!(self, Self::Throttled | Self::Server | Self::NoAnswer | Self::Unreachable)
    }

    /// Whether a conditional write that ended so certainly wrote nothing and never will.
    pub(super) fn wrote_nothing(self) -> bool {
        use Trouble::*;
        matches!(
            self,
            NoBucket
                | NotFound
                | WrongRegion
                | Denied
                | NoCredentials
                | Unreachable
                | NoSpace
                | BadName
                | Unsupported
        )
    }

    fn kind(self) -> Kind {
        match self {
            Self::NotFound | Self::NoBucket => Kind::Missing,
            Self::WrongRegion | Self::BadName | Self::Unsupported => Kind::Invalid,
            Self::Denied | Self::NoCredentials => Kind::Denied,
            Self::Conflict => Kind::Moved,
            Self::Throttled
            | Self::Server
            | Self::NoAnswer
            | Self::Unreachable
            | Self::NoSpace
            | Self::Other => Kind::Unavailable,
        }
    }
}

/// Turns an error of the object store into ours. `doing` is a verb phrase with its object: `"read __recovery/x"`.
pub(super) fn explain(uri: &RepoUri, patience: Duration, doing: &str, error: &object_store::Error) -> Error {
    let trouble = Trouble::of(error);
    let why = why(trouble, &format!("bucket {:?}", uri.bucket_name()), Some(patience));
    Error::new(trouble.kind(), format!("cannot {doing} of {uri}: {why}")).caused_by(Detail(detail(error)))
}

/// The same of an error that Lance hands on, which does not know where it came from.
pub(crate) fn explain_plainly(doing: &dyn Display, error: &object_store::Error) -> Error {
    let trouble = Trouble::of(error);
    let why = why(trouble, "the bucket", None);
    Error::new(trouble.kind(), format!("{doing}: {why}")).caused_by(Detail(detail(error)))
}

/// What is the matter and what a person does next; `tried` is how long it was tried.
fn why(trouble: Trouble, bucket: &str, tried: Option<Duration>) -> String {
    let tried = tried.map(|tried| format!(" (tried for {})", humantime::format_duration(tried)));
    let tried = tried.unwrap_or_default();
    match trouble {
        Trouble::NotFound => "it does not exist".to_owned(),
        Trouble::NoBucket => {
            format!("{bucket} does not exist there; check the address, the endpoint and the region")
        }
        Trouble::WrongRegion => {
            "the bucket is in another region; set AWS_REGION or `region` to the bucket's".to_owned()
        }
        Trouble::Denied => {
            "access denied; check the credentials and that they have this right here".to_owned()
        }
        Trouble::NoCredentials => {
            "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is given"
                .to_owned()
        }
        Trouble::Conflict => "somebody else wrote there first; look again".to_owned(),
        Trouble::Throttled => {
            format!("the store throttles{tried}; slow the writers down or try later")
        }
        Trouble::Server => format!("the store fails{tried}; try later and look at the store"),
        Trouble::NoAnswer => {
            format!("the store does not answer{tried}; look at the network, try later")
        }
        Trouble::Unreachable => {
            "the store cannot be reached; check the endpoint, its port and the network".to_owned()
        }
        Trouble::NoSpace => "no space left there; make room and run again, nothing is lost".to_owned(),
        Trouble::BadName => "the store cannot use that name; check the address".to_owned(),
        Trouble::Unsupported => "the store cannot do that".to_owned(),
        Trouble::Other => "the store failed in a way that is not known here; try later".to_owned(),
    }
}

/// The technical detail, safe to print.
#[derive(Debug)]
struct Detail(String);

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Detail {}

/// HTTP: status, code and message of the answer. Else: the innermost cause, which is what the system said.
fn detail(error: &object_store::Error) -> String {
    let text = text_of(error);
    if let Some(status) = status_of(&text) {
        return ["Code", "Message"]
            .into_iter()
            .filter_map(|name| element(&text, name))
            .fold(format!("HTTP {status}"), |told, part| format!("{told}, {part}"));
    }
    if Trouble::of(error) == Trouble::NoCredentials {
        return "nothing that could hold credentials had any".to_owned();
    }
    causes(error).last().map(ToString::to_string).unwrap_or_default().chars().take(300).collect()
}

/// The error and its causes, outermost first.
fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |cause| (**cause).source())
}

/// The text of an XML element, shortened: `<Code>SlowDown</Code>` → `SlowDown`.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.chars().take(200).collect())
}

fn text_of(error: &object_store::Error) -> String {
    error.to_string()
}

/// The number behind `status code: ` in `object_store`'s wording.
fn status_of(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    fn io(kind: std::io::ErrorKind) -> object_store::Error {
        object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(std::io::Error::from(kind)),
        }
    }

    #[test]
    fn each_trouble_is_recognised_and_has_its_kind() {
        let answer = |status: &str| {
            generic(&format!(
                "Error performing GET http://h/b/k in 1ms - Server returned non-2xx status code: {status}"
            ))
        };
        for (error, trouble, kind) in [
            (answer("503 Service Unavailable: <Code>SlowDown</Code>"), Trouble::Throttled, Kind::Unavailable),
            (answer("500 Internal Server Error: "), Trouble::Server, Kind::Unavailable),
            // Listings tell a missing bucket as a generic error.
            (answer("404 Not Found: <Code>NoSuchBucket</Code>"), Trouble::NoBucket, Kind::Missing),
            (answer("400 Bad Request: <Code>ExpiredToken</Code>"), Trouble::Denied, Kind::Denied),
            (
                answer("400 Bad Request: the region 'x' is wrong; expecting 'y'"),
                Trouble::WrongRegion,
                Kind::Invalid,
            ),
            (
                generic("dns error: failed to lookup address information"),
                Trouble::Unreachable,
                Kind::Unavailable,
            ),
            (io(std::io::ErrorKind::StorageFull), Trouble::NoSpace, Kind::Unavailable),
            (io(std::io::ErrorKind::PermissionDenied), Trouble::Denied, Kind::Denied),
            (io(std::io::ErrorKind::ReadOnlyFilesystem), Trouble::Denied, Kind::Denied),
            (generic("no providers in chain provided credentials"), Trouble::NoCredentials, Kind::Denied),
        ] {
            assert_eq!(Trouble::of(&error), trouble, "{error}");
            assert_eq!(trouble.kind(), kind);
        }
    }

    #[test]
    fn an_answer_that_repeats_the_signed_request_is_not_printed_whole() {
        let error = object_store::Error::PermissionDenied {
            path: "k".into(),
            source: "status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>Check your key.</Message>\
                     <AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId><StringToSign>x-amz-security-token:tok</StringToSign></Error>"
                .into(),
        };
        let uri = RepoUri::parse("s3://bucket/graph").unwrap();
        let told = explain(&uri, Duration::from_secs(60), "read k", &error).chain();
        assert!(told.contains("SignatureDoesNotMatch, Check your key."), "{told}");
        assert!(!told.contains("AKIAEXAMPLE") && !told.contains("tok:"), "{told}");
        assert!(!told.contains("security-token"), "{told}");
    }
}
