//! The audit trail: who did what, in files that only grow, where nothing can be changed, taken out or put in unseen.
//!
//! An [`Act`] becomes an [`Entry`], a line whose hash covers the line before it; a [`Trail`] writes entries and signs
//! how long it is and what its entries hash to; [`verify()`] finds what was done to it since. `docs/auditing.md` has the
//! format, and `tests/audit-verify` checks it again without a line of this crate.
//!
//! What people did is durable before it takes effect ([`Trail::act`]); what plugins do on the data path is gathered in
//! a [`Window`] and written now and then.

mod action;
mod actor;
mod copy;
mod desk;
mod entry;
mod error;
mod folder;
mod hash;
mod key;
mod keyring;
mod note;
mod read;
mod standing;
mod trail;
mod tree;
mod usage;
mod verify;
mod window;

pub use action::{Act, Action};
pub use actor::Actor;
pub use entry::Entry;
pub use error::AuditError;
pub use folder::Folder;
pub use hash::Hash;
pub use note::Note;
pub use read::{Entries, each};
pub use trail::{Options, Trail};
pub use usage::{Use, Uses};
pub use verify::{Finding, Trust, Verdict, verify};
pub use window::{Party, Window};
