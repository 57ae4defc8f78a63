//! Query parameters: each route names those that it has, all others are refused.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use percent_encoding::percent_decode_str;
use quarry_types::Timestamp;

use super::nearest::did_you_mean;
use crate::{Code, Problem, time};

/// How many items a page has where the request does not say.
const PAGE: u32 = 100;
/// How many items a page has at most.
const LARGEST_PAGE: u32 = 1_000;

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Parses `query`, whose parameters must be of `names`, each at most once.
    pub(crate) fn parse(query: Option<&str>, names: &[&str]) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, "the name of a parameter")?;
            if !names.contains(&name.as_str()) {
                return Err(unknown(&name, names));
            }
            let value = decode(value, &name)?;
            if parameters.insert(name.clone(), value).is_some() {
                return Err(invalid(&name, "is given twice"));
            }
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter, parsed by its type.
    pub(crate) fn value<T: FromStr<Err: ToString>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|error: T::Err| invalid(name, &error.to_string()))
    }

    /// A whole number that is not negative.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().map(Some);
        number.map_err(|_| invalid(name, &format!("{text:?} is no whole number, or too large")))
    }

    /// A duration of at most `longest`.
    pub(crate) fn duration(
        &self,
        name: &str,
        longest: Duration,
    ) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let Some(duration) = time::duration(text) else {
            return Err(invalid(name, &format!("{text:?} is no duration; write 250ms, 5s or 2m")));
        };
        if duration > longest {
            return Err(invalid(name, &format!("may be at most {}s", longest.as_secs())));
        }
        Ok(Some(duration))
    }

    /// A time as RFC 3339 writes it.
    pub(crate) fn timestamp(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let time = time::timestamp(text);
        time.map(Some).ok_or_else(|| {
            let reason = "is no time; write 2026-11-21T02:34:06Z, or an offset with its + as %2B";
            invalid(name, &format!("{text:?} {reason}"))
        })
    }

    /// A parameter that is there or not; `=true` and `=false` are understood.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(text) => Err(invalid(name, &format!("{text:?} is neither true nor false"))),
        }
    }

    /// One of the `choices`, by its name.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let chosen = choices.iter().find(|(choice, _)| *choice == text);
        let names = choices.iter().map(|(choice, _)| *choice);
        chosen.map(|(_, value)| Some(*value)).ok_or_else(|| {
            invalid(name, &format!("{text:?} is none of its values")).available(names)
        })
    }

    /// The size of the page asked for in `limit`.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        let limit = self.number::<u32>("limit")?.unwrap_or(PAGE);
        if (1..=LARGEST_PAGE).contains(&limit) {
            return Ok(limit);
        }
        Err(invalid("limit", &format!("must be from 1 to {LARGEST_PAGE}")))
    }
}

/// The refusal of a parameter's value.
fn invalid(name: &str, reason: &str) -> Problem {
    Problem::new(Code::InvalidParameter, format!("parameter {name}: {reason}")).field(name)
}

fn unknown(name: &str, names: &[&str]) -> Problem {
    let meant = did_you_mean(name, names.iter().copied());
    let detail = format!("this route has no parameter {name:?}{meant}");
    Problem::new(Code::UnknownParameter, detail).field(name).available(names.iter().copied())
}

/// Decodes `+` and percent escapes, which were checked before; the bytes must be UTF-8.
fn decode(text: &str, name: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(String::from).map_err(|_| invalid(name, "is no UTF-8 when it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> (&'static str, Option<String>) {
        let names = ["wait", "limit", "async"];
        let problem = Query::parse(Some(query), &names)
            .and_then(|query| {
                query.limit()?;
                query.flag("async")?;
                query.duration("wait", Duration::from_mins(1))
            })
            .unwrap_err();
        let document = problem.clone().document_for_test();
        (problem.code().as_str(), document.field)
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, code, field) in [
            ("wiat=5s", "unknown_parameter", "wiat"),
            ("wait=5s&wait=6s", "invalid_parameter", "wait"),
            ("wait=5", "invalid_parameter", "wait"),
            ("wait=61s", "invalid_parameter", "wait"),
            ("limit=0", "invalid_parameter", "limit"),
            ("limit=x", "invalid_parameter", "limit"),
            ("limit=1001", "invalid_parameter", "limit"),
            ("async=maybe", "invalid_parameter", "async"),
            ("wait=%ff", "invalid_parameter", "wait"),
        ] {
            assert_eq!(refused(query), (code, Some(field.to_owned())), "{query}");
        }
    }

    #[test]
    fn escapes_and_plus_are_decoded() {
        let query = Query::parse(Some("entity=Counter%2Fa+b&"), &["entity"]).unwrap();
        assert_eq!(query.text("entity"), Some("Counter/a b"));
        assert_eq!(query.limit().unwrap(), PAGE);
    }
}
