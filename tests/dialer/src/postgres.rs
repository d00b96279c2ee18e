//! As much of PostgreSQL's protocol as it takes to log in and run one query.

use crate::Config;
use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use sluice_sdk::net::{self, Connection, Security};
use sluice_sdk::{Fault, log, secret};
use std::io::{Read as _, Write as _};

/// A session that is logged in.
pub struct Session {
    connection: Connection,
    received: BytesMut,
}

impl Session {
    /// Connects, makes TLS of it, logs in with the secret `password`.
    pub fn open(config: &Config) -> Result<Self, Fault> {
        let mut session = Self {
            connection: secured(config)?,
            received: BytesMut::new(),
        };
        session.login(config)?;
        Ok(session)
    }

    fn send(
        &mut self,
        fill: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), Fault> {
        let mut bytes = BytesMut::new();
        fill(&mut bytes).map_err(|error| broken(&error))?;
        self.connection.write_all(&bytes).map_err(net::fault)
    }

    fn next(&mut self) -> Result<Message, Fault> {
        loop {
            match Message::parse(&mut self.received).map_err(|error| broken(&error))? {
                Some(Message::ErrorResponse(error)) => return Err(told(&error)),
                Some(Message::ParameterStatus(_) | Message::NoticeResponse(_)) => {}
                Some(message) => return Ok(message),
                None => {
                    let mut piece = [0; 4096];
                    match self.connection.read(&mut piece).map_err(net::fault)? {
                        0 => return Err(Fault::transient("the server ended the connection")),
                        bytes => self.received.extend_from_slice(&piece[..bytes]),
                    }
                }
            }
        }
    }

    fn login(&mut self, config: &Config) -> Result<(), Fault> {
        let parameters = [("user", &*config.user), ("database", &*config.database)];
        self.send(|out| frontend::startup_message(parameters, out))?;
        let Message::AuthenticationSasl(offer) = self.next()? else {
            return Err(Fault::broken("the server does not ask for SCRAM"));
        };
        let offered: Vec<String> = offer
            .mechanisms()
            .map(|name| Ok(name.to_owned()))
            .collect()
            .map_err(|error| broken(&error))?;
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
        let Message::AuthenticationSaslContinue(body) = self.next()? else {
            return Err(Fault::broken("no challenge"));
        };
        scram.update(body.data()).map_err(|error| broken(&error))?;
        self.send(|out| frontend::sasl_response(scram.message(), out))?;
        let Message::AuthenticationSaslFinal(body) = self.next()? else {
            return Err(Fault::broken("no end of the challenge"));
        };
        scram.finish(body.data()).map_err(|error| broken(&error))?;
        while !matches!(self.next()?, Message::ReadyForQuery(_)) {}
        log::info("logged in", &[("mechanism", mechanism)]);
        Ok(())
    }

    /// The first column of each row.
    pub fn rows(&mut self, query: &str) -> Result<Vec<Vec<u8>>, Fault> {
        self.send(|out| frontend::query(query, out))?;
        let mut rows = Vec::new();
        loop {
            match self.next()? {
                Message::DataRow(row) => {
                    let first = row
                        .ranges()
                        .next()
                        .map_err(|error| broken(&error))?
                        .flatten();
                    rows.push(
                        first
                            .map(|range| row.buffer()[range].to_vec())
                            .unwrap_or_default(),
                    );
                }
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        self.send(|out| {
            frontend::terminate(out);
            Ok(())
        })?;
        Ok(rows)
    }
}

/// A connection on which the server has agreed to TLS.
pub fn secured(config: &Config) -> Result<Connection, Fault> {
    let mut connection = Connection::open(&config.host, config.port, Security::Plain)?;
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    connection.send(&request)?;
    // One byte and no more: what came behind it in the clear would be taken for the server's word.
    let mut answer = [0; 1];
    connection.read_exact(&mut answer).map_err(net::fault)?;
    if answer != *b"S" {
        return Err(Fault::misconfigured("the server has no TLS"));
    }
    connection.upgrade(config.server_name.as_deref().unwrap_or(&config.host))?;
    Ok(connection)
}

fn broken(error: &std::io::Error) -> Fault {
    Fault::broken(error.to_string())
}

/// The server's own words, with its code.
fn told(error: &ErrorResponseBody) -> Fault {
    let field = |wanted: u8| {
        let mut found = error.fields().filter(|field| Ok(field.type_() == wanted));
        let found = found.next().ok().flatten();
        found
            .map(|field| String::from_utf8_lossy(field.value_bytes()).into_owned())
            .unwrap_or_default()
    };
    let (code, message) = (field(b'C'), field(b'M'));
    let text = format!("{code} {message}");
    match code.as_str() {
        "28P01" | "28000" => Fault::unauthorized(text),
        "3D000" | "42P01" => Fault::misconfigured(text),
        _ => Fault::broken(text),
    }
}
