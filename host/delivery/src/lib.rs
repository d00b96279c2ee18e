//! The delivery protocol of one split as a state machine: events in, actions out. Pure: no clock, no disk, no
//! network, no chance. Whoever drives it owns the instances, the batches and the timers, and does what it is told.
//!
//! ```text
//! Read → Transform → (gathered into a unit) → Write to every sink → Store → Acknowledge
//! with a transactional sink:              … → Write → Store an intent → Publish → Acknowledge
//! ```
//!
//! A driver loads the stored checkpoint, asks the sinks what they have committed, calls [`resume()`], stores the
//! checkpoint that it gives (this fences an older owner), makes a [`Split`] of it, and from then on feeds it events
//! and does its actions. Invariants, held by `tests/simulation.rs`:
//! - a checkpoint is never ahead of what the sinks hold plus what the DLQ holds;
//! - `read = written + filtered + dead_lettered + in_flight`, after every step;
//! - units are stored in order, and a source is acknowledged only what is stored.

mod intake;
mod outlet;
mod protocol;
mod resume;
mod retry;
mod settings;
mod split;
mod unit;

pub use protocol::{Action, Event, Next, PageNo, Step, Tally, UnitNo};
pub use resume::{Resume, Standing, Start, resume};
pub use retry::Retry;
pub use settings::{RetrySettings, Settings, SinkMode};
pub use split::{Counters, Split};
