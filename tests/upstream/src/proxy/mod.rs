//! A proxy that makes trouble: between whoever calls and a real server, on `127.0.0.1` and a port of the system's
//! choice, gone when dropped. It hands each request on as it came, unless its script has other plans for it, and counts
//! each trouble that came to pass: a test that met none shows nothing.
//!
//! ```
//! use sluice_upstream::{FaultProxy, Options, Script, Trouble, Upstream};
//! let upstream = Upstream::start(Options::default())?;
//! let script = Script::seeded(7).some(3, 0..100, &Trouble::ResetMidBody).at(0, Trouble::status(503));
//! let proxy = FaultProxy::start(upstream.port(), script)?;
//! assert!(proxy.address().starts_with("http://127.0.0.1:") && proxy.fired().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod script;
mod wire;

pub use script::{Script, Trouble};

use crate::locked;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use wire::Message;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// A request that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Since the proxy was started.
    pub at: Duration,
    /// The trouble it met; none where it was handed on.
    pub met: Option<&'static str>,
}

/// What one request meets.
struct Met {
    trouble: Trouble,
    /// By [`FaultProxy::impose`], and not by the script.
    imposed: bool,
}

struct Shared {
    onward: SocketAddr,
    script: Script,
    began: Instant,
    arrived: Mutex<Vec<Arrived>>,
    fired: Mutex<BTreeMap<&'static str, u64>>,
    /// Whether connections are accepted.
    open: watch::Sender<bool>,
    /// Trouble for every request, while it lasts.
    imposed: watch::Sender<Option<Trouble>>,
    /// Requests that are answered.
    answered: watch::Sender<u64>,
}

impl Shared {
    /// Notes a request, and says what is to become of it.
    fn arrival(&self) -> Option<Met> {
        let imposed = self.imposed.borrow().clone();
        let mut arrived = locked(&self.arrived);
        let scripted = || self.script.of(arrived.len() as u64).cloned();
        let met = match imposed {
            Some(trouble) => Some(Met {
                trouble,
                imposed: true,
            }),
            None => scripted().map(|trouble| Met {
                trouble,
                imposed: false,
            }),
        };
        arrived.push(Arrived {
            at: self.began.elapsed(),
            met: met.as_ref().map(|met| met.trouble.word()),
        });
        met
    }

    fn fire(&self, trouble: &Trouble) {
        *locked(&self.fired).entry(trouble.word()).or_default() += 1;
    }
}

/// A running proxy. It has a thread and a runtime of its own, as [`crate::Upstream`] has.
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Listens, and hands on to this port of this machine.
    pub fn start(port: u16, script: Script) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // Never listens: it keeps the port while nothing else does, and whoever dials meanwhile is refused.
        let (keeper, listener, address) = {
            let _inside = runtime.enter();
            let keeper = bound((Ipv4Addr::LOCALHOST, 0).into())?;
            let address = keeper.local_addr()?;
            (keeper, bound(address)?.listen(BACKLOG)?, address)
        };
        let shared = Arc::new(Shared {
            onward: (Ipv4Addr::LOCALHOST, port).into(),
            script,
            began: Instant::now(),
            arrived: Mutex::default(),
            fired: Mutex::default(),
            open: watch::Sender::new(true),
            imposed: watch::Sender::new(None),
            answered: watch::Sender::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fault-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        never = listen(own, listener, address) => never.expect("the port is kept"),
                        _ = stopped => {}
                    }
                });
                drop(keeper);
            })?;
        Ok(Self {
            shared,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far, in their order.
    pub fn arrived(&self) -> Vec<Arrived> {
        locked(&self.shared.arrived).clone()
    }

    /// How many requests arrived.
    pub fn requests(&self) -> u64 {
        locked(&self.shared.arrived).len() as u64
    }

    /// How long it has been there: the clock of [`Arrived::at`].
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// How often each trouble came to pass.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.shared.fired).clone()
    }

    /// From now on every request meets this trouble, in place of what its script says. Requests that hang by an earlier
    /// call do so no longer.
    pub fn impose(&self, trouble: Trouble) {
        self.shared
            .open
            .send_replace(!matches!(trouble, Trouble::Refuse(_)));
        self.shared.imposed.send_replace(Some(trouble));
    }

    /// The end of [`FaultProxy::impose`].
    pub fn relent(&self) {
        self.shared.imposed.send_replace(None);
        self.shared.open.send_replace(true);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the proxy has been printed already, and a second one here would abort the test.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Accepts while the door is open. Only its error ends it.
async fn listen(
    shared: Arc<Shared>,
    mut listener: TcpListener,
    address: SocketAddr,
) -> io::Result<()> {
    let mut open = shared.open.subscribe();
    loop {
        tokio::select! {
            _ = open.wait_for(|open| !open) => {}
            () = accept(&shared, &listener) => {}
        }
        drop(listener);
        let _ = open.wait_for(|open| *open).await;
        listener = bound(address)?.listen(BACKLOG)?;
    }
}

async fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (shared, mut open) = (Arc::clone(shared), shared.open.subscribe());
        tokio::spawn(async move {
            let mut client = BufReader::new(stream);
            let ending = tokio::select! {
                ending = serve(&shared, &mut client) => ending,
                _ = open.wait_for(|open| !open) => Ending::Reset,
            };
            if ending == Ending::Reset {
                reset(&client);
            }
        });
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Closed,
    Reset,
}

/// With RST in place of FIN, when it is dropped.
fn reset(stream: &BufReader<TcpStream>) {
    let _ = stream.get_ref().set_zero_linger();
}

/// Hands requests on, one after the other, until either side or the script ends it.
async fn serve(shared: &Arc<Shared>, client: &mut BufReader<TcpStream>) -> Ending {
    let mut onward = None;
    loop {
        let Ok(Some(request)) = wire::read(client).await else {
            return Ending::Closed;
        };
        let met = shared.arrival();
        match exchange(shared, client, &mut onward, &request, met).await {
            Ok(None) => {
                shared.answered.send_modify(|answered| *answered += 1);
            }
            Ok(Some(ending)) => return ending,
            Err(_) => return Ending::Reset,
        }
    }
}

/// One request. How the connection ends, where it does.
async fn exchange(
    shared: &Arc<Shared>,
    client: &mut BufReader<TcpStream>,
    onward: &mut Option<BufReader<TcpStream>>,
    request: &Message,
    met: Option<Met>,
) -> io::Result<Option<Ending>> {
    let Some(met) = met else {
        let answer = hand_on(shared, onward, request).await?;
        client.write_all(&answer.bytes()).await?;
        return Ok(None);
    };
    if let Some(ending) = instead(shared, client, request, &met).await? {
        return Ok(ending);
    }
    if let Trouble::Latency(wait) = met.trouble {
        shared.fire(&met.trouble);
        tokio::time::sleep(wait).await;
    }
    let answer = hand_on(shared, onward, request).await?;
    behind(shared, client, &answer, &met).await
}

/// Trouble before anything is handed on. None where it is of another kind.
async fn instead(
    shared: &Arc<Shared>,
    client: &mut BufReader<TcpStream>,
    request: &Message,
    met: &Met,
) -> io::Result<Option<Option<Ending>>> {
    let trouble = &met.trouble;
    match trouble {
        Trouble::Answer(status, headers) => {
            let answer = Message::answer(*status, headers, b"{\"error\":\"scripted\"}");
            shared.fire(trouble);
            client.write_all(&answer.bytes()).await?;
            return Ok(Some(None));
        }
        Trouble::Hang(wait) => {
            shared.fire(trouble);
            hang(shared, met, *wait).await;
        }
        Trouble::ResetBefore => shared.fire(trouble),
        Trouble::ResetMidRequest => {
            let mut half = BufReader::new(TcpStream::connect(shared.onward).await?);
            half.write_all(&request.head).await?;
            let body = &request.body[..request.body.len() / 2];
            half.write_all(body).await?;
            half.flush().await?;
            reset(&half);
            shared.fire(trouble);
        }
        Trouble::Refuse(wait) => {
            shared.fire(trouble);
            let (shared, wait) = (Arc::clone(shared), *wait);
            shared.open.send_replace(false);
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                shared.open.send_replace(true);
            });
        }
        _ => return Ok(None),
    }
    Ok(Some(Some(Ending::Reset)))
}

/// Trouble with the answer.
async fn behind(
    shared: &Shared,
    client: &mut BufReader<TcpStream>,
    answer: &Message,
    met: &Met,
) -> io::Result<Option<Ending>> {
    let trouble = &met.trouble;
    let done = answer.status().is_some_and(|status| status < 300);
    let half = &answer.body[..answer.body.len() / 2];
    // Counted before the client can see it: whoever looks afterwards finds it.
    match trouble {
        Trouble::Overtaken(wait) => {
            let mut answered = shared.answered.subscribe();
            let before = *answered.borrow();
            let later = answered.wait_for(|answered| *answered > before);
            if tokio::time::timeout(*wait, later).await.is_ok() {
                shared.fire(trouble);
            }
        }
        Trouble::Latency(_) => {}
        Trouble::Lost if !done => {}
        _ => shared.fire(trouble),
    }
    let ending = match trouble {
        Trouble::Drip(bytes, every) => {
            for piece in answer.bytes().chunks((*bytes).max(1)) {
                client.write_all(piece).await?;
                client.flush().await?;
                tokio::time::sleep(*every).await;
            }
            None
        }
        Trouble::HangDone(wait) => {
            hang(shared, met, *wait).await;
            Some(Ending::Reset)
        }
        Trouble::ResetAfter => Some(Ending::Reset),
        Trouble::Lost if done => Some(Ending::Closed),
        Trouble::ResetMidBody | Trouble::Cut => {
            client.write_all(&answer.head).await?;
            client.write_all(half).await?;
            client.flush().await?;
            if *trouble == Trouble::Cut {
                Some(Ending::Closed)
            } else {
                // What was sent must arrive before the reset throws it away.
                tokio::time::sleep(Duration::from_millis(5)).await;
                Some(Ending::Reset)
            }
        }
        Trouble::Torn => {
            let status = answer.status().unwrap_or(200);
            let torn = Message::answer(status, &[], half);
            client.write_all(&torn.bytes()).await?;
            None
        }
        Trouble::Garbage => {
            client
                .write_all(b"\x16\x03\x01 this is none\r\n\r\n")
                .await?;
            Some(Ending::Closed)
        }
        Trouble::AnswerDone(status) => {
            let answer = Message::answer(*status, &[], b"{\"error\":\"scripted\"}");
            client.write_all(&answer.bytes()).await?;
            None
        }
        Trouble::CloseAfter => {
            client.write_all(&answer.bytes()).await?;
            client.flush().await?;
            Some(Ending::Closed)
        }
        _ => {
            client.write_all(&answer.bytes()).await?;
            None
        }
    };
    Ok(ending)
}

/// For so long, and no longer than the trouble is imposed, where it is.
async fn hang(shared: &Shared, met: &Met, wait: Duration) {
    let mut imposed = shared.imposed.subscribe();
    let lifted = async {
        if met.imposed {
            let _ = imposed
                .wait_for(|now| now.as_ref() != Some(&met.trouble))
                .await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = lifted => {}
    }
}

/// Over the connection that this one's requests take.
async fn hand_on(
    shared: &Shared,
    onward: &mut Option<BufReader<TcpStream>>,
    request: &Message,
) -> io::Result<Message> {
    let stream = match onward {
        Some(stream) => stream,
        None => onward.insert(BufReader::new(TcpStream::connect(shared.onward).await?)),
    };
    stream.write_all(&request.bytes()).await?;
    let answer = wire::read(stream).await?;
    answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
