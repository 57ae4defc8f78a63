//! Words, numbers and marks with their offsets.

use super::{Source, stem};

/// What a token is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Letters, with digits, inner apostrophes and inner hyphens.
    Word,
    /// Digits, with inner points and commas.
    Number,
    /// The possessive ending `'s`.
    Possessive,
    /// Any other single character.
    Mark,
}

/// A token of a source.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: TokenKind,
    /// The token in lower case.
    pub(crate) lower: String,
    /// The lower-case token without its inflection.
    pub(crate) stem: String,
    /// The first letter is upper case, or an inner one is.
    pub(crate) capital: bool,
    /// No white space stands between the previous token and this one.
    pub(crate) attached: bool,
}

impl Token {
    pub(crate) fn is_mark(&self, mark: &str) -> bool {
        self.kind == TokenKind::Mark && self.lower == mark
    }

    /// A single upper-case letter, as in an initial.
    pub(crate) fn is_initial(&self) -> bool {
        self.kind == TokenKind::Word && self.capital && self.end - self.start == 1
    }
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{64b}'..='\u{65f}' | '\u{591}'..='\u{5c7}'
        | '\u{93a}'..='\u{94f}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining(c)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}')
}

/// The tokens of a source, in order.
pub(crate) fn tokenize(source: &Source<'_>) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(c) = source.character(at) {
        if c.is_whitespace() || c.is_control() {
            at += 1;
            continue;
        }
        let (end, kind) = if c.is_ascii_digit() {
            number_end(source, at)
        } else if is_word(c) {
            (word_end(source, at), TokenKind::Word)
        } else if is_possessive(source, at) {
            (at + 2, TokenKind::Possessive)
        } else {
            (at + 1, TokenKind::Mark)
        };
        tokens.push(token(source, at, end, kind, tokens.last().is_some_and(|t| t.end == at)));
        at = end;
    }
    tokens
}

fn token(source: &Source<'_>, start: usize, end: usize, kind: TokenKind, attached: bool) -> Token {
    let text = source.slice(start, end);
    let lower: String = text.chars().flat_map(char::to_lowercase).collect();
    let lower = if kind == TokenKind::Possessive { "'s".to_owned() } else { lower };
    let stem = if kind == TokenKind::Word { stem(&lower) } else { lower.clone() };
    let capital = kind == TokenKind::Word && text.chars().any(char::is_uppercase);
    Token { start, end, kind, lower, stem, capital, attached }
}

fn is_possessive(source: &Source<'_>, at: usize) -> bool {
    source.character(at).is_some_and(is_apostrophe)
        && at > 0
        && source.character(at - 1).is_some_and(is_word)
        && source.character(at + 1).is_some_and(|c| matches!(c, 's' | 'S'))
        && !source.character(at + 2).is_some_and(is_word)
}

fn word_end(source: &Source<'_>, start: usize) -> usize {
    let mut at = start + 1;
    while let Some(c) = source.character(at) {
        let joins = (is_apostrophe(c) || is_hyphen(c))
            && source.character(at + 1).is_some_and(is_word)
            && !is_possessive(source, at);
        if is_word(c) || joins {
            at += 1;
        } else {
            break;
        }
    }
    at
}

/// Digits, or a word that starts with digits (`20th`, `3D`).
fn number_end(source: &Source<'_>, start: usize) -> (usize, TokenKind) {
    let mut at = start + 1;
    while let Some(c) = source.character(at) {
        let inner =
            matches!(c, '.' | ',') && source.character(at + 1).is_some_and(|d| d.is_ascii_digit());
        if c.is_ascii_digit() || inner {
            at += 1;
        } else if is_word(c) {
            return (word_end(source, at), TokenKind::Word);
        } else {
            break;
        }
    }
    (at, TokenKind::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let source = Source::new(text);
        tokenize(&source).iter().map(|t| source.slice(t.start, t.end).to_owned()).collect()
    }

    #[test]
    fn words_numbers_and_marks_are_told_apart() {
        for (text, expected) in [
            ("It's Pan's film.", vec!["It", "'s", "Pan", "'s", "film", "."]),
            ("Jean-Luc O'Brien", vec!["Jean-Luc", "O'Brien"]),
            ("a 117-minute cut, 1,500.5", vec!["a", "117", "-", "minute", "cut", ",", "1,500.5"]),
            ("20th\r\n🎬 “X”", vec!["20th", "🎬", "“", "X", "”"]),
            ("8½ é\u{301}t", vec!["8½", "é\u{301}t"]),
            ("", vec![]),
        ] {
            assert_eq!(texts(text), expected, "{text}");
        }
    }
}
