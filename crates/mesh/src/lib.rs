//! Quarry's message plane on ractor_cluster.
