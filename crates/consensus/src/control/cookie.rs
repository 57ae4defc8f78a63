//! The secret that all nodes of a cluster share.

use std::{fmt, hint::black_box, sync::Arc};

/// The cluster's cookie. It is compared in constant time and never shown.
#[derive(Clone)]
pub struct Cookie(Arc<[u8]>);

impl Cookie {
    /// The shortest cookie that is taken, in bytes.
    pub const MIN_BYTES: usize = 32;

    /// A cookie of these bytes; nothing where they are fewer than [`Cookie::MIN_BYTES`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= Self::MIN_BYTES).then(|| Self(bytes.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `other` is the same secret. Takes the same time wherever they differ.
    pub(crate) fn matches(&self, other: &[u8]) -> bool {
        if self.0.len() != other.len() {
            return false;
        }
        let difference = self
            .0
            .iter()
            .zip(other)
            .fold(0_u8, |sum, (ours, theirs)| black_box(sum | ours ^ theirs));
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
        let cookie = Cookie::new(&[7; 32]).unwrap();
        assert!(cookie.matches(&[7; 32]));
        assert!(!cookie.matches(&[7; 33]));
        let mut other = [7; 32];
        other[31] = 8;
        assert!(!cookie.matches(&other));
    }

    #[test]
    fn short_cookies_are_refused_and_none_is_shown() {
        assert!(Cookie::new(&[7; 31]).is_none());
        assert_eq!(format!("{:?}", Cookie::new(&[7; 32])), "Some(Cookie(***))");
    }
}
