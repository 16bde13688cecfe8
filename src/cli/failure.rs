//! What is said when a command ends by an error: to people on standard error, and to machines also as a result that has an
//! `error`.

use super::{Format, Target, output};
use crate::config::environment_variable;
use crate::error::Error;
use crate::passes::report::Exit;
use crate::store::{RepoUri, Scheme, StoreSettings};
use serde::Serialize;

/// A result that is none.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    repo: Option<&'a str>,
    #[serde(flatten)]
    report: Option<NoReport>,
    exit: u8,
    error: &'a str,
}

/// What is in a report of `once` or `plan` besides, so that its readers find every key.
#[derive(Debug, Default, Serialize)]
pub(super) struct NoReport {
    dialect: Option<&'static str>,
    passes: [&'static str; 0],
    requests: Option<&'static str>,
}

/// Tells an error of a command that is about `target`, and gives the exit code.
pub(super) fn tell(error: &Error, target: Option<&Target>, report: Option<NoReport>) -> u8 {
    let exit = Exit::of(error).code();
    // An address that cannot be read may hold a password; the error says enough of it.
    let uri = target.and_then(|target| target.uri().ok());
    let message = match (target, &uri) {
        (Some(target), Some(uri)) => target.typable(&with_place(&error.chain(), uri)),
        _ => error.chain(),
    };
    if target.is_some_and(|target| target.format == Format::Json) {
        let repo = uri.as_ref().map(RepoUri::as_str);
        output::json(&Failure { repo, report, exit, error: &message });
    }
    output::problem(&message);
    exit
}

/// The message with the address that it is about, and the endpoint if that is not the provider's own.
fn with_place(message: &str, uri: &RepoUri) -> String {
    let settings = StoreSettings::default().or_environment(environment_variable);
    let endpoint = settings.shown_endpoint().filter(|_| uri.scheme() == Scheme::S3);
    let place = match endpoint {
        Some(endpoint) => format!("{uri} at {endpoint}"),
        None => uri.to_string(),
    };
    match message.contains(uri.as_str()) {
        true => message.replacen(uri.as_str(), &place, 1),
        false => format!("{place}: {message}"),
    }
}
