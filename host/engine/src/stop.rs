//! Why a call of a guest ended other than by its answer, told in the house's words. Decides nothing about what
//! happens next: the fault's kind does.

use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::PluginName;
use sluice_model::limits;
use sluice_model::sizes::{ByteSize, Span};
use sluice_model::text::shown;
use std::time::Duration;
use wasmtime::Trap;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::FieldMapError;

/// A reason of the host's own to end a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("past its call time")]
    TimedOut,
    #[error("memory would grow to {wanted_bytes} bytes")]
    Memory { wanted_bytes: u64, max_bytes: u64 },
    #[error("tables would grow to {wanted} entries")]
    Table { wanted: usize },
    #[error("encoded, records would take more than {max_bytes} bytes")]
    Encoded { max_bytes: usize },
}

/// Whose call ended, and what it was allowed.
pub(crate) struct Call<'a> {
    pub(crate) plugin: &'a PluginName,
    /// The contract's word for it: `read`, `apply`.
    pub(crate) name: &'static str,
    pub(crate) time_max: Duration,
    /// The last of what it wrote to standard error in this call.
    pub(crate) stderr: String,
}

impl Call<'_> {
    /// The fault behind what wasmtime says.
    pub(crate) fn fault(&self, error: &wasmtime::Error) -> Fault {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return self.stopped(stop);
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return self.trapped(&format!("ended its process with exit code {}", exit.0));
        }
        if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
            return self.limit(&format!("holds {} resource handles", limits::HANDLES_MAX));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return self.trap(*trap);
        }
        if let Some(FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig) =
            error.downcast_ref()
        {
            return self.limit("set more or larger headers than a request may have");
        }
        self.untyped(&error.root_cause().to_string())
    }

    /// The call ran past its time.
    pub(crate) fn timed_out(&self) -> Fault {
        let Self {
            plugin,
            name,
            time_max,
            ..
        } = self;
        let limit = Span(*time_max);
        Fault::new(FaultKind::TimedOut, format!("`{plugin}` did not return from `{name}` within {limit}")).hint(
            format!(
                "[limits]\ncall_time = \"{limit}\"  # raise it, in the manifest and the grant: {} at most",
                Span(limits::CALL_TIME_MAX)
            ),
        )
    }

    /// The call ran past its time, most of which it waited: whoever it waited for may answer another time.
    pub(crate) fn unanswered(&self) -> Fault {
        let (plugin, name, limit) = (self.plugin, self.name, Span(self.time_max));
        let message = format!(
            "`{plugin}` waited in `{name}` for longer than {limit}: what it waits for does not answer"
        );
        Fault::new(FaultKind::Transient { retry_after: None }, message)
    }

    fn stopped(&self, stop: &Stop) -> Fault {
        match stop {
            Stop::TimedOut => self.timed_out(),
            Stop::Memory {
                wanted_bytes,
                max_bytes,
            } => {
                let limit = ByteSize(*max_bytes);
                self.limit(&format!("asked for {} of memory; its limit is {limit}", ByteSize(*wanted_bytes))).hint(
                    format!(
                        "[limits]\nmemory = \"{limit}\"  # raise it, in the manifest and the grant: {} at most",
                        ByteSize(limits::MEMORY_BYTES_MAX)
                    ),
                )
            }
            Stop::Table { wanted } => self.limit(&format!(
                "asked for {wanted} entries of tables; {} are allowed",
                limits::TABLE_ENTRIES_MAX
            )),
            Stop::Encoded { max_bytes } => self.limit(&format!(
                "asked for records that take more than {} once they are encoded, which its memory could not hold",
                ByteSize(*max_bytes as u64)
            )),
        }
    }

    fn trap(&self, trap: Trap) -> Fault {
        match trap {
            Trap::Interrupt => self.timed_out(),
            Trap::UnreachableCodeReached if !self.stderr.is_empty() => self.trapped("panicked"),
            Trap::UnreachableCodeReached => self.trapped("panicked or aborted, without a word"),
            Trap::MemoryOutOfBounds => {
                self.trapped("reached outside its memory (deep recursion ends so, too)")
            }
            Trap::StackOverflow => self.trapped("ran out of stack: it recurses too deeply"),
            other => self.trapped(&format!(
                "trapped: {}",
                shown(&other.to_string(), limits::FAULT_BYTES_MAX)
            )),
        }
    }

    /// What wasmtime gives no type of its own: limits of the store, and values that the component model forbids.
    fn untyped(&self, text: &str) -> Fault {
        let text = shown(text, limits::FAULT_BYTES_MAX);
        if text.contains("fuel allocated for hostcalls") {
            let max = ByteSize(limits::HOSTCALL_BYTES_MAX as u64);
            return self.limit(&format!("handed over more than {max} in one call"));
        }
        if text.contains("resource limit exceeded") || text.contains("exceeds limit") {
            return self.limit(&format!("went beyond a limit of the host: {text}"));
        }
        let Self { plugin, name, .. } = self;
        Fault::new(
            FaultKind::Malformed,
            format!("`{plugin}` broke the contract in `{name}`: {text}"),
        )
    }

    fn trapped(&self, what: &str) -> Fault {
        let Self {
            plugin,
            name,
            stderr,
            ..
        } = self;
        let mut message = format!("`{plugin}` {what} in `{name}`");
        if !stderr.is_empty() {
            message.push_str(": ");
            message.push_str(&shown(&one_line(stderr), limits::FAULT_BYTES_MAX));
        }
        Fault::new(FaultKind::Trapped, message)
    }

    fn limit(&self, what: &str) -> Fault {
        let Self { plugin, name, .. } = self;
        Fault::new(
            FaultKind::LimitExceeded,
            format!("`{plugin}` {what} (in `{name}`)"),
        )
    }
}

/// A panic's message in one line, without the advice for people who can set variables.
fn one_line(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("note: run with"))
        .collect::<Vec<_>>()
        .join(" ")
}
