//! What a run shows while it goes: one line, drawn over, on a terminal; a plain line now and then elsewhere. On
//! standard error, so that standard output is the result alone.

use crate::table::{count, plain};
use sluice_service::report::rate;
use sluice_service::watch::{Glance, Watch};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const DRAW_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Shows a run until it is dropped.
pub struct Progress(JoinHandle<()>);

impl Progress {
    /// Begins to show.
    pub fn of(watch: Arc<Watch>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self(tokio::spawn(async move {
            let (began, every) = (
                Instant::now(),
                if terminal { DRAW_EVERY } else { TELL_EVERY },
            );
            loop {
                tokio::time::sleep(every).await;
                let line = line(&watch.glance(), watch.waiting().as_deref(), began.elapsed());
                let mut out = std::io::stderr().lock();
                let written = if terminal {
                    write!(out, "\r\x1b[2K{line}")
                } else {
                    writeln!(out, "{line}")
                };
                if written.and_then(|()| out.flush()).is_err() {
                    return; // Nobody looks any more.
                }
            }
        }))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
        let mut out = std::io::stderr();
        if out.is_terminal() {
            drop(write!(out, "\r\x1b[2K"));
        }
    }
}

fn line(glance: &Glance, waiting: Option<&str>, elapsed: Duration) -> String {
    let totals = glance.totals;
    let mut line = format!(
        "{} read, {} written, {} filtered, {} dead-lettered, {} in flight, {}/s, split {} of {}",
        count(totals.read),
        count(totals.written),
        count(totals.filtered),
        count(totals.dead_lettered),
        count(glance.in_flight),
        count(rate(totals.read, elapsed)),
        count((glance.splits_done + 1).min(glance.splits)),
        count(glance.splits),
    );
    if let Some(waiting) = waiting {
        line.push_str(" · waiting: ");
        line.push_str(&plain(waiting, 80));
    }
    line
}
