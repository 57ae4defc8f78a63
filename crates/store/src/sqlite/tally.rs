//! A count of changed rows that a script takes itself, so that it can go on to its commit only where
//! the count is right.

use super::script::{MOST, Rows, Script};
use crate::database::Value;

/// What the write connection keeps in its own memory: the count, and a table that takes no row. A
/// handler's statements, which run on the same connection, must not name them.
pub(super) const TABLES: &str = "create temp table commit_tally (changed integer not null);
    insert into commit_tally values (0);
    create temp table commit_doubt (never integer not null check (never = 1))";

const FIRST: &str = "update temp.commit_tally set changed = changes()";
const NEXT: &str = "update temp.commit_tally set changed = changed + changes()";
/// Fails as a broken rule does; also where there is no count.
const COMPARE: &str =
    "insert into temp.commit_doubt select 0 where (select changed from temp.commit_tally) is not ?";

/// Counts the rows that statements of a script change.
#[derive(Debug, Default)]
pub(super) struct Tally {
    is_begun: bool,
}

impl Tally {
    /// Adds `statement` over `rows`, at most [`MOST`], and counts what it changes.
    pub(super) fn add(&mut self, script: &mut Script, statement: &Rows, rows: Vec<Vec<Value>>) {
        debug_assert!(rows.len() <= MOST, "several statements, of which one would be counted");
        if script.add(statement, rows) > 0 {
            script.add_text(if self.is_begun { NEXT } else { FIRST }, Vec::new());
            self.is_begun = true;
        }
    }

    /// Ends `script` with an error where other than `expected` rows were changed.
    pub(super) fn compare(self, script: &mut Script, expected: usize) {
        if self.is_begun {
            let expected = i64::try_from(expected).unwrap_or(i64::MAX);
            script.add_text(COMPARE, vec![Value::Int(expected)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use quarry_ports::Host;

    use super::*;
    use crate::{
        open::Options,
        sqlite::{
            connect,
            writer::{Stopped, Writer},
        },
    };

    const AGES: Rows = Rows {
        head: "insert into shard_age (shard, age_ms) select * from (values ",
        row: "(?,0)",
        tail: ") where column1 is not null",
    };

    /// Adds one age per shard, a statement for each of `groups`, and says that there were `expected`.
    async fn add(writer: &Writer, groups: &[&[i64]], expected: usize) -> Result<(), Stopped> {
        let (mut script, mut tally) = (Script::default(), Tally::default());
        for shards in groups {
            let rows = shards.iter().map(|shard| vec![Value::Int(*shard)]).collect();
            tally.add(&mut script, &AGES, rows);
        }
        tally.compare(&mut script, expected);
        writer.take(&Host::system()).await.unwrap().transact(script).await
    }

    async fn ages(writer: &Writer) -> i64 {
        let mut turn = writer.take(&Host::system()).await.unwrap();
        let count = sqlx::query_scalar("select count(*) from shard_age");
        count.fetch_one(turn.connection().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_script_goes_on_to_its_commit_only_where_the_count_is_right() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("quarry.db");
        let opened = connect::open(&path, &Options::default(), &Host::system()).await;
        let writer = opened.unwrap().0;
        assert!(add(&writer, &[&[1, 2, 3]], 3).await.is_ok());
        for (groups, expected) in
            [(&[&[4_i64, 5][..]][..], 1), (&[&[4], &[5, 6]], 2), (&[&[4, 5], &[]], 3)]
        {
            let stopped = add(&writer, groups, expected).await;
            assert!(matches!(stopped, Err(Stopped::Inside(_))), "{groups:?} {expected}");
            assert_eq!(ages(&writer).await, 3, "{groups:?} {expected}");
        }
        assert!(add(&writer, &[&[4], &[5, 6]], 3).await.is_ok(), "counted anew");
        let stopped = add(&writer, &[&[7], &[6]], 2).await;
        assert!(matches!(stopped, Err(Stopped::Inside(_))), "a row that stands already");
        assert_eq!(ages(&writer).await, 6);
    }

    #[tokio::test]
    async fn without_a_count_nothing_is_committed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("quarry.db");
        let opened = connect::open(&path, &Options::default(), &Host::system()).await;
        let writer = opened.unwrap().0;
        let mut turn = writer.take(&Host::system()).await.unwrap();
        sqlx::raw_sql("delete from temp.commit_tally")
            .execute(turn.connection().unwrap())
            .await
            .unwrap();
        drop(turn);
        assert!(matches!(add(&writer, &[&[1]], 1).await, Err(Stopped::Inside(_))));
        assert_eq!(ages(&writer).await, 0);
        for table in ["commit_tally", "commit_doubt"] {
            assert!(TABLES.contains(table) && quarry_types::OWN_TABLES.contains(&table), "{table}");
        }
    }

    #[tokio::test]
    async fn a_script_that_finds_the_lock_taken_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("quarry.db");
        let host = Host::system();
        let writer = connect::open(&path, &Options::default(), &host).await.unwrap().0;
        let other = connect::open(&path, &Options::default(), &host).await.unwrap().0;
        let holds = other.begin(&host).await.unwrap();
        assert!(matches!(add(&writer, &[&[1]], 1).await, Err(Stopped::Busy)));
        holds.rollback().await;
        assert!(add(&writer, &[&[1]], 1).await.is_ok());
        assert_eq!(ages(&writer).await, 1);
        let mut begun = writer.begin(&host).await.unwrap();
        let mut script = Script::default();
        script.add(&AGES, vec![vec![Value::Int(2)]]);
        assert!(begun.transact(script).await.is_ok(), "a transaction that has begun ends with it");
        drop(begun);
        assert_eq!(ages(&other).await, 2);
    }
}
