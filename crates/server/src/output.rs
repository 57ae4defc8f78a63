//! What is printed: data to stdout, talk to stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::{
    cli::{Colour, Format, Global},
    failure::Failure,
};

/// Where and how results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    is_coloured: bool,
    verbosity: u8,
}

impl Output {
    /// As the flags say; else tables on a terminal, JSON in a pipe.
    pub(crate) fn new(global: &Global) -> Self {
        let by_place = if io::stdout().is_terminal() { Format::Table } else { Format::Json };
        let is_coloured = match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Self { format: global.output.unwrap_or(by_place), is_coloured, verbosity: global.verbose }
    }

    /// The format that results are printed in.
    pub(crate) const fn format(self) -> Format {
        self.format
    }

    /// The same, printing results in `format`.
    pub(crate) const fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Whether what is said may be coloured.
    pub(crate) const fn is_coloured(self) -> bool {
        self.is_coloured
    }

    /// How often `-v` was given.
    pub(crate) const fn verbosity(self) -> u8 {
        self.verbosity
    }

    /// Prints items: a table of `rows` under `columns`, an array, or an item per line.
    pub(crate) fn list<T: Serialize>(
        self,
        columns: &[&str],
        items: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let rows: Vec<Vec<String>> = items.iter().map(row).collect();
                self.line(&table(columns, rows))
            }
            Format::Json => self.json_pretty(&items),
            Format::Jsonl => items.iter().try_for_each(|item| self.json_line(item)),
        }
    }

    /// Prints one thing: aligned `facts`, or its JSON.
    pub(crate) fn record<T: Serialize>(
        self,
        facts: &[(&str, String)],
        item: &T,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.line(&aligned(facts)),
            Format::Json => self.json_pretty(item),
            Format::Jsonl => self.json_line(item),
        }
    }

    /// Prints `item` as one line of JSON, whatever the format.
    pub(crate) fn json_line<T: Serialize>(self, item: &T) -> Result<(), Failure> {
        self.line(&serde_json::to_string(item).map_err(anyhow::Error::from)?)
    }

    fn json_pretty<T: Serialize>(self, item: &T) -> Result<(), Failure> {
        self.line(&serde_json::to_string_pretty(item).map_err(anyhow::Error::from)?)
    }

    /// Prints a line of data. A reader that has gone is no failure.
    #[expect(clippy::unused_self, reason = "data is printed through an output only")]
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Says something to the person; nothing depends on it.
    #[expect(clippy::unused_self, reason = "what is said goes through an output only")]
    pub(crate) fn say(self, text: &str) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }

    /// Says something to a person who asked for more.
    pub(crate) fn say_more(self, text: &str) {
        if self.verbosity > 0 {
            self.say(text);
        }
    }

    /// Says why a command failed.
    pub(crate) fn say_failure(self, failure: &Failure) {
        let (red, plain) = if self.is_coloured { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        self.say(&format!("{red}error:{plain} {failure}"));
    }
}

/// `rows` under `columns`, aligned.
pub(crate) fn table(columns: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(columns.iter().map(|column| column.to_ascii_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Names and values in two columns.
pub(crate) fn aligned(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> =
        facts.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_have_no_trailing_blanks() {
        let rows = vec![vec!["1".into(), "up".into()], vec!["12".into(), "down".into()]];
        assert_eq!(table(&["node", "state"], rows), "NODE  STATE\n1     up\n12    down");
        assert_eq!(aligned(&[("a", "1".into()), ("long", "2".into())]), "a     1\nlong  2");
    }
}
