//! A text with constant-time access to its Unicode scalar values.

/// A text that is read by scalar offsets.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    text: &'a str,
    characters: Vec<char>,
    /// Byte offset of each scalar, and of the end.
    bytes: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        bytes.push(text.len());
        Self { text, characters: text.chars().collect(), bytes }
    }

    /// Number of scalars.
    pub(crate) fn len(&self) -> usize {
        self.characters.len()
    }

    pub(crate) fn character(&self, at: usize) -> Option<char> {
        self.characters.get(at).copied()
    }

    /// The text between two scalar offsets; empty where they are out of range or reversed.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &'a str {
        match (self.bytes.get(start), self.bytes.get(end)) {
            (Some(&from), Some(&to)) => self.text.get(from..to).unwrap_or_default(),
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_scalars_and_not_bytes() {
        let source = Source::new("é🎬x\r\n");
        assert_eq!(source.len(), 5);
        assert_eq!(source.slice(1, 3), "🎬x");
        assert_eq!(source.slice(4, 9), "");
        assert_eq!(source.slice(3, 1), "");
    }
}
