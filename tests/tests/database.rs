//! The harness gives each test a database of its own.

use anyhow::Result;
use quarry_tests::database::Database;
use sqlx::{Connection, Row, postgres::PgConnection};

#[tokio::test]
async fn a_database_is_fresh_durable_and_goes() -> Result<()> {
    for database in [Database::create().await?, Database::create_over_tcp().await?] {
        let url = database.url().to_owned();
        let mut connection = PgConnection::connect(&url).await?;
        let row = sqlx::query(
            "select (select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace \
             where nspname = 'public') as tables, current_setting('fsync') as fsync",
        )
        .fetch_one(&mut connection)
        .await?;
        assert_eq!((row.get::<i64, _>("tables"), row.get::<&str, _>("fsync")), (0, "on"));
        database.remove().await?;
        assert!(PgConnection::connect(&url).await.is_err());
    }
    Ok(())
}
