//! Closed word classes of English and a light stemmer. These are the language's, not a pack's:
//! nothing here names a subject, a relation or a class.

/// Words that carry no meaning of their own: determiners, prepositions, conjunctions, pronouns,
/// auxiliaries.
const FUNCTION_WORDS: &[&str] = &[
    "a",
    "about",
    "above",
    "across",
    "after",
    "again",
    "against",
    "all",
    "along",
    "alongside",
    "already",
    "also",
    "although",
    "always",
    "am",
    "among",
    "an",
    "and",
    "another",
    "any",
    "anybody",
    "anyone",
    "anything",
    "are",
    "around",
    "as",
    "at",
    "be",
    "became",
    "because",
    "become",
    "been",
    "before",
    "being",
    "below",
    "beside",
    "besides",
    "between",
    "both",
    "but",
    "by",
    "can",
    "cannot",
    "could",
    "did",
    "do",
    "does",
    "down",
    "during",
    "each",
    "either",
    "even",
    "every",
    "everybody",
    "everyone",
    "everything",
    "few",
    "for",
    "from",
    "had",
    "has",
    "have",
    "having",
    "he",
    "her",
    "here",
    "hers",
    "him",
    "his",
    "how",
    "however",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "itself",
    "just",
    "many",
    "may",
    "me",
    "might",
    "more",
    "most",
    "much",
    "must",
    "my",
    "near",
    "neither",
    "never",
    "no",
    "nobody",
    "none",
    "nor",
    "not",
    "nothing",
    "now",
    "of",
    "off",
    "often",
    "on",
    "once",
    "only",
    "onto",
    "or",
    "other",
    "our",
    "out",
    "over",
    "own",
    "per",
    "same",
    "she",
    "should",
    "since",
    "so",
    "some",
    "somebody",
    "someone",
    "something",
    "still",
    "such",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "though",
    "through",
    "throughout",
    "to",
    "together",
    "too",
    "toward",
    "towards",
    "under",
    "until",
    "up",
    "upon",
    "us",
    "very",
    "via",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "whom",
    "whose",
    "why",
    "will",
    "with",
    "within",
    "without",
    "would",
    "yet",
    "you",
    "your",
];

/// Is the lower-case word a function word?
pub(crate) fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.binary_search(&word).is_ok()
}

/// Is the lower-case word a preposition that may open a sentence?
pub(crate) fn is_preposition(word: &str) -> bool {
    matches!(
        word,
        "in" | "on"
            | "at"
            | "after"
            | "before"
            | "for"
            | "from"
            | "with"
            | "by"
            | "during"
            | "since"
            | "until"
            | "of"
            | "to"
            | "under"
            | "besides"
            | "like"
            | "unlike"
            | "as"
    )
}

/// The value of an English number word up to ninety.
pub(crate) fn number_word(word: &str) -> Option<u32> {
    const UNITS: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] =
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let position = |words: &[&str], word: &str| {
        words.iter().position(|w| *w == word).and_then(|at| u32::try_from(at).ok())
    };
    if let Some(units) = position(&UNITS, word) {
        return Some(units);
    }
    if let Some(tens) = position(&TENS, word) {
        return Some((tens + 2) * 10);
    }
    let (tens, units) = word.split_once('-')?;
    let tens = (position(&TENS, tens)? + 2) * 10;
    position(&UNITS, units).filter(|u| (1..10).contains(u)).map(|u| tens + u)
}

/// Irregular forms and the form whose stem they share.
const IRREGULAR: &[(&str, &str)] = &[
    ("began", "begin"),
    ("begun", "begin"),
    ("bought", "buy"),
    ("brought", "bring"),
    ("built", "build"),
    ("came", "come"),
    ("chose", "choose"),
    ("chosen", "choose"),
    ("drew", "draw"),
    ("drawn", "draw"),
    ("fed", "feed"),
    ("fought", "fight"),
    ("found", "find"),
    ("gave", "give"),
    ("given", "give"),
    ("grew", "grow"),
    ("grown", "grow"),
    ("held", "hold"),
    ("kept", "keep"),
    ("knew", "know"),
    ("known", "know"),
    ("laid", "lay"),
    ("led", "lead"),
    ("left", "leave"),
    ("lost", "lose"),
    ("made", "make"),
    ("met", "meet"),
    ("paid", "pay"),
    ("ran", "run"),
    ("rose", "rise"),
    ("sang", "sing"),
    ("sung", "sing"),
    ("saw", "see"),
    ("seen", "see"),
    ("sent", "send"),
    ("shot", "shoot"),
    ("sold", "sell"),
    ("spoke", "speak"),
    ("spoken", "speak"),
    ("spent", "spend"),
    ("stood", "stand"),
    ("taken", "take"),
    ("taught", "teach"),
    ("told", "tell"),
    ("took", "take"),
    ("won", "win"),
    ("wrote", "write"),
    ("written", "write"),
];

/// Endings that inflection and derivation add, longest first.
const ENDINGS: [&str; 17] = [
    "ations", "ation", "ings", "ing", "ions", "ion", "ers", "ors", "ies", "er", "or", "ed", "es",
    "s", "y", "e", "ly",
];

/// A word without its inflection, so that *direct*, *directed*, *director* and *direction* agree.
/// It is no dictionary form; it only has to be the same for words of one family.
pub(crate) fn stem(word: &str) -> String {
    let word = IRREGULAR.iter().find(|(form, _)| *form == word).map_or(word, |(_, base)| base);
    if is_function_word(word) || !word.is_ascii() {
        return word.to_owned();
    }
    let mut base = word;
    for ending in ENDINGS {
        if let Some(rest) = word.strip_suffix(ending).filter(|rest| rest.len() >= 3) {
            base = rest;
            break;
        }
    }
    let base = base.strip_suffix('e').filter(|rest| rest.len() >= 3).unwrap_or(base);
    let base = match base.strip_suffix("uct") {
        Some(rest) if rest.len() >= 3 => base.strip_suffix('t').unwrap_or(base),
        _ => base,
    };
    let mut letters = base.chars().rev();
    match (letters.next(), letters.next()) {
        (Some(last), Some(before)) if last == before && base.len() > 3 && last != 's' => {
            base.strip_suffix(last).unwrap_or(base).to_owned()
        }
        _ => base.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_words_are_sorted_for_the_search() {
        assert!(FUNCTION_WORDS.is_sorted());
    }

    #[test]
    fn words_of_one_family_share_a_stem() {
        for family in [
            &["direct", "directed", "director", "directors", "directing", "direction"][..],
            &["produce", "produced", "producer", "producers", "production", "produces"],
            &["star", "stars", "starred", "starring"],
            &["write", "wrote", "written", "writer", "writing"],
            &["shot", "shoot", "shooting"],
            &["edit", "edited", "editor", "editing"],
            &["photograph", "photographed", "photography", "photographer"],
            &["distribute", "distributed", "distributor", "distribution"],
            &["keep", "kept", "keeper", "keeping"],
            &["adapt", "adapted", "adaptation"],
        ] {
            let stems: Vec<String> = family.iter().map(|w| stem(w)).collect();
            assert!(stems.iter().all(|s| *s == stems[0]), "{family:?}: {stems:?}");
        }
    }

    #[test]
    fn number_words_have_values() {
        assert_eq!(number_word("ninety-five"), Some(95));
        assert_eq!(number_word("twenty"), Some(20));
        assert_eq!(number_word("fourteen"), Some(14));
        assert_eq!(number_word("ten-five"), None);
    }
}
