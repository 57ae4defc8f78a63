//! Features are hashes of a template and its fillings.

/// A feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Feature(pub(crate) u64);

/// 64-bit FNV-1a over the template and its parts, with a separator.
pub(crate) fn feature(template: &str, parts: &[&str]) -> Feature {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut write = |text: &str| {
        for byte in text.bytes().chain([0x1f]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    write(template);
    for part in parts {
        write(part);
    }
    Feature(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(feature("t", &["ab", "c"]), feature("t", &["a", "bc"]));
        assert_eq!(feature("t", &["ab"]), feature("t", &["ab"]));
    }
}
