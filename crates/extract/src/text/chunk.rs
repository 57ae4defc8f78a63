//! Chunks: pieces of a text that are extracted by themselves and merged afterwards.

use serde::{Deserialize, Serialize};

use super::{Source, sentences, tokenize};

/// A piece of a text, by scalar offsets, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chunk {
    /// Position among the chunks of the text, from 0.
    pub index: u32,
    /// First scalar.
    pub start: u32,
    /// One past the last scalar.
    pub end: u32,
}

/// Cuts a text into chunks of at most `size` tokens at sentence boundaries; each chunk after the
/// first starts with the whole sentences among the last `overlap` tokens of the one before.
/// A sentence longer than `size` is a chunk of its own. A text without tokens has no chunk.
pub fn chunks(text: &str, size: u32, overlap: u32) -> Vec<Chunk> {
    let source = Source::new(text);
    let tokens = tokenize(&source);
    let sentences = sentences(&source, &tokens);
    let size = usize::try_from(size.max(1)).unwrap_or(usize::MAX);
    let overlap = usize::try_from(overlap).unwrap_or(usize::MAX).min(size / 2);
    let mut chunks = Vec::new();
    let mut first = 0;
    while let Some(opening) = sentences.get(first) {
        let mut next = first + 1;
        while sentences.get(next).is_some_and(|s| s.end - opening.start <= size) {
            next += 1;
        }
        let Some(closing) = sentences.get(next - 1) else { break };
        let start = tokens.get(opening.start).map_or(0, |t| t.start);
        let end = tokens.get(closing.end - 1).map_or(start, |t| t.end);
        chunks.push(Chunk { index: scalar(chunks.len()), start: scalar(start), end: scalar(end) });
        if next >= sentences.len() {
            break;
        }
        let mut again = next;
        while again > first + 1
            && sentences.get(again - 1).is_some_and(|s| closing.end - s.start <= overlap)
        {
            again -= 1;
        }
        first = again;
    }
    chunks
}

fn scalar(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_overlap_by_whole_sentences_and_cover_the_text() {
        let text = "A b c d. E f g h. I j k l. M n o p.";
        let chunks = chunks(text, 10, 5);
        let pieces: Vec<&str> =
            chunks.iter().map(|c| &text[c.start as usize..c.end as usize]).collect();
        assert_eq!(pieces, ["A b c d. E f g h.", "E f g h. I j k l.", "I j k l. M n o p."]);
    }

    #[test]
    fn a_long_sentence_is_a_chunk_of_its_own() {
        let text = "One two three four five six. Seven.";
        assert_eq!(super::chunks(text, 3, 1).len(), 2);
        assert!(super::chunks(" \r\n", 3, 1).is_empty());
    }
}
