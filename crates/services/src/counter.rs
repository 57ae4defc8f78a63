use quarry::prelude::*;

/// Adds up what it is sent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter(i64);

#[entity]
impl Counter {
    /// Adds `number`; answers the new total.
    fn add(&mut self, #[body] number: i64) -> Result<i64, HandlerError> {
        let total = self.0.checked_add(number).ok_or_else(|| {
            HandlerError::fail("overflow", format!("{} + {number} is beyond 64 bits", self.0))
        })?;
        self.0 = total;
        Ok(total)
    }

    /// The total.
    fn get(&self) -> i64 {
        self.0
    }
}
