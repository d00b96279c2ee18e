//! A guest's standard error: the last of it is kept, for a panic's message stands there. Writing never fails: a
//! `eprintln!` whose write fails is a panic of its own.

use bytes::Bytes;
use sluice_model::guards::Guard;
use sluice_model::limits::STDERR_BYTES_MAX;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// What one write may hold: the host allocates it.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// The last [`STDERR_BYTES_MAX`] bytes. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stderr(Arc<Mutex<Vec<u8>>>);

impl Stderr {
    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = Guard::StderrBytes.limit(STDERR_BYTES_MAX);
        let fresh = &bytes[bytes.len().saturating_sub(most)..];
        let over = (kept.len() + fresh.len()).saturating_sub(most);
        kept.drain(..over);
        kept.extend_from_slice(fresh);
    }

    /// What was written since the last time, as text without white space around it.
    pub(crate) fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Forgets what was written.
    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Stderr {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_it_is_kept() {
        let stderr = Stderr::default();
        stderr.keep(&[b'x'; 3 * STDERR_BYTES_MAX]);
        stderr.keep(b" the end\n");
        let text = stderr.take();
        assert_eq!(text.len(), STDERR_BYTES_MAX - 1, "without the line end");
        assert!(text.ends_with("x the end"), "{text}");
        assert_eq!(stderr.take(), "");
    }
}
