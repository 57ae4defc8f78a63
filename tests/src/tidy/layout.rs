//! What stands at the top of the repository, and what its README tells people to type.

use std::collections::BTreeSet;

use super::{Source, Violation};

/// Names that may stand at the top; dot-files are free, `target` is build output.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "crates",
    "deploy",
    "scripts",
    "tests",
];

/// Nothing but the known names stands at the top.
pub fn top_level_names_are_known<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Violation> {
    names
        .into_iter()
        .filter(|name| !name.starts_with('.') && *name != "target" && !TOP_LEVEL.contains(name))
        .map(|name| Violation {
            place: name.to_owned(),
            line: 0,
            reason: "does not belong at the top".to_owned(),
        })
        .collect()
}

/// Every `make …` of the README is a target of the Makefile, and there is at least one.
pub fn readme_commands_exist(readme: &Source, makefile: &Source) -> Vec<Violation> {
    let targets = targets_of(&makefile.text);
    let mut found = Vec::new();
    let mut commands = 0;
    for (index, line) in readme.text.lines().enumerate() {
        for target in commands_in(line) {
            commands += 1;
            if !targets.contains(target) {
                let reason = format!("`make {target}` is no target of the Makefile");
                found.push(Violation::at(readme, index + 1, reason));
            }
        }
    }
    if commands == 0 {
        found.push(Violation::at(readme, 0, "names no command of the Makefile"));
    }
    found
}

fn targets_of(makefile: &str) -> BTreeSet<&str> {
    makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .filter(|target| !target.is_empty() && target.chars().all(is_target_letter))
        .collect()
}

/// The targets of the commands in `line`: `make` at its start, or just behind a backtick.
fn commands_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("make ").filter_map(move |(start, word)| {
        let (before, rest) = line.split_at(start);
        let typed = before.is_empty() || before.ends_with('`') || before.ends_with("$ ");
        let rest = rest.strip_prefix(word).filter(|_| typed)?;
        let target = rest.split(|letter| !is_target_letter(letter)).next()?;
        (!target.is_empty()).then_some(target)
    })
}

fn is_target_letter(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_at_the_top_is_found() {
        let found = top_level_names_are_known(["crates", "notes.txt", ".ci", "target", "docs"]);
        let places: Vec<_> = found.iter().map(|violation| violation.place.as_str()).collect();
        assert_eq!(places, ["notes.txt", "docs"]);
    }

    #[test]
    fn a_command_without_a_target_is_found() {
        let makefile = Source::new("Makefile", "test: ## all\n\t@run: it\nsoak-long:\n");
        let readme =
            Source::new("README.md", "make test  # all\nUse `make tset` or\n$ make soak-long");
        let found = readme_commands_exist(&readme, &makefile);
        let reason = "`make tset` is no target of the Makefile";
        assert_eq!(found, [Violation::at(&readme, 2, reason)]);
    }

    #[test]
    fn a_readme_without_commands_is_found() {
        let makefile = Source::new("Makefile", "test:\n");
        let readme = Source::new("README.md", "These make no promise.");
        assert_eq!(readme_commands_exist(&readme, &makefile).len(), 1);
    }
}
