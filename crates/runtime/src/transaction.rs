//! A handler's own statements for the database that keeps its state.

use std::sync::{Arc, Mutex, PoisonError};

use quarry_types::{Param, Statement};

use crate::{Context, HandlerError};

/// Statements of one handler.
const MOST: usize = 100;
/// Bytes of them with their values.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The statements of one run of a handler so far; none once it has ended.
#[derive(Clone)]
pub(crate) struct Statements(Arc<Mutex<Option<Vec<Statement>>>>);

impl Default for Statements {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }
}

impl Statements {
    /// The run has ended: its statements, in order. Nothing is taken from then on.
    pub(crate) fn end(&self) -> Vec<Statement> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    fn push(&self, statement: Statement) -> Result<(), HandlerError> {
        let mut statements = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(statements) = statements.as_mut() else {
            return Err(HandlerError::fail(
                "has_ended",
                "the handler of the transaction has ended",
            ));
        };
        let bytes: usize = statements.iter().map(Statement::size).sum();
        if statements.len() >= MOST || bytes + statement.size() > MOST_BYTES {
            let message =
                format!("a transaction has at most {MOST} statements of {MOST_BYTES} bytes");
            return Err(HandlerError::fail("transaction_too_large", message));
        }
        statements.push(statement);
        Ok(())
    }
}

/// Collects a handler's own statements; see [`Context::transaction`].
pub struct Transaction<'a>(&'a Context);

impl Transaction<'_> {
    /// Adds a statement with its values, for `$1`, `$2` and so on.
    ///
    /// # Errors
    /// A final failure where this is a read, it is not one statement that changes something, it
    /// names a table of Quarry's own, or the transaction has 100 statements or 4 MiB already.
    pub fn execute(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Param>,
    ) -> Result<&Self, HandlerError> {
        if self.0.shard.is_none() {
            return Err(HandlerError::fail("only_reads", "a read has no effects"));
        }
        let statement = Statement::new(sql, values.into_iter().collect());
        let refused = |error: quarry_types::StatementRefused| {
            HandlerError::fail("invalid_statement", error.to_string())
        };
        self.0.statements.push(statement.map_err(refused)?)?;
        Ok(self)
    }
}

impl Context {
    /// Statements of the handler's own for the database that keeps its state, over tables of its
    /// own. They run in this message's commit, under the same fence: together with state, reply and
    /// sends, or not at all, and once, whatever fails. Such a commit shares its transaction with no
    /// other; where a statement fails, the attempt fails with what the database said. Others of its
    /// database wait meanwhile, so each statement is stopped after two seconds.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction(self)
    }
}
