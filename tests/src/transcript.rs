//! Console blocks of a page: what is typed, and what is to be seen then.

use std::collections::BTreeSet;

/// A block of commands and their output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Every line behind a prompt, in order.
    pub commands: Vec<String>,
    /// The whole block, prompts included.
    pub lines: Vec<String>,
}

/// The `console` blocks of `page`.
pub fn console_blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines: Option<Vec<String>> = None;
    for line in page.lines() {
        match (&mut lines, line) {
            (None, "```console") => lines = Some(Vec::new()),
            (Some(_), "```") => {
                let lines = lines.take().unwrap_or_default();
                let typed = lines.iter().filter_map(|line| line.strip_prefix("$ "));
                blocks.push(Block { commands: typed.map(str::to_owned).collect(), lines });
            }
            (Some(lines), line) => lines.push(line.to_owned()),
            (None, _) => {}
        }
    }
    blocks
}

impl Block {
    /// A script for bash that prints each command behind a prompt, and runs it.
    pub fn script(&self) -> String {
        let step = |command: &String| {
            let quoted = command.replace('\'', "'\\''");
            format!("printf '%s\\n' '$ {quoted}'\n{command}\n")
        };
        self.commands.iter().map(step).collect()
    }

    /// The first lines of the block that `seen` does not hold, or `None` where it holds all. Numbers,
    /// ids and the width of blanks may differ; `…` stands for anything, alone on a line for any
    /// number of lines.
    pub fn missing_from(&self, seen: &str) -> Option<String> {
        let stable = |line: &str| line.split_whitespace().map(stable).collect::<Vec<_>>().join(" ");
        let is_something = |line: &String| !line.is_empty();
        let wanted: Vec<String> =
            self.lines.iter().map(|line| stable(line)).filter(is_something).collect();
        let seen: Vec<String> = seen.lines().map(stable).filter(is_something).collect();
        let reached = matched(&wanted, &seen);
        (reached < wanted.len()).then(|| {
            let missing = wanted.get(reached..).unwrap_or_default();
            missing.iter().take(3).cloned().collect::<Vec<_>>().join("\n")
        })
    }
}

/// How many lines of `wanted` can be found in `seen`; the last only where nothing is left over.
fn matched(wanted: &[String], seen: &[String]) -> usize {
    // How many lines of `seen` may be behind us.
    let mut behind = BTreeSet::from([0]);
    for (index, pattern) in wanted.iter().enumerate() {
        behind = if pattern == "…" {
            (behind.first().copied().unwrap_or(seen.len())..=seen.len()).collect()
        } else {
            let fits_next = |at: &usize| seen.get(*at).is_some_and(|line| fits(pattern, line));
            behind.into_iter().filter(fits_next).map(|at| at + 1).collect()
        };
        let is_last = index + 1 == wanted.len();
        if behind.is_empty() || (is_last && !behind.contains(&seen.len())) {
            return index;
        }
    }
    wanted.len()
}

/// Whether `line` is `pattern`, in which `…` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A word with its digits, or what is a number in base 16, replaced.
fn stable(word: &str) -> String {
    let mut text = String::new();
    let is_digit = |letter: char| letter.is_ascii_hexdigit() && !letter.is_ascii_uppercase();
    let mut rest = word;
    while let Some(letter) = rest.chars().next() {
        let run = rest.find(|letter| !is_digit(letter)).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(run);
        let has_number = digits.contains(|letter: char| letter.is_ascii_digit());
        if run >= 8 && has_number {
            text.push('0');
            rest = after;
            continue;
        }
        let decimal = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        if decimal > 0 {
            text.push('0');
            rest = rest.get(decimal..).unwrap_or_default();
        } else {
            text.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &str) -> Block {
        let page = format!("text\n```console\n{lines}\n```\nmore\n```sh\nno\n```\n");
        let mut blocks = console_blocks(&page);
        assert_eq!(blocks.len(), 1);
        blocks.remove(0)
    }

    #[test]
    fn what_is_typed_and_what_is_seen_are_told_apart() {
        let block = block("$ a 'b'\nseen\n$ c");
        assert_eq!(block.commands, ["a 'b'", "c"]);
        assert_eq!(
            block.script(),
            "printf '%s\\n' '$ a '\\''b'\\'''\na 'b'\nprintf '%s\\n' '$ c'\nc\n"
        );
    }

    #[test]
    fn numbers_and_blanks_may_differ_and_words_may_not() {
        let block = block("$ run\nnode 1:  http://h:17 id 19bb0fcb deed");
        assert_eq!(block.missing_from("$ run\nnode 23: http://h:9   id 0a0b0c0d1 deed\n"), None);
        assert!(block.missing_from("$ run\nnode 23: http://g:9 id 0a0b0c0d1 deed").is_some());
        assert!(block.missing_from("$ run\nnode 23: http://h:9 id 0a0b0c0d1 dead").is_some());
        assert!(block.missing_from("$ run\n").is_some());
        assert!(block.missing_from("$ run\nnode 2: http://h:9 id 19bb0fcb deed\nmore").is_some());
    }

    #[test]
    fn an_ellipsis_stands_for_lines_or_for_a_part_of_one() {
        let block = block("$ run\n…\nfirst\n…\na … b\n…");
        assert_eq!(block.missing_from("$ run\nx\nfirst\nfirst\ny\na 1 2 b\nz\n"), None);
        assert_eq!(block.missing_from("$ run\nfirst\na b b\n"), None);
        assert_eq!(block.missing_from("$ run\nfirst\nb b\n").unwrap(), "a … b\n…");
    }
}
