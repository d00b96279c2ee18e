//! A small API on this machine that takes batches of records and remembers each with its key. Now and then it takes a
//! batch and goes away without an answer, as a network does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// One request in so many is taken and not answered.
const UNANSWERED_EVERY: u64 = 23;

/// The API. It ends with the process.
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The bodies of the requests that were taken.
    bodies: Mutex<Vec<String>>,
    requests: AtomicU64,
    unanswered: AtomicU64,
    ended: AtomicBool,
}

impl Server {
    /// Listens on a port that the system picks.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared: Arc<Shared> = Arc::default();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serve(&stream, &serving));
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bodies of all requests that it took, each a JSON array.
    pub fn received(&self) -> Vec<String> {
        self.shared
            .bodies
            .lock()
            .expect("no server panicked")
            .clone()
    }

    /// Requests that it took and did not answer.
    pub fn unanswered(&self) -> u64 {
        self.shared.unanswered.load(Ordering::Relaxed)
    }

    /// Forgets what it received.
    pub fn forget(&self) {
        self.shared
            .bodies
            .lock()
            .expect("no server panicked")
            .clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // It looks up, and ends.
    }
}

/// One connection, to its end.
fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let body = request(&mut reader)?;
        // A request that was killed in its middle was never taken.
        shared.bodies.lock().ok()?.push(body);
        let number = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if number.is_multiple_of(UNANSWERED_EVERY) {
            shared.unanswered.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        (&mut &*stream).write_all(answer.as_bytes()).ok()?;
    }
}

/// The body of the next request that comes whole.
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}
