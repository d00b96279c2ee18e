//! What must survive: checkpoints, dead letters, metadata. The only crate that names sled.
//!
//! Below: two stores behind one trait ([`sluice_model::ports::StateStore`]), [`SledStore`] on disk and [`MemStore`]
//! in memory. Above: the [`journal`], which knows what is kept under which key.

mod bounds;
pub mod journal;
mod memory;
mod sled_store;

pub use memory::MemStore;
pub use sled_store::{Options, SledStore};
