use quarry::prelude::*;

use crate::Register;

/// Keeps what it published to registers: what checks of sends between entities use.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Publisher(Vec<String>);

#[entity]
impl Publisher {
    /// Sends `value` to each of the registers `to`; answers how many values it has published.
    fn publish(
        &mut self,
        value: String,
        to: Vec<String>,
        context: &Context,
    ) -> Result<usize, HandlerError> {
        for register in &to {
            let register = context.entity::<Register>(register)?;
            context.send(&register, "append", &json!({ "value": value }))?;
        }
        self.0.push(value);
        Ok(self.0.len())
    }

    /// What it published, in order.
    #[method(current)]
    fn read(&self) -> &[String] {
        &self.0
    }
}
