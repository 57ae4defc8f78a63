//! Multi-row statements: a statement costs about 20 µs whatever it holds, so rows go together, in
//! runs of a few lengths so that few statements are prepared.

use sqlx::AssertSqlSafe;

use crate::database::Value;

use super::{file::arguments, writer::Turn};

/// How many rows a statement holds; smaller rests go in smaller runs.
const SIZES: [usize; 4] = [128, 32, 8, 1];

/// A statement over many rows: `head row, row, … tail`.
pub(super) struct Rows {
    pub(super) head: &'static str,
    /// One row with its placeholders.
    pub(super) row: &'static str,
    pub(super) tail: &'static str,
}

impl Rows {
    fn sql(&self, rows: usize) -> String {
        let length = self.head.len() + rows * (self.row.len() + 1) + self.tail.len();
        let mut sql = String::with_capacity(length);
        sql.push_str(self.head);
        for row in 0..rows {
            if row > 0 {
                sql.push(',');
            }
            sql.push_str(self.row);
        }
        sql.push_str(self.tail);
        sql
    }

    /// Runs the statement over `rows`, each already the values of one row.
    pub(super) async fn execute(
        &self,
        turn: &mut Turn<'_>,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), sqlx::Error> {
        for (size, values) in runs(rows) {
            let query = sqlx::query_with(AssertSqlSafe(self.sql(size)), arguments(values));
            query.execute(turn.connection()?).await?;
        }
        Ok(())
    }

    /// As [`Rows::execute`], for a statement that returns one number per row that it wrote.
    pub(super) async fn returning(
        &self,
        turn: &mut Turn<'_>,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let mut returned = Vec::new();
        for (size, values) in runs(rows) {
            let query = sqlx::query_scalar_with(AssertSqlSafe(self.sql(size)), arguments(values));
            let numbers: Vec<i64> = query.fetch_all(turn.connection()?).await?;
            returned.extend(numbers);
        }
        Ok(returned)
    }
}

/// Joins the values of rows into runs of the lengths in [`SIZES`].
fn runs(rows: Vec<Vec<Value>>) -> Vec<(usize, Vec<Value>)> {
    let mut left = rows.len();
    let mut rows = rows.into_iter();
    let mut runs = Vec::new();
    for size in SIZES {
        while left >= size {
            runs.push((size, rows.by_ref().take(size).flatten().collect()));
            left -= size;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_runs_of_a_few_lengths_and_in_order() {
        let rows = (0..43).map(|row| vec![Value::Int(row)]).collect();
        let runs = runs(rows);
        let sizes: Vec<usize> = runs.iter().map(|(size, _)| *size).collect();
        assert_eq!(sizes, [32, 8, 1, 1, 1]);
        let all = runs.into_iter().flat_map(|(_, values)| values);
        let all: Vec<i64> = all
            .map(|value| match value {
                Value::Int(value) => value,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(all, (0..43).collect::<Vec<i64>>());
    }

    #[test]
    fn a_statement_has_as_many_rows_as_asked() {
        let rows = Rows { head: "insert into t values ", row: "(?)", tail: " returning a" };
        assert_eq!(rows.sql(2), "insert into t values (?),(?) returning a");
    }
}
