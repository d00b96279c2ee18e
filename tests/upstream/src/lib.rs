//! A real HTTP server for tests and the demo: collections of records behind a credential, with the pages,
//! idempotency keys and failures that a connector meets. On `127.0.0.1` and a port of the system's choice; gone when
//! dropped. Not a mock: it knows nothing of the plugins that call it, and what it keeps can be asked for.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/{collection}` with an object | 201 `{"id"}`, 200 for a key seen before, 422 `{"error"}` for a refusal |
//! | `POST /v1/{collection}` with an array | 200 and one `{"status", "error"?}` for each item, in order |
//! | `PUT`, `DELETE /v1/{collection}/{id}` | 201, 200 or 204; 404 where there is nothing to delete |
//! | `GET /v1/{collection}` | the records, in pages: see [`Options::page_max`] |
//! | `GET /counts` | what arrived so far |
//! | any method, `/echo/…` | the request as it arrived: method, path, query, headers, body |
//!
//! The idempotency key stands in the header `Idempotency-Key`; for an array it holds one key for each item, parted by
//! commas. With [`Options::key_field`] it stands in that field of each record instead.
//!
//! Beside it: [`GitHub`] and [`Salesforce`] behave as those companies document it, in what a connector meets;
//! [`Authorization`] and [`Neighbour`] are servers that somebody else wrote.
//!
//! ```
//! let upstream = sluice_upstream::Upstream::start(sluice_upstream::Options::default())?;
//! assert!(upstream.address().starts_with("http://127.0.0.1:"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod auth;
mod authorization;
mod collections;
mod github;
mod listening;
mod neighbour;
mod pages;
mod proxy;
mod salesforce;
mod script;
mod serve;

pub use auth::Auth;
pub use authorization::Authorization;
pub use collections::Counts;
pub use github::{Asked, GitHub};
pub use neighbour::Neighbour;
pub use proxy::{Arrived, FaultProxy, Script, Trouble};
pub use salesforce::Salesforce;

use collections::Collections;
use listening::Listening;
use script::{Script as Turns, Turn};
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Says why a record is refused, or nothing.
pub type Refusal = Arc<dyn Fn(&Value) -> Option<String> + Send + Sync>;

/// Says with which status a record is put off, or nothing. Asked each time that it is sent.
pub type Falter = Arc<dyn Fn(&Value) -> Option<u16> + Send + Sync>;

/// Makes another body of a page's: of the how-manieth page it is, from 0, and what was asked.
pub type Rewrite = Arc<dyn Fn(u64, &[(String, String)], Value) -> Value + Send + Sync>;

/// How the server behaves.
#[derive(Clone)]
pub struct Options {
    /// What a request to `/v1` must carry.
    pub auth: Auth,
    /// Records there from the start, by collection.
    pub seed: Vec<(String, Vec<Value>)>,
    /// The most records of one page, whatever a request asks for.
    ///
    /// `?page=N&per_page=M` (from 1) and `?offset=N&limit=M` answer `{"data", "total"}`; `?limit=M` and then
    /// `&cursor=TOKEN` answer `{"data", "next_cursor"}`, which is null on the last page; `?style=link&per_page=M`
    /// answers a bare array with `Link: <…>; rel="next"`. Without any of these it is the first page by cursor.
    pub page_max: usize,
    /// What `?updated_since=VALUE` looks at: records whose value is equal or greater, in its order. Numbers compare as
    /// numbers, text as bytes.
    pub updated_field: String,
    /// Refuses records with 422.
    pub refuse: Option<Refusal>,
    /// Answers for records with a status like 503 and does nothing, before anything else is looked at: in a batch the
    /// others are taken.
    pub falter: Option<Falter>,
    /// Lies in pages.
    pub rewrite: Option<Rewrite>,
    /// The field of each record that holds its idempotency key, in place of the header.
    pub key_field: Option<String>,
    /// Keeps every record that is sent, as [`Upstream::journal`] tells them.
    pub journal: bool,
}

/// A record that was sent with POST, taken or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Since the server was started.
    pub at: Duration,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The record.
    pub record: Value,
    /// What it was answered: 201 where it is new, 200 where its key was known.
    pub status: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            seed: Vec::new(),
            page_max: 1_000,
            updated_field: "updated_at".to_owned(),
            refuse: None,
            falter: None,
            rewrite: None,
            key_field: None,
            journal: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("auth", &self.auth)
            .field("page_max", &self.page_max)
            .field("updated_field", &self.updated_field)
            .field("key_field", &self.key_field)
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// `GET`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// As it stood in the URL; empty where there was none.
    pub query: String,
    /// Names in lower case, in the order they arrived; bytes that are no UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Requests kept for [`Upstream::seen`]: the last of them, so that a long run does not fill the memory of its test.
const SEEN_MAX: usize = 10_000;

/// All that the handlers share.
struct Shared {
    options: Options,
    collections: Mutex<Collections>,
    script: Mutex<Turns>,
    seen: Mutex<(u64, VecDeque<Seen>)>,
    journal: Mutex<Vec<Sent>>,
    pages: AtomicU64,
    began: Instant,
    held: watch::Sender<u64>,
}

/// A lock that a panic in a handler does not turn into a second failure.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn note(&self, seen: Seen) {
        let mut log = locked(&self.seen);
        log.0 += 1;
        if log.1.len() == SEEN_MAX {
            log.1.pop_front();
        }
        log.1.push_back(seen);
    }

    fn counts(&self) -> Counts {
        let requests = locked(&self.seen).0;
        locked(&self.collections).counts(requests)
    }
}

/// A running server. It has a thread and a runtime of its own, so it is started and asked from anywhere, inside an
/// async runtime or without one.
pub struct Upstream {
    shared: Arc<Shared>,
    listening: Listening,
}

impl Upstream {
    /// Binds and serves. It answers when this returns.
    pub fn start(options: Options) -> io::Result<Upstream> {
        let shared = Arc::new(Shared {
            collections: Mutex::new(Collections::new(&options.seed)),
            script: Mutex::default(),
            seen: Mutex::default(),
            journal: Mutex::default(),
            pages: AtomicU64::default(),
            began: Instant::now(),
            held: watch::Sender::new(0),
            options,
        });
        let own = Arc::clone(&shared);
        let listening = Listening::start(move |address| serve::router(own, address))?;
        Ok(Upstream { shared, listening })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.listening.address.port()
    }

    /// The records of a collection in the order they arrived; empty for one that nothing arrived in.
    pub fn collection(&self, name: &str) -> Vec<Value> {
        locked(&self.shared.collections).values(name)
    }

    /// How many requests arrived, scripted failures included.
    pub fn requests(&self) -> u64 {
        locked(&self.shared.seen).0
    }

    /// The last ten thousand requests, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.shared.seen).1.iter().cloned().collect()
    }

    /// What arrived so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// Every record that was sent, in the order of their requests; empty without [`Options::journal`].
    pub fn journal(&self) -> Vec<Sent> {
        locked(&self.shared.journal).clone()
    }

    /// The next `count` requests to `/v1` are answered so, and nothing is done: 429 with `retry-after`, 500, a
    /// redirect with `location`.
    pub fn fail_next(&self, count: usize, status: u16, headers: &[(&str, &str)]) {
        self.script(
            count,
            &Turn::Fail {
                status,
                headers: owned(headers),
            },
        );
    }

    /// The next `count` requests to `/v1` are done, and then answered so: an acknowledgement that got lost.
    pub fn lose_next(&self, count: usize, status: u16) {
        self.script(count, &Turn::Lose { status });
    }

    /// The next `count` requests to `/v1` are answered this much later.
    pub fn delay_next(&self, count: usize, delay: Duration) {
        self.script(count, &Turn::Delay(delay));
    }

    /// The next `count` requests to `/v1` get no answer until [`Upstream::release`].
    pub fn hold_next(&self, count: usize) {
        self.script(count, &Turn::Hold);
    }

    /// Lets every request that is held go on, and holds none of those that were still to be.
    pub fn release(&self) {
        let mut script = locked(&self.shared.script);
        script.hold_none();
        self.shared.held.send_modify(|round| *round += 1);
    }

    fn script(&self, count: usize, turn: &Turn) {
        locked(&self.shared.script).push(count, turn);
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("address", &self.listening.address)
            .finish_non_exhaustive()
    }
}
