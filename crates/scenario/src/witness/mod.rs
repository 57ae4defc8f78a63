//! Sees what the database does, at the instant at which it does it, and checks it.

mod grants;
mod messages;
mod observer;
mod sends;
mod streams;
#[cfg(test)]
mod tests;

pub(crate) use observer::Observer;
