//! What one connection carries, told as it goes: its opening at once, its bytes in steps, the rest at its end.

use super::Line;
use sluice_model::ports::Used;
use std::sync::Arc;

/// Bytes that may go untold. A connection that lives for days is seen to be used meanwhile.
const STEP_BYTES: u64 = 1 << 20;

pub(crate) struct Meter {
    line: Arc<Line>,
    to: String,
    bytes_out: u64,
    bytes_in: u64,
}

impl Meter {
    /// Begins to count, and tells of the connection.
    pub(crate) fn new(line: Arc<Line>, to: String) -> Self {
        let meter = Self {
            line,
            to,
            bytes_out: 0,
            bytes_in: 0,
        };
        meter.tell(1);
        meter
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.bytes_out += bytes;
        self.step();
    }

    pub(crate) fn received(&mut self, bytes: u64) {
        self.bytes_in += bytes;
        self.step();
    }

    fn step(&mut self) {
        if self.bytes_out + self.bytes_in >= STEP_BYTES {
            self.tell(0);
            (self.bytes_out, self.bytes_in) = (0, 0);
        }
    }

    fn tell(&self, times: u64) {
        let used = Used {
            capability: "tcp",
            name: &self.to,
            times,
            bytes_out: self.bytes_out,
            bytes_in: self.bytes_in,
        };
        self.line.observer.used(self.line.effective.stage, &used);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.bytes_out + self.bytes_in > 0 {
            self.tell(0);
        }
    }
}
