//! Quarry's HTTP interface.
