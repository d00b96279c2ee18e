//! What is to go wrong next: one turn for each of the coming requests, in order. Knows nothing of HTTP beyond a
//! status and headers.

use std::collections::VecDeque;
use std::time::Duration;

/// What happens to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing is done; this is the answer.
    Fail {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// All is done; this is the answer all the same.
    Lose { status: u16 },
    /// The answer comes later.
    Delay(Duration),
    /// The answer comes when the test says so.
    Hold,
}

/// The turns to come.
#[derive(Debug, Default)]
pub(crate) struct Script(VecDeque<Turn>);

impl Script {
    pub(crate) fn push(&mut self, count: usize, turn: &Turn) {
        self.0.extend(std::iter::repeat_n(turn, count).cloned());
    }

    pub(crate) fn next(&mut self) -> Option<Turn> {
        self.0.pop_front()
    }

    pub(crate) fn hold_none(&mut self) {
        self.0.retain(|turn| *turn != Turn::Hold);
    }
}
