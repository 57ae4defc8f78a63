//! The metric catalogue: every family of the program, in one place.

use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// Seconds from 100 µs to 13 s, doubling.
fn latency_buckets() -> Vec<f64> {
    (0..18).map(|power| 0.000_1 * f64::from(1_u32 << power)).collect()
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $field:ident: $kind:ident = $name:literal, $help:literal $(, [$($label:literal),*])?;)*) => {
        /// The families, registered in a registry of their own. Labels are bounded; never an id.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            /// What `/metrics` shows.
            pub registry: Registry,
            $($(#[$doc])* #[doc = $help] pub $field: $kind,)*
        }

        impl Metrics {
            /// The names of all families, for tests that compare.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Makes and registers all families.
            ///
            /// # Errors
            /// Where two families have one name; a test makes sure that none have.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                $(let $field = make!($kind, $name, $help, [$($($label),*)?]);
                registry.register(Box::new($field.clone()))?;)*
                Ok(Self { registry, $($field),* })
            }
        }
    };
}

macro_rules! make {
    (IntCounter, $name:literal, $help:literal, []) => { IntCounter::with_opts(Opts::new($name, $help))? };
    (IntGauge, $name:literal, $help:literal, []) => { IntGauge::with_opts(Opts::new($name, $help))? };
    (Counter, $name:literal, $help:literal, []) => { Counter::with_opts(Opts::new($name, $help))? };
    (Gauge, $name:literal, $help:literal, []) => { Gauge::with_opts(Opts::new($name, $help))? };
    (IntGaugeVec, $name:literal, $help:literal, [$($label:literal),+]) => {
        IntGaugeVec::new(Opts::new($name, $help), &[$($label),+])?
    };
    (Histogram, $name:literal, $help:literal, []) => {
        Histogram::with_opts(HistogramOpts::new($name, $help).buckets(latency_buckets()))?
    };
    (IntCounterVec, $name:literal, $help:literal, [$($label:literal),+]) => {
        IntCounterVec::new(Opts::new($name, $help), &[$($label),+])?
    };
    (HistogramVec, $name:literal, $help:literal, [$($label:literal),+]) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets(latency_buckets()), &[$($label),+])?
    };
}

catalogue! {
    messages: IntCounterVec = "quarry_messages_total", "Messages by how they ended.", ["entity_type", "outcome"];
    handler_seconds: HistogramVec = "quarry_handler_seconds", "Time of one run of a handler.", ["entity_type"];
    queue_seconds: Histogram = "quarry_queue_seconds", "Time for which a durable message stood in its entity's queue before its first attempt, in whole milliseconds.";
    commits: IntCounter = "quarry_commits_total", "Transactions of the store that are durable.";
    commit_seconds: Histogram = "quarry_commit_seconds", "Time of one transaction of the store.";
    commit_messages: IntCounter = "quarry_committed_messages_total", "Messages accepted by durable transactions.";
    commit_refused: IntCounterVec = "quarry_commits_refused_total", "Commits refused, by reason (fence, lease over, rejected, unavailable, undecided).", ["reason"];
    dedupe_hits: IntCounter = "quarry_dedupe_hits_total", "Messages answered from the stored outcome or attached to a running one.";
    retries: IntCounter = "quarry_retries_total", "Attempts that failed and will be tried again.";
    sends: IntCounterVec = "quarry_sends_total", "Sends between entities by what became of them (accepted, again: not taken and tried again, quarantined).", ["outcome"];
    open_sends: IntGauge = "quarry_open_sends", "Sends in memory that their targets have not accepted yet.";
    quarantined: IntCounter = "quarry_quarantined_total", "Messages set aside after their last attempt.";
    full_mailboxes: IntGauge = "quarry_full_mailboxes", "Entities that refuse messages because as many wait for them as may, as was looked every five seconds.";
    stalls: IntCounter = "quarry_stalls_total", "Messages that nothing would have woken, found and let go on.";
    retired: IntCounter = "quarry_retired_messages_total", "Finished messages removed at the end of their retention.";
    residents: IntGauge = "quarry_resident_entities", "Entities with a live actor on this node.";
    activations: IntCounterVec = "quarry_activations_total", "Entities activated, by where their state was (memory, store).", ["tier"];
    passivations: IntCounterVec = "quarry_passivations_total", "Entities passivated, by reason (idle for their time, room for another, failed).", ["reason"];
    dormant_entities: IntGauge = "quarry_dormant_entities", "Entities without an actor whose states are kept in memory on this node.";
    dormant_bytes: IntGauge = "quarry_dormant_bytes", "Memory of the states that are kept of entities without an actor.";
    active_shards: IntGauge = "active_shards", "Shards that this node owns and serves.";
    pending_messages: IntGauge = "pending_messages", "Messages in the memory of this node, admitted and not finished.";
    shards_unowned: IntGauge = "quarry_unowned_shards", "Shards without an owner, as this node knows.";
    unowned_seconds: Counter = "quarry_unowned_shard_seconds_total", "Time for which shards stood without an owner, summed over the shards, as this node knows.";
    shard_takeovers: IntCounterVec = "quarry_shard_takeovers_total", "Shards taken over, by result.", ["outcome"];
    shard_splits: IntCounter = "quarry_shard_splits_total", "Shards that this node closed to serve their halves.";
    handoff_seconds: Histogram = "quarry_handoff_seconds", "Time from when this node admitted nothing more to a shard that it hands off, until it saw it granted elsewhere.";
    load_seconds: Histogram = "quarry_shard_load_seconds", "Time from when this node saw that it was granted a shard, until it served it.";
    failover_seconds: Histogram = "quarry_failover_seconds", "Time from the last heartbeat of a process whose lease this node ended, while it led the coordinator, because it ran out or the process was gone, until its shards were granted to others. How long those then take to load is told apart.";
    lease_seconds: Gauge = "quarry_lease_left_seconds", "Time left of this node's lease.";
    raft_term: IntGauge = "quarry_raft_term", "The coordinator's term, as this node knows.";
    raft_applied: IntGauge = "quarry_raft_applied_index", "The last log index applied on this node.";
    raft_lag: IntGauge = "quarry_raft_applied_lag", "Entries of the coordinator's log that the leader has applied and this node has not, as it was told by its last heartbeat.";
    raft_leader_changes: IntCounter = "quarry_raft_leader_changes_total", "Changes of leader seen by this node.";
    epochs_raised: IntCounter = "quarry_coordinator_epochs_raised_total", "Times that this node, leading the coordinator, raised all epochs to come because the store knew newer ones: the coordinator's data were lost.";
    heartbeats: IntCounterVec = "quarry_heartbeats_total", "Lease heartbeats sent, by outcome.", ["outcome"];
    heartbeat_seconds: Histogram = "quarry_heartbeat_seconds", "Time from when this node sent a lease heartbeat until the leader had renewed the lease, with a quorum round in between.";
    leases_ended: IntCounterVec = "quarry_leases_ended_total", "Leases that this node ended while it led the coordinator, by cause (expired, gone: its process listens no more, goodbye). A process whose place a newer one takes is none of them.", ["cause"];
    shard_moves: IntCounterVec = "quarry_shard_moves_total", "Shards that went to a node while this one led the coordinator, by reason.", ["reason"];
    raft_log_bytes: IntGauge = "quarry_raft_log_bytes", "The coordinator's log on this node behind its last snapshot, as was looked last.";
    raft_snapshots: IntCounter = "quarry_raft_snapshots_total", "Snapshots of the coordinator's state that this node made or was sent.";
    mesh_frames: IntCounterVec = "quarry_mesh_frames_total", "Frames on the mesh by direction (sent, received) and kind.", ["direction", "kind"];
    mesh_bytes: IntCounterVec = "quarry_mesh_bytes_total", "Bytes of frames on the mesh by direction.", ["direction"];
    mesh_reconnects: IntCounter = "quarry_mesh_reconnects_total", "Links to peers made anew.";
    mesh_credit_waits: IntCounter = "quarry_mesh_credit_exhausted_total", "Requests that found no credit for their peer.";
    mesh_refused: IntCounterVec = "quarry_mesh_refused_total", "Frames and links refused, by reason.", ["reason"];
    control_refused: IntCounterVec = "quarry_control_refused_total", "Connections and calls refused on the control plane, by reason.", ["reason"];
    certificate_expiry: IntGauge = "quarry_certificate_expiry_timestamp_seconds", "When this node's certificate expires, in seconds since 1970; 0 without one.";
    http_requests: IntCounterVec = "quarry_http_requests_total", "HTTP requests by method and status.", ["method", "status"];
    http_seconds: Histogram = "quarry_http_seconds", "Time to answer HTTP requests.";
    extractions: IntCounterVec = "extraction_total", "Extractions by grade.", ["outcome"];
    extraction_seconds: Histogram = "extraction_duration_seconds", "Time of one extraction.";
    invariant_violations: IntCounterVec = "quarry_invariant_violations_total", "Violations of invariants, by id.", ["id"];
    build: IntGaugeVec = "quarry_build_info", "Always 1; the version as a label.", ["version"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_can_be_registered() {
        assert!(Metrics::new().is_ok());
    }
}
