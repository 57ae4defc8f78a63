//! Both SQL adapters keep the promises of the port, on real databases.

mod databases;

mod sqlite {
    use super::databases::{SqliteFile, sqlite_file};

    async fn fresh(_check: &str) -> SqliteFile {
        sqlite_file()
    }

    quarry_sim::store_contract!(fresh);
}

mod postgres {
    use super::databases::{PostgresDatabase, postgres_database};

    async fn fresh(check: &str) -> PostgresDatabase {
        postgres_database(check).await
    }

    quarry_sim::store_contract!(fresh);
}
