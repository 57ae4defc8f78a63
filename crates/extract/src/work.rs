//! The two identities of an extraction: the work, by what it computes, and the submission.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pack::Edition;

/// What changes the outcome of an extraction besides text and ontology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Parameters {
    /// Most tokens of a chunk.
    pub chunk_size: u32,
    /// Tokens of whole sentences that a chunk repeats of the one before.
    pub overlap: u32,
    /// Facts below this confidence are dropped.
    pub min_confidence: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { chunk_size: 500, overlap: 50, min_confidence: 0.5 }
    }
}

impl Parameters {
    /// SHA-256 over the values in a fixed order, in hexadecimal.
    pub fn hash(&self) -> String {
        digest(&[
            &self.chunk_size.to_be_bytes(),
            &self.overlap.to_be_bytes(),
            &self.min_confidence.to_bits().to_be_bytes(),
        ])
    }
}

/// Id of the work that computes the document-local graph: SHA-256 over tenant, the text's exact
/// bytes, the ontology's id and version, the parameters' hash and the extractor's version.
/// Whoever asks for the same work shares it; document and request are no part of it.
pub fn work_key(edition: &Edition, text: &str, parameters_hash: &str, extractor: &str) -> String {
    digest(&[
        edition.tenant.as_bytes(),
        text.as_bytes(),
        edition.id.as_bytes(),
        edition.version.as_bytes(),
        parameters_hash.as_bytes(),
        extractor.as_bytes(),
    ])
}

/// Id of a submission that names none: that of its work, or made of it and of the document.
pub(crate) fn default_request_id(work_key: String, document_id: Option<&str>) -> String {
    match document_id {
        Some(document) => digest(&[work_key.as_bytes(), b"document", document.as_bytes()]),
        None => work_key,
    }
}

/// SHA-256 over parts, each preceded by its length, so that no two lists of parts agree.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hexadecimal(&hash.finalize())
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_work_changes_its_key() {
        let edition = |tenant: &str, id: &str, version: &str| {
            let [tenant, id, version] = [tenant, id, version].map(str::to_owned);
            Edition { tenant, id, version }
        };
        let one = edition("t", "a", "1");
        let hash = Parameters::default().hash();
        let other = Parameters { overlap: 49, ..Parameters::default() }.hash();
        let keys = [
            work_key(&one, "x", &hash, "embedded/1"),
            work_key(&edition("u", "a", "1"), "x", &hash, "embedded/1"),
            work_key(&edition("t", "b", "1"), "x", &hash, "embedded/1"),
            work_key(&edition("t", "a", "2"), "x", &hash, "embedded/1"),
            work_key(&one, "X", &hash, "embedded/1"),
            work_key(&one, "x ", &hash, "embedded/1"),
            work_key(&one, "x", &other, "embedded/1"),
            work_key(&one, "x", &hash, "embedded/2"),
            work_key(&edition("tx", "a", "1"), "", &hash, "embedded/1"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(key.len(), 64);
            assert!(!keys[at + 1..].contains(key));
        }
        assert_eq!(keys[0], work_key(&one, "x", &hash, "embedded/1"));
    }

    #[test]
    fn submissions_of_one_work_differ_by_document() {
        let id = |document| default_request_id("k".to_owned(), document);
        assert_eq!(id(None), "k");
        assert_ne!(id(None), id(Some("")));
        assert_ne!(id(Some("a")), id(Some("b")));
    }
}
