//! What is submitted for extraction, checked.

mod options;
mod request;
mod time_limit;

pub use options::{Extractor, InvalidOption, Options};
pub use request::{Checked, InvalidSubmission, MAX_TEXT, Submission};
pub use time_limit::TimeLimit;
