//! One open connection in a plugin's hands: bounded in time and bytes, metered, and closed for good by any error after
//! which nobody knows where it stands.

use super::Line;
use super::meter::Meter;
use super::trust;
use async_trait::async_trait;
use sluice_model::guards::Guard;
use sluice_model::limits::{TCP_READ_BYTES_MAX, TCP_WRITE_BYTES_MAX};
use sluice_model::ports::{TcpConnection, TcpError};
use sluice_policy::{Carried, Connecting};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// What carries the bytes.
pub(crate) enum Stream {
    Plain(TcpStream),
    /// With its `tls-server-end-point`, where there is one.
    Tls(Box<TlsStream<TcpStream>>, Option<Vec<u8>>),
    /// Why it is.
    Closed(&'static str),
}

impl Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream, _) => stream.read(buffer).await,
            Self::Closed(why) => Err(io::Error::other(*why)),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream, _) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Closed(why) => Err(io::Error::other(*why)),
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream, _) => stream.shutdown().await,
            Self::Closed(why) => Err(io::Error::other(*why)),
        }
    }
}

/// See the module.
pub(crate) struct Connection {
    line: Arc<Line>,
    connecting: Connecting,
    /// Host and port, for messages.
    to: String,
    stream: Stream,
    /// Grows to the largest read that was asked for.
    buffer: Vec<u8>,
    /// After `shutdown`.
    is_ended: bool,
    meter: Meter,
    /// Counts as open until it is dropped.
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    pub(crate) fn new(
        line: Arc<Line>,
        connecting: Connecting,
        stream: Stream,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let to = connecting.endpoint.to_string();
        Self {
            meter: Meter::new(Arc::clone(&line), to.clone()),
            line,
            connecting,
            to,
            stream,
            buffer: Vec::new(),
            is_ended: false,
            _slot: slot,
        }
    }

    /// Closed from here on, if it was not before; the error that says so.
    fn check_open(&self) -> Result<(), TcpError> {
        match self.stream {
            Stream::Closed(why) => Err(TcpError::Closed {
                to: self.to.clone(),
                reason: why.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Takes the stream out for something that may end it. Put back only where that went well: a call that is
    /// cancelled half-way leaves a closed connection.
    fn take(&mut self, doing: &'static str) -> Stream {
        std::mem::replace(&mut self.stream, Stream::Closed(doing))
    }

    /// Counts bytes against the grant's budget. Too many close the connection.
    fn count(&mut self, more: Carried) -> Result<(), TcpError> {
        let counted = self
            .line
            .spent
            .count(&self.line.effective, &self.connecting, more);
        counted.map_err(|refusal| {
            self.stream = Stream::Closed("it has carried as many bytes as it may");
            self.line.denied(refusal)
        })
    }

    fn slow(&self, what: &'static str, after: Duration) -> TcpError {
        TcpError::Timeout {
            to: self.to.clone(),
            what,
            after,
        }
    }

    fn may_write(&self) -> Result<(), TcpError> {
        self.check_open()?;
        if Guard::TcpEnded.bars(self.is_ended) {
            return Err(TcpError::Invalid(
                "nothing can be written after `shutdown`".to_owned(),
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl TcpConnection for Connection {
    async fn read(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<u8>, TcpError> {
        self.check_open()?;
        if Guard::TcpReadSome.bars(bytes_max == 0) {
            let reason = "a read of no bytes cannot be told from the end of the connection";
            return Err(TcpError::Invalid(reason.to_owned()));
        }
        let bytes_max = bytes_max.min(Guard::TcpReadBytes.limit(TCP_READ_BYTES_MAX));
        if self.buffer.len() < bytes_max {
            self.buffer.resize(bytes_max, 0);
        }
        let wait = wait.min(Guard::TcpReadTime.limit(self.line.settings.read_time_max));
        let read = self.stream.read(&mut self.buffer[..bytes_max]);
        // Cancelled by the timeout, it has taken nothing: both kinds of stream keep what they have.
        let Ok(read) = timeout(wait, read).await else {
            return Err(self.slow("sent nothing", wait));
        };
        let bytes = read.map_err(|error| {
            self.stream = Stream::Closed("it broke off");
            trust::failed(&self.to, &error)
        })?;
        self.count(Carried {
            bytes_in: bytes as u64,
            bytes_out: 0,
        })?;
        self.meter.received(bytes as u64);
        Ok(self.buffer[..bytes].to_vec())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), TcpError> {
        self.may_write()?;
        if bytes.len() > Guard::TcpWriteBytes.limit(TCP_WRITE_BYTES_MAX) {
            return Err(TcpError::Limit(format!(
                "one write holds {TCP_WRITE_BYTES_MAX} bytes at most, not {}",
                bytes.len()
            )));
        }
        self.count(Carried {
            bytes_out: bytes.len() as u64,
            bytes_in: 0,
        })?;
        // Told before it is known how much arrives: a write that fails, or is cancelled, may have sent all of it.
        self.meter.sent(bytes.len() as u64);
        let mut stream = self.take("a write was not finished");
        let within = Guard::TcpWriteTime.limit(self.line.settings.write_time_max);
        match timeout(within, stream.write(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(trust::failed(&self.to, &error)),
            Err(_) => return Err(self.slow("did not take what was written", within)),
        }
        self.stream = stream;
        Ok(())
    }

    async fn upgrade(&mut self, server_name: &str) -> Result<(), TcpError> {
        self.may_write()?;
        if Guard::TcpUpgradeOnce.bars(matches!(self.stream, Stream::Tls(..))) {
            let reason = "the connection has tls already";
            return Err(TcpError::Invalid(reason.to_owned()));
        }
        let line = Arc::clone(&self.line);
        let named = line
            .effective
            .may_name(&self.connecting, server_name)
            .map_err(|refusal| line.denied(refusal))?;
        let Stream::Plain(stream) = self.take("its upgrade to tls failed") else {
            return self.check_open();
        };
        let handshake = line.trust.begin(&self.connecting, &named, stream);
        self.stream = handshake.within(line.settings.connect_time_max).await?;
        Ok(())
    }

    async fn shutdown(&mut self) -> Result<(), TcpError> {
        self.may_write()?;
        let mut stream = self.take("its end was not finished");
        let within = Guard::TcpWriteTime.limit(self.line.settings.write_time_max);
        match timeout(within, stream.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(trust::failed(&self.to, &error)),
            Err(_) => return Err(self.slow("did not take the end of what was written", within)),
        }
        self.stream = stream;
        self.is_ended = true;
        Ok(())
    }

    fn server_end_point(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::Tls(_, end_point) => end_point.clone(),
            _ => None,
        }
    }
}
