//! The two identities of an extraction: the work, by what it computes, and the submission.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pack::Ontology;

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
pub fn work_key(
    tenant: &str,
    text: &str,
    ontology: &Ontology,
    parameters_hash: &str,
    extractor: &str,
) -> String {
    digest(&[
        tenant.as_bytes(),
        text.as_bytes(),
        ontology.id().as_bytes(),
        ontology.version().as_bytes(),
        parameters_hash.as_bytes(),
        extractor.as_bytes(),
    ])
}

/// Fingerprint of a submission's payload: the work it asks for and the document it supports.
/// The same request id with another fingerprint is refused.
pub fn submission_fingerprint(work_key: &str, document_id: Option<&str>) -> String {
    match document_id {
        Some(document) => digest(&[work_key.as_bytes(), b"document", document.as_bytes()]),
        None => digest(&[work_key.as_bytes()]),
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
        let pack = "id = \"a\"\n[[class]]\nname = \"A\"\n";
        let one = Ontology::from_toml(pack).unwrap();
        let changed = Ontology::from_toml(&format!("{pack}\n")).unwrap();
        let hash = Parameters::default().hash();
        let other = Parameters { overlap: 49, ..Parameters::default() }.hash();
        let keys = [
            work_key("t", "x", &one, &hash, "embedded/1"),
            work_key("u", "x", &one, &hash, "embedded/1"),
            work_key("t", "X", &one, &hash, "embedded/1"),
            work_key("t", "x ", &one, &hash, "embedded/1"),
            work_key("t", "x", &changed, &hash, "embedded/1"),
            work_key("t", "x", &one, &other, "embedded/1"),
            work_key("t", "x", &one, &hash, "embedded/2"),
            work_key("tx", "", &one, &hash, "embedded/1"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(key.len(), 64);
            assert!(!keys[at + 1..].contains(key));
        }
        assert_eq!(keys[0], work_key("t", "x", &one, &hash, "embedded/1"));
    }

    #[test]
    fn submissions_of_one_work_differ_by_document() {
        let none = submission_fingerprint("k", None);
        assert_ne!(none, submission_fingerprint("k", Some("")));
        assert_ne!(submission_fingerprint("k", Some("a")), submission_fingerprint("k", Some("b")));
    }
}
