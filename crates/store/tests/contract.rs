//! Both SQL adapters keep the promises of the port, on real databases.

mod databases;

mod sqlite {
    use super::databases::{SqliteFile, sqlite_file};

    async fn fresh(_check: &str) -> SqliteFile {
        sqlite_file()
    }

    quarry_sim::store_contract!(fresh);
}
