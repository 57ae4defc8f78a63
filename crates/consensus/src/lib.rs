//! Quarry's coordinator: openraft with a durable log, and the control plane.
