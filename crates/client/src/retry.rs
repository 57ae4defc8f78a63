//! Sending again, under the same key.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::{Client, ClientError, SendOptions, Sent, send::Try};

/// The first pause between two tries; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often all bases are tried while nobody has ever answered.
pub(crate) const TRIES_UNREACHED: usize = 3;
/// The pause between these: a server that is being restarted is given a moment.
const PAUSE_UNREACHED: Duration = Duration::from_millis(400);

impl Client {
    /// Sends until it is answered for good, `deadline` has passed, or nobody is there.
    pub(crate) async fn retrying(
        &self,
        segments: &[&str],
        payload: Option<&RawValue>,
        options: SendOptions,
        deadline: Duration,
    ) -> Result<Sent, ClientError> {
        let SendOptions { key, reply, delay, keep, timeout } = options;
        let key = &key.unwrap_or_else(|| self.new_key());
        let until = self.host().now().after(deadline);
        let mut tries = Tries::new();
        for (turn, send_count) in (0_u32..).enumerate() {
            let left = until.since(self.host().now());
            let timeout = timeout.min(left).max(Duration::from_millis(1));
            let index = self.turn(turn);
            let attempt =
                Try { segments, payload, key, reply, delay, keep, timeout, index, send_count };
            let error = match self.attempt(attempt).await {
                Ok(sent) => {
                    self.prefer(index);
                    return Ok(sent);
                }
                Err(error) => error,
            };
            let wait = self.jittered(tries.note(self, &error));
            let is_late = until.since(self.host().now()) <= wait;
            if !error.is_retryable() || is_late || tries.are_hopeless(self) {
                return Err(error.after(tries.maybe_done));
            }
            tokio::time::sleep(wait).await;
        }
        Err(ClientError::Unavailable { reason: "too many tries".to_owned() })
    }

    /// From half of `wait` to all of it, so that clients do not come back together.
    pub(crate) fn jittered(&self, wait: Duration) -> Duration {
        let half = wait / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(self.host().random.next_u64() % micros)
    }
}

/// What is remembered of the tries of one message, or of one batch.
pub(crate) struct Tries {
    pause: Duration,
    /// Tries in a row of which nothing left this process.
    unreached: usize,
    /// The last error of one that may have done it.
    maybe_done: Option<ClientError>,
}

impl Tries {
    pub(crate) fn new() -> Self {
        Self { pause: SHORTEST_PAUSE, unreached: 0, maybe_done: None }
    }

    /// One more try, which failed. How long to wait before the next.
    pub(crate) fn note(&mut self, client: &Client, error: &ClientError) -> Duration {
        let pause = self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        match error {
            ClientError::Unreachable { .. } => {
                self.unreached += 1;
                let bases = client.bases().len();
                if self.unreached == bases {
                    client.tell(error);
                }
                let is_round = self.unreached.is_multiple_of(bases);
                return if is_round { pause.max(PAUSE_UNREACHED) } else { pause };
            }
            ClientError::Unknown { .. } => self.maybe_done = Some(error.clone()),
            _ => {}
        }
        self.unreached = 0;
        asked_wait(error).unwrap_or(pause).min(LONGEST_PAUSE)
    }

    /// Whether there is nobody: all bases were tried often enough, and none ever took anything.
    pub(crate) fn are_hopeless(&self, client: &Client) -> bool {
        !client.has_reached() && self.unreached >= TRIES_UNREACHED * client.bases().len()
    }
}

pub(crate) fn asked_wait(error: &ClientError) -> Option<Duration> {
    let milliseconds = error.problem()?.retry_after_ms?;
    Some(Duration::from_millis(u64::from(milliseconds)))
}
