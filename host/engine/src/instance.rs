//! One running copy of a plugin, and the one way to call it: armed, bounded in time, and thrown away for good after a
//! trap, a timeout, a broken contract or a cancelled call.

use crate::engine::TICK;
use crate::guest::Guest;
use crate::plugin::Context;
use crate::stop::Call;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::limits;
use std::time::Duration;
use tokio::time::error::Elapsed;
use wasmtime::{Engine, Store};

/// A store and what became of it.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    state: State,
}

enum State {
    /// May be called.
    Idle,
    /// A call was begun. Seen by the next call, it was never ended: somebody dropped its future.
    Calling,
    /// Thrown away.
    Dead(FaultKind),
}

impl Instance {
    pub(crate) fn new(engine: &Engine, context: &Context) -> Self {
        let mut store = Store::new(engine, Guest::new(context));
        store.limiter(|guest| &mut guest.bounds);
        store.set_hostcall_fuel(limits::HOSTCALL_BYTES_MAX);
        store.epoch_deadline_callback(|mut guest| guest.data_mut().tick());
        Self {
            store,
            state: State::Idle,
        }
    }

    /// Before each call: refuses a dead instance, arms the clock, forgets what was written to standard error.
    pub(crate) fn begin(&mut self) -> Result<Duration, Fault> {
        let plugin = &self.store.data().effective.plugin;
        match &self.state {
            State::Idle => {}
            State::Calling => {
                let message = format!(
                    "the instance of `{plugin}` was thrown away: its last call was cancelled"
                );
                return Err(Fault::new(FaultKind::TimedOut, message));
            }
            State::Dead(kind) => {
                let message =
                    format!("the instance of `{plugin}` was thrown away after an earlier fault");
                return Err(Fault::new(kind.clone(), message));
            }
        }
        let time_max = self.store.data().effective.call_time_max;
        let guest = self.store.data_mut();
        guest.ticks_left = ticks(time_max);
        guest.stderr.clear();
        self.store.set_epoch_deadline(1);
        self.state = State::Calling;
        Ok(time_max)
    }

    /// After each call, with what came of it.
    pub(crate) fn end<T>(
        &mut self,
        name: &'static str,
        outcome: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, Fault> {
        let guest = self.store.data();
        let call = Call {
            plugin: &guest.effective.plugin,
            name,
            time_max: guest.effective.call_time_max,
            stderr: if matches!(outcome, Ok(Ok(_))) {
                String::new()
            } else {
                guest.stderr.take()
            },
        };
        let outcome = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(call.fault(&error)),
            Err(_) => Err(call.timed_out()),
        };
        self.state = State::Idle;
        outcome.map_err(|fault| self.judge(fault))
    }

    /// Throws the instance away where the fault says so.
    pub(crate) fn judge(&mut self, fault: Fault) -> Fault {
        if fault.poisons_instance() {
            self.state = State::Dead(fault.kind.clone());
        }
        fault
    }

    /// A contract that was broken by what a call handed over.
    pub(crate) fn malformed(&mut self, name: &'static str, lie: impl std::fmt::Display) -> Fault {
        let plugin = &self.store.data().effective.plugin;
        let fault = Fault::new(
            FaultKind::Malformed,
            format!("`{plugin}` broke the contract in `{name}`: {lie}"),
        );
        self.judge(fault)
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().bounds.memory_bytes
    }
}

/// One more than fit, so that the clock on the wall decides where a guest computes without pause.
fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / TICK.as_millis())
        .unwrap_or(u32::MAX)
        .saturating_add(2)
}
