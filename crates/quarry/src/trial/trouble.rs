//! What goes wrong in a trial by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quarry_ports::Task;

use super::Cluster;

/// Faults that come one after the other until [`Trouble::end`].
#[derive(Debug)]
pub struct Trouble {
    task: Task,
    is_over: Arc<AtomicBool>,
}

impl Trouble {
    /// Lets the last fault end, mends everything, and has all nodes run.
    pub async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.ended().await;
    }
}

impl Cluster {
    /// From now on nodes are killed and started again, frozen, and cut off, and the database goes
    /// away and comes back, as the seed has it.
    pub fn trouble(&self) -> Trouble {
        let is_over = Arc::new(AtomicBool::new(false));
        let (cluster, over) = (self.clone(), Arc::clone(&is_over));
        let task = self.host().spawn("trouble", async move {
            while !over.load(Ordering::Relaxed) {
                cluster.break_something().await;
            }
        });
        Trouble { task, is_over }
    }

    async fn break_something(&self) {
        self.some_time(1_500).await;
        let node = 1 + self.random(self.nodes());
        match self.random(10) {
            0..4 => {
                self.kill(node);
                self.some_time(5_000).await;
                self.restart(node);
            }
            4..6 => {
                self.freeze(node);
                self.some_time(8_000).await;
                self.thaw(node);
            }
            6..9 => {
                self.cut_off(node);
                self.some_time(6_000).await;
                self.heal();
            }
            _ => {
                self.take_database();
                self.some_time(2_000).await;
                self.give_back_database();
            }
        }
    }

    async fn some_time(&self, most: u64) {
        self.sleep(Duration::from_millis(1 + self.random(most))).await;
    }
}
