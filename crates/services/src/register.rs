use quarry::prelude::*;

/// A value, its place from 1, and the epoch and the owner under which it was written.
#[derive(Debug, Serialize, Deserialize)]
struct Appended {
    value: String,
    seq: u64,
    epoch: Epoch,
    owner: NodeId,
}

/// Keeps what it is sent, in order: what consistency checks use.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Register(Vec<Appended>);

#[entity]
impl Register {
    /// Appends `value`; answers where it stands.
    fn append(&mut self, value: String, context: &Context) -> impl Serialize {
        let seq = self.0.last().map_or(1, |last| last.seq + 1);
        let (epoch, owner) = (context.epoch(), context.owner());
        self.0.push(Appended { value, seq, epoch, owner });
        json!({ "seq": seq, "epoch": epoch, "owner": owner })
    }

    /// All values.
    #[method(current)]
    fn read(&self) -> impl Serialize {
        json!({ "values": self.0, "count": self.0.len() })
    }
}
