//! From merged layers to one tree that can be trusted key by key: nothing unknown, nothing of the wrong type, and every
//! repository complete with what it inherits.

use super::faults::{Faults, nearest};
use super::layers::{Layer, dict_of};
use super::origin::{Origins, join};
use super::raw;
use figment::Figment;
use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};

/// Parts of the global tree that a repository inherits key by key under their own names.
const INHERITED: [&str; 2] = ["passes", "store"];

/// A typed configuration, the tree it was read from, and the origin of every key in it.
pub(super) struct Resolved {
    pub(super) config: raw::Config,
    pub(super) values: Dict,
    pub(super) origins: Origins,
}

/// Checks and completes `layer`. Whatever is wrong is reported and replaced by its default, so that checks go on.
pub(super) fn resolve(layer: Layer, faults: &mut Faults) -> Resolved {
    let Layer { mut values, mut origins } = layer;
    let template = dict_of(&raw::Config::template());
    strip_unknown(&mut values, &template, "", &mut |key, known| {
        faults.add(origins.near(&key), unknown_key(&key, known, &template));
    });
    strip_untyped(&mut values, &origins, faults);
    inherit(&mut values, &mut origins);
    let config = extract(&values).unwrap_or_else(|error| {
        faults.add(origins.near(&error.path.join(".")), describe(&error));
        raw::Config::defaults()
    });
    Resolved { config, values, origins }
}

/// Removes and reports keys that the template does not have.
fn strip_unknown(values: &mut Dict, template: &Dict, above: &str, report: &mut dyn FnMut(String, &Dict)) {
    values.retain(|key, value| {
        let path = join(above, key);
        let Some(known) = template.get(key).or_else(|| template.get(raw::ANY_REPOSITORY)) else {
            report(path, template);
            return false;
        };
        match (value, known) {
            (Value::Dict(_, values), Value::Dict(_, known)) => strip_unknown(values, known, &path, report),
            (Value::Array(_, entries), Value::Array(_, known)) => {
                for (n, entry) in entries.iter_mut().enumerate() {
                    if let (Value::Dict(_, entry), Some(Value::Dict(_, known))) = (entry, known.first()) {
                        strip_unknown(entry, known, &join(&path, &n.to_string()), report);
                    }
                }
            }
            _ => {}
        }
        true
    });
}

/// Names the key that was probably meant: a similar one beside it, or the same one elsewhere.
fn unknown_key(key: &str, known: &Dict, template: &Dict) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let mut elsewhere = Vec::new();
    leaves(template, "", &mut |path, _| elsewhere.push(path.to_owned()));
    let same_name = elsewhere.iter().find(|path| path.rsplit('.').next() == Some(name));
    if let Some(meant) = nearest(name, known.keys().map(String::as_str)) {
        format!("there is no such key; did you mean {meant:?}?")
    } else if let Some(meant) = same_name {
        format!("there is no such key here; did you mean {meant:?}?")
    } else {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        format!("there is no such key; here stand: {}", names.join(", "))
    }
}

/// Calls `visit` with the path and value of everything that is not a table.
pub(super) fn leaves(values: &Dict, above: &str, visit: &mut dyn FnMut(&str, &Value)) {
    for (key, value) in values {
        let path = join(above, key);
        match value {
            Value::Dict(_, below) => leaves(below, &path, visit),
            leaf => visit(&path, leaf),
        }
    }
}

/// Reports values of the wrong type one after the other and puts the default in their place.
fn strip_untyped(values: &mut Dict, origins: &Origins, faults: &mut Faults) {
    let defaults = dict_of(&raw::Config::defaults());
    let mut left = 1;
    leaves(values, "", &mut |_, leaf| left += 1 + leaf.as_array().map_or(0, |entries| 4 * entries.len()));
    for _ in 0..left {
        let Err(error) = extract(values) else { return };
        faults.add(origins.near(&error.path.join(".")), describe(&error));
        let default = Value::from(defaults.clone()).find(&error.path.join("."));
        let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
        replace(values, &path, default);
    }
}

/// Puts `value` at `path`, or removes what stands there.
fn replace(values: &mut Dict, path: &[&str], value: Option<Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        match value {
            Some(value) => drop(values.insert((*first).to_owned(), value)),
            None => drop(values.remove(*first)),
        }
        return;
    }
    match (values.get_mut(*first), rest) {
        (Some(Value::Dict(_, below)), rest) => replace(below, rest, value),
        (Some(Value::Array(_, entries)), [index, rest @ ..]) => {
            let Some(index) = index.parse().ok().filter(|index| *index < entries.len()) else { return };
            match &mut entries[index] {
                Value::Dict(_, entry) if !rest.is_empty() => replace(entry, rest, value),
                _ => drop(entries.remove(index)),
            }
        }
        _ => {}
    }
}

/// Reads the typed configuration. Texts from the environment count as numbers and truths where those are expected.
fn extract(values: &Dict) -> Result<raw::Config, Box<figment::Error>> {
    Figment::from(Layer { values: values.clone(), origins: Origins::default() })
        .extract_lossy()
        .map_err(Box::new)
}

/// What is wrong, in our words where the library's would be unclear or would repeat a secret.
fn describe(error: &figment::Error) -> String {
    let secret = error.path.last().is_some_and(|key| raw::SECRET_KEYS.contains(&key.as_str()));
    match &error.kind {
        _ if secret => "must be a text".to_owned(),
        Kind::Message(message) => message.clone(),
        Kind::UnknownVariant(found, known) => match nearest(found, known.iter().copied()) {
            Some(meant) => format!("{found:?} is not one of {}; did you mean {meant:?}?", known.join(", ")),
            None => format!("{found:?} is not one of {}", known.join(", ")),
        },
        Kind::InvalidType(found, expected) => format!("{} stands where {expected} is expected", shown(found)),
        other => other.to_string(),
    }
}

fn shown(found: &Actual) -> String {
    match found {
        Actual::Unsigned(number) => format!("the number {number}"),
        Actual::Signed(number) => format!("the number {number}"),
        Actual::Float(number) => format!("the number {number}"),
        Actual::Str(text) => format!("the text {text:?}"),
        Actual::Bool(truth) => truth.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Completes every repository with the global values that it does not set itself, and notes where they came from.
fn inherit(values: &mut Dict, origins: &mut Origins) {
    let mut base = values.get("defaults").and_then(Value::as_dict).cloned().unwrap_or_default();
    for section in INHERITED {
        base.extend(values.get(section).map(|section_values| (section.to_owned(), section_values.clone())));
    }
    let Some(Value::Dict(_, repositories)) = values.get_mut("repositories") else { return };
    for (name, repository) in repositories {
        let path = join("repositories", name);
        leaves(&base, "", &mut |key, _| {
            let own = join(&path, key);
            if !origins.knows(&own) {
                let inherited = origins.of(&source_key(key));
                origins.set(&own, inherited);
            }
        });
        let own = repository.as_dict().cloned().unwrap_or_default();
        let layer = |values| Layer { values, origins: Origins::default() };
        *repository = layer(base.clone()).under(layer(own)).values.into();
    }
}

/// Where a repository's key stands in the global tree.
fn source_key(key: &str) -> String {
    let inherits_by_name = INHERITED.iter().any(|section| key.starts_with(&format!("{section}.")));
    if inherits_by_name { key.to_owned() } else { join("defaults", key) }
}
