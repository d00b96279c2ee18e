//! What a split is told once, when it starts.

use std::time::Duration;

/// How a sink makes data durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkMode {
    /// What it wrote is there, and may be there twice after a crash.
    Plain,
    /// It stages what it wrote, publishes it together with the commit, and knows its last commit.
    Transactional,
}

/// The bounds and the sinks of a split.
#[derive(Debug, Clone)]
pub struct Settings {
    /// One for each sink, in order; at least one.
    pub sinks: Vec<SinkMode>,
    /// A unit is closed when it holds so many bytes, as [`crate::Event::PageReady`] counts them.
    pub unit_bytes: u64,
    /// … or so many rows.
    pub unit_rows: u64,
    /// … or when so much time has passed since its first page.
    pub linger: Duration,
    /// No page is read while those in flight and one more would hold more than this, and none is transformed while
    /// units that wait for the sinks hold so much. Stops a fast source, and a transform that makes much of little, before
    /// a slow sink from filling memory.
    pub in_flight_bytes_max: u64,
    /// No page is read while so many are in flight. Stops a source of empty pages from filling memory with cursors.
    pub in_flight_pages_max: usize,
    /// What a page under way is taken to hold until its size is known: what a read is asked for.
    pub page_bytes: u64,
    /// How transient faults are met.
    pub retry: RetrySettings,
}

/// Exponential backoff with full jitter, and how long it may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// How long one step may go on failing. Its success renews it, and so do every commit of the split and a try that
    /// failed and got on all the same.
    pub budget: Duration,
    /// The ceiling of the first wait; it doubles with each further one.
    pub base_delay: Duration,
    /// The ceiling that waits grow to. What the other system asked for may be longer, and is honoured.
    pub max_delay: Duration,
}
