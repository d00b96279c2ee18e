//! What is kept under which key, and how: checkpoints, dead letters, schemas, the key of
//! row identities. Builds the batches that make one step of
//! the delivery protocol one commit, and reads them back. Every value begins with the version of its encoding; one that
//! is not known is an error, never a guess.

mod checkpoints;
mod identities;
mod key;
mod letters;
mod record;
mod schemas;

pub(crate) use key::{Owner, owner, owner_of, places_of};

pub use checkpoints::{CheckpointRecord, Held, checkpoints, hold, reset};
pub use identities::row_key;
pub use letters::{
    DeadLetter, Filter, Kept, Numbering, Usage, dead_letter, dead_letters, discard, usage,
};
pub use record::JournalError;
pub use schemas::{SchemaRecord, delete_schemas, put_schema, schema, schemas};
