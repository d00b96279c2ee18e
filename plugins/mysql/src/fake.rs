//! The other side of a connection, for tests: a server that greets, and then says what it was told to.

use crate::config::Config;
use crate::login::{CAPABILITIES, OK, bytes};
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::packets::HandshakePacket;
use sluice_sdk::testing::{self, Event, Turn};
use std::cell::RefCell;
use std::rc::Rc;

pub(crate) const PASSWORD: &str = "correct-horse-7";

/// A statement was done.
pub(crate) const DONE: &[u8] = &[OK, 0, 0, 2, 0, 0, 0];

/// What was written, and whether TLS was made of it.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) in_clear: Vec<u8>,
    pub(crate) in_tls: Vec<u8>,
    pub(crate) upgraded: Option<String>,
}

/// A packet with its number.
pub(crate) fn frame(number: u8, packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packet.len()).expect("a short packet");
    let [a, b, c, _] = length.to_le_bytes();
    [&[a, b, c, number], packet].concat()
}

/// A greeting that asks for a login so.
pub(crate) fn greeted(plugin: &str, capabilities: CapabilityFlags) -> Vec<u8> {
    greeted_by("8.4.0", plugin, capabilities)
}

fn greeted_by(version: &str, plugin: &str, capabilities: CapabilityFlags) -> Vec<u8> {
    let greeting = HandshakePacket::new(
        10,
        version.as_bytes(),
        7,
        *b"abcdefgh",
        Some(b"ijklmnopqrst\0".as_slice()),
        capabilities,
        45,
        StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        Some(plugin.as_bytes()),
    );
    frame(0, &bytes(&greeting))
}

/// What a server says until a session has begun, with this as the longest packet that it takes.
pub(crate) fn begun(longest: &str) -> Vec<Vec<u8>> {
    begun_by("8.4.0", longest)
}

/// The same, of this version.
pub(crate) fn begun_by(version: &str, longest: &str) -> Vec<Vec<u8>> {
    let row = [
        &[u8::try_from(longest.len()).expect("digits")],
        longest.as_bytes(),
    ]
    .concat();
    let eof = [0xfe, 0, 0, 2, 0];
    let answer = [
        frame(1, &[1]),
        frame(2, b"a column"),
        frame(3, &eof),
        frame(4, &row),
        frame(5, &eof),
    ];
    let greeting = greeted_by(version, "mysql_native_password", CAPABILITIES);
    let done = || frame(1, DONE);
    vec![
        greeting,
        frame(3, DONE),
        done(),
        done(),
        done(),
        done(),
        answer.concat(),
    ]
}

/// Has the plugins of this thread meet a server that says these, one whenever it is waited for: nothing,
/// for as long as the host waits, where one is empty.
pub(crate) fn says(turns: Vec<Vec<u8>>) -> Rc<RefCell<Seen>> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let record = Rc::clone(&seen);
    let turns = Rc::new(RefCell::new(turns.into_iter()));
    testing::secrets(&[("password", Some(PASSWORD))]);
    testing::net(move |_, _, _| {
        let (record, turns) = (Rc::clone(&record), Rc::clone(&turns));
        Ok(Box::new(move |event| {
            let mut seen = record.borrow_mut();
            match event {
                Event::Upgrade(name) => {
                    seen.upgraded = Some(name.to_owned());
                    Turn::Wait
                }
                Event::Read(written) => {
                    if seen.upgraded.is_some() {
                        seen.in_tls.extend_from_slice(written);
                    } else {
                        seen.in_clear.extend_from_slice(written);
                    }
                    match turns.borrow_mut().next() {
                        None => Turn::End,
                        Some(bytes) if bytes.is_empty() => Turn::Wait,
                        Some(bytes) => Turn::Send(bytes),
                    }
                }
            }
        }))
    });
    seen
}

/// Settings that lead there.
pub(crate) fn config() -> Config {
    let config = r#"{"host": "db.example", "database": "d", "user": "u"}"#;
    sluice_sdk::parse_config(config).expect("settings")
}
