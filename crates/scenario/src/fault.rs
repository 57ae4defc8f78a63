//! What goes wrong.

use std::{sync::Arc, time::Duration};

use quarry_ports::Administration;
use quarry_sim::Network;
use quarry_types::{Monotonic, NodeId};

use crate::{chronicle::Point, world::World};

/// A lease of the default time to live, as its runner counts it.
const LEASE: Duration = Duration::from_millis(2_550);

impl World {
    /// Lets one thing after the other go wrong until `end`, and mends each.
    pub(crate) async fn break_things(self: Arc<Self>, end: Monotonic) {
        while self.host.now() < end && !self.chronicle.is_broken() {
            tokio::time::sleep(self.random.milliseconds(100, 2_000)).await;
            let id = 1 + self.random.below(self.plan.nodes);
            match self.random.below(100) {
                0..28 => self.kill_for_a_while(id).await,
                28..48 => self.freeze_for_a_while(id).await,
                48..64 => self.cut_for_a_while(id).await,
                64..72 => self.refuse_for_a_while(id).await,
                72..82 => self.restart_in_order(id).await,
                82..88 => self.be_without_database().await,
                88..94 => self.drain_for_a_while(id).await,
                94..97 => self.jump(id),
                _ => self.kill_all().await,
            }
        }
    }

    async fn kill_for_a_while(self: &Arc<Self>, id: u64) {
        if !self.running().contains_key(&id) {
            return;
        }
        self.kill(id);
        let most = if self.random.hits(50) { 300 } else { 6_000 };
        tokio::time::sleep(self.random.milliseconds(0, most)).await;
        if !self.running().contains_key(&id) {
            self.start(id);
        }
    }

    async fn freeze_for_a_while(self: &Arc<Self>, id: u64) {
        let Some(running) = self.running().get(&id).cloned() else { return };
        self.chronicle.note(&format!("freeze {id}"));
        running.process.freeze();
        let time = self.random.milliseconds(50, 8_000);
        tokio::time::sleep(time).await;
        self.chronicle.note(&format!("thaw {id}"));
        running.process.thaw();
        if time > LEASE && !running.process.is_dead() {
            self.chronicle.reach(Point::FrozenBeyondLease);
        }
    }

    /// Cuts a node off: on both planes or on one, in both directions or in one, from all or from one.
    async fn cut_for_a_while(&self, id: u64) {
        let which = self.random.below(4);
        let planes: &[&Network] = match which {
            0 => &[&self.network],
            1 => &[&self.control],
            _ => &[&self.network, &self.control],
        };
        let others: Vec<u64> = (1..=self.plan.nodes).filter(|other| *other != id).collect();
        let from_all = self.random.hits(60);
        let directions = self.random.below(3);
        let chosen = self.random.below(u64::try_from(others.len()).unwrap_or(1));
        self.chronicle
            .note(&format!("cut {id} planes {which} directions {directions} all {from_all}"));
        for (place, other) in (0..).zip(&others) {
            if !from_all && place != chosen {
                continue;
            }
            for plane in planes {
                if directions != 1 {
                    plane.cut_one_way(NodeId(id), NodeId(*other));
                }
                if directions != 2 {
                    plane.cut_one_way(NodeId(*other), NodeId(id));
                }
            }
        }
        tokio::time::sleep(self.random.milliseconds(100, 6_000)).await;
        self.chronicle.note("heal");
        self.network.heal();
        self.control.heal();
    }

    /// Lets connections to the node's control plane be refused while its process lives.
    async fn refuse_for_a_while(&self, id: u64) {
        if !self.running().contains_key(&id) {
            return;
        }
        self.chronicle.note(&format!("refuse {id}"));
        self.refuse(id);
        tokio::time::sleep(self.random.milliseconds(100, 3_000)).await;
        let is_up = self.running().contains_key(&id);
        if is_up {
            self.admit(id);
            self.chronicle.note(&format!("admit {id}"));
        }
    }

    async fn be_without_database(&self) {
        self.chronicle.note("the database is away");
        self.database.faults().set_unavailable("it is away");
        tokio::time::sleep(self.random.milliseconds(50, 3_000)).await;
        self.chronicle.note("the database is back");
        self.database.faults().set_available();
    }

    async fn drain_for_a_while(self: &Arc<Self>, id: u64) {
        self.chronicle.note(&format!("ask to drain {id}"));
        self.administer(Administration::drain([NodeId(id)]));
        tokio::time::sleep(self.random.milliseconds(100, 4_000)).await;
        self.administer(Administration::undrain([NodeId(id)]));
    }

    fn jump(&self, id: u64) {
        let hour = 3_600_000;
        let jump = i64::try_from(self.random.below(2 * hour)).unwrap_or(0) - 3_600_000;
        self.chronicle.note(&format!("the wall clock of {id} jumps to {jump} ms"));
        if let Some(running) = self.running().get(&id) {
            running.clock.jump(jump);
        }
    }

    async fn kill_all(self: &Arc<Self>) {
        for id in 1..=self.plan.nodes {
            self.kill(id);
        }
        for id in 1..=self.plan.nodes {
            tokio::time::sleep(self.random.milliseconds(0, 1_000)).await;
            if !self.running().contains_key(&id) {
                self.start(id);
            }
        }
    }

    /// Ends all faults but, where there are enough nodes and the seed says so, one that stays: a node
    /// that is not needed is frozen or gone for good.
    pub(crate) async fn heal_a_quorum(self: &Arc<Self>) {
        let spared = (self.plan.nodes >= 3 && self.random.hits(50))
            .then(|| 1 + self.random.below(self.plan.nodes));
        self.chronicle.note(&format!("heal all but {spared:?}"));
        self.network.heal();
        self.control.heal();
        self.database.faults().set_available();
        for id in 1..=self.plan.nodes {
            let running = self.running().get(&id).cloned();
            match running {
                Some(running) if spared == Some(id) && self.random.hits(50) => {
                    running.process.freeze();
                    // Clients go elsewhere.
                    self.running().remove(&id);
                    self.frozen().push(running);
                }
                _ if spared == Some(id) => self.kill(id),
                Some(running) => {
                    running.process.thaw();
                    self.admit(id);
                }
                None => self.start(id),
            }
        }
        self.administer(Administration::undrain((1..=self.plan.nodes).map(NodeId)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        for id in 1..=self.plan.nodes {
            self.administer(Administration::undrain([NodeId(id)]));
        }
    }
}
