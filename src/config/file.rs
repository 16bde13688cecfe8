//! The configuration file: TOML text to a tree of values, with the line of every key.

use super::faults::Faults;
use super::layers::Layer;
use super::origin::{Origin, Origins, Source, join};
use super::values::RepositoryName;
use figment::value::{Dict, Value};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Reads `text`, the content of `path`. Faults of syntax leave an empty layer: the rest would only mislead.
pub(super) fn read(path: &Path, text: &str, faults: &mut Faults) -> Layer {
    let mut reader = Reader { path, text, faults, origins: Origins::default() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // The library's own display quotes the line, which may hold a secret.
        let at = error.span().map_or(0, |span| span.start);
        reader.fault("", at, error.message());
    }
    let values = if errors.is_empty() { reader.table(document.get_ref(), "") } else { Dict::new() };
    Layer { values, origins: reader.origins }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    faults: &'a mut Faults,
    origins: Origins,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, above: &str) -> Dict {
        let mut values = Dict::new();
        for (key, value) in table {
            let path = join(above, key.get_ref());
            self.place(&path, key.span().start, value.get_ref());
            let value = match (path.as_str(), value.get_ref()) {
                ("repositories", DeValue::Array(entries)) => self.repositories(entries).into(),
                ("repositories", _) => {
                    let message = "is a list: begin each entry with [[repositories]] and give it a name";
                    self.fault(&path, key.span().start, message);
                    continue;
                }
                (_, value) => self.value(value, &path),
            };
            values.insert(key.get_ref().to_string(), value);
        }
        values
    }

    fn value(&mut self, value: &DeValue<'_>, path: &str) -> Value {
        match value {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => Value::from(number.to_string()),
            },
            DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Value::from(*truth),
            DeValue::Datetime(time) => Value::from(time.to_string()),
            DeValue::Array(entries) => self.array(entries, path),
            DeValue::Table(table) => self.table(table, path).into(),
        }
    }

    fn array(&mut self, entries: &DeArray<'_>, path: &str) -> Value {
        let read = |(n, entry): (usize, &Spanned<DeValue<'_>>)| {
            let path = join(path, &n.to_string());
            self.place(&path, entry.span().start, entry.get_ref());
            self.value(entry.get_ref(), &path)
        };
        Value::from(entries.iter().enumerate().map(read).collect::<Vec<Value>>())
    }

    /// Turns the list into a map from name to the rest, so that every layer can address a repository by its name.
    fn repositories(&mut self, entries: &DeArray<'_>) -> Dict {
        let mut named = Dict::new();
        for entry in entries {
            let at = entry.span().start;
            let Some(name) = self.name_of(entry) else { continue };
            let same = |known: &&String| known.replace('-', "_") == name.as_str().replace('-', "_");
            if let Some(known) = named.keys().find(same) {
                let message = format!("two repositories are named {known:?} ('-' and '_' count as the same)");
                self.fault("repositories", at, message);
                continue;
            }
            let path = join("repositories", name.as_str());
            self.place(&path, at, entry.get_ref());
            let mut values = match entry.get_ref() {
                DeValue::Table(table) => self.table(table, &path),
                _ => Dict::new(),
            };
            values.remove("name");
            named.insert(name.to_string(), values.into());
        }
        named
    }

    fn name_of(&mut self, entry: &Spanned<DeValue<'_>>) -> Option<RepositoryName> {
        let at = entry.span().start;
        let name = entry.get_ref().get("name");
        let Some(text) = name.and_then(|name| name.get_ref().as_str()) else {
            self.fault("repositories", at, "every repository needs a name, a short text");
            return None;
        };
        let parsed = RepositoryName::parse(text);
        parsed
            .map_err(|message| self.fault("repositories", name.map_or(at, |name| name.span().start), message))
            .ok()
    }

    fn place(&mut self, key: &str, at: usize, value: &DeValue<'_>) {
        let origin = self.origin(key, at);
        match value {
            DeValue::Table(_) => self.origins.set_table(key, origin),
            _ if key == "repositories" => self.origins.set_table(key, origin),
            _ => self.origins.set(key, origin),
        }
    }

    fn origin(&self, key: &str, at: usize) -> Origin {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = 1 + before.matches('\n').count();
        Origin { key: key.to_owned(), source: Source::File { path: self.path.to_owned(), line } }
    }

    fn fault(&mut self, key: &str, at: usize, message: impl Into<String>) {
        let origin = self.origin(key, at);
        self.faults.add(origin, message);
    }
}
