//! A typed HTTP client of Quarry.
