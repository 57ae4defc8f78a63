//! The embedded migrations: one list per database, with equal versions.

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    /// From 1, without a gap.
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// What SQLite files go through.
pub(crate) const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        name: "messages",
        sql: include_str!("../migrations/sqlite/0001_messages.sql"),
    },
    Migration {
        version: 2,
        name: "delays",
        sql: include_str!("../migrations/sqlite/0002_delays.sql"),
    },
    Migration {
        version: 3,
        name: "retention",
        sql: include_str!("../migrations/sqlite/0003_retention.sql"),
    },
    Migration {
        version: 4,
        name: "outbox",
        sql: include_str!("../migrations/sqlite/0004_outbox.sql"),
    },
    Migration {
        version: 5,
        name: "journal",
        sql: include_str!("../migrations/sqlite/0005_journal.sql"),
    },
    Migration {
        version: 6,
        name: "discard",
        sql: include_str!("../migrations/sqlite/0006_discard.sql"),
    },
    Migration {
        version: 7,
        name: "machine_time",
        sql: include_str!("../migrations/sqlite/0007_machine_time.sql"),
    },
    Migration {
        version: 8,
        name: "split",
        sql: include_str!("../migrations/sqlite/0008_split.sql"),
    },
    Migration { version: 9, name: "due", sql: include_str!("../migrations/sqlite/0009_due.sql") },
    Migration {
        version: 10,
        name: "suspects",
        sql: include_str!("../migrations/sqlite/0010_suspects.sql"),
    },
    Migration {
        version: 11,
        name: "runs",
        sql: include_str!("../migrations/sqlite/0011_runs.sql"),
    },
    Migration {
        version: 12,
        name: "settled",
        sql: include_str!("../migrations/sqlite/0012_settled.sql"),
    },
];

/// What PostgreSQL databases go through.
pub(crate) const POSTGRES: &[Migration] = &[
    Migration {
        version: 1,
        name: "messages",
        sql: include_str!("../migrations/postgres/0001_messages.sql"),
    },
    Migration {
        version: 2,
        name: "delays",
        sql: include_str!("../migrations/postgres/0002_delays.sql"),
    },
    Migration {
        version: 3,
        name: "retention",
        sql: include_str!("../migrations/postgres/0003_retention.sql"),
    },
    Migration {
        version: 4,
        name: "outbox",
        sql: include_str!("../migrations/postgres/0004_outbox.sql"),
    },
    Migration {
        version: 5,
        name: "journal",
        sql: include_str!("../migrations/postgres/0005_journal.sql"),
    },
    Migration {
        version: 6,
        name: "discard",
        sql: include_str!("../migrations/postgres/0006_discard.sql"),
    },
    Migration {
        version: 7,
        name: "machine_time",
        sql: include_str!("../migrations/postgres/0007_machine_time.sql"),
    },
    Migration {
        version: 8,
        name: "split",
        sql: include_str!("../migrations/postgres/0008_split.sql"),
    },
    Migration { version: 9, name: "due", sql: include_str!("../migrations/postgres/0009_due.sql") },
    Migration {
        version: 10,
        name: "suspects",
        sql: include_str!("../migrations/postgres/0010_suspects.sql"),
    },
    Migration {
        version: 11,
        name: "runs",
        sql: include_str!("../migrations/postgres/0011_runs.sql"),
    },
    Migration {
        version: 12,
        name: "settled",
        sql: include_str!("../migrations/postgres/0012_settled.sql"),
    },
];

/// Holds which migrations were applied.
pub(crate) const CREATE_VERSIONS: &str = "create table if not exists schema_version \
    (version bigint not null primary key, name text not null, applied_at bigint not null)";
pub(crate) const NEWEST_VERSION: &str = "select max(version) from schema_version";
pub(crate) const RECORD_VERSION: &str =
    "insert into schema_version (version, name, applied_at) values ($1, $2, $3)";

/// The newest version of `migrations`.
pub(crate) fn newest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |migration| migration.version)
}

/// The migrations that a database at `version` still needs; `Err` holds the newest version that this
/// program knows where the database is newer.
pub(crate) fn pending(
    migrations: &'static [Migration],
    version: Option<i64>,
) -> Result<&'static [Migration], i64> {
    let newest = newest(migrations);
    let version = version.unwrap_or(0);
    if version > newest {
        return Err(newest);
    }
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
    fn a_newer_database_is_refused() {
        assert_eq!(pending(SQLITE, None).map(<[_]>::len), Ok(SQLITE.len()));
        let newest = SQLITE[SQLITE.len() - 1].version;
        assert_eq!(pending(SQLITE, Some(newest)).map(<[_]>::len), Ok(0));
        assert_eq!(pending(SQLITE, Some(newest + 1)).map(<[_]>::len), Err(newest));
    }
}
