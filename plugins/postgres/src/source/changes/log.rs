//! The stream of the server's log: its messages, and what the server is told of how far it was read.

use super::lsn::Lsn;
use super::pgoutput::{self, Message};
use crate::config::{Changes, quoted};
use crate::session::Session;
use bytes::{Buf as _, Bytes};
use sluice_sdk::Fault;
use std::time::Duration;

/// Bytes of what stands before a message: where it begins, where the log ends, the server's clock.
const HEAD_BYTES: usize = 24;
/// Of what the server says when it has nothing to say: where it is, its clock, whether it wants an answer.
const ALIVE_BYTES: usize = 17;

/// The stream.
pub(super) struct Log {
    session: Session,
    /// What was received.
    received: Lsn,
    /// What the server was last told of that.
    told: (Lsn, Lsn),
    /// What may be forgotten.
    confirmed: Lsn,
}

/// What comes next.
pub(super) enum Next {
    Message(Message),
    /// All that was committed before this was told.
    Alive(Lsn),
    /// Nothing came.
    Silence,
}

impl Log {
    /// From this place on. What the slot confirms is not behind it.
    pub(super) fn open(
        mut session: Session,
        changes: &Changes,
        from: Lsn,
        confirmed: Lsn,
    ) -> Result<Self, Fault> {
        session.copy_both(&format!(
            "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '1', publication_names '{}')",
            quoted(&changes.slot),
            // A list of names within a text; in this language backslashes are letters.
            quoted(&changes.publication).replace('\'', "''")
        ))?;
        Ok(Self {
            session,
            received: from,
            told: (confirmed, confirmed),
            confirmed,
        })
    }

    /// The next message, or that nothing came in this time.
    pub(super) fn next(&mut self, wait: Duration) -> Result<Next, Fault> {
        let Some(mut bytes) = self.session.copied_within(wait)? else {
            return Ok(Next::Silence);
        };
        match bytes.first() {
            Some(b'w') if bytes.len() > HEAD_BYTES => {
                bytes.advance(1);
                self.received = self.received.max(place(&bytes));
                // A copy: a value must not keep all that was received with it.
                let message = pgoutput::parse(Bytes::copy_from_slice(&bytes[HEAD_BYTES..]));
                Ok(Next::Message(message.ok_or_else(unreadable)?))
            }
            Some(b'k') if bytes.len() > ALIVE_BYTES => {
                bytes.advance(1);
                let end = place(&bytes);
                self.received = self.received.max(end);
                if bytes[ALIVE_BYTES - 1] == 1 {
                    self.say()?;
                }
                Ok(Next::Alive(end))
            }
            _ => Err(unreadable()),
        }
    }

    /// The server may forget what is before this.
    pub(super) fn confirm(&mut self, place: Lsn) -> Result<(), Fault> {
        self.confirmed = self.confirmed.max(place);
        self.tell()
    }

    /// Tells how far it was read, where that is new: the server asks ever again until it knows.
    pub(super) fn tell(&mut self) -> Result<(), Fault> {
        if self.told == (self.received, self.confirmed) {
            return Ok(());
        }
        self.say()
    }

    fn say(&mut self) -> Result<(), Fault> {
        self.told = (self.received, self.confirmed);
        let mut bytes = vec![b'r'];
        for place in [
            self.received.max(self.confirmed),
            self.confirmed,
            self.confirmed,
        ] {
            bytes.extend_from_slice(&place.0.to_be_bytes());
        }
        bytes.extend_from_slice(&[0; 9]); // No clock, and no answer that is waited for.
        Ok(self.session.copy(&bytes)?)
    }
}

fn place(bytes: &Bytes) -> Lsn {
    let bytes = bytes.first_chunk().copied().unwrap_or_default();
    Lsn(u64::from_be_bytes(bytes))
}

fn unreadable() -> Fault {
    Fault::transient("what the server says of its log cannot be read")
}
