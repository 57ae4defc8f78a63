//! The entity that is measured: it keeps the last text that it was sent, and passes it on.

use quarry::prelude::*;

/// Keeps one text, so that every durable call writes a message, an outcome and a state of the same
/// size.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Probe(String);

#[entity]
impl Probe {
    const TYPE: &'static str = "BenchProbe";

    /// Keeps `text`; answers its length in bytes.
    fn put(&mut self, #[body] text: String) -> usize {
        self.0 = text;
        self.0.len()
    }

    /// Keeps `text`, and sends it to the `sends` entities behind this one, in a ring of `keys`.
    fn relay(
        &mut self,
        text: String,
        sends: u32,
        keys: u32,
        context: &Context,
    ) -> Result<usize, HandlerError> {
        let number = context.address().id.as_str().strip_prefix('p').map(str::parse::<u32>);
        let number = number.transpose()?.unwrap_or(0);
        for place in 1..=sends {
            let target = format!("p{}", number.wrapping_add(place) % keys.max(1));
            context.send(&context.entity::<Self>(&target)?, "put", &text)?;
        }
        self.0 = text;
        Ok(self.0.len())
    }

    /// Makes `chunks` chunks, each a text of `bytes` bytes; answers how many.
    async fn stream(
        &mut self,
        chunks: u32,
        bytes: u32,
        context: &Context,
    ) -> Result<u32, HandlerError> {
        let text = "x".repeat(usize::try_from(bytes)?);
        for _ in 0..chunks {
            context.emit(&text).await?;
        }
        Ok(chunks)
    }

    /// The length of the text in bytes.
    fn length(&self) -> usize {
        self.0.len()
    }
}
