//! Plugins in ordinary `cargo test`, without a host and without WASM: batches in memory, edits applied and checked as
//! the host does it, granted directories that are real ones, HTTP and connections answered by closures. Deliberately not the
//! conformance kit: that runs the component itself.
//!
//! What a test installs ([`http`], [`net()`], [`dir`], [`secrets`], [`logs`]) holds for its own thread.

mod apply;
pub mod crashes;
mod encode;
pub(crate) mod files;
pub(crate) mod net;
mod network;
mod read;
mod shape;
mod table;
mod write;

pub use apply::{Applied, apply, output};
pub use files::dir;
pub use net::{Event, Peer, Turn, net};
pub use network::{http, logs, secrets};
pub use read::{Read, read_all, read_split};
pub use table::Table;
pub use write::Writer;

pub(crate) use encode::parquet;
pub(crate) use network::{logged, respond, reveal};
