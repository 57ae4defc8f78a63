//! Statements of a handler's own, for the database that keeps its state.

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::Param;

/// Quarry's own tables and views, which a handler's statements must not touch.
pub const OWN_TABLES: &[&str] = &[
    "cache_entry",
    "chunk",
    "cluster_identity",
    "commit_doubt",
    "commit_tally",
    "dedupe_key",
    "document",
    "entity_state",
    "extraction_events",
    "extraction_results",
    "fact",
    "journal",
    "limit_definition",
    "limit_state",
    "message",
    "ontology",
    "open_message",
    "outbox",
    "outcome",
    "promise",
    "quarantine",
    "queue_item",
    "runner_shards",
    "schedule",
    "schema_version",
    "shard_age",
    "shard_commit",
    "shard_fence",
    "step",
    "timer",
    "v_entities",
    "v_journal",
    "v_limits",
    "v_messages",
    "v_outbox",
    "v_shards",
    "v_workflows",
    "workflow_state",
    "write_probe",
];

/// What a statement may begin with.
const VERBS: [&str; 7] = ["insert", "update", "delete", "merge", "replace", "with", "select"];
/// The longest statement.
const LONGEST: usize = 64 * 1024;

/// One statement with its values, for `$1`, `$2` and so on: an insert, an update, a delete, a merge,
/// or a select of a function, that names none of [`OWN_TABLES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    sql: String,
    params: Vec<Param>,
}

/// Why a statement was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementRefused {
    /// It begins with something else than the verbs that are allowed.
    Verb,
    /// It is more than one statement.
    Several,
    /// It is over 64 KiB.
    TooLong,
    /// A quote or a comment does not end.
    Unfinished,
    /// It names this table or view of Quarry's own.
    OwnTable(&'static str),
}

impl fmt::Display for StatementRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verb => write!(f, "a statement begins with one of {}", VERBS.join(", ")),
            Self::Several => f.write_str("give one statement at a time"),
            Self::TooLong => write!(f, "a statement has at most {LONGEST} bytes"),
            Self::Unfinished => f.write_str("a quote or a comment does not end"),
            Self::OwnTable(name) => write!(
                f,
                "{name} is a table of Quarry's own; where it is a column of yours, write it as \
                 yours.{name}"
            ),
        }
    }
}

impl core::error::Error for StatementRefused {}

impl Statement {
    /// Takes a statement that is one, and names none of Quarry's own tables where a table is named.
    /// This keeps mistakes out, not an adversary: a function of the database, or a trigger, may do
    /// what its owner may.
    ///
    /// # Errors
    /// [`StatementRefused`] says what is wrong with it.
    pub fn new(sql: &str, params: Vec<Param>) -> Result<Self, StatementRefused> {
        if sql.len() > LONGEST {
            return Err(StatementRefused::TooLong);
        }
        check(&tokens(sql)?)?;
        Ok(Self { sql: sql.into(), params })
    }

    /// The statement.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Its values, `$1` first.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let size = |param: &Param| match param {
            Param::Text(text) => text.len(),
            Param::Bytes(bytes) => bytes.len(),
            Param::Null | Param::Bool(_) | Param::Int(_) | Param::Real(_) => 8,
        };
        self.sql.len() + self.params.iter().map(size).sum::<usize>()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name or a word, in lower case where it is not quoted.
    Word(String),
    /// A mark: one character.
    Mark(char),
    /// A text or a number.
    Value,
}

/// The tokens of a statement, without comments.
fn tokens(sql: &str) -> Result<Vec<Token>, StatementRefused> {
    let mut rest = sql;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, after) = token(first, rest)?;
        tokens.extend(token);
        rest = after;
    }
    Ok(tokens)
}

fn token(first: char, rest: &str) -> Result<(Option<Token>, &str), StatementRefused> {
    let behind = rest.get(first.len_utf8()..).unwrap_or_default();
    if first.is_whitespace() {
        return Ok((None, behind));
    }
    if let Some(comment) = rest.strip_prefix("--") {
        return Ok((None, comment.split_once('\n').map_or("", |(_, after)| after)));
    }
    if let Some(comment) = rest.strip_prefix("/*") {
        return Ok((None, end_of_comment(comment)?));
    }
    match first {
        '\'' => Ok((Some(Token::Value), quoted(behind, '\'')?.1)),
        '"' | '`' => {
            let (name, after) = quoted(behind, first)?;
            Ok((Some(Token::Word(name)), after))
        }
        '[' => {
            let (name, after) = behind.split_once(']').ok_or(StatementRefused::Unfinished)?;
            Ok((Some(Token::Word(name.to_lowercase())), after))
        }
        '$' => dollar(behind),
        _ if first.is_alphabetic() || first == '_' => {
            let end = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            // E'…' and its like: a text whose backslashes escape.
            if word.eq_ignore_ascii_case("e") && after.starts_with('\'') {
                return Ok((Some(Token::Value), escaped(after.get(1..).unwrap_or_default())?));
            }
            Ok((Some(Token::Word(word.to_lowercase())), after))
        }
        _ if first.is_ascii_digit() => {
            let end = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
            Ok((Some(Token::Value), rest.get(end..).unwrap_or_default()))
        }
        mark => Ok((Some(Token::Mark(mark)), behind)),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Behind a comment, which may hold others.
fn end_of_comment(mut rest: &str) -> Result<&str, StatementRefused> {
    let mut depth = 1_u32;
    while depth > 0 {
        let open = rest.find("/*").unwrap_or(usize::MAX);
        let close = rest.find("*/").ok_or(StatementRefused::Unfinished)?;
        depth = if open < close { depth + 1 } else { depth - 1 };
        rest = rest.get(open.min(close) + 2..).unwrap_or_default();
    }
    Ok(rest)
}

/// What stands up to the closing quote, in lower case, and what comes behind; a doubled quote is none.
fn quoted(mut rest: &str, quote: char) -> Result<(String, &str), StatementRefused> {
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once(quote).ok_or(StatementRefused::Unfinished)?;
        name.push_str(&part.to_lowercase());
        let Some(more) = after.strip_prefix(quote) else { return Ok((name, after)) };
        name.push(quote);
        rest = more;
    }
}

/// Behind a text whose backslashes escape.
fn escaped(rest: &str) -> Result<&str, StatementRefused> {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            '\'' if !is_escaped => return Ok(rest.get(at + 1..).unwrap_or_default()),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    Err(StatementRefused::Unfinished)
}

/// A place for a value, `$1`, or a text between `$tag$` and `$tag$`.
fn dollar(behind: &str) -> Result<(Option<Token>, &str), StatementRefused> {
    let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    if digits > 0 {
        return Ok((Some(Token::Value), behind.get(digits..).unwrap_or_default()));
    }
    let (tag, text) = behind.split_once('$').ok_or(StatementRefused::Unfinished)?;
    if !tag.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Ok((Some(Token::Mark('$')), behind));
    }
    let end = alloc::format!("${tag}$");
    let (_, after) = text.split_once(end.as_str()).ok_or(StatementRefused::Unfinished)?;
    Ok((Some(Token::Value), after))
}

fn check(tokens: &[Token]) -> Result<(), StatementRefused> {
    let verb = tokens.iter().find(|token| !matches!(token, Token::Mark('(')));
    let is_verb = matches!(verb, Some(Token::Word(word)) if VERBS.contains(&word.as_str()));
    if !is_verb {
        return Err(StatementRefused::Verb);
    }
    let end = tokens.iter().position(|token| *token == Token::Mark(';')).unwrap_or(tokens.len());
    if tokens.get(end..).unwrap_or_default().iter().any(|token| *token != Token::Mark(';')) {
        return Err(StatementRefused::Several);
    }
    let mut place = Place::default();
    let mut before: Option<&Token> = None;
    for (at, token) in tokens.iter().enumerate() {
        let qualifier =
            (before == Some(&Token::Mark('.'))).then(|| tokens.get(at.wrapping_sub(2))).flatten();
        if let Token::Word(word) = token {
            let is_table = place.is_table(word, before.is_some());
            let is_of_own_schema = match qualifier {
                None => before != Some(&Token::Mark('.')),
                Some(Token::Word(schema)) => {
                    matches!(schema.as_str(), "public" | "main" | "temp" | "pg_temp")
                }
                Some(_) => true,
            };
            let own = OWN_TABLES.iter().find(|own| **own == word);
            if let Some(own) = own.filter(|_| is_table && is_of_own_schema) {
                return Err(StatementRefused::OwnTable(own));
            }
        }
        place.pass(token);
        before = Some(token);
    }
    Ok(())
}

/// Where tables are named: behind the words that name one, and in the lists behind `from` and
/// `using`, up to the word that ends them. Kept per open parenthesis.
#[derive(Default)]
struct Place {
    /// Whether a table may be named now, outside in.
    outer: Vec<bool>,
    is_here: bool,
    /// Behind `into` and `update` one table is named and no more.
    is_single: bool,
}

impl Place {
    fn is_table(&self, word: &str, _is_behind: bool) -> bool {
        self.is_here && !is_end(word)
    }

    fn pass(&mut self, token: &Token) {
        match token {
            Token::Mark('(') => {
                self.outer.push(self.is_here && !self.is_single);
                // A list of tables goes on within parentheses; a list of columns names none.
                self.is_here = self.is_here && !self.is_single;
                self.is_single = false;
            }
            Token::Mark(')') => {
                self.is_here = self.outer.pop().unwrap_or(false);
                self.is_single = false;
            }
            Token::Word(word) => match word.as_str() {
                "from" | "join" | "using" | "table" | "only" | "truncate" | "lock" => {
                    self.is_here = true;
                    self.is_single = false;
                }
                "into" | "update" => {
                    self.is_here = true;
                    self.is_single = true;
                }
                end if is_end(end) => {
                    self.is_here = false;
                    self.is_single = false;
                }
                _ => {}
            },
            Token::Mark(_) | Token::Value => {}
        }
    }
}

/// Words behind which no table is named until another says so.
fn is_end(word: &str) -> bool {
    matches!(
        word,
        "select"
            | "where"
            | "group"
            | "order"
            | "having"
            | "limit"
            | "union"
            | "except"
            | "intersect"
            | "returning"
            | "set"
            | "values"
            | "window"
            | "fetch"
            | "offset"
            | "for"
            | "default"
            | "when"
            | "then"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn refused(sql: &str) -> Option<StatementRefused> {
        Statement::new(sql, vec![]).err()
    }

    #[test]
    fn statements_over_tables_of_ones_own_are_taken() {
        for sql in [
            "insert into orders (id, message) values ($1, $2)",
            "INSERT INTO \"Orders\" (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = excluded.id",
            "update orders set message = $1, outcome = 'step' where id = $2;",
            "update orders o set total = t.total from totals t where t.message = o.message",
            "delete from orders where timer < $1 returning message",
            "with gone as (delete from orders returning *) insert into archive select * from gone",
            "select audit.note($1, 'message')",
            "insert into audit (step) select o.message from orders o join lines l on l.id = o.id",
            "insert into shop.message (id) values ($1)",
            "-- message\ninsert into /* from message /* nested */ */ orders values ($$from message$$)",
            "insert into orders values ('it''s from message', E'it\\'s from message', $tag$;$tag$)",
            "merge into orders o using lines l on l.id = o.id when matched then update set n = 1",
            "insert into orders (year) select extract(year from placed) from carts",
            "insert into messages (id) values ($1)",
        ] {
            assert_eq!(refused(sql), None, "{sql}");
        }
    }

    #[test]
    fn quarrys_own_tables_are_refused_wherever_a_table_is_named() {
        for (sql, own) in [
            ("insert into message values ($1)", "message"),
            ("INSERT INTO Message VALUES ($1)", "message"),
            ("insert into \"message\" values ($1)", "message"),
            ("insert into public.outbox values ($1)", "outbox"),
            ("insert into main . \"outbox\" values ($1)", "outbox"),
            ("insert into [outcome] values (1)", "outcome"),
            ("insert into `outcome` values (1)", "outcome"),
            ("update shard_fence set epoch = 9", "shard_fence"),
            ("update only entity_state set state = ''", "entity_state"),
            ("delete from entity_state", "entity_state"),
            ("delete from orders using message where true", "message"),
            ("delete from orders using lines, message where true", "message"),
            ("insert into orders select * from lines l, message", "message"),
            ("insert into orders select * from lines join message on true", "message"),
            ("insert into orders select * from (lines cross join message)", "message"),
            ("insert into orders select (select max(n) from message)", "message"),
            ("insert into orders values ((select max(n) from message))", "message"),
            ("update orders set n = (select 1 from v_messages)", "v_messages"),
            ("with m as (select * from message) insert into orders select * from m", "message"),
            ("with m as (delete from message returning *) select 1", "message"),
            ("insert into orders table message", "message"),
            ("merge into message using lines on true when matched then delete", "message"),
            ("insert into orders select 1 from/**/message", "message"),
        ] {
            assert_eq!(refused(sql), Some(StatementRefused::OwnTable(own)), "{sql}");
        }
    }

    #[test]
    fn what_is_no_single_statement_is_refused() {
        for sql in [
            "drop table orders",
            "create table t (a int)",
            "begin",
            "commit",
            "rollback",
            "pragma x",
            "attach 'a' as b",
            "vacuum",
            "set role x",
            "copy orders to stdout",
            "",
            ";",
            "42",
            "do $$x$$",
        ] {
            assert_eq!(refused(sql), Some(StatementRefused::Verb), "{sql}");
        }
        let several = "insert into orders values (1); delete from message";
        assert_eq!(refused(several), Some(StatementRefused::Several));
        assert_eq!(refused("update orders set n = 1; ; "), None);
        for sql in ["update orders set n = 'x", "update orders /* x", "select \"x", "select $a$ x"]
        {
            assert_eq!(refused(sql), Some(StatementRefused::Unfinished), "{sql}");
        }
        let long = alloc::format!("update orders set n = '{}'", "x".repeat(LONGEST));
        assert_eq!(refused(&long), Some(StatementRefused::TooLong));
    }
}
