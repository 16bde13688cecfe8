//! Log lines on standard error: text for people, JSON for machines. Standard output belongs to the commands' results.

use crate::config::{LogFormat, LogSettings};
use crate::{Error, Result};
use std::io::{self, IsTerminal};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, fmt};

/// Sends this process's events to standard error from now on. Fails if something else already takes them.
pub fn init(settings: &LogSettings) -> Result<()> {
    let subscriber = subscriber(settings, io::stderr().is_terminal(), io::stderr);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Error::internal("logging was set up twice").caused_by(error))
}

/// Formats events as `settings` say and writes them to `writer`. On a terminal, `auto` means text, and text is coloured.
pub fn subscriber<W>(
    settings: &LogSettings,
    is_terminal: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = fmt().with_env_filter(filter(settings)).with_writer(writer);
    let is_json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !is_terminal,
    };
    match is_json {
        true => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
        false => Box::new(builder.with_ansi(is_terminal).finish()),
    }
}

/// Our own events at their level, those of libraries at theirs.
fn filter(settings: &LogSettings) -> EnvFilter {
    EnvFilter::new(format!("{},outrigger={}", settings.libraries, settings.level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written when one event of each kind happens.
    fn written(format: LogFormat, is_terminal: bool) -> String {
        let lines = Lines::default();
        let settings = LogSettings { level: LogLevel::Info, libraries: LogLevel::Warn, format };
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(&settings, is_terminal, move || writer.clone()), || {
            let _span = tracing::info_span!("activation", repository = "orders").entered();
            tracing::info!(verdict = "roll_forward", "settled");
            tracing::debug!("too quiet to be heard");
            tracing::info!(target: "lance::io", "too chatty a library");
            tracing::warn!(target: "lance::io", "a library in trouble");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn machines_get_one_json_object_per_line() {
        let text = written(LogFormat::Auto, false);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((&lines[0]["message"], &lines[0]["verdict"]), (&"settled".into(), &"roll_forward".into()));
        assert_eq!(lines[0]["span"]["repository"], "orders");
        assert_eq!(lines[1]["level"], "WARN");
    }

    #[test]
    fn people_get_text_and_colours_only_on_a_terminal() {
        let plain = written(LogFormat::Text, false);
        assert!(plain.contains("settled") && !plain.contains('\u{1b}') && !plain.starts_with('{'), "{plain}");
        assert!(written(LogFormat::Auto, true).contains('\u{1b}'));
    }

    #[test]
    fn libraries_have_a_level_of_their_own() {
        let text = written(LogFormat::Text, false);
        assert!(text.contains("a library in trouble"), "{text}");
        assert!(!text.contains("chatty") && !text.contains("quiet"), "{text}");
    }
}
