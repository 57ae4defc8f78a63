//! The command line: names, help and examples. No behaviour.

mod bench;
mod cluster;
mod doctor;
mod entity;
mod extract;
mod journal;
mod node;
mod ontology;
mod operate;
mod root;
mod sim;

pub(crate) use bench::{
    ActivationArguments, ActivationProcess, BenchArguments, BenchCommand, ChunksArguments,
    EchoArguments, MemoryArguments, MemoryProcess, PlanBenchArguments, SendsArguments,
    SnapshotArguments, SweepArguments, TakeoverArguments, TakeoverNode, VolatileArguments,
};
pub(crate) use cluster::{
    BindArguments, CertsArguments, ClusterCommand, DrainArguments, ExplainArguments,
    PlacementCommand, PlanArguments, ReplaceVoterArguments, SplitArguments,
};
pub(crate) use doctor::{DoctorArguments, Patient};
pub(crate) use entity::{
    EntityCommand, EntityListArguments, MessageCommand, MessageListArguments, MessageStateArgument,
    SendArguments,
};
pub(crate) use extract::{ExtractArguments, GraphFormat, IngestArguments};
pub(crate) use journal::{JournalArguments, JournalCommand};
pub(crate) use node::{ConfigCommand, DevArguments, ServeArguments};
pub(crate) use ontology::{OntologyCommand, OntologyEvalArguments};
pub(crate) use operate::{CancelArguments, DropArguments, MeantArguments, RedriveArguments};
pub(crate) use root::{Cli, Colour, Command, Format, Global};
pub(crate) use sim::SimArguments;
