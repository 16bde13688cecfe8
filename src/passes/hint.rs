//! Commands that a person is told to type: in backquotes, each word as a shell takes it.
//!
//! A pass does not know by what address a person named its repository, and logs must not show one. So a hint comes without
//! `--repo` and can be typed as it stands where `OUTRIGGER_REPO` is set; whoever prints for a person adds the rest
//! ([`with_repository`]).

use std::borrow::Cow;

const BEGINS: &str = "`outrigger ";

/// `outrigger …` of these words, for a message.
pub fn command(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("{BEGINS}{}`", words.join(" "))
}

/// One word of a command, quoted if a shell would read more into it.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")).into(),
    }
}

/// `text` with `--repo REPO` at the end of every command in it.
pub fn with_repository(text: &str, repo: &str) -> String {
    let mut completed = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGINS) {
        let (before, hint) = rest.split_at(at + BEGINS.len());
        let end = end_of_command(hint);
        completed.push_str(before);
        completed.push_str(&hint[..end]);
        if end < hint.len() {
            completed.push_str(&format!(" --repo {}", quoted(repo)));
        }
        rest = &hint[end..];
    }
    completed + rest
}

/// Where the closing backquote stands; one within a quoted word closes nothing.
fn end_of_command(hint: &str) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in hint.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if !is_quoted => is_escaped = true,
            '\'' => is_quoted = !is_quoted,
            '`' if !is_quoted => return at,
            _ => {}
        }
    }
    hint.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_split_is_quoted() {
        assert_eq!(
            command(&["repair", "drift", "--table", "node:Person"]),
            "`outrigger repair drift --table node:Person`"
        );
        assert_eq!(command(&["sidecars", "show", "a b.json"]), "`outrigger sidecars show 'a b.json'`");
        for (word, typed) in [
            ("", "''"),
            ("it's", r"'it'\''s'"),
            ("a|b", "'a|b'"),
            ("$HOME", "'$HOME'"),
            ("s3://b/p", "s3://b/p"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }

    #[test]
    fn every_command_of_a_text_gets_the_repository() {
        let text = format!(
            "first {}, then {}; `--yes` does it",
            command(&["plan"]),
            command(&["sidecars", "show", "it's `odd`"])
        );
        let expected = r"first `outrigger plan --repo '/srv/my graph'`, then `outrigger sidecars show 'it'\''s `odd`' --repo '/srv/my graph'`; `--yes` does it";
        assert_eq!(with_repository(&text, "/srv/my graph"), expected);
        for whole in ["nothing to type", "`outrigger never closed"] {
            assert_eq!(with_repository(whole, "/srv/x"), whole);
        }
    }
}
