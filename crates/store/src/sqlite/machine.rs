//! The machine that a file serves. The processes that use a file share memory beside it; those of two
//! machines, over a network file system, would each have their own, and break the file.

use quarry_ports::Host;
use sqlx::SqliteConnection;

use crate::database::{bits, stored_bits};

/// A machine, as a process knows it or a file recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The same after each start of the machine; 0 where it is not known.
    id: u64,
    /// Another after each start of it, the same in all containers on it; 0 where it is not known.
    run: u64,
}

impl Machine {
    /// The one that this process runs on.
    pub(crate) fn here(host: &Host) -> Self {
        Self { id: host.clock.machine(), run: host.clock.machine_run() }
    }

    /// Whether `self` is surely not the machine that was `recorded`: what two starts of one machine
    /// without an id look like is no proof.
    fn is_other(self, recorded: Self) -> bool {
        let is_same_run = self.run != 0 && self.run == recorded.run;
        !is_same_run && self.id != 0 && recorded.id != 0 && self.id != recorded.id
    }

    /// What is recorded from now on, where `recorded` was: the first id of a run of the machine.
    fn after(self, recorded: Self) -> Self {
        let is_same_run = self.run != 0 && self.run == recorded.run;
        let keeps = recorded.id != 0 && is_same_run;
        Self { id: if keeps { recorded.id } else { self.id }, run: self.run }
    }

    /// Its columns, as they are stored.
    pub(super) fn stored(self) -> [i64; 2] {
        [stored_bits(self.id), stored_bits(self.run)]
    }
}

/// Whether the file that `connection` reads serves another machine than `here`.
pub(crate) async fn serves_another(
    connection: &mut SqliteConnection,
    here: Machine,
) -> Result<bool, sqlx::Error> {
    Ok(recorded(connection).await?.is_some_and(|recorded| here.is_other(recorded)))
}

/// Records `here`, where the file belongs to a cluster already; as it is where the file is taken from
/// another machine.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    here: Machine,
    takes: bool,
) -> Result<(), sqlx::Error> {
    let Some(recorded) = recorded(connection).await? else { return Ok(()) };
    let now = if takes { here } else { here.after(recorded) };
    if now != recorded {
        let [id, run] = now.stored();
        let sql = "update cluster_identity set machine = $1, machine_run = $2";
        sqlx::query(sql).bind(id).bind(run).execute(connection).await?;
    }
    Ok(())
}

async fn recorded(connection: &mut SqliteConnection) -> Result<Option<Machine>, sqlx::Error> {
    let sql = "select machine, machine_run from cluster_identity";
    let row: Option<(i64, i64)> = sqlx::query_as(sql).fetch_optional(connection).await?;
    Ok(row.map(|(id, run)| Machine { id: bits(id), run: bits(run) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_another_machine_is_told_so() {
        for (here, recorded, is_other, after) in [
            ((1, 10), (1, 10), false, (1, 10)),
            // Started again.
            ((1, 11), (1, 10), false, (1, 11)),
            ((2, 20), (1, 10), true, (2, 20)),
            // Containers of one machine, each with an id of its own or none.
            ((2, 10), (1, 10), false, (1, 10)),
            ((0, 10), (1, 10), false, (1, 10)),
            ((2, 10), (0, 10), false, (2, 10)),
            // Perhaps started again, perhaps another.
            ((0, 11), (1, 10), false, (0, 11)),
            ((2, 20), (0, 10), false, (2, 20)),
            ((0, 20), (0, 10), false, (0, 20)),
            // Nothing was recorded yet, or nothing is known.
            ((1, 10), (0, 0), false, (1, 10)),
            ((1, 0), (2, 0), true, (1, 0)),
            ((0, 0), (1, 10), false, (0, 0)),
        ] {
            let machine = |(id, run)| Machine { id, run };
            let (here, recorded) = (machine(here), machine(recorded));
            assert_eq!(here.is_other(recorded), is_other, "{here:?} after {recorded:?}");
            assert_eq!(here.after(recorded), machine(after), "{here:?} after {recorded:?}");
        }
    }
}
