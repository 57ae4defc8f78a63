//! Both SQL adapters keep the promises of the port, on real databases.

mod databases;

mod sqlite {
    use std::future::{Ready, ready};

    use quarry_sim::contract::store::Broken;

    use super::databases::{SqliteFile, sqlite_file};

    fn fresh(_check: &str) -> Ready<Result<SqliteFile, Broken>> {
        ready(sqlite_file())
    }

    quarry_sim::store_contract!(fresh);
}

mod postgres {
    use super::databases::postgres_database;

    quarry_sim::store_contract!(postgres_database);
}
