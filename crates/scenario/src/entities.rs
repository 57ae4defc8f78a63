//! Entities that only simulations need.

use std::time::Duration;

use quarry::prelude::*;

/// The kind of a [`Teller`]'s entries.
pub(crate) const LINE: &str = "line";

/// Tells stories in chunks, and stumbles over some of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Teller(Vec<String>);

#[entity]
impl Teller {
    const ATTEMPTS: Option<u32> = Some(6);

    /// Tells `length` chunks of `story`, every other for the journal too; where it `stumbles`, the
    /// first attempt fails half way, and the next says other things.
    async fn tell(
        &mut self,
        story: String,
        length: u64,
        stumbles: bool,
        context: &Context,
    ) -> Result<u64, HandlerError> {
        let teller = if stumbles { context.attempt() } else { 0 };
        for place in 0..length {
            if stumbles && context.attempt() == 1 && place > length / 2 {
                return Err(HandlerError::Retry("stumbled".to_owned()));
            }
            let line = json!({ "type": LINE, "story": story, "place": place, "teller": teller });
            if place % 2 == 0 {
                context.record(&line).await?;
            } else {
                context.emit(&line).await?;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        self.0.push(story);
        Ok(length)
    }

    /// The stories, in order.
    #[method(current)]
    fn told(&self) -> &[String] {
        &self.0
    }
}

/// Fails whatever it is asked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Grump;

#[entity]
impl Grump {
    const ATTEMPTS: Option<u32> = Some(3);

    /// Never succeeds.
    fn smile(&mut self) -> Result<(), HandlerError> {
        Err(HandlerError::Retry("no reason to".to_owned()))
    }
}

/// Forgets soon what it was asked, and goes on counting.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Brief(u64);

#[entity]
impl Brief {
    const RETENTION: Option<Duration> = Some(Duration::from_secs(4));
    const IDLE_AFTER: Option<Duration> = Some(Duration::from_secs(2));

    /// Counts; answers the new number.
    fn count(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}
