//! Connections in a test: a closure is the other side. It is given what the plugin has written since its last turn,
//! and says what it sends; it is asked again whenever the plugin reads and nothing is left.

use crate::net::{NetError, Security};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a [`Peer`] does when it is its turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends nothing: the plugin's read times out.
    Wait,
    /// Sends no more, ever.
    End,
    /// The connection breaks, or whatever else the host could say.
    Fail(NetError),
}

/// What happens to a connection, as its other side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The plugin waits for bytes; it has written these since the last event, perhaps none.
    Read(&'a [u8]),
    /// The plugin makes TLS of the connection, for this name. [`Turn::Fail`] refuses; anything else agrees.
    Upgrade(&'a str),
}

/// The other side of one connection.
pub type Peer = Box<dyn FnMut(Event<'_>) -> Turn>;

type Listener = Box<dyn FnMut(&str, u16, Security) -> Result<Peer, NetError>>;

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Answers every connection of this thread's plugins from now on: with its other side, or with what the host would say
/// ([`NetError::Denied`], [`NetError::Unreachable`]).
pub fn net(listener: impl FnMut(&str, u16, Security) -> Result<Peer, NetError> + 'static) {
    LISTENER.with(|slot| *slot.borrow_mut() = Some(Box::new(listener)));
}

/// A connection of the harness.
pub(crate) struct Connection {
    peer: Rc<RefCell<Peer>>,
    security: Security,
    written: Vec<u8>,
    arrived: VecDeque<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// After `shutdown`: nothing more is written.
    Ended,
    Closed,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("security", &self.security)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn open(host: &str, port: u16, security: Security) -> Result<Self, NetError> {
        let peer = LISTENER.with(|slot| match &mut *slot.borrow_mut() {
            Some(listener) => listener(host, port, security),
            None => Err(NetError::Denied(
                "no listener: call `testing::net` first".to_owned(),
            )),
        })?;
        Ok(Self {
            peer: Rc::new(RefCell::new(peer)),
            security,
            written: Vec::new(),
            arrived: VecDeque::new(),
            state: State::Open,
        })
    }

    fn turn(&mut self, event: Event<'_>) -> Turn {
        let peer = Rc::clone(&self.peer);
        let turn = (*peer.borrow_mut())(event);
        // A refusal leaves it as it was.
        if matches!(&turn, Turn::Fail(error) if !matches!(error, NetError::Denied(_))) {
            self.state = State::Closed;
        }
        turn
    }

    fn check(&self, writes: bool) -> Result<(), NetError> {
        match self.state {
            State::Closed => Err(NetError::Closed("the connection is closed".to_owned())),
            State::Ended if writes => Err(NetError::Invalid(
                "nothing can be written after `shutdown`".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn read(&mut self, max: u32, _: Option<u32>) -> Result<Vec<u8>, NetError> {
        self.check(false)?;
        if max == 0 {
            return Err(NetError::Invalid("a read of no bytes".to_owned()));
        }
        if self.arrived.is_empty() {
            let written = std::mem::take(&mut self.written);
            match self.turn(Event::Read(&written)) {
                Turn::Send(bytes) => self.arrived.extend(bytes),
                Turn::End => return Ok(Vec::new()),
                Turn::Wait => return Err(NetError::Timeout("sent nothing".to_owned())),
                Turn::Fail(error) => return Err(error),
            }
        }
        let bytes = self.arrived.len().min(max as usize);
        Ok(self.arrived.drain(..bytes).collect())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.check(true)?;
        self.written.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn upgrade(&mut self, server_name: &str) -> Result<(), NetError> {
        self.check(true)?;
        if self.security == Security::Tls {
            return Err(NetError::Invalid(
                "the connection has tls already".to_owned(),
            ));
        }
        if !self.arrived.is_empty() {
            self.state = State::Closed;
            return Err(NetError::Tls(
                "bytes in the clear where tls begins".to_owned(),
            ));
        }
        if let Turn::Fail(error) = self.turn(Event::Upgrade(server_name)) {
            return Err(error);
        }
        self.security = Security::Tls;
        Ok(())
    }

    pub(crate) fn shutdown(&mut self) -> Result<(), NetError> {
        self.check(true)?;
        self.state = State::Ended;
        Ok(())
    }

    /// Of no certificate: 32 bytes that are always the same.
    pub(crate) fn tls_server_end_point(&self) -> Option<Vec<u8>> {
        (self.security == Security::Tls).then(|| vec![0x5a; 32])
    }
}
