//! A session that reads the server's log: commands of its own, and COPY both ways, which goes on for as long as the
//! session does.

use super::{Error, Session, out_of_turn, unusable};
use crate::config::Config;
use crate::refusal::Refusal;
use bytes::Bytes;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend::{self, CopyData};
use sluice_sdk::Fault;
use sluice_sdk::net::READ_BYTES_MAX;
use std::time::Duration;

/// What a session that reads the log begins with besides. The server ends it where nobody answers for so long: a reader
/// says nothing while the sinks are slow.
const REPLICATING: [(&str, &str); 2] =
    [("replication", "database"), ("wal_sender_timeout", "5min")];

/// The tag and the length of the message that begins a COPY both ways.
const COPY_BOTH_BYTES_MIN: usize = 5;

/// The message that begins a COPY both ways, of which the library knows nothing.
const COPY_BOTH_TAG: u8 = b'W';

impl Session {
    /// A session to read the log with.
    pub(crate) fn replicating(config: &Config) -> Result<Self, Fault> {
        Self::with(config, &REPLICATING)
    }

    /// Begins a COPY both ways, which goes on for as long as the session does.
    pub(crate) fn copy_both(&mut self, sql: &str) -> Result<(), Error> {
        self.send(|out| frontend::query(sql, out))?;
        loop {
            // The library knows nothing of the answer, and all of what may come before it.
            if let Some(length) = self.copy_both_bytes() {
                let _ = self.received.split_to(length);
                return Ok(());
            }
            if self.received.first() != Some(&COPY_BOTH_TAG) {
                match Message::parse(&mut self.received).map_err(|error| unusable(&error))? {
                    Some(Message::ParameterStatus(_) | Message::NoticeResponse(_)) => continue,
                    Some(Message::ErrorResponse(error)) => {
                        return Err(self.refused(Refusal::of(&error)));
                    }
                    Some(_) => return Err(Error::Over(out_of_turn("to START_REPLICATION"))),
                    None => {}
                }
            }
            let bytes = self.connection.receive(READ_BYTES_MAX, None);
            let bytes = bytes.map_err(|error| Error::Over(error.into()))?;
            if bytes.is_empty() || self.received.len() > READ_BYTES_MAX {
                return Err(Error::Over(out_of_turn("to START_REPLICATION")));
            }
            self.received.extend_from_slice(&bytes);
        }
    }

    /// The bytes of the message that begins such a COPY, where it has come whole.
    fn copy_both_bytes(&self) -> Option<usize> {
        let head = self.received.first_chunk::<COPY_BOTH_BYTES_MIN>()?;
        let [COPY_BOTH_TAG, length @ ..] = *head else {
            return None;
        };
        let length = usize::try_from(u32::from_be_bytes(length))
            .ok()?
            .checked_add(1)?;
        let is_whole = (COPY_BOTH_BYTES_MIN..=self.received.len()).contains(&length);
        is_whole.then_some(length)
    }

    /// What the other side of that COPY says next; none where it says nothing in this time.
    pub(crate) fn copied_within(&mut self, wait: Duration) -> Result<Option<Bytes>, Error> {
        match self.next_within(Some(wait))? {
            None => Ok(None),
            Some(Message::CopyData(data)) => Ok(Some(data.into_bytes())),
            Some(Message::ErrorResponse(error)) => Err(Error::Over(Refusal::of(&error).fault())),
            // It ends, to begin anew: a server that is shut down says so.
            Some(Message::CopyDone | Message::CommandComplete(_)) => {
                let message = "the server ended the stream of its log";
                Err(Error::Over(Fault::transient(message)))
            }
            Some(_) => Err(Error::Over(out_of_turn("in the stream of its log"))),
        }
    }

    /// Says something to it.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.send(|out| {
            CopyData::new(bytes)?.write(out);
            Ok(())
        })
    }
}
