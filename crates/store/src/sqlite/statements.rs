//! A handler's own statements, inside its commit's transaction.

use std::sync::Arc;

use quarry_ports::Host;
use quarry_types::{Param, Statement};
use sqlx::{Arguments as _, AssertSqlSafe, sqlite::SqliteArguments};

use crate::{
    database::WriteError,
    record::{STATEMENTS_WITHIN, failed_statement},
};

use super::writer::Turn;

/// How many of its machine's instructions SQLite runs between two looks at the time.
const LOOK: i32 = 10_000;

/// Runs them in order, all of them within their time.
pub(super) async fn run(
    turn: &mut Turn<'_>,
    host: &Host,
    statements: &[Statement],
) -> Result<(), WriteError> {
    let deadline = host.now().after(STATEMENTS_WITHIN);
    for (statement, number) in statements.iter().zip(1_usize..) {
        let unavailable = |error: sqlx::Error| WriteError::Unavailable(error.to_string());
        let connection = turn.connection().map_err(unavailable)?;
        let clock = Arc::clone(&host.clock);
        let goes_on = move || clock.monotonic() < deadline;
        connection.lock_handle().await.map_err(unavailable)?.set_progress_handler(LOOK, goes_on);
        let sql = AssertSqlSafe(statement.sql().to_owned());
        let query = sqlx::query_with(sql, arguments(statement.params())).persistent(false);
        let done = query.execute(&mut *connection).await;
        connection.lock_handle().await.map_err(unavailable)?.remove_progress_handler();
        done.map_err(|error| failed_statement(number, &error))?;
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
