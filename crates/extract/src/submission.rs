//! What is submitted for extraction, checked.

use serde::{Deserialize, Serialize};

use crate::{
    EMBEDDED, Parameters,
    pack::{Ontologies, Ontology, UnknownOntology},
    submission_fingerprint,
    work::digest,
    work_key,
};
use std::sync::Arc;

/// The longest text: 1 MiB.
pub const MAX_TEXT: usize = 1024 * 1024;

/// A text to extract from, with the ontology to extract by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submission {
    /// The text, as it is: offsets count its Unicode scalar values.
    pub text: String,
    /// The ontology's id.
    pub ontology_id: String,
    /// What changes the outcome.
    #[serde(default)]
    pub options: Options,
    /// The document that the facts belong to.
    #[serde(default)]
    pub document_id: Option<String>,
    /// Names the submission; by default it is named by what it asks for.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// What a submission may choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Options {
    /// Which extractor.
    pub extractor: Extractor,
    /// Most tokens of a chunk, 50 to 5,000.
    pub chunk_size: Option<u32>,
    /// Tokens that a chunk repeats of the one before; less than half of the chunk size.
    pub overlap: Option<u32>,
    /// Facts below this confidence are dropped, 0 to 1.
    pub min_confidence: Option<f64>,
}

/// An extractor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extractor {
    /// Induced from the ontology's examples; no network.
    #[default]
    Embedded,
}

/// Why a submission is refused; nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubmission {
    /// There is nothing to read.
    #[error("the text is empty: send the text to extract from")]
    EmptyText,
    /// There is too much to read at once.
    #[error("the text has {bytes} bytes, over the limit of {MAX_TEXT}: split it")]
    TextTooLong {
        /// Its length.
        bytes: usize,
    },
    /// No such ontology.
    #[error(transparent)]
    Ontology(#[from] UnknownOntology),
    /// An option is out of its range.
    #[error("{field} is out of range: {rule}")]
    Option {
        /// The option.
        field: &'static str,
        /// What is allowed.
        rule: &'static str,
    },
}

impl InvalidSubmission {
    /// The member of the submission that is at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::EmptyText | Self::TextTooLong { .. } => "text",
            Self::Ontology(_) => "ontologyId",
            Self::Option { field, .. } => field,
        }
    }
}

/// A submission whose parts are all known to be good.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The ontology.
    pub ontology: Arc<Ontology>,
    /// What changes the outcome, with defaults.
    pub parameters: Parameters,
    /// Names the work.
    pub work_key: String,
    /// Names the submission.
    pub request_id: String,
    /// Tells submissions of one name apart.
    pub fingerprint: String,
}

impl Submission {
    /// Checks everything that can be wrong before anything is stored.
    ///
    /// # Errors
    /// [`InvalidSubmission`] names what is wrong.
    pub fn check(
        &self,
        tenant: &str,
        ontologies: &Ontologies,
    ) -> Result<Checked, InvalidSubmission> {
        if self.text.chars().all(is_invisible) {
            return Err(InvalidSubmission::EmptyText);
        }
        if self.text.len() > MAX_TEXT {
            return Err(InvalidSubmission::TextTooLong { bytes: self.text.len() });
        }
        let ontology = ontologies.get(&self.ontology_id)?;
        let parameters = self.options.parameters()?;
        let work_key = work_key(tenant, &self.text, &ontology, &parameters.hash(), EMBEDDED);
        let fingerprint = submission_fingerprint(&work_key, self.document_id.as_deref());
        let request_id = self.request_id.clone().unwrap_or_else(|| match self.document_id {
            Some(_) => fingerprint.clone(),
            None => work_key.clone(),
        });
        Ok(Checked { ontology, parameters, work_key, request_id, fingerprint })
    }
}

/// White space, a byte order mark, or another character of no width.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

impl Submission {
    /// A key made of all that is submitted: the same submission has it again, so that sending it
    /// under this key twice is answered once.
    pub fn content_key(&self) -> String {
        let options = serde_json::to_vec(&self.options).unwrap_or_default();
        let part = |part: &Option<String>| part.clone().unwrap_or_default().into_bytes();
        let given = [u8::from(self.document_id.is_some()), u8::from(self.request_id.is_some())];
        digest(&[
            self.text.as_bytes(),
            self.ontology_id.as_bytes(),
            &options,
            &given,
            &part(&self.document_id),
            &part(&self.request_id),
        ])
    }
}

impl Options {
    fn parameters(&self) -> Result<Parameters, InvalidSubmission> {
        let refuse = |field, rule| Err(InvalidSubmission::Option { field, rule });
        let defaults = Parameters::default();
        let chunk_size = self.chunk_size.unwrap_or(defaults.chunk_size);
        let overlap = self.overlap.unwrap_or(defaults.overlap.min(chunk_size / 4));
        let min_confidence = self.min_confidence.unwrap_or(defaults.min_confidence);
        if !(50..=5_000).contains(&chunk_size) {
            return refuse("options.chunkSize", "50 to 5,000 tokens");
        }
        if overlap >= chunk_size / 2 {
            return refuse("options.overlap", "less than half of the chunk size");
        }
        if !(0.0..=1.0).contains(&min_confidence) {
            return refuse("options.minConfidence", "0 to 1");
        }
        Ok(Parameters { chunk_size, overlap, min_confidence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(text: &str, ontology: &str) -> Submission {
        Submission {
            text: text.to_owned(),
            ontology_id: ontology.to_owned(),
            options: Options::default(),
            document_id: None,
            request_id: None,
        }
    }

    #[test]
    fn what_is_wrong_is_named_before_anything_is_stored() {
        let known = Ontologies::built_in().unwrap();
        let field = |submission: Submission| submission.check("t", &known).unwrap_err().field();
        assert_eq!(field(submission(" \n", "film")), "text");
        assert_eq!(field(submission(&"x".repeat(MAX_TEXT + 1), "film")), "text");
        assert_eq!(field(submission("x", "films")), "ontologyId");
        let mut wrong = submission("x", "film");
        wrong.options.chunk_size = Some(1);
        assert_eq!(field(wrong), "options.chunkSize");
        let mut wrong = submission("x", "film");
        wrong.options.overlap = Some(250);
        assert_eq!(field(wrong), "options.overlap");
    }

    #[test]
    fn equal_submissions_have_equal_keys_and_others_do_not() {
        let one = submission("x", "film");
        let mut documented = one.clone();
        documented.document_id = Some(String::new());
        let mut named = one.clone();
        named.request_id = Some(String::new());
        let mut sized = one.clone();
        sized.options.chunk_size = Some(100);
        let others = [&documented, &named, &sized, &submission("y", "film"), &submission("x", "f")];
        assert_eq!(one.content_key(), one.clone().content_key());
        assert!(others.iter().all(|other| other.content_key() != one.content_key()));
    }

    #[test]
    fn a_submission_is_named_by_its_work_unless_it_says_otherwise() {
        let known = Ontologies::built_in().unwrap();
        let checked = submission("x", "film").check("t", &known).unwrap();
        assert_eq!(checked.request_id, checked.work_key);
        let mut named = submission("x", "film");
        named.request_id = Some("mine".to_owned());
        assert_eq!(named.check("t", &known).unwrap().request_id, "mine");
    }
}
