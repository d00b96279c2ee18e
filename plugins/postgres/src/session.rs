//! One session of PostgreSQL's protocol, version 3: TLS by the host, a login by SCRAM, queries, and COPY.
//! Deliberately no retries and no pool: what breaks is told, and the host opens another.

mod replicating;

use crate::config::Config;
use crate::refusal::Refusal;
use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend::{self, CopyData};
use sluice_sdk::net::{self, Connection, NetError, READ_BYTES_MAX, Security};
use sluice_sdk::{Fault, secret};
use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

/// Bytes of one message of COPY.
const COPY_BYTES: usize = 256 << 10;

/// Bytes of one message of the server's: a row of its log is one. Stops a server that announces more than the plugin
/// may hold.
const MESSAGE_BYTES_MAX: u32 = 24 << 20;

/// Bytes of the rows of one answer, where the statement says nothing else. A catalog of many wide tables has less.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// What every session begins with, whatever is set for its role: text that the host reads back, commits that are durable
/// when they are answered, no wait for a lock without an end, and no transaction that is left open by one who is gone.
const SETTINGS: [(&str, &str); 9] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("synchronous_commit", "on"),
    ("lock_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "5min"),
];

/// When the server ends a statement by itself. Stops it from working on for somebody who has given up, while the next
/// try adds another. A session that reads the log has none: its stream has no end.
const STATEMENT: [(&str, &str); 1] = [("statement_timeout", "240s")];

/// How long the server may take over a login, from the last word that was said to it.
const LOGIN_TIME_MAX: Duration = Duration::from_mins(1);

/// The same, of a statement: the server's own word comes first, and both come before the call is over its time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(250);

/// A row: each value as text, or none.
pub(crate) type Row = Vec<Option<String>>;

/// Why something did not work.
#[derive(Debug)]
pub(crate) enum Error {
    /// The server refused it; the session goes on.
    Refused(Box<Refusal>),
    /// The session is over.
    Over(Fault),
    /// A COPY gives more than is wanted; the session is over.
    TooMuch,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.fault(),
            Error::Over(fault) => fault,
            Error::TooMuch => Fault::broken("the server gives more than was asked for"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Over(net::fault(error))
    }
}

/// A session that is logged in.
pub(crate) struct Session {
    connection: Connection,
    received: BytesMut,
    /// When something was said last.
    asked: Instant,
    /// How long an answer may take from there.
    patience: Duration,
}

impl Session {
    /// Connects, makes TLS of it, and logs in with the secret `password`.
    pub(crate) fn open(config: &Config) -> Result<Self, Fault> {
        Self::with(config, &STATEMENT)
    }

    fn with(config: &Config, settings: &[(&str, &str)]) -> Result<Self, Fault> {
        let mut session = Self {
            connection: secured(config)?,
            received: BytesMut::new(),
            asked: Instant::now(),
            patience: LOGIN_TIME_MAX,
        };
        session.login(config, settings)?;
        session.patience = ANSWER_TIME_MAX;
        Ok(session)
    }

    fn send(&mut self, fill: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Error> {
        let mut bytes = BytesMut::new();
        fill(&mut bytes).map_err(|error| unusable(&error))?;
        self.connection.write_all(&bytes)?;
        self.asked = Instant::now();
        Ok(())
    }

    /// The next message but for what the server says beside: notices and settings.
    fn next(&mut self) -> Result<Message, Error> {
        match self.next_within(None)? {
            Some(message) => Ok(message),
            None => Err(Error::Over(Fault::transient("the server is silent"))),
        }
    }

    /// The same; none where it does not come in this time.
    fn next_within(&mut self, wait: Option<Duration>) -> Result<Option<Message>, Error> {
        loop {
            let length = self
                .received
                .get(1..5)
                .and_then(|length| length.try_into().ok());
            if let Some(length) = length
                .map(u32::from_be_bytes)
                .filter(|length| *length > MESSAGE_BYTES_MAX)
            {
                let message = format!("the server announces a message of {length} bytes");
                return Err(Error::Over(Fault::broken(message)));
            }
            match Message::parse(&mut self.received).map_err(|error| unusable(&error))? {
                Some(Message::ParameterStatus(_) | Message::NoticeResponse(_)) => {}
                Some(message) => return Ok(Some(message)),
                None => {
                    let left = self.patience.saturating_sub(self.asked.elapsed());
                    let received = self
                        .connection
                        .receive(READ_BYTES_MAX, Some(wait.unwrap_or(left)));
                    let bytes = match received {
                        Err(NetError::Timeout(_)) if wait.is_some() => return Ok(None),
                        // The host ends each read after a minute, and the server may work for longer.
                        Err(NetError::Timeout(_)) if !left.is_zero() => continue,
                        bytes => bytes.map_err(|error| Error::Over(error.into()))?,
                    };
                    if bytes.is_empty() {
                        let message = "the server ended the connection";
                        return Err(Error::Over(Fault::transient(message)));
                    }
                    self.received.extend_from_slice(&bytes);
                }
            }
        }
    }

    fn login(&mut self, config: &Config, settings: &[(&str, &str)]) -> Result<(), Fault> {
        let mut parameters = vec![
            ("user", &*config.user),
            ("database", &*config.database),
            ("application_name", "sluice"),
        ];
        parameters.extend(SETTINGS);
        parameters.extend_from_slice(settings);
        self.send(|out| frontend::startup_message(parameters, out))?;
        self.authenticate()?;
        loop {
            match self.next()? {
                Message::ReadyForQuery(_) => return Ok(()),
                Message::BackendKeyData(_) => {}
                Message::ErrorResponse(error) => return Err(Refusal::of(&error).fault()),
                _ => return Err(out_of_turn("to the login")),
            }
        }
    }

    fn authenticate(&mut self) -> Result<(), Fault> {
        let offer = match self.next()? {
            Message::AuthenticationSasl(offer) => offer,
            Message::AuthenticationOk => return Ok(()),
            Message::ErrorResponse(error) => return Err(Refusal::of(&error).fault()),
            _ => {
                return Err(Fault::misconfigured(
                    "the server asks for a password in a way that is not SCRAM; hint: `password_encryption = scram-sha-256` and `scram-sha-256` in its `pg_hba.conf`",
                ));
            }
        };
        let offered: Vec<String> = offer
            .mechanisms()
            .map(|name| Ok(name.to_owned()))
            .collect()
            .map_err(|error| unusable(&error))?;
        // Bound to the channel where both can: whoever stands between the two cannot pass such a login on.
        let end_point = self.connection.tls_server_end_point();
        let (mechanism, binding) = match end_point {
            Some(hash) if offered.iter().any(|name| name == SCRAM_SHA_256_PLUS) => (
                SCRAM_SHA_256_PLUS,
                ChannelBinding::tls_server_end_point(hash),
            ),
            Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        let password = secret::reveal("password")?;
        let mut scram = ScramSha256::new(password.bytes(), binding);
        self.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))?;
        match self.next()? {
            Message::AuthenticationSaslContinue(body) => scram.update(body.data()),
            Message::ErrorResponse(error) => return Err(Refusal::of(&error).fault()),
            _ => return Err(out_of_turn("to the login")),
        }
        .map_err(|error| unusable(&error))?;
        self.send(|out| frontend::sasl_response(scram.message(), out))?;
        match self.next()? {
            Message::AuthenticationSaslFinal(body) => scram.finish(body.data()),
            Message::ErrorResponse(error) => return Err(Refusal::of(&error).fault()),
            _ => return Err(out_of_turn("to the login")),
        }
        .map_err(|error| unusable(&error))?;
        match self.next()? {
            Message::AuthenticationOk => Ok(()),
            Message::ErrorResponse(error) => Err(Refusal::of(&error).fault()),
            _ => Err(out_of_turn("to the login")),
        }
    }

    /// One or more statements without parameters; how many rows the last of them touched.
    pub(crate) fn run(&mut self, sql: &str) -> Result<u64, Error> {
        self.send(|out| frontend::query(sql, out))?;
        Ok(self.answer()?.touched)
    }

    /// The same, and the rows that they give.
    pub(crate) fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Error> {
        self.send(|out| frontend::query(sql, out))?;
        Ok(self.answer()?.rows)
    }

    /// Ends the transaction well. The server says `ROLLBACK` where an error had ended it before.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        self.send(|out| frontend::query("COMMIT", out))?;
        if self.answer()?.tag == "COMMIT" {
            return Ok(());
        }
        let message = "the transaction was not whole, and the server rolled it back";
        Err(Error::Over(Fault::transient(message)))
    }

    /// One statement with parameters, and its rows.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        parameters: &[Option<&str>],
    ) -> Result<Vec<Row>, Error> {
        self.ask(sql, parameters)?;
        Ok(self.answer()?.rows)
    }

    /// The same; [`Error::TooMuch`] where the rows are more bytes than this.
    pub(crate) fn query_within(
        &mut self,
        sql: &str,
        parameters: &[Option<&str>],
        bytes_max: usize,
    ) -> Result<Vec<Row>, Error> {
        self.ask(sql, parameters)?;
        Ok(self.answer_within(bytes_max)?.rows)
    }

    /// One statement with parameters; how many rows it touched.
    pub(crate) fn execute(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<u64, Error> {
        self.ask(sql, parameters)?;
        Ok(self.answer()?.touched)
    }

    fn ask(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<(), Error> {
        self.send(|out| {
            frontend::parse("", sql, [], out)?;
            let text = |parameter: Option<&str>, out: &mut BytesMut| {
                Ok(match parameter {
                    Some(parameter) => {
                        out.extend_from_slice(parameter.as_bytes());
                        IsNull::No
                    }
                    None => IsNull::Yes,
                })
            };
            let bound = frontend::bind("", "", [], parameters.iter().copied(), text, [], out);
            bound.map_err(|error| match error {
                frontend::BindError::Conversion(error) => io::Error::other(error),
                frontend::BindError::Serialization(error) => error,
            })?;
            frontend::execute("", 0, out)?;
            frontend::sync(out);
            Ok(())
        })
    }

    /// Copies these bytes into what the statement names; how many rows they were.
    pub(crate) fn copy_in(&mut self, sql: &str, bytes: &[u8]) -> Result<u64, Error> {
        self.send(|out| frontend::query(sql, out))?;
        match self.next()? {
            Message::CopyInResponse(_) => {}
            Message::ErrorResponse(error) => return Err(self.refused(Refusal::of(&error))),
            _ => return Err(Error::Over(out_of_turn("to COPY"))),
        }
        for piece in bytes.chunks(COPY_BYTES) {
            self.send(|out| {
                CopyData::new(piece)?.write(out);
                Ok(())
            })?;
        }
        self.send(|out| {
            frontend::copy_done(out);
            Ok(())
        })?;
        Ok(self.answer()?.touched)
    }

    /// What a COPY gives, all of it; [`Error::TooMuch`] where that is more than this.
    pub(crate) fn copy_out(&mut self, sql: &str, bytes_max: usize) -> Result<Vec<u8>, Error> {
        self.send(|out| frontend::query(sql, out))?;
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                Message::CopyData(piece) => {
                    if bytes.len() + piece.data().len() > bytes_max {
                        return Err(Error::TooMuch);
                    }
                    bytes.extend_from_slice(piece.data());
                }
                Message::CopyOutResponse(_) | Message::CopyDone | Message::CommandComplete(_) => {}
                Message::ReadyForQuery(_) => return Ok(bytes),
                Message::ErrorResponse(error) => return Err(self.refused(Refusal::of(&error))),
                _ => return Err(Error::Over(out_of_turn("to COPY"))),
            }
        }
    }

    /// To the end of what is answered to one message.
    fn answer(&mut self) -> Result<Answer, Error> {
        self.answer_within(ANSWER_BYTES_MAX)
    }

    fn answer_within(&mut self, bytes_max: usize) -> Result<Answer, Error> {
        let (mut answer, mut bytes) = (Answer::default(), 0);
        loop {
            match self.next()? {
                Message::DataRow(row) => {
                    bytes += row.buffer().len();
                    if bytes > bytes_max {
                        return Err(Error::TooMuch);
                    }
                    answer.rows.push(values(&row)?);
                }
                Message::CommandComplete(body) => {
                    let tag = body.tag().map_err(|error| unusable(&error))?;
                    let count = tag.rsplit(' ').next().and_then(|count| count.parse().ok());
                    answer.touched = count.unwrap_or_default();
                    tag.clone_into(&mut answer.tag);
                }
                Message::ReadyForQuery(_) => return Ok(answer),
                Message::ErrorResponse(error) => return Err(self.refused(Refusal::of(&error))),
                Message::RowDescription(_)
                | Message::NoData
                | Message::EmptyQueryResponse
                | Message::ParseComplete
                | Message::BindComplete => {}
                _ => return Err(Error::Over(out_of_turn("to a query"))),
            }
        }
    }

    /// Reads on to where the server takes the next query.
    fn refused(&mut self, refusal: Refusal) -> Error {
        if refusal.ends_the_session() {
            return Error::Over(refusal.fault());
        }
        loop {
            match self.next() {
                Ok(Message::ReadyForQuery(_)) => return Error::Refused(Box::new(refusal)),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.send(|out| {
            frontend::terminate(out);
            Ok(())
        });
    }
}

#[derive(Default)]
struct Answer {
    rows: Vec<Row>,
    touched: u64,
    /// Of the last statement.
    tag: String,
}

fn values(row: &DataRowBody) -> Result<Row, Error> {
    let text = |range| Ok(String::from_utf8_lossy(&row.buffer()[range]).into_owned());
    let values = row.ranges().map(|range| range.map(text).transpose());
    Ok(values.collect().map_err(|error| unusable(&error))?)
}

/// A connection on which the server has agreed to TLS.
fn secured(config: &Config) -> Result<Connection, Fault> {
    let mut connection = Connection::open(&config.host, config.port, Security::Plain)?;
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    connection.send(&request)?;
    // One byte and no more: what came behind it in the clear would be taken for the server's word.
    let mut answer = [0; 1];
    connection.read_exact(&mut answer).map_err(net::fault)?;
    if answer != *b"S" {
        let message = "the server has no TLS; hint: `ssl = on` in its `postgresql.conf`";
        return Err(Fault::misconfigured(message));
    }
    connection.upgrade(config.server_name.as_deref().unwrap_or(&config.host))?;
    Ok(connection)
}

fn unusable(error: &io::Error) -> Fault {
    Fault::transient(format!("the server's answer cannot be read: {error}"))
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Over(fault)
    }
}

fn out_of_turn(what: &str) -> Fault {
    Fault::transient(format!("the server's answer {what} is out of turn"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use sluice_sdk::testing::Turn;

    /// Answers what comes behind so many reads in which nothing came.
    fn slow(silences: usize) -> impl FnMut(&str) -> Turn {
        let mut silent = 0..silences;
        move |_| {
            let is_silent = silent.next().is_some();
            if is_silent {
                Turn::Wait
            } else {
                fake::row(&[Some("t")])
            }
        }
    }

    #[test]
    fn a_statement_that_takes_longer_than_a_read_is_waited_for() {
        drop(fake::server(slow(3)));
        let mut session = Session::open(&fake::config()).expect("a session");
        let rows = session.query("SELECT 1", &[]).expect("rows");
        assert_eq!(rows, [[Some("t".to_owned())]]);
        // And not without an end.
        drop(fake::server(slow(3)));
        let mut session = Session::open(&fake::config()).expect("a session");
        session.patience = Duration::ZERO;
        let given_up = Fault::from(session.query("SELECT 1", &[]).expect_err("silence"));
        assert!(matches!(given_up, Fault::Transient { .. }), "{given_up}");
    }

    #[test]
    fn the_server_ends_statements_by_itself_and_no_stream_of_its_log() {
        for (replicates, is_limited) in [(false, true), (true, false)] {
            let said = fake::server(slow(0));
            let open = [Session::open, Session::replicating][usize::from(replicates)];
            drop(open(&fake::config()).expect("a session"));
            let startup = said.borrow().concat();
            assert_eq!(
                startup.contains("statement_timeout"),
                is_limited,
                "{startup}"
            );
        }
    }
}
