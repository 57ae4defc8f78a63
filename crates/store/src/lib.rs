//! SQL adapters of Quarry's store: SQLite and PostgreSQL.
