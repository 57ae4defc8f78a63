//! A commit with a handler's own statements: a transaction of several exchanges.

use quarry_types::{Param, Statement};
use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, PgConnection, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, types::Oid},
};

use crate::{
    database::WriteError,
    record::{STATEMENTS_WITHIN, failed_statement, too_long},
};

use super::write::{Seen, Write, meaning};

/// Writes the rows, which locks the fence, and then runs the statements. Until the commit is sent,
/// nothing of it can be there.
pub(super) async fn write(
    connection: &mut PgConnection,
    rows: Write<'_>,
    statements: &[Statement],
) -> Result<Vec<Seen>, WriteError> {
    let unavailable = |error: sqlx::Error| WriteError::Unavailable(error.to_string());
    sqlx::query("begin").execute(&mut *connection).await.map_err(unavailable)?;
    let seen = rows.fetch_all(&mut *connection).await.map_err(|error| match meaning(&error) {
        WriteError::Lost(reason) => WriteError::Unavailable(reason),
        other => other,
    })?;
    if seen.iter().all(|(_, _, is_written)| *is_written) {
        // The server stops one that nobody waits for any more, and then the fence is free.
        let limit = format!("set local statement_timeout = {}", STATEMENTS_WITHIN.as_millis());
        let limited = sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut *connection).await;
        limited.map_err(unavailable)?;
        let all = run(connection, statements);
        tokio::time::timeout(STATEMENTS_WITHIN, all).await.unwrap_or_else(|_| Err(too_long()))?;
    }
    let committed = sqlx::query("commit").execute(connection).await;
    committed.map_err(|error| meaning(&error))?;
    Ok(seen)
}

async fn run(connection: &mut PgConnection, statements: &[Statement]) -> Result<(), WriteError> {
    for (statement, number) in statements.iter().zip(1_usize..) {
        let sql = AssertSqlSafe(statement.sql().to_owned());
        let query = sqlx::query_with(sql, arguments(statement.params())).persistent(false);
        let done = query.execute(&mut *connection).await;
        done.map_err(|error| failed_statement(number, &error))?;
    }
    Ok(())
}

/// A null of whatever type the statement wants there.
struct Untyped;

/// The type `unknown`, which the server takes for *not said*.
const UNKNOWN: u32 = 705;

impl Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(UNKNOWN))
    }
}

impl Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

fn arguments(params: &[Param]) -> PgArguments {
    let mut arguments = PgArguments::default();
    for param in params {
        let bound = match param {
            Param::Null => arguments.add(Untyped),
            Param::Bool(value) => arguments.add(*value),
            Param::Int(value) => arguments.add(*value),
            Param::Real(value) => arguments.add(value.0),
            Param::Text(value) => arguments.add(value.as_str()),
            Param::Bytes(value) => arguments.add(value.as_ref()),
        };
        debug_assert!(bound.is_ok(), "a value could not be bound");
    }
    arguments
}
