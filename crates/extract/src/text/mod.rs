//! Text as the extractor sees it: characters, tokens, sentences, chunks, and the closed word
//! classes of English. Every offset counts Unicode scalar values; nothing here counts bytes.

mod chunk;
mod decode;
mod english;
mod sentence;
mod source;
mod token;

pub use chunk::{Chunk, chunks};
pub use decode::{NotText, Place, decode};
pub(crate) use english::{is_function_word, is_preposition, number_word, stem};
pub(crate) use sentence::sentences;
pub(crate) use source::Source;
pub(crate) use token::{Token, TokenKind, tokenize};
