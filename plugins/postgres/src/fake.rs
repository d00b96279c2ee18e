//! A server for tests: it takes every login, and answers what it is asked by a closure.

use crate::config::Config;
use sluice_sdk::testing::{self, Event, Turn};
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes that ask for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

const READY: (u8, &[u8]) = (b'Z', b"I");

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// The answer to a statement: one row of these.
pub(crate) fn row(values: &[Option<&str>]) -> Turn {
    let count = u16::try_from(values.len()).expect("few values");
    let mut body = count.to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("short"));
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(value.unwrap_or_default().as_bytes());
    }
    let (row, done) = (message(b'D', &body), message(b'C', b"SELECT 1\0"));
    Turn::Send([row, done, message(READY.0, READY.1)].concat())
}

/// The answer to a statement: a refusal by this code.
pub(crate) fn refusal(code: &str) -> Turn {
    let refusal = message(b'E', format!("SERROR\0C{code}\0Mno\0\0").as_bytes());
    Turn::Send([refusal, message(READY.0, READY.1)].concat())
}

/// Has the plugins of this thread meet such a server; gives all that is said to it.
pub(crate) fn server(answer: impl FnMut(&str) -> Turn + 'static) -> Rc<RefCell<Vec<String>>> {
    let said = Rc::new(RefCell::new(Vec::new()));
    let record = Rc::clone(&said);
    let answer = Rc::new(RefCell::new(answer));
    testing::net(move |_, _, _| {
        let (record, answer) = (Rc::clone(&record), Rc::clone(&answer));
        Ok(Box::new(move |event| match event {
            Event::Upgrade(_) => Turn::Wait,
            Event::Read(written) if written == SSL_REQUEST => Turn::Send(b"S".to_vec()),
            Event::Read(written) => {
                let text = String::from_utf8_lossy(written).into_owned();
                record.borrow_mut().push(text.clone());
                if text.contains("application_name") {
                    let welcome = message(b'R', &[0; 4]);
                    return Turn::Send([welcome, message(READY.0, READY.1)].concat());
                }
                (*answer.borrow_mut())(&text)
            }
        }))
    });
    said
}

/// Settings that lead there.
pub(crate) fn config() -> Config {
    let config = r#"{"host": "db.example", "database": "d", "user": "u",
        "changes": {"publication": "p", "slot": "s"}}"#;
    sluice_sdk::parse_config(config).expect("settings")
}
