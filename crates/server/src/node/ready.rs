//! Whether nodes answer that they are ready.

use std::time::Duration;

use quarry_client::Client;
use quarry_types::api::HealthStatus;
use tokio::time::{sleep, timeout};

use crate::failure::{Exit, Failure};

const PAUSE: Duration = Duration::from_millis(10);

/// Waits until every node of `urls` says that it is ready.
///
/// # Errors
/// Names those that are not within `limit`.
pub(crate) async fn until_all_ready(urls: &[String], limit: Duration) -> Result<(), Failure> {
    let mut waiting: Vec<&String> = urls.iter().collect();
    let all = async {
        while let Some(url) = waiting.last() {
            let client = Client::new([url], None)?;
            while !is_ready(&client).await {
                sleep(PAUSE).await;
            }
            waiting.pop();
        }
        Ok(())
    };
    if let Ok(result) = timeout(limit, all).await {
        return result;
    }
    let names: Vec<&str> = waiting.into_iter().map(String::as_str).collect();
    let message = format!("not ready after {} s: {}", limit.as_secs(), names.join(", "));
    Err(Failure::new(Exit::Unavailable, message)
        .advise("GET /readyz?verbose of the node says what it waits for"))
}

async fn is_ready(client: &Client) -> bool {
    client.ready().await.is_ok_and(|health| health.status != HealthStatus::Unhealthy)
}
