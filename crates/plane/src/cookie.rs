//! The secret that all nodes of a cluster share.

use std::{fmt, hint::black_box, sync::Arc};

/// The cluster's cookie. It is compared in constant time and never shown.
#[derive(Clone)]
pub struct Cookie(Arc<str>);

/// Why a cookie is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cluster cookie has {length} bytes, and at least {} are needed", Cookie::MIN_BYTES)]
pub struct CookieError {
    /// The bytes it has.
    pub length: usize,
}

impl Cookie {
    /// The shortest cookie that is taken, in bytes.
    pub const MIN_BYTES: usize = 32;

    /// Takes a secret, surrounding white space left out.
    ///
    /// # Errors
    /// Where it has fewer than [`Cookie::MIN_BYTES`].
    pub fn new(secret: &str) -> Result<Self, CookieError> {
        let secret = secret.trim();
        if secret.len() < Self::MIN_BYTES {
            return Err(CookieError { length: secret.len() });
        }
        Ok(Self(secret.into()))
    }

    /// The secret, for the protocol that proves it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same secret. Takes the same time wherever they differ.
    pub fn matches(&self, other: &[u8]) -> bool {
        let ours = self.0.as_bytes();
        if ours.len() != other.len() {
            return false;
        }
        let difference =
            ours.iter().zip(other).fold(0_u8, |sum, (ours, theirs)| black_box(sum | ours ^ theirs));
        black_box(difference) == 0
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_match() {
        let cookie = Cookie::new(&"7".repeat(32)).unwrap();
        assert!(cookie.matches(&[b'7'; 32]));
        assert!(!cookie.matches(&[b'7'; 33]));
        let mut other = [b'7'; 32];
        other[31] = b'8';
        assert!(!cookie.matches(&other));
    }

    #[test]
    fn a_short_cookie_is_refused_and_none_is_shown() {
        assert_eq!(Cookie::new(" short ").unwrap_err(), CookieError { length: 5 });
        assert_eq!(format!("{:?}", Cookie::new(&"s".repeat(32))), "Ok(Cookie(***))");
    }
}
