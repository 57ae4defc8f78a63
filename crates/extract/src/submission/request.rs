//! What is submitted for extraction, checked.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Extractor, InvalidOption, Options};
use crate::{
    EMBEDDED, Parameters,
    pack::{Ontologies, Ontology, UnknownOntology},
    submission_fingerprint,
    work::digest,
    work_key,
};

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
    /// What it may choose.
    #[serde(default)]
    pub options: Options,
    /// The document that the facts belong to.
    #[serde(default)]
    pub document_id: Option<String>,
    /// Names the submission; by default it is named by what it asks for.
    #[serde(default)]
    pub request_id: Option<String>,
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
    /// An option has a value that it cannot have.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// A language model is asked for, and none is configured.
    #[error(
        "no language model is configured here: leave out options.extractor, or ask for `embedded`"
    )]
    NoProvider,
}

impl InvalidSubmission {
    /// The member of the submission that is at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::EmptyText | Self::TextTooLong { .. } => "text",
            Self::Ontology(_) => "ontologyId",
            Self::Option(InvalidOption { field, .. }) => field,
            Self::NoProvider => "options.extractor",
        }
    }
}

impl InvalidSubmission {
    /// What it is as the outcome of a message, among the typed errors of extraction.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ontology(_) => "OntologyError",
            Self::NoProvider => "ServiceUnavailable",
            Self::EmptyText | Self::TextTooLong { .. } | Self::Option(_) => "invalid_submission",
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
    /// How long the extraction may take.
    pub timeout: Duration,
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
        let timeout = self.options.time_limit()?;
        if self.options.extractor == Extractor::Llm {
            return Err(InvalidSubmission::NoProvider);
        }
        let work_key = work_key(tenant, &self.text, &ontology, &parameters.hash(), EMBEDDED);
        let fingerprint = submission_fingerprint(&work_key, self.document_id.as_deref());
        let request_id = self.request_id.clone().unwrap_or_else(|| match self.document_id {
            Some(_) => fingerprint.clone(),
            None => work_key.clone(),
        });
        Ok(Checked { ontology, parameters, timeout, work_key, request_id, fingerprint })
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
        let mut unserved = submission("x", "film");
        unserved.options.extractor = Extractor::Llm;
        assert_eq!(field(unserved), "options.extractor");
    }

    #[test]
    fn what_changes_no_outcome_is_no_part_of_the_work() {
        let known = Ontologies::built_in().unwrap();
        let key = |options: serde_json::Value| {
            let options = serde_json::from_value(options).unwrap();
            Submission { options, ..submission("x", "film") }.check("t", &known).unwrap().work_key
        };
        let plain = key(serde_json::json!({}));
        let model = serde_json::json!({"maxTokens": 9, "temperature": 1, "timeout": "9s"});
        assert_eq!(key(model), plain);
        assert_eq!(key(serde_json::json!({"chunkSize": 500, "extractor": "embedded"})), plain);
        assert_ne!(key(serde_json::json!({"minConfidence": 0.9})), plain);
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
