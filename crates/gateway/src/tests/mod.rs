//! The interface over a real node on in-memory store, transport and coordinator.

mod bad_input;
mod batch;
mod contain;
mod delay;
mod discard;
mod extract;
mod harness;
mod journal;
mod look;
mod ontologies;
mod openapi;
mod operate;
mod rpc;
mod rpc_stream;
mod send;
mod socket;
mod starting;
mod stream;
mod stream_extraction;
mod stream_lost;
