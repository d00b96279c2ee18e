//! `sluice/nats`: a source and a sink of NATS JetStream in one component. The text protocol is spoken here, for no client
//! library runs without sockets of its own. Deliberately no TLS, no retries, no reconnecting, no checkpoints: those are the
//! host's.

mod config;
mod jetstream;
mod session;
mod sink;
mod source;
mod wire;

pub use config::Config;
pub use sink::NatsSink;
pub use source::{NatsSource, Place, StreamReader};

sluice_sdk::source!(NatsSource);
sluice_sdk::sink!(NatsSink);
