//! Quarry's built-in entities: two for learning and testing.

mod counter;
mod register;

pub use counter::Counter;
pub use register::Register;
