//! Where sentences end.

use std::ops::Range;

use super::{Source, Token, TokenKind};

/// Abbreviations after which a full stop does not end a sentence.
const ABBREVIATIONS: [&str; 24] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "gen", "col", "lt", "sgt", "capt", "rev", "hon", "vs",
    "no", "vol", "fig", "ca", "approx", "eg", "ie", "dept", "est", "jr",
];

/// Abbreviations whose stop belongs to a name; the sentence goes on unless a new one clearly starts.
const NAME_ABBREVIATIONS: [&str; 6] = ["bros", "inc", "ltd", "co", "corp", "sr"];

/// Longest sentence, in tokens. Work grows with the square of a sentence's length, so what has no
/// full stop (a table, a list, a log) is cut where this many tokens are reached.
const LONGEST: usize = 160;
/// Most closing marks that may follow a full stop.
const MOST_CLOSERS: usize = 4;

/// The sentences of a source as ranges of its tokens; together they cover every token.
pub(crate) fn sentences(source: &Source<'_>, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut first = 0;
    for at in 0..tokens.len() {
        let end = at + 1;
        if end < tokens.len()
            && end - first < LONGEST
            && !(ends_sentence(tokens, at) || paragraph_follows(source, tokens, at))
        {
            continue;
        }
        ranges.push(first..end);
        first = end;
    }
    ranges
}

fn is_terminator(token: &Token) -> bool {
    token.kind == TokenKind::Mark
        && matches!(
            token.lower.as_str(),
            "." | "!" | "?" | "…" | "。" | "！" | "？" | "؟" | "۔" | "।"
        )
}

fn is_closer(token: &Token) -> bool {
    token.kind == TokenKind::Mark
        && matches!(token.lower.as_str(), "\"" | "”" | "’" | "'" | ")" | "]" | "»" | "*" | "_")
}

/// Is `at` the last token of a sentence, by its marks and by what follows?
fn ends_sentence(tokens: &[Token], at: usize) -> bool {
    let Some(next) = tokens.get(at + 1) else { return true };
    let mut stop = at;
    while tokens.get(stop).is_some_and(is_closer) && stop > 0 && at - stop < MOST_CLOSERS {
        stop -= 1;
    }
    let Some(terminator) = tokens.get(stop) else { return false };
    if !is_terminator(terminator) || (is_closer(next) && next.attached) || is_terminator(next) {
        return false;
    }
    let wide = matches!(terminator.lower.as_str(), "。" | "！" | "？");
    if next.attached && !wide {
        return false;
    }
    if matches!(terminator.lower.as_str(), "!" | "?") && stop == at && next.is_mark("(") {
        // `Airplane! (1980)`
        return false;
    }
    if terminator.lower == "." && stop == at && is_abbreviated(tokens, stop) {
        return false;
    }
    starts_sentence(next)
}

fn starts_sentence(token: &Token) -> bool {
    match token.kind {
        TokenKind::Word => {
            token.capital || !token.lower.chars().any(|c| c.is_lowercase() && c.is_alphabetic())
        }
        TokenKind::Number => true,
        TokenKind::Mark => !matches!(token.lower.as_str(), "," | ";" | ":" | ")" | "-" | "–" | "—"),
        TokenKind::Possessive => false,
    }
}

fn is_abbreviated(tokens: &[Token], stop: usize) -> bool {
    let Some(word) = stop.checked_sub(1).and_then(|before| tokens.get(before)) else {
        return false;
    };
    if !tokens.get(stop).is_some_and(|t| t.attached) {
        return false;
    }
    let follows_name =
        || tokens.get(stop + 1).is_some_and(|t| t.kind == TokenKind::Word && t.capital);
    // `J. Smith` and `U.S. film`, but not the pronoun of `as did I.`
    (word.is_initial() && word.lower != "i" && follows_name())
        || ABBREVIATIONS.contains(&word.lower.as_str())
        || (NAME_ABBREVIATIONS.contains(&word.lower.as_str())
            && tokens.get(stop + 1).is_some_and(|t| !super::is_function_word(&t.lower)))
}

/// A blank line stands between this token and the next.
fn paragraph_follows(source: &Source<'_>, tokens: &[Token], at: usize) -> bool {
    let (Some(token), Some(next)) = (tokens.get(at), tokens.get(at + 1)) else { return false };
    let gap = source.slice(token.end, next.start);
    gap.replace("\r\n", "\n").chars().filter(|c| matches!(c, '\n' | '\r' | '\u{2029}')).count() > 1
}

#[cfg(test)]
mod tests {
    use super::super::tokenize;
    use super::*;

    fn split(text: &str) -> Vec<String> {
        let source = Source::new(text);
        let tokens = tokenize(&source);
        sentences(&source, &tokens)
            .into_iter()
            .map(|r| source.slice(tokens[r.start].start, tokens[r.end - 1].end).to_owned())
            .collect()
    }

    #[test]
    fn what_has_no_full_stop_is_cut() {
        let pieces = split(&"row, ".repeat(400));
        assert_eq!(pieces.len(), 5);
        assert_eq!(pieces.concat().matches("row").count(), 400);
    }

    #[test]
    fn stops_of_names_and_titles_end_no_sentence() {
        for (text, expected) in [
            ("Mr. J. K. Simmons left. He ran.", vec!["Mr. J. K. Simmons left.", "He ran."]),
            ("Made by Warner Bros. It won.", vec!["Made by Warner Bros.", "It won."]),
            ("Made by Warner Bros. in 1942.", vec!["Made by Warner Bros. in 1942."]),
            ("\"What's Up, Doc?\" is fun. Yes!", vec!["\"What's Up, Doc?\" is fun.", "Yes!"]),
            ("He said “go.” She went…", vec!["He said “go.”", "She went…"]),
            ("映画。次。", vec!["映画。", "次。"]),
            ("Title\r\n\r\nText here", vec!["Title", "Text here"]),
            ("one\ntwo", vec!["one\ntwo"]),
            ("It cost 1.5 million. 🎬 Next.", vec!["It cost 1.5 million.", "🎬 Next."]),
            ("", vec![]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
