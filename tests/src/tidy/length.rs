//! Files stay short enough to be read at once.

use super::{Source, Violation};

/// Lines that a source or a script may have, tests included.
const LINES_MAX: usize = 500;

/// No Rust file and no script is longer than 500 lines.
pub fn files_are_short(sources: &[Source]) -> Vec<Violation> {
    sources
        .iter()
        .filter(|source| source.is_rust() || source.path.starts_with("scripts/"))
        .filter_map(|source| {
            let lines = source.text.lines().count();
            (lines > LINES_MAX).then(|| {
                Violation::at(source, lines, format!("{lines} lines; at most {LINES_MAX}"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_501_lines_is_found() {
        let long = Source::new("crates/a/src/a.rs", "//\n".repeat(501));
        let just_right = Source::new("crates/a/src/b.rs", "//\n".repeat(500));
        let script = Source::new("scripts/demo.sh", "#\n".repeat(501));
        let prose = Source::new("README.md", "a\n".repeat(900));
        let found = files_are_short(&[long, just_right, script, prose]);
        let places: Vec<_> = found.iter().map(|violation| violation.place.as_str()).collect();
        assert_eq!(places, ["crates/a/src/a.rs", "scripts/demo.sh"]);
    }
}
