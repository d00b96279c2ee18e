//! A server that is scripted to the byte, so that it can misbehave.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server does once it has read a request.
pub enum Reply {
    /// Writes this and waits for the next request.
    Keep(Vec<u8>),
    /// Writes this and closes.
    Close(Vec<u8>),
    /// Writes this and never again.
    Hang(Vec<u8>),
    /// Writes the first, then the second for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// The same, with a pause before each.
    Trickle(Vec<u8>, Vec<u8>),
}

/// A plain answer that keeps the connection.
pub fn ok(body: &str) -> Reply {
    Reply::Keep(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

type Script = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

/// A listening server and what it has seen.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    closed: Arc<tokio::sync::Semaphore>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, Arc::new(script)).await
    }

    pub async fn start_tls(
        acceptor: TlsAcceptor,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(acceptor), Arc::new(script)).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            connections: Arc::default(),
            closed: Arc::new(tokio::sync::Semaphore::new(0)),
            requests: Arc::default(),
        };
        let (connections, requests) = (
            Arc::clone(&server.connections),
            Arc::clone(&server.requests),
        );
        let closed = Arc::clone(&server.closed);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, requests, script) =
                    (acceptor.clone(), Arc::clone(&requests), Arc::clone(&script));
                let closed = Arc::clone(&closed);
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, &requests, &script).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, &requests, &script).await;
                            }
                        }
                    }
                    closed.add_permits(1);
                });
            }
        });
        server
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many connections are over.
    pub async fn closed(&self, count: u32) {
        drop(self.closed.acquire_many(count).await.expect("never closed"));
    }

    /// Heads and bodies, as they came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: &Mutex<Vec<String>>,
    script: &Script,
) {
    while let Some(request) = read(&mut stream).await {
        requests.lock().expect("no panic").push(request.clone());
        match script(&request) {
            Reply::Keep(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::Close(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Hang(bytes) => {
                let _ = stream.write_all(&bytes).await;
                std::future::pending::<()>().await;
            }
            Reply::Trickle(first, then) => {
                let mut written = stream.write_all(&first).await;
                while written.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    written = stream.write_all(&then).await;
                }
                return;
            }
            Reply::Endless(first, then) => {
                let mut written = stream.write_all(&first).await;
                while written.is_ok() {
                    written = stream.write_all(&then).await;
                }
                return;
            }
        }
    }
}

/// One request: its head, and its body where it has a length or is chunked.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head_text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = head_text
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
            let whole = if head_text.contains("transfer-encoding: chunked") {
                bytes.ends_with(b"\r\n0\r\n\r\n")
            } else {
                bytes.len() >= head + 4 + length.unwrap_or(0)
            };
            if whole {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
