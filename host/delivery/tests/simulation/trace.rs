//! What happened, event by event: hashed always, told where a seed is run alone.

use sluice_delivery::{Action, Event};
use std::fmt::{self, Write};
use std::time::Duration;

pub struct Trace {
    hash: u64,
    pub events: u64,
    tells: bool,
}

impl Trace {
    pub fn new() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            tells: std::env::var_os("SLUICE_TEST_SEED").is_some(),
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn happened(&mut self, now: Duration, event: &Event) {
        self.events += 1;
        self.note(format_args!("{now:?} {event:?}"));
    }

    pub fn asked(&mut self, actions: &[Action]) {
        for action in actions {
            self.note(format_args!("    {action:?}"));
        }
    }

    /// Anything else.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        self.write_fmt(what).expect("hashing does not fail");
        if self.tells {
            println!("{what}");
        }
    }
}

/// FNV-1a.
impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
