//! What must survive, and must not be read by others: checkpoints, dead letters, metadata, secrets. The only crate that
//! names sled.
//!
//! Below: two stores behind one trait ([`sluice_model::ports::StateStore`]), [`SledStore`] on disk and [`MemStore`]
//! in memory. Above them [`sealed`], which encrypts what they hold, and the [`journal`], which knows what is kept under
//! which key. Beside them the [`vault`], a sealed file of secrets. [`keys`] is where the one key of all comes from.

mod bounds;
mod durable;
pub mod journal;
pub mod keys;
mod memory;
pub mod sealed;
mod sled_store;
pub mod vault;

pub use durable::{FileIdentity, private_folder};
pub use memory::MemStore;
pub use sled_store::{Options, SledStore};
