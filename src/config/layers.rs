//! The layers of a configuration, each over the one before: defaults, the usual `AWS_*` variables, file, environment,
//! flags.

use super::faults::Faults;
use super::file;
use super::origin::{Origin, Origins, Source};
use super::raw;
use super::values::RepositoryName;
use crate::store::AWS_VARIABLES;
use crate::{Error, Result};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::fmt;
use std::path::{Path, PathBuf};

/// What environment variables of ours begin with; `__` also separates their parts.
const PREFIX: &str = "OUTRIGGER__";

/// Everything a configuration is read from, as texts: nothing in here reads files or the environment later.
#[derive(Default)]
pub struct Sources {
    /// The file's name and content.
    pub file: Option<(PathBuf, String)>,
    /// The process's environment; what neither begins with `OUTRIGGER__` nor is one of [`AWS_VARIABLES`] is ignored.
    pub env: Vec<(String, String)>,
    /// Command-line flags that stand for keys.
    pub flags: Vec<Flag>,
}

/// A command-line flag that stands for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// With its dashes, for messages: `--listen`.
    pub name: String,
    /// The key: `http.listen`, or `repositories.<name>.uri`.
    pub key: String,
    /// The value as text.
    pub value: String,
}

impl Sources {
    /// Reads the file, if one is named, and this process's environment.
    pub fn of_process(file: Option<&Path>, flags: Vec<Flag>) -> Result<Self> {
        let env = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let ours = env.filter(|(name, _)| name.starts_with(PREFIX) || is_usual(name));
        let env = ours.map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect();
        Ok(Self { file: file.map(read_file).transpose()?, env, flags })
    }
}

fn is_usual(name: &str) -> bool {
    AWS_VARIABLES.iter().any(|(_, variables)| variables.contains(&name))
}

/// One variable of this process's environment, for rooms that are handed a look-up instead of reading it.
#[allow(clippy::disallowed_methods, reason = "the room that reads the environment")]
pub fn environment_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read_file(path: &Path) -> Result<(PathBuf, String)> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::invalid(format!("cannot read the configuration {}", path.display())).caused_by(error)
    })?;
    Ok((path.to_owned(), text))
}

/// Shows which variables are set, not their values: one of them may be a token.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let file = self.file.as_ref().map(|(path, _)| path);
        f.debug_struct("Sources").field("file", &file).field("env", &variables).finish_non_exhaustive()
    }
}

/// A tree of values and where each of them stands.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) values: Dict,
    pub(super) origins: Origins,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("outrigger")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Lays all layers over each other.
pub(super) fn merge(sources: &Sources, faults: &mut Faults) -> Layer {
    let mut merged = Layer { values: dict_of(&raw::Config::defaults()), origins: Origins::default() };
    merged = usual(&sources.env).fold(merged, Layer::under);
    if let Some((path, text)) = &sources.file {
        merged = merged.under(file::read(path, text, faults));
    }
    let named = merged.repositories();
    for (variable, value) in &sources.env {
        let source = Source::Env { variable: variable.clone() };
        // An empty variable is how container tools say "not set".
        let Some(path) = variable.strip_prefix(PREFIX).filter(|_| !value.is_empty()) else { continue };
        match key_of(path, &named) {
            Ok(key) => merged = merged.under(single(&key, value, source)),
            Err(message) => faults.add(Origin { key: String::new(), source }, message),
        }
    }
    for flag in &sources.flags {
        merged = merged.under(single(&flag.key, &flag.value, Source::Flag { name: flag.name.clone() }));
    }
    merged
}

/// What the usual `AWS_*` variables say of `[store]`. They lie below the file: they speak to every program on the host, the
/// file to this one.
fn usual(env: &[(String, String)]) -> impl Iterator<Item = Layer> {
    let set = |name: &&str| env.iter().find(|(known, value)| known == name && !value.is_empty());
    AWS_VARIABLES.into_iter().filter_map(move |(key, variables)| {
        let (variable, value) = variables.iter().find_map(set)?;
        Some(single(&format!("store.{key}"), value, Source::Env { variable: variable.clone() }))
    })
}

impl Layer {
    /// This layer with `upper` laid over it.
    pub(super) fn under(self, upper: Layer) -> Layer {
        let mut origins = self.origins.clone();
        let values = Figment::from(&self).merge(&upper).find_value("");
        origins.extend(upper.origins);
        Layer { values: values.ok().and_then(Value::into_dict).unwrap_or_default(), origins }
    }

    fn repositories(&self) -> Vec<String> {
        let named = self.values.get("repositories").and_then(Value::as_dict);
        named.map(|named| named.keys().cloned().collect()).unwrap_or_default()
    }
}

/// The tree of a written configuration; keys without a value are there, empty.
pub(super) fn dict_of(config: &raw::Config) -> Dict {
    // Serialising plain structs of texts and numbers does not fail.
    Value::serialize(config).ok().and_then(Value::into_dict).unwrap_or_default()
}

fn single(key: &str, value: &str, source: Source) -> Layer {
    let mut origins = Origins::default();
    origins.set(key, Origin { key: key.to_owned(), source });
    let values = nest(key, scalar_or_list(value)).into_dict().unwrap_or_default();
    Layer { values, origins }
}

/// A text stays a text, so that a token of digits is not taken for a number; only a list is read as one.
fn scalar_or_list(text: &str) -> Value {
    let parsed = text.trim_start().starts_with('[').then(|| text.parse::<Value>().ok()).flatten();
    parsed.unwrap_or_else(|| Value::from(text))
}

/// `REPOSITORIES__ORDERS_EU__GRACE` to `repositories.orders-eu.grace`, if that is how the repository is spelt.
fn key_of(variable: &str, named: &[String]) -> Result<String, String> {
    let mut parts: Vec<String> = variable.split("__").map(str::to_ascii_lowercase).collect();
    if parts.iter().any(|part| part.is_empty() || part.contains('.')) {
        return Err("the parts of a key are joined by two underscores, and none is empty".to_owned());
    }
    if let [first, name, ..] = parts.as_mut_slice()
        && first == "repositories"
    {
        match named.iter().find(|known| known.replace('-', "_") == *name) {
            Some(known) => *name = known.clone(),
            None => drop(RepositoryName::parse(name)?),
        }
    }
    Ok(parts.join("."))
}
