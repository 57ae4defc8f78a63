//! What operators do to messages: one by one, and many by a filter.

mod bulk;
mod filter;
mod single;

pub(crate) use bulk::{cancel_many, drop_many, redrive_many};
pub(crate) use filter::{Texts, Wanted};
pub(crate) use single::{act, cancel};
