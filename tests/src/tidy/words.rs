//! Words that no source may hold.

use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};

use super::{Source, Violation};

/// Leftovers of unfinished work. Written in halves, so that this file passes its own rule.
const LEFTOVERS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
    concat!("db", "g!("),
];

/// Nothing is left for later, switched off, or printed for its author.
pub fn no_leftovers(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            for word in LEFTOVERS {
                if holds_word(line, word) {
                    found.push(Violation::at(source, index + 1, format!("holds `{word}`")));
                }
            }
        }
    }
    found
}

/// Whether `word` stands in `line` with no letter or digit just before it, and none behind it
/// where it ends with a letter.
fn holds_word(line: &str, word: &str) -> bool {
    let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, rest) = line.split_at(start);
        let after = rest.strip_prefix(word).unwrap_or(rest);
        let goes_on = word.ends_with(part_of_word) && after.starts_with(part_of_word);
        !before.ends_with(part_of_word) && !goes_on
    })
}

/// Only the codec of the ports names bincode: it is unmaintained, and must be replaceable there.
/// Comments and strings may speak of it.
pub fn bincode_stays_in_the_codec(sources: &[Source]) -> Vec<Violation> {
    let elsewhere =
        |source: &&Source| source.is_rust() && !source.path.starts_with("crates/ports/src/codec");
    let mut found = Vec::new();
    for source in sources.iter().filter(elsewhere) {
        if let Ok(tokens) = TokenStream::from_str(&source.text) {
            let mut lines = Vec::new();
            lines_naming("bincode", tokens, &mut lines);
            let reason = "names bincode outside of crates/ports/src/codec";
            found.extend(lines.into_iter().map(|line| Violation::at(source, line, reason)));
        }
    }
    found
}

fn lines_naming(name: &str, tokens: TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == name => lines.push(word.span().start().line),
            TokenTree::Group(group) => lines_naming(name, group.stream(), lines),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leftover_is_found() {
        for word in LEFTOVERS {
            let source = Source::new("crates/a/src/a.rs", format!("fn a() {{}}\n    {word}\n"));
            let found = no_leftovers(std::slice::from_ref(&source));
            assert_eq!(found, [Violation::at(&source, 2, format!("holds `{word}`"))]);
        }
    }

    #[test]
    fn leftovers_are_found_in_scripts_and_pages() {
        let text = format!("# {}: later\n", LEFTOVERS[0]);
        assert_eq!(no_leftovers(&[Source::new("scripts/demo.sh", text.clone())]).len(), 1);
        assert_eq!(no_leftovers(&[Source::new("README.md", text)]).len(), 1);
    }

    #[test]
    fn a_longer_word_is_no_leftover() {
        let text = format!("{}S mas{}", LEFTOVERS[0], LEFTOVERS[0]);
        assert_eq!(no_leftovers(&[Source::new("a.md", text)]), []);
    }

    #[test]
    fn bincode_outside_of_the_codec_is_found() {
        for text in [
            "use bincode::config;",
            "fn a() { b(bincode::serde::encode_to_vec(c)) }",
            "#[derive(bincode::Encode)] struct A;",
            "proptest! { fn a() { bincode::config(); } }",
        ] {
            let found = bincode_stays_in_the_codec(&[Source::new("crates/mesh/src/a.rs", text)]);
            assert_eq!(found.len(), 1, "{text}");
            let codec = [Source::new("crates/ports/src/codec.rs", text)];
            assert_eq!(bincode_stays_in_the_codec(&codec), []);
        }
    }

    #[test]
    fn speaking_of_bincode_is_no_use() {
        let text = "//! bincode lives elsewhere.\nconst A: &str = \"bincode::\";";
        assert_eq!(bincode_stays_in_the_codec(&[Source::new("crates/mesh/src/a.rs", text)]), []);
    }
}
