//! Somebody who changes what is copied, beside the host, also while the server comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// At work until it is stopped.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writer {
    /// Does this again and again, with another number each time. It says whether it was done.
    pub fn start(mut write: impl FnMut(u32) -> bool + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let numbers = (1..).take_while(|_| !stopped.load(Ordering::Relaxed));
            numbers.map(|number| u64::from(write(number))).sum()
        });
        Self { stop, thread }
    }

    /// How often it was done.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends")
    }
}
