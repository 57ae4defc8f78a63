//! The embedded migrations: one list per database, with equal versions.

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    /// From 1, without a gap.
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    /// The oldest schema whose programs go on with the database after this step; `None` where only those
    /// do that know the step. Those of the minor release before should: nodes are upgraded one by one,
    /// and one that is not yet may have to start again.
    pub(crate) serves: Option<i64>,
}

/// A step after which only programs that know it go on.
const fn step(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration { version, name, sql, serves: None }
}

/// What SQLite files go through.
pub(crate) const SQLITE: &[Migration] = &[
    step(1, "messages", include_str!("../migrations/sqlite/0001_messages.sql")),
    step(2, "delays", include_str!("../migrations/sqlite/0002_delays.sql")),
    step(3, "retention", include_str!("../migrations/sqlite/0003_retention.sql")),
    step(4, "outbox", include_str!("../migrations/sqlite/0004_outbox.sql")),
    step(5, "journal", include_str!("../migrations/sqlite/0005_journal.sql")),
    step(6, "discard", include_str!("../migrations/sqlite/0006_discard.sql")),
    step(7, "machine_time", include_str!("../migrations/sqlite/0007_machine_time.sql")),
    step(8, "split", include_str!("../migrations/sqlite/0008_split.sql")),
    step(9, "due", include_str!("../migrations/sqlite/0009_due.sql")),
    step(10, "suspects", include_str!("../migrations/sqlite/0010_suspects.sql")),
    step(11, "runs", include_str!("../migrations/sqlite/0011_runs.sql")),
    step(12, "settled", include_str!("../migrations/sqlite/0012_settled.sql")),
    step(13, "skew", include_str!("../migrations/sqlite/0013_skew.sql")),
];

/// What PostgreSQL databases go through.
pub(crate) const POSTGRES: &[Migration] = &[
    step(1, "messages", include_str!("../migrations/postgres/0001_messages.sql")),
    step(2, "delays", include_str!("../migrations/postgres/0002_delays.sql")),
    step(3, "retention", include_str!("../migrations/postgres/0003_retention.sql")),
    step(4, "outbox", include_str!("../migrations/postgres/0004_outbox.sql")),
    step(5, "journal", include_str!("../migrations/postgres/0005_journal.sql")),
    step(6, "discard", include_str!("../migrations/postgres/0006_discard.sql")),
    step(7, "machine_time", include_str!("../migrations/postgres/0007_machine_time.sql")),
    step(8, "split", include_str!("../migrations/postgres/0008_split.sql")),
    step(9, "due", include_str!("../migrations/postgres/0009_due.sql")),
    step(10, "suspects", include_str!("../migrations/postgres/0010_suspects.sql")),
    step(11, "runs", include_str!("../migrations/postgres/0011_runs.sql")),
    step(12, "settled", include_str!("../migrations/postgres/0012_settled.sql")),
    step(13, "skew", include_str!("../migrations/postgres/0013_skew.sql")),
];

/// From this version on a SQLite file names the machine that it serves.
pub(crate) const NAMES_MACHINE: i64 = 13;

/// Holds which migrations were applied.
pub(crate) const CREATE_VERSIONS: &str = "create table if not exists schema_version \
    (version bigint not null primary key, name text not null, applied_at bigint not null)";
pub(crate) const NEWEST_VERSION: &str = "select max(version) from schema_version";
pub(crate) const RECORD_VERSION: &str =
    "insert into schema_version (version, name, applied_at) values ($1, $2, $3)";
/// For a step that older programs can go on after.
pub(crate) const RECORD_SERVES: &str = "update schema_version set serves = $2 where version = $1";
/// The oldest schema whose programs may use the database, as the steps after `$1` say; for databases
/// that are newer than the program alone, since the column is as old as this question.
pub(crate) const OLDEST_SERVED: &str =
    "select max(coalesce(serves, version)) from schema_version where version > $1";

/// Which schema a database has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The newest step; `None` before the first.
    pub(crate) version: Option<i64>,
    /// Of a database that is newer than the program: the oldest schema whose programs may use it.
    pub(crate) served: Option<i64>,
}

/// Asks a connection of either database which schema it has: [`Found`].
macro_rules! found {
    ($connection:expr, $migrations:expr) => {
        async {
            let version: Option<i64> = sqlx::query_scalar(crate::schema::NEWEST_VERSION)
                .fetch_one(&mut *$connection)
                .await?;
            let mut found = crate::schema::Found { version, served: None };
            if crate::schema::is_newer($migrations, version) {
                let asked = sqlx::query_scalar(crate::schema::OLDEST_SERVED)
                    .bind(crate::schema::newest($migrations));
                found.served = asked.fetch_one(&mut *$connection).await?;
            }
            Ok::<_, sqlx::Error>(found)
        }
    };
}

/// Does a step of the schema of either database over its connection, and records it as of `$at`.
macro_rules! migrate {
    ($connection:expr, $migration:expr, $at:expr) => {
        async {
            let migration: &crate::schema::Migration = $migration;
            let sql = sqlx::SqlSafeStr::into_sql_str(migration.sql);
            sqlx::raw_sql(sql).execute(&mut *$connection).await?;
            let record = sqlx::query(crate::schema::RECORD_VERSION)
                .bind(migration.version)
                .bind(migration.name)
                .bind($at);
            record.execute(&mut *$connection).await?;
            if let Some(serves) = migration.serves {
                let record =
                    sqlx::query(crate::schema::RECORD_SERVES).bind(migration.version).bind(serves);
                record.execute(&mut *$connection).await?;
            }
            Ok::<_, sqlx::Error>(())
        }
    };
}
pub(crate) use {found, migrate};

/// The newest version of `migrations`.
pub(crate) fn newest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |migration| migration.version)
}

/// Whether a database is newer than `migrations`, so that it has to be asked whom it serves.
pub(crate) fn is_newer(migrations: &[Migration], found: Option<i64>) -> bool {
    found.is_some_and(|found| found > newest(migrations))
}

/// The migrations that a database still needs; none where it is newer and serves this program. `Err`
/// holds the newest version that this program knows where it does not.
pub(crate) fn pending(
    migrations: &'static [Migration],
    found: Found,
) -> Result<&'static [Migration], i64> {
    let newest = newest(migrations);
    let Found { version, served } = found;
    if is_newer(migrations, version) && served.is_none_or(|served| served > newest) {
        return Err(newest);
    }
    let version = version.unwrap_or(0);
    let applied = migrations.partition_point(|migration| migration.version <= version);
    Ok(migrations.get(applied..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_equal_versions_without_a_gap() {
        let versions = |list: &[Migration]| -> Vec<(i64, &str)> {
            list.iter().map(|migration| (migration.version, migration.name)).collect()
        };
        assert_eq!(versions(SQLITE), versions(POSTGRES));
        for (expected, (version, _)) in (1..).zip(versions(SQLITE)) {
            assert_eq!(version, expected);
        }
    }

    #[test]
    fn a_newer_database_is_used_by_programs_that_it_serves() {
        let newest = newest(SQLITE);
        let missing = |version, served| pending(SQLITE, Found { version, served }).map(<[_]>::len);
        assert_eq!(missing(None, None), Ok(SQLITE.len()));
        assert_eq!(missing(Some(newest - 1), None), Ok(1));
        assert_eq!(missing(Some(newest), None), Ok(0));
        for (found, served, expected) in [
            (newest + 1, newest + 1, Err(newest)),
            (newest + 1, newest, Ok(0)),
            (newest + 1, newest - 1, Ok(0)),
            (newest + 2, newest + 1, Err(newest)),
            (newest + 2, newest, Ok(0)),
        ] {
            assert_eq!(missing(Some(found), Some(served)), expected, "{found}, {served}");
        }
        assert_eq!(missing(Some(newest + 1), None), Err(newest), "it does not say whom it serves");
    }

    #[test]
    fn a_step_serves_older_programs_that_ask() {
        let asks = 13;
        for migration in SQLITE.iter().chain(POSTGRES) {
            let version = migration.version;
            assert!(migration.serves.is_none_or(|oldest| (asks..version).contains(&oldest)));
        }
    }
}
