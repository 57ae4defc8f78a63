//! Routing: from any node to the shard's owner, within the caller's deadline.

mod answer;
mod call;
mod first_use;
mod in_order;
mod look;
mod operate;
mod owner;
mod pass_on;
mod serve;
mod tries;

use std::time::Duration;

pub(crate) use first_use::FirstUses;

/// A request with a durable message is given up after this long and sent again under the same key,
/// which attaches to it. A change of owner ends it earlier.
const ONE_TRY: Duration = Duration::from_secs(10);
/// After this long a node that asked about a durable message has surely ended its try, also where
/// its clock runs slower than this node's.
const TRY_IS_OVER: Duration = Duration::from_secs(20);
