//! Waiting for what a run needs.

use std::time::Duration;

use quarry_ports::Host;
use quarry_types::Monotonic;

use crate::failure::{Exit, Failure};

/// Waits at most for `within` until `condition` holds, looking every millisecond; when it did. `what`
/// says what is so as long as it does not.
pub(crate) async fn until(
    what: &str,
    within: Duration,
    host: &Host,
    condition: impl Fn() -> bool,
) -> Result<Monotonic, Failure> {
    let deadline = host.now().after(within);
    while !condition() {
        if host.now() >= deadline {
            return Err(Failure::new(Exit::Failed, format!("{what} after {within:?}")));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(host.now())
}
