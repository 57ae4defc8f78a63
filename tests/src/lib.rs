//! The harness: starts real processes, drives them, and checks what they leave behind.

pub mod tidy;
