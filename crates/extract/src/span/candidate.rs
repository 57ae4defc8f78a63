//! A piece of a sentence that may take part in a fact.

use std::ops::Range;

use crate::pack::{ClassId, Datatype};
use crate::text::Token;

/// How a candidate was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Capitalised words.
    Name,
    /// A name in quotation marks or emphasis.
    Quoted,
    /// Words of the pack's own lists.
    Listed,
    /// A lower-case noun phrase.
    Phrase,
    /// A date, a number, an amount.
    Literal,
    /// A pronoun or a definite description.
    Reference,
}

/// One reading of a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// The pack's datatype that the reading satisfies.
    pub(crate) datatype: Datatype,
    /// The value in the lexical form of the datatype.
    pub(crate) lexical: String,
    /// The `xsd:` name, which may be narrower than the pack's.
    pub(crate) xsd: &'static str,
    /// Unit of a number.
    pub(crate) unit: Option<String>,
}

impl Value {
    pub(crate) fn of(datatype: Datatype, value: String) -> Self {
        Self { datatype, lexical: value, xsd: datatype.name(), unit: None }
    }
}

/// A candidate span.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The candidate's own tokens.
    pub(crate) inner: Range<usize>,
    /// Its tokens with the quotation marks around it.
    pub(crate) outer: Range<usize>,
    /// First scalar.
    pub(crate) start: usize,
    /// One past the last scalar.
    pub(crate) end: usize,
    pub(crate) form: Form,
    /// Readings by the pack's lists: class and the name there.
    pub(crate) listed: Vec<(ClassId, String)>,
    /// Readings as a literal.
    pub(crate) values: Vec<Value>,
    /// Classes that a reference or a phrase may stand for.
    pub(crate) stands_for: Vec<ClassId>,
    /// A possessive pronoun.
    pub(crate) possessive: bool,
}

impl Candidate {
    pub(crate) fn new(tokens: Range<usize>, start: usize, end: usize, form: Form) -> Self {
        Self {
            inner: tokens.clone(),
            outer: tokens,
            start,
            end,
            form,
            listed: Vec::new(),
            values: Vec::new(),
            stands_for: Vec::new(),
            possessive: false,
        }
    }

    /// The subject of a sentence that does not name it: a reference of no width before the token
    /// `start`, to one of `classes`.
    pub(crate) fn implied(tokens: &[Token], start: usize, classes: Vec<ClassId>) -> Self {
        let offset = tokens.get(start).map_or(0, |token| token.start);
        let mut subject = Self::new(start..start, offset, offset, Form::Reference);
        subject.stands_for = classes;
        subject
    }

    /// A name of the text itself, whose class is open.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self.form, Form::Name | Form::Quoted)
    }

    /// May another candidate's context be read across this one?
    pub(crate) fn is_transparent(&self) -> bool {
        let possessive = self.form == Form::Reference && self.possessive;
        possessive || matches!(self.form, Form::Literal | Form::Listed)
    }

    pub(crate) fn value(&self, datatype: Datatype) -> Option<&Value> {
        self.values.iter().find(|value| value.datatype == datatype)
    }
}
