//! The repository's README, whose examples are compiled as documentation tests.
#![doc = include_str!("../../../README.md")]
