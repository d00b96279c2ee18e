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
//! and does its actions. Invariants, held by `tests/simulation`:
//! - a checkpoint is never ahead of what the sinks hold plus what the DLQ holds;
//! - `read = written + filtered + dead_lettered + in_flight`, after every step;
//! - units are stored in order, and a source is acknowledged only what is stored.
//!
//! What a driver keeps to:
//! - events are told one at a time, each answer once, and `now` is of one clock; a timer may fire when what it was for is
//!   over;
//! - what a sink refused of a unit is kept until the unit's pages are released, for the unit may be stored again;
//! - before a step at a destination it asks that one's [`Breaker`]; where it must wait, nobody is called: it waits
//!   there, or fails the step with a transient fault that names the time where that is long. Every permit is handed back, once;
//! - where a plugin traps, runs past its time or breaks down on a page or a unit, that is not told yet: it is halved. A
//!   transient fault in the middle is told, and the [`Halving`] kept for when the same step is asked for again. What a
//!   plain sink took in pieces is not written again; a transactional sink is given the whole without the culprits;
//!   culprits count as refused. [`Verdict::Sick`] is told as the fault it was;
//! - a drain ends when the machine says so, which may be as late as the retries' budget: whoever is in a hurry drops it.
//!
//! Beside the machine stand three that a driver asks by itself, as pure as it: [`Breaker`], whether a destination may be
//! called now; [`Halving`], which records of a batch a plugin cannot take; [`RejectionRate`], whether too many are
//! refused.

mod breaker;
mod halving;
mod intake;
mod outlet;
mod protocol;
mod rejection_rate;
mod resume;
mod retry;
mod settings;
mod split;
mod unit;

pub use breaker::{Breaker, BreakerSettings, BreakerState, Permit};
pub use halving::{Halving, HalvingSettings, Verdict};
pub use protocol::{Action, Event, Next, PageNo, Step, Tally, UnitNo};
pub use rejection_rate::{RateSettings, RejectionRate, Share};
pub use resume::{Resume, Standing, Start, resume};
pub use retry::Retry;
pub use settings::{RetrySettings, Settings, SinkMode};
pub use split::{Counters, Split};
