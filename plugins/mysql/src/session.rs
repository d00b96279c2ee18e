//! One session: statements and what they give, as text. Deliberately no retries and no pool: what breaks is told, and the
//! host opens another.

use crate::config::Config;
use crate::login::{ERR, Login, OK, error, unreadable};
use crate::refusal::Refusal;
use crate::wire::{PACKET_BYTES_MAX, Wire};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{CommonOkPacket, OkPacket, OkPacketDeserializer};
use sluice_sdk::Fault;

/// The command that asks.
const QUERY: u8 = 0x03;
/// The command that ends.
const QUIT: u8 = 0x01;
/// Begins the end of rows.
const EOF: u8 = 0xfe;
/// Longer is a row, whose first value is very long.
const EOF_BYTES_MAX: usize = 8;
/// A server that asks for a file of the client's.
const FILE: u8 = 0xfb;
/// In the place of a value: there is none.
const NULL: u8 = 0xfb;

/// Bytes of the rows of one answer, where they are kept. A catalog of many wide tables has less.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Columns of one answer.
const COLUMNS_MAX: u64 = 4_096;

/// What every session begins with, whatever is set for the server: text that the host reads back, values that are refused
/// rather than bent, a backslash that is a letter, and no wait for a lock without an end. Rows are read as they were
/// committed: what another split writes beside keeps no gaps locked.
const SETTINGS: [&str; 3] = [
    "SET NAMES utf8mb4",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
     NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', autocommit = 1, \
     foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = 30, lock_wait_timeout = 30",
];

/// And with MariaDB: no transaction is left open by one who is gone, and no statement goes on for one who has ceased to
/// wait for it. In seconds.
const OF_MARIADB: &str = "SET SESSION idle_transaction_timeout = 300, max_statement_time = 240";

/// The same with MySQL, as far as it goes: it ends the whole session, and of statements only a `SELECT`. In seconds, and
/// in milliseconds.
const OF_MYSQL: &str = "SET SESSION wait_timeout = 300, max_execution_time = 240000";

/// A row: each value as text, or none.
pub(crate) type Row = Vec<Option<String>>;

/// Why something did not work.
#[derive(Debug)]
pub(crate) enum Error {
    /// The server refused it; the session goes on.
    Refused(Box<Refusal>),
    /// The session is over.
    Over(Fault),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.fault(),
            Error::Over(fault) => fault,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Over(fault)
    }
}

/// What is to become of the rows behind this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Go,
    /// They are not wanted; the session is over.
    Stop,
}

/// A session that is logged in.
pub(crate) struct Session {
    wire: Wire,
    /// Whether it is MariaDB.
    pub(crate) is_mariadb: bool,
    /// Bytes of the longest statement that the server takes.
    pub(crate) statement_bytes_max: usize,
}

impl Session {
    /// Connects, makes TLS of it, and logs in with the secret `password`.
    pub(crate) fn open(config: &Config) -> Result<Self, Fault> {
        let login = Login::open(config)?;
        let mut session = Self {
            wire: login.wire,
            is_mariadb: login.is_mariadb,
            statement_bytes_max: PACKET_BYTES_MAX,
        };
        for setting in SETTINGS {
            session.run(setting)?;
        }
        session.run(if session.is_mariadb {
            OF_MARIADB
        } else {
            OF_MYSQL
        })?;
        let rows = session.query("SELECT @@max_allowed_packet")?;
        let bytes = rows.into_iter().flatten().flatten().next();
        let bytes = bytes.and_then(|bytes| bytes.parse::<usize>().ok());
        // The command's own byte, and a packet that is as long as it may be.
        let bytes = bytes.ok_or_else(|| unreadable("of its settings"))?;
        session.statement_bytes_max = bytes.min(PACKET_BYTES_MAX).saturating_sub(64);
        Ok(session)
    }

    /// One statement; how many rows it touched.
    pub(crate) fn run(&mut self, sql: &str) -> Result<u64, Error> {
        match self.begin(sql)? {
            Begun::Done(touched) => Ok(touched),
            Begun::Rows(_) => Err(Error::Over(unreadable("to a statement"))),
        }
    }

    /// One statement, and all of its rows.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<Row>, Error> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let flow = self.rows(sql, None, |row| {
            let text = |value: &&[u8]| String::from_utf8_lossy(value).into_owned();
            let row: Row = row.iter().map(|value| value.as_ref().map(text)).collect();
            bytes += row.iter().flatten().map(String::len).sum::<usize>();
            rows.push(row);
            if bytes > ANSWER_BYTES_MAX {
                Flow::Stop
            } else {
                Flow::Go
            }
        })?;
        match flow {
            Flow::Go => Ok(rows),
            Flow::Stop => Err(Error::Over(Fault::broken(
                "the server gives more than was asked for",
            ))),
        }
    }

    /// One statement, and each of its rows as it comes, until one is the last that is wanted. Each has `wanted` columns.
    pub(crate) fn rows(
        &mut self,
        sql: &str,
        wanted: Option<usize>,
        mut each: impl FnMut(&[Option<&[u8]>]) -> Flow,
    ) -> Result<Flow, Error> {
        let Begun::Rows(columns) = self.begin(sql)? else {
            return Err(Error::Over(unreadable("to a question")));
        };
        if wanted.is_some_and(|wanted| wanted != columns) {
            let message = format!("the server gives {columns} columns, and was asked for others");
            return Err(Error::Over(Fault::broken(message)));
        }
        loop {
            let packet = self.wire.next()?;
            match packet.first() {
                Some(&EOF) if packet.len() <= EOF_BYTES_MAX => return Ok(Flow::Go),
                Some(&ERR) => return Err(refused(packet)),
                _ => {}
            }
            let row = values(packet, columns);
            let row = row.ok_or_else(|| unreadable("of a row"))?;
            if each(&row) == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }

    fn begin(&mut self, sql: &str) -> Result<Begun, Error> {
        self.wire.command(&[&[QUERY], sql.as_bytes()].concat())?;
        let packet = self.wire.next()?;
        match packet.first() {
            Some(&OK) => {
                let flags = CapabilityFlags::CLIENT_PROTOCOL_41;
                let done =
                    ParseBuf(packet).parse::<OkPacketDeserializer<'_, CommonOkPacket>>(flags);
                let done: OkPacket<'_> = done.map_err(|_| unreadable("to a statement"))?.into();
                return Ok(Begun::Done(done.affected_rows()));
            }
            Some(&ERR) => return Err(refused(packet)),
            Some(&FILE) => {
                let message = "the server asks for a file, and was asked for none";
                return Err(Error::Over(Fault::broken(message)));
            }
            _ => {}
        }
        let columns = ParseBuf(packet).checked_eat_lenenc_int();
        let columns = columns.filter(|columns| (1..=COLUMNS_MAX).contains(columns));
        let columns = columns.ok_or_else(|| unreadable("to a question"))?;
        // What each column is follows; the catalog told it.
        for _ in 0..columns {
            self.wire.next()?;
        }
        match self.wire.next()? {
            [EOF, ..] => Ok(Begun::Rows(columns as usize)),
            _ => Err(Error::Over(unreadable("to a question"))),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.wire.command(&[QUIT]);
    }
}

/// What a statement gives.
enum Begun {
    /// So many rows were touched.
    Done(u64),
    /// Rows of so many columns follow.
    Rows(usize),
}

fn refused(packet: &[u8]) -> Error {
    match error(packet) {
        Some(refusal) => Error::Refused(Box::new(refusal)),
        None => Error::Over(unreadable("of an error")),
    }
}

/// The values of a row, of which there are so many.
fn values(packet: &[u8], columns: usize) -> Option<Vec<Option<&[u8]>>> {
    let mut rest = ParseBuf(packet);
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        if rest.0.first() == Some(&NULL) {
            rest.0 = &rest.0[1..];
            values.push(None);
        } else {
            values.push(Some(rest.checked_eat_lenenc_str()?));
        }
    }
    rest.0.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, frame};

    /// What becomes of a question to which the server says this.
    fn asked(says: Vec<u8>) -> String {
        let mut turns = fake::begun("1000000");
        turns.push(says);
        fake::says(turns);
        let mut session = Session::open(&fake::config()).expect("a session");
        assert_eq!(session.statement_bytes_max, 1_000_000 - 64);
        let answer = session.rows("SELECT 1", Some(1), |_| Flow::Go);
        Fault::from(answer.expect_err("no answer to this")).to_string()
    }

    #[test]
    fn a_server_gets_no_file_and_is_held_to_what_was_asked_for() {
        let too_large = [0xff, 0xff, 0xff, 1, 0];
        let announced = [
            &frame(1, &[1])[..],
            &frame(2, b"a column"),
            &frame(3, &[EOF; 5]),
        ]
        .concat();
        let endless = [
            &announced[..],
            &[0xff, 0xff, 0xff, 4],
            &vec![b'x'; (1 << 24) - 1],
            &too_large[..3],
            &[5, 0],
        ]
        .concat();
        for (says, told) in [
            (frame(1, b"\xfb/etc/passwd"), "asks for a file"),
            (frame(1, &[0xfc, 0x01, 0x10]), "cannot be read"),
            (frame(1, &[0]), "cannot be read"),
            (
                [
                    frame(1, &[2]),
                    frame(2, b"a"),
                    frame(3, b"b"),
                    frame(4, &[EOF; 5]),
                ]
                .concat(),
                "gives 2 columns",
            ),
            (endless, "a packet of more than 24 MiB"),
        ] {
            let found = asked(says);
            assert!(found.contains(told), "{found}");
        }
    }

    /// Nothing arrives for a minute so often, and then what the server says to a statement.
    fn slow(silences: usize, says: Vec<u8>) -> Vec<Vec<u8>> {
        let mut turns = vec![Vec::new(); silences];
        turns.push(says);
        turns
    }

    #[test]
    fn a_slow_statement_is_waited_for_and_one_without_an_end_is_not() {
        let done = || frame(1, fake::DONE);
        let turns = [
            fake::begun("1000000"),
            slow(3, done()),
            slow(3, done()),
            slow(4, done()),
        ];
        fake::says(turns.concat());
        let mut session = Session::open(&fake::config()).expect("a session");
        for _ in 0..2 {
            assert!(
                session.run("DELETE FROM t").is_ok(),
                "each has its own time"
            );
        }
        let fault = Fault::from(session.run("DELETE FROM t").expect_err("four minutes"));
        assert_eq!(fault.to_string(), "transient: sent nothing");
    }

    #[test]
    fn a_login_is_waited_for_a_minute() {
        fake::says([slow(1, Vec::new()), fake::begun("1000000")].concat());
        let fault = Session::open(&fake::config()).err().expect("a minute");
        assert_eq!(fault.to_string(), "transient: sent nothing");
    }

    #[test]
    fn a_session_and_its_statements_are_ended_by_the_server() {
        for (version, expected) in [
            (
                "8.4.0",
                ["wait_timeout = 300", "max_execution_time = 240000"],
            ),
            (
                "10.11.14-MariaDB",
                ["idle_transaction_timeout = 300", "max_statement_time = 240"],
            ),
        ] {
            let seen = fake::says(fake::begun_by(version, "1000000"));
            drop(Session::open(&fake::config()).expect("a session"));
            let said = String::from_utf8_lossy(&seen.borrow().in_tls).into_owned();
            for setting in expected {
                assert!(said.contains(setting), "{version}: {said}");
            }
        }
    }

    #[test]
    fn a_row_is_as_many_values_as_there_are_columns() {
        let row = b"\x02ab\xfb\x00\xfc\x03\x00xyz";
        let expected = vec![Some(&b"ab"[..]), None, Some(b""), Some(b"xyz")];
        assert_eq!(values(row, 4), Some(expected));
        for columns in [3, 5] {
            assert_eq!(values(row, columns), None);
        }
        assert_eq!(values(b"\x09ab", 1), None, "a value that is cut");
        assert_eq!(values(b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", 1), None);
    }
}
