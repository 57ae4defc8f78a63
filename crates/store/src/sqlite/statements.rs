//! A handler's own statements, inside its commit's transaction.

use quarry_types::{Param, Statement};
use sqlx::{Arguments as _, AssertSqlSafe, sqlite::SqliteArguments};

use crate::{database::WriteError, record::failed_statement};

use super::writer::Turn;

/// Runs them in order.
pub(super) async fn run(turn: &mut Turn<'_>, statements: &[Statement]) -> Result<(), WriteError> {
    for (statement, number) in statements.iter().zip(1_usize..) {
        let connection =
            turn.connection().map_err(|error| WriteError::Unavailable(error.to_string()))?;
        let sql = AssertSqlSafe(statement.sql().to_owned());
        let query = sqlx::query_with(sql, arguments(statement.params())).persistent(false);
        query.execute(connection).await.map_err(|error| failed_statement(number, &error))?;
    }
    Ok(())
}

fn arguments(params: &[Param]) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    for param in params {
        let bound = match param {
            Param::Null => arguments.add(None::<i64>),
            Param::Bool(value) => arguments.add(*value),
            Param::Int(value) => arguments.add(*value),
            Param::Real(value) => arguments.add(value.0),
            Param::Text(value) => arguments.add(value.clone()),
            Param::Bytes(value) => arguments.add(value.to_vec()),
        };
        debug_assert!(bound.is_ok(), "a value could not be bound");
    }
    arguments
}
