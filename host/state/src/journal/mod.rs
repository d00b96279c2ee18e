//! What is kept under which key, and how: checkpoints, dead letters and their account, schemas, the key of row identities,
//! pauses, what `dedupe` has seen. Builds the batches that make one step of the delivery protocol one commit, and reads them back. Every value
//! begins with the version of its encoding; one that is not known is an error, never a guess.

mod account;
mod acts;
mod checkpoints;
mod desk;
mod identities;
mod key;
mod letter;
mod letters;
mod moves;
mod pause;
mod plan;
mod record;
mod rows;
mod schemas;
mod seen;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use key::{Owner, owner, owner_of, places_of};

pub use account::{Account, Pending, account, counted};
pub use acts::{Sweep, discard, edit, expire, purge};
pub use checkpoints::{CheckpointRecord, Held, begin, checkpoints, hold};
pub use desk::{Desk, Turn};
pub use identities::row_key;
pub use letter::{Attempt, DeadLetter, Edit, Fate, Standing, StandingKind};
pub use letters::{Filter, Kept, dead_letter, dead_letters};
pub use moves::{Moves, reset, set_place};
pub use pause::{Pause, PauseKind, delete_pause, pause, put_pause};
pub use record::JournalError;
pub use rows::Redriven;
pub use schemas::{SchemaRecord, delete_schemas, put_schema, schema, schemas};
pub use seen::{Block, Digest, delete_seen, put_seen, seen};
pub use steps::{Step, Steps};
