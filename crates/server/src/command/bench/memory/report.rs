//! What the processes held, as a table and as JSON.

use serde::Serialize;

use super::process::Held;
use crate::command::bench::report::{Row, Spread};

/// The memory of so many entities.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    /// Entities of each crowd.
    entities: u32,
    /// Bytes of a resident entity: what the first crowd added.
    resident_bytes: Spread,
    /// The baseline: bytes of a plain tokio task with a channel and the same text.
    task_bytes: Spread,
    /// A resident entity to a plain task, of the same rounds.
    ratio: Spread,
    /// Bytes of a dormant entity: what was held after the second crowd and not before it. Less than
    /// nothing where the system got something back meanwhile.
    dormant_bytes: Spread,
    /// The process when it was ready, in MiB.
    idle_mib: Spread,
    /// When it had served calls.
    before_mib: f64,
    /// When each crowd was resident.
    resident_mib: [f64; 2],
    /// When each crowd was dormant.
    dormant_mib: [f64; 2],
}

impl Figure {
    /// What the rounds come to; each of `held` followed one of `plain`.
    pub(super) fn of(entities: u32, held: &[Held], plain: &[f64]) -> Self {
        let spread = |of: &dyn Fn(&Held) -> f64| Spread::of(held.iter().map(of).collect());
        let each = |kib: f64| kib * 1_024.0 / f64::from(entities);
        let resident = |held: &Held| each(held.resident[0] - held.before);
        let mib = |of: &dyn Fn(&Held) -> f64| spread(&|held| of(held) / 1_024.0).median;
        let pairs = held.iter().zip(plain);
        Self {
            entities,
            resident_bytes: spread(&resident),
            task_bytes: Spread::of(plain.to_vec()),
            ratio: Spread::of(pairs.map(|(held, task)| resident(held) / task.max(1.0)).collect()),
            dormant_bytes: spread(&|held| each(held.dormant[1] - held.dormant[0])),
            idle_mib: spread(&|held| held.idle / 1_024.0),
            before_mib: mib(&|held| held.before),
            resident_mib: [mib(&|held| held.resident[0]), mib(&|held| held.resident[1])],
            dormant_mib: [mib(&|held| held.dormant[0]), mib(&|held| held.dormant[1])],
        }
    }
}

impl Row for Figure {
    const COLUMNS: &'static [&'static str] = &[
        "entities",
        "resident B (min/med/max)",
        "task B (min/med/max)",
        "ratio (min/med/max)",
        "dormant B (min/med/max)",
        "idle node MiB",
        "before",
        "resident, twice",
        "dormant, twice",
    ];

    fn row(&self) -> Vec<String> {
        let twice = |mib: [f64; 2]| mib.map(|mib| format!("{mib:.1}")).join(" / ");
        vec![
            self.entities.to_string(),
            self.resident_bytes.cell(0),
            self.task_bytes.cell(0),
            self.ratio.cell(2),
            self.dormant_bytes.cell(0),
            self.idle_mib.cell(1),
            format!("{:.1}", self.before_mib),
            twice(self.resident_mib),
            twice(self.dormant_mib),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(before: f64, resident: [f64; 2], dormant: [f64; 2]) -> Held {
        Held { store: String::new(), idle: 512.0, before, resident, dormant }
    }

    #[test]
    fn what_an_allocator_keeps_is_no_cost_of_the_dormant() {
        // Of 3,000 KiB that the first crowd took, 2,900 stay with the allocator; the second crowd
        // takes those, and 100 KiB are new behind it.
        let round = held(1_000.0, [4_000.0, 4_100.0], [3_900.0, 4_000.0]);
        let figure = Figure::of(1_024, &[round], &[1_000.0]);
        assert_eq!(figure.resident_bytes.cell(0), "3000 / 3000 / 3000");
        assert_eq!(figure.dormant_bytes.cell(0), "100 / 100 / 100");
        assert_eq!(figure.ratio.cell(1), "3.0 / 3.0 / 3.0");
    }
}
