//! A listener whose connections are few and short: nobody who is slow, or many, takes the service's answers from others.

use axum::serve::Listener;
use sluice_model::guards::Guard;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections of one listener at once; more of them wait.
const CONNECTIONS_MAX: usize = 64;

/// A listener with ends.
pub struct Bounded<L> {
    listener: L,
    free: Arc<Semaphore>,
    time: Duration,
}

/// A connection that ends.
pub struct Held<S> {
    /// What is spoken on.
    pub stream: S,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<L> Bounded<L> {
    /// Of connections that are closed after this time, whatever they are at.
    pub fn new(listener: L, time: Duration) -> Self {
        Self::of(
            listener,
            time,
            Guard::FrontConnections.limit(CONNECTIONS_MAX),
        )
    }

    fn of(listener: L, time: Duration, most: usize) -> Self {
        Self {
            listener,
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            time,
        }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Held<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Nobody closes it: there is always an answer.
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        let (stream, address) = self.listener.accept().await;
        let held = Held {
            stream,
            end: Box::pin(tokio::time::sleep(Guard::FrontTime.limit(self.time))),
            _place: place,
        };
        (held, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl<S> Held<S> {
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.end.as_mut().poll(context).is_ready()
    }
}

fn over<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return over();
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(context) {
            return over();
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return over();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return over();
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(20);

    async fn serving(time: Duration, most: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounded = Bounded::of(listener, time, Guard::FrontConnections.limit(most));
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(async move { axum::serve(bounded, router).await });
        address
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_request_is_hung_up_on() {
        let address = serving(Duration::from_millis(50), 4).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let ended = timeout(SOON, slow.read(&mut [0; 512])).await;
        assert!(ended.is_ok(), "it is still held");
    }

    #[tokio::test]
    async fn more_connections_than_there_are_places_wait() {
        let address = serving(Duration::from_mins(10), 1).await;
        let first = TcpStream::connect(address).await.unwrap();
        let mut second = ask(address).await;
        let mut answer = String::new();
        let waits = timeout(
            Duration::from_millis(300),
            second.read_to_string(&mut answer),
        )
        .await;
        assert!(waits.is_err(), "answered beside the first: {answer}");
        drop(first);
        timeout(SOON, second.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.ends_with("here"), "{answer}");
    }
}
