//! Who may ask for what. A token is compared without giving away, by the time it takes, how much of it was right.

use crate::Result;
use crate::config::{RepositoryName, Secret, Settings};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// To wake any repository.
    All,
    /// To wake this one.
    Only(RepositoryName),
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No token is configured, so there is none that could be right.
    NoneConfigured,
    /// It came without `Authorization: Bearer …`.
    Missing,
    /// The token is not one of ours.
    Wrong,
}

/// The accepted tokens, as digests of equal length.
pub struct Tokens(Vec<(Scope, [u8; 32])>);

impl Tokens {
    /// Reads every token that `settings` names. Fails with the first that cannot be read or is too weak.
    pub fn read(settings: &Settings) -> Result<Self> {
        let mut tokens = Vec::new();
        if let Some(source) = &settings.http.token {
            tokens.push((Scope::All, source.read()?));
        }
        for repository in &settings.repositories {
            if let Some(source) = &repository.token {
                tokens.push((Scope::Only(repository.name.clone()), source.read()?));
            }
        }
        Ok(Self::new(tokens))
    }

    /// Accepts exactly these.
    pub fn new(tokens: impl IntoIterator<Item = (Scope, Secret)>) -> Self {
        let digest = |(scope, token): (Scope, Secret)| (scope, digest(token.reveal()));
        Self(tokens.into_iter().map(digest).collect())
    }

    /// What the value of an `Authorization` header allows. Every token is compared, whichever fits.
    pub fn allow(&self, authorization: Option<&str>) -> Result<&Scope, Denied> {
        if self.0.is_empty() {
            return Err(Denied::NoneConfigured);
        }
        let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or(Denied::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Missing);
        }
        let given = digest(token.trim());
        let mut found = u32::MAX;
        for (n, (_, known)) in (0..).zip(&self.0) {
            let same: Choice = known.ct_eq(&given);
            found = u32::conditional_select(&found, &n, same);
        }
        self.0.get(found as usize).map(|(scope, _)| scope).ok_or(Denied::Wrong)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_allows_what_it_was_given_for() {
        let orders = Scope::Only(RepositoryName::parse("orders").unwrap());
        let tokens =
            Tokens::new([(Scope::All, Secret::new("master")), (orders.clone(), Secret::new("order"))]);
        assert_eq!(tokens.allow(Some("Bearer master")), Ok(&Scope::All));
        assert_eq!(tokens.allow(Some("bearer order")), Ok(&orders));
        for wrong in ["Bearer", "Bearer ", "Bearer maste", "Bearer master2", "Bearer MASTER"] {
            assert!(tokens.allow(Some(wrong)).is_err(), "{wrong:?}");
        }
        assert_eq!(tokens.allow(Some("Basic master")), Err(Denied::Missing));
        assert_eq!(tokens.allow(None), Err(Denied::Missing));
    }

    #[test]
    fn without_a_configured_token_none_is_right() {
        assert_eq!(Tokens::new([]).allow(Some("Bearer ")), Err(Denied::NoneConfigured));
    }
}
