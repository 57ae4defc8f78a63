//! Quarry's built-in entities: three for learning and testing.

mod counter;
mod publisher;
mod register;

pub use counter::Counter;
pub use publisher::Publisher;
pub use register::Register;
