//! Quarry's built-in entities.
