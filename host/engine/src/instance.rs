//! One running copy of a plugin, and the one way to call it: armed, bounded in time, and thrown away for good after a
//! trap, a timeout, a broken contract or a cancelled call.

use crate::engine::TICK;
use crate::guest::Guest;
use crate::pace::Late;
use crate::plugin::Context;
use crate::stop::Call;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::limits;
use std::time::Duration;
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
        store.set_hostcall_fuel(Guard::HostcallBytes.limit(limits::HOSTCALL_BYTES_MAX));
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
            State::Calling if Guard::CallEnded.stands() => {
                let message = format!(
                    "the instance of `{plugin}` was thrown away: its last call was cancelled"
                );
                return Err(Fault::new(FaultKind::TimedOut, message));
            }
            State::Dead(kind) if Guard::InstanceDead.stands() => {
                let message =
                    format!("the instance of `{plugin}` was thrown away after an earlier fault");
                return Err(Fault::new(kind.clone(), message));
            }
            _ => {}
        }
        let time_max = Guard::CallTime.limit(self.store.data().effective.call_time_max);
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
        outcome: Result<wasmtime::Result<T>, Late>,
    ) -> Result<T, Fault> {
        let late = outcome.is_err();
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
            Err(Late { waited: true }) => Err(call.unanswered()),
            Err(Late { waited: false }) => Err(call.timed_out()),
        };
        self.state = match &outcome {
            // A call that was cut off in the middle: its instance is not entered again, whatever the fault is.
            Err(fault) if Guard::CallCutOff.bars(late) => State::Dead(fault.kind.clone()),
            _ => State::Idle,
        };
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

    /// Whether it may be entered again.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.state, State::Idle)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edits::tests::effective;
    use crate::engine::config;
    use crate::link;
    use crate::pace::timeout;
    use sluice_model::ids::StageId;
    use sluice_model::ports::{LogLine, Observer, Refusal};
    use std::sync::Arc;
    use wasmtime::component::Component;

    struct Deaf;

    impl Observer for Deaf {
        fn refused(&self, _: StageId, _: &Refusal) {}
        fn logged(&self, _: LogLine) {}
    }

    /// Starts a component in an instance with a call time of 100 ms and 64 MiB.
    async fn start(inside: &str) -> Result<Instance, Fault> {
        let engine = Engine::new(&config()).expect("an engine");
        let ticks = crate::engine::ticking(&engine);
        assert!(ticks.is_ok());
        let mut effective = effective("[]");
        effective.call_time_max = Duration::from_millis(100);
        let context = Context {
            effective: Arc::new(effective),
            config: "{}".to_owned(),
            http: None,
            tcp: None,
            secrets: None,
            row_key: [7; 32],
            observer: Arc::new(Deaf),
        };
        let bytes = wat::parse_str(format!("(component {inside})")).expect("a component");
        let component = Component::from_binary(&engine, &bytes).expect("compiled");
        let linker = link::linker(&engine).expect("a linker");
        let mut instance = Instance::new(&engine, &context);
        let time_max = instance.begin()?;
        let outcome = timeout(
            time_max,
            linker.instantiate_async(&mut instance.store, &component),
        )
        .await;
        instance.end("start", outcome).map(|_| instance)
    }

    /// Core modules, each instantiated once.
    fn modules(modules: &[&str]) -> String {
        let one = |(number, module): (usize, &&str)| {
            format!("(core module $m{number} {module}) (core instance (instantiate $m{number}))")
        };
        modules.iter().enumerate().map(one).collect()
    }

    async fn refused(inside: &str, kind: FaultKind, expected: &str) {
        let Err(fault) = start(inside).await else {
            panic!("{expected}")
        };
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.to_string().contains(expected), "{fault}");
    }

    #[tokio::test]
    async fn memory_over_the_limit() {
        let fits = start(&modules(&["(memory 512)", "(memory 512)"]))
            .await
            .expect("64 MiB in all");
        assert_eq!(fits.memory_bytes(), 64 << 20);
        let kind = FaultKind::LimitExceeded;
        refused(
            &modules(&["(memory 1025)"]),
            kind.clone(),
            "[limits]\nmemory = \"64MiB\"",
        )
        .await;
        refused(
            &modules(&["(memory 512)", "(memory 513)"]),
            kind,
            "its limit is 64MiB",
        )
        .await;
    }

    #[tokio::test]
    async fn tables_and_instances_over_the_limit() {
        let kind = FaultKind::LimitExceeded;
        start(&modules(&["(table 100000 funcref)"]))
            .await
            .map(drop)
            .expect("as large as may be");
        refused(
            &modules(&["(table 100001 funcref)"]),
            kind.clone(),
            "100001 entries of tables",
        )
        .await;
        start(&modules(&["(memory 1)"; limits::CORE_INSTANCES_MAX]))
            .await
            .map(drop)
            .expect("as many as may be");
        let many = modules(&[""; limits::CORE_INSTANCES_MAX + 1]);
        refused(&many, kind, "instance count too high at 101").await;
    }

    #[tokio::test]
    async fn a_table_that_grows_over_the_limit() {
        let grows = |by| {
            modules(&[&format!(
                "(table 1 funcref) (func $f (drop (table.grow (ref.null func) (i32.const {by})))) (start $f)"
            )])
        };
        start(&grows(99_999))
            .await
            .map(drop)
            .expect("as large as may be");
        refused(
            &grows(100_000),
            FaultKind::LimitExceeded,
            "100001 entries of tables",
        )
        .await;
        refused(&grows(-2), FaultKind::LimitExceeded, " entries of tables").await;
    }

    #[tokio::test]
    async fn a_component_that_never_starts_is_stopped() {
        let forever = modules(&["(func $f (loop $l (br $l))) (start $f)"]);
        refused(
            &forever,
            FaultKind::TimedOut,
            "`a/b` did not return from `start` within 100ms",
        )
        .await;
    }

    #[test]
    fn the_compiler_refuses_what_the_reader_does() {
        let engine = Engine::new(&config()).expect("an engine");
        for module in [
            "(memory i64 1)",
            "(memory 1) (memory 1)",
            "(memory 1 1 shared)",
            "(type (struct))",
            "(tag)",
        ] {
            let bytes =
                wat::parse_str(format!("(component (core module {module}))")).expect("a component");
            assert!(Component::from_binary(&engine, &bytes).is_err(), "{module}");
        }
    }
}
