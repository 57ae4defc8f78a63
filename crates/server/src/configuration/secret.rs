//! Values that must not be shown.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A text that prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one who needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// `url` with its password, and any `password` parameter, replaced by `***`.
pub(crate) fn mask_url(url: &str) -> String {
    let masked = mask_authority(url);
    let Some((head, query)) = masked.split_once('?') else { return masked };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("password") => {
                format!("{name}=***")
            }
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{head}?{}", parameters.join("&"))
}

fn mask_authority(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let Some((user, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:***@{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://me:pw@db/x", "postgres://me:***@db/x"),
            ("postgres://me:p@w@db:5432/x?a=b", "postgres://me:***@db:5432/x?a=b"),
            ("postgres:///x?host=/tmp&password=pw", "postgres:///x?host=/tmp&password=***"),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("sqlite:///var/q.db", "sqlite:///var/q.db"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }
}
