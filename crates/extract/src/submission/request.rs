//! What is submitted for extraction, checked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Extractor, InvalidOption, Options};
use crate::{
    EMBEDDED, Parameters,
    pack::Edition,
    work::{default_request_id, digest},
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
    /// The ontology's version; the one that its id stands for where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ontology_version: Option<String>,
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
            Self::Option(InvalidOption { field, .. }) => field,
            Self::NoProvider => "options.extractor",
        }
    }
}

impl InvalidSubmission {
    /// What it is as the outcome of a message, among the typed errors of extraction.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoProvider => "ServiceUnavailable",
            Self::EmptyText | Self::TextTooLong { .. } | Self::Option(_) => "invalid_submission",
        }
    }
}

/// What a submission says, checked and with defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What changes the outcome.
    pub parameters: Parameters,
    /// How long the extraction may take.
    pub timeout: Duration,
}

impl Submission {
    /// Checks everything that can be wrong with it by itself, before anything is stored.
    ///
    /// # Errors
    /// [`InvalidSubmission`] names what is wrong.
    pub fn check(&self) -> Result<Checked, InvalidSubmission> {
        if self.text.chars().all(is_invisible) {
            return Err(InvalidSubmission::EmptyText);
        }
        if self.text.len() > MAX_TEXT {
            return Err(InvalidSubmission::TextTooLong { bytes: self.text.len() });
        }
        let parameters = self.options.parameters()?;
        let timeout = self.options.time_limit()?;
        if self.options.extractor == Extractor::Llm {
            return Err(InvalidSubmission::NoProvider);
        }
        Ok(Checked { parameters, timeout })
    }

    /// Names the work that it asks for, by this edition of its ontology.
    pub fn work_key(&self, edition: &Edition, parameters: &Parameters) -> String {
        work_key(edition, &self.text, &parameters.hash(), EMBEDDED)
    }

    /// Names the submission: as it does itself, or else by its work and its document.
    pub fn request_id(&self, edition: &Edition, parameters: &Parameters) -> String {
        self.request_id.clone().unwrap_or_else(|| {
            default_request_id(self.work_key(edition, parameters), self.document_id.as_deref())
        })
    }

    /// Tells submissions of one name apart: what is asked for, and for which document. The version
    /// that the ontology's id stands for is no part of it, so that a submission that is sent again
    /// is the same whatever was put meanwhile. `ontology_id` is the id that its ontology goes by.
    pub fn fingerprint(&self, ontology_id: &str, parameters: &Parameters) -> String {
        let given = [self.ontology_version.is_some(), self.document_id.is_some()].map(u8::from);
        digest(&[
            self.text.as_bytes(),
            ontology_id.as_bytes(),
            parameters.hash().as_bytes(),
            EMBEDDED.as_bytes(),
            &given,
            self.ontology_version.as_deref().unwrap_or_default().as_bytes(),
            self.document_id.as_deref().unwrap_or_default().as_bytes(),
        ])
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
        let given = [&self.ontology_version, &self.document_id, &self.request_id];
        let given = given.map(|given| u8::from(given.is_some()));
        digest(&[
            self.text.as_bytes(),
            self.ontology_id.as_bytes(),
            &options,
            &given,
            &part(&self.ontology_version),
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
            ontology_version: None,
            options: Options::default(),
            document_id: None,
            request_id: None,
        }
    }

    fn edition(version: &str) -> Edition {
        let [tenant, id, version] = ["t", "film", version].map(str::to_owned);
        Edition { tenant, id, version }
    }

    #[test]
    fn what_is_wrong_is_named_before_anything_is_stored() {
        let field = |submission: Submission| submission.check().unwrap_err().field();
        assert_eq!(field(submission(" \n", "film")), "text");
        assert_eq!(field(submission("\u{feff}\u{200b}\0", "film")), "text");
        assert_eq!(field(submission(&"x".repeat(MAX_TEXT + 1), "film")), "text");
        let mut wrong = submission("x", "film");
        wrong.options.chunk_size = Some(1);
        assert_eq!(field(wrong), "options.chunkSize");
        let mut unserved = submission("x", "film");
        unserved.options.extractor = Extractor::Llm;
        assert_eq!(field(unserved), "options.extractor");
    }

    #[test]
    fn what_changes_no_outcome_is_no_part_of_the_work() {
        let key = |options: serde_json::Value| {
            let options = serde_json::from_value(options).unwrap();
            let submission = Submission { options, ..submission("x", "film") };
            submission.work_key(&edition("1"), &submission.check().unwrap().parameters)
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
        let some = Some(String::new());
        let documented = Submission { document_id: some.clone(), ..one.clone() };
        let named = Submission { request_id: some.clone(), ..one.clone() };
        let pinned = Submission { ontology_version: some, ..one.clone() };
        let mut sized = one.clone();
        sized.options.chunk_size = Some(100);
        let others =
            [&documented, &named, &pinned, &sized, &submission("y", "film"), &submission("x", "f")];
        assert_eq!(one.content_key(), one.clone().content_key());
        assert!(others.iter().all(|other| other.content_key() != one.content_key()));
    }

    #[test]
    fn a_submission_is_named_by_its_work_unless_it_says_otherwise() {
        let parameters = Parameters::default();
        let plain = submission("x", "film");
        let id = plain.request_id(&edition("1"), &parameters);
        assert_eq!(id, plain.work_key(&edition("1"), &parameters));
        assert_ne!(id, plain.request_id(&edition("2"), &parameters), "a changed ontology");
        let named = Submission { request_id: Some("mine".to_owned()), ..plain };
        assert_eq!(named.request_id(&edition("1"), &parameters), "mine");
    }

    #[test]
    fn a_fingerprint_tells_what_is_asked_for_and_nothing_else() {
        let parameters = Parameters::default();
        let print = |submission: &Submission| submission.fingerprint("film", &parameters);
        let one = submission("x", "film");
        let mut hasty = one.clone();
        hasty.options.timeout = Some(super::super::TimeLimit(Duration::from_secs(1)));
        let named = Submission { request_id: Some("r".to_owned()), ..one.clone() };
        assert_eq!(print(&hasty), print(&one));
        assert_eq!(print(&named), print(&one));
        let documented = Submission { document_id: Some(String::new()), ..one.clone() };
        let pinned = Submission { ontology_version: Some(String::new()), ..one.clone() };
        for other in [&submission("y", "film"), &documented, &pinned] {
            assert_ne!(print(other), print(&one));
        }
        assert_ne!(one.fingerprint("person", &parameters), print(&one));
    }
}
