//! Statements over many rows, sent together.
//!
//! Every exchange with the thread of a connection wakes it and then wakes the task that waits, which
//! costs more than most statements do; and a statement costs about 20 µs whatever it holds. So rows
//! go together in a statement, and statements together in a script. Statements have a few numbers of
//! rows only, filled up with nulls, so that few scripts are prepared.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Executor as _, SqliteConnection};

use crate::database::Value;

use super::{file::arguments, writer::Turn};

/// How many rows a statement holds: more go in several, fewer are filled up.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];
pub(super) const MOST: usize = 256;

/// A statement over many rows: `head row, row, … tail`. A row of nulls must change nothing.
pub(super) struct Rows {
    pub(super) head: &'static str,
    /// One row with its placeholders.
    pub(super) row: &'static str,
    pub(super) tail: &'static str,
}

/// Statements that run in order, up to the first error.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    values: Vec<Value>,
    statements: usize,
}

impl Script {
    /// Adds `statement` over `rows`, each the values of one row; how many statements that takes.
    pub(super) fn add(&mut self, statement: &Rows, rows: Vec<Vec<Value>>) -> usize {
        let (mut left, mut statements) = (rows.len(), 0);
        let mut rows = rows.into_iter();
        while left > 0 {
            let size = SIZES.into_iter().find(|size| *size >= left).unwrap_or(MOST);
            let taken = left.min(size);
            self.add_sql(statement, size);
            let end = self.values.len() + size * statement.width();
            self.values.extend(rows.by_ref().take(taken).flatten());
            self.values.resize(end, Value::NoBytes);
            left -= taken;
            statements += 1;
        }
        statements
    }

    /// Adds one statement with its values.
    pub(super) fn add_text(&mut self, sql: &str, values: Vec<Value>) {
        self.sql.push_str(sql);
        self.sql.push(';');
        self.values.extend(values);
        self.statements += 1;
    }

    /// Adds the statements of `other`.
    pub(super) fn append(&mut self, other: Self) {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
        self.statements += other.statements;
    }

    /// How many statements there are.
    pub(super) const fn statements(&self) -> usize {
        self.statements
    }

    fn add_sql(&mut self, statement: &Rows, size: usize) {
        let rows = size * (statement.row.len() + 1);
        self.sql.reserve(statement.head.len() + rows + statement.tail.len() + 1);
        self.sql.push_str(statement.head);
        for row in 0..size {
            if row > 0 {
                self.sql.push(',');
            }
            self.sql.push_str(statement.row);
        }
        self.sql.push_str(statement.tail);
        self.sql.push(';');
        self.statements += 1;
    }

    /// Runs the statements, in one exchange; how many rows each changed.
    pub(super) async fn run(self, turn: &mut Turn<'_>) -> Result<Vec<u64>, sqlx::Error> {
        let mut changed = Vec::with_capacity(self.statements);
        self.run_into(turn.connection()?, &mut changed).await.map(|()| changed)
    }

    /// As [`Script::run`]; what an error leaves in `changed` is of the statements before it. That the
    /// thread of the connection ended is an error too: results would only end early.
    pub(super) async fn run_into(
        self,
        connection: &mut SqliteConnection,
        changed: &mut Vec<u64>,
    ) -> Result<(), sqlx::Error> {
        if self.sql.is_empty() {
            return Ok(());
        }
        let statements = self.statements;
        let query = sqlx::query_with(AssertSqlSafe(self.sql), arguments(self.values));
        let mut results = connection.fetch_many(query);
        while let Some(result) = results.try_next().await? {
            changed.extend(result.left().map(|done| done.rows_affected()));
        }
        if changed.len() == statements { Ok(()) } else { Err(sqlx::Error::WorkerCrashed) }
    }
}

impl Rows {
    /// How many values a row has.
    fn width(&self) -> usize {
        self.row.bytes().filter(|byte| *byte == b'?').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Rows =
        Rows { head: "insert into t values ", row: "(?,?)", tail: " returning a" };

    fn numbers(count: i64) -> Vec<Vec<Value>> {
        (0..count).map(|row| vec![Value::Int(row), Value::Int(-row)]).collect()
    }

    fn sizes(count: i64) -> Vec<usize> {
        let mut script = Script::default();
        script.add(&NUMBERS, numbers(count));
        let statements = script.sql.split_terminator(';');
        statements.map(|statement| statement.matches("(?,?)").count()).collect()
    }

    #[test]
    fn rows_go_in_statements_of_a_few_sizes() {
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(2), [4]);
        assert_eq!(sizes(64), [64]);
        assert_eq!(sizes(65), [256]);
        assert_eq!(sizes(600), [256, 256, 256]);
        assert_eq!(sizes(513), [256, 256, 1]);
    }

    #[test]
    fn a_statement_is_filled_up_with_nulls() {
        let mut script = Script::default();
        script.add(&NUMBERS, numbers(2));
        assert_eq!(script.sql, "insert into t values (?,?),(?,?),(?,?),(?,?) returning a;");
        let told: Vec<_> = script
            .values
            .iter()
            .map(|value| match value {
                Value::Int(value) => Some(*value),
                Value::NoBytes => None,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [Some(0), Some(0), Some(1), Some(-1), None, None, None, None]);
    }
}
