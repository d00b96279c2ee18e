//! Connections and revealed secrets in the harness: a protocol spoken to a closure.

use sluice_sdk::net::{self, Connection, NetError, Security};
use sluice_sdk::testing::{self, Event, Turn};
use sluice_sdk::{Fault, secret};
use std::io::{Read as _, Write as _};
use std::time::Duration;

/// Greets in the clear, agrees to TLS for `mail.acme.example`, and checks a password.
fn server(event: Event<'_>) -> Turn {
    match event {
        Event::Read(b"STARTTLS\n") => Turn::Send(b"GO\n".to_vec()),
        Event::Upgrade("mail.acme.example") => Turn::Wait,
        Event::Upgrade(other) => Turn::Fail(NetError::Denied(format!("not for {other}"))),
        Event::Read(b"PASS made up\n") => Turn::Send(b"HELLO ADA\n".to_vec()),
        Event::Read(b"QUIT\n") => Turn::End,
        Event::Read(_) => Turn::Wait,
    }
}

fn listen() {
    testing::net(|host, port, security| match (host, port) {
        ("mail.acme.example", 587) => Ok(Box::new(server)),
        ("down.acme.example", _) => Err(NetError::Unreachable("nobody answers".to_owned())),
        _ => Err(NetError::Denied(format!("{host}:{port} {security:?}"))),
    });
}

fn greet(name: &str) -> Result<String, Fault> {
    let mut connection = Connection::open("mail.acme.example", 587, Security::Plain)?;
    connection.write_all(b"STARTTLS\n").map_err(net::fault)?;
    let mut answer = [0; 3];
    connection.read_exact(&mut answer).map_err(net::fault)?;
    connection.upgrade(name)?;
    assert!(connection.tls_server_end_point().is_some());
    let password = secret::reveal("password")?;
    writeln!(connection, "PASS {}", password.text()?).map_err(net::fault)?;
    let greeting = connection.receive(100, None)?;
    connection.send(b"QUIT\n")?;
    assert_eq!(connection.receive(1, None)?, b"", "the end");
    Ok(String::from_utf8_lossy(&greeting).trim().to_owned())
}

#[test]
fn a_protocol_with_starttls_and_a_password() {
    listen();
    testing::secrets(&[("password", Some("made up"))]);
    assert_eq!(greet("mail.acme.example"), Ok("HELLO ADA".to_owned()));
    assert_eq!(greet("evil.test"), Err(Fault::denied("not for evil.test")));
    testing::secrets(&[("password", None)]);
    let fault = greet("mail.acme.example").expect_err("no password");
    assert_eq!(
        fault,
        Fault::misconfigured("the pipeline names no secret for `password`")
    );
    assert!(secret::reveal_optional("password").is_ok_and(|value| value.is_none()));
    assert!(matches!(secret::reveal("other"), Err(Fault::Denied(_))));
}

#[test]
fn what_goes_wrong_becomes_a_fault() {
    listen();
    let open = |host: &str, security| Connection::open(host, 587, security);
    assert_eq!(
        open("evil.test", Security::Tls).map(drop),
        Err(NetError::Denied("evil.test:587 Security::Tls".to_owned()))
    );
    let down = open("down.acme.example", Security::Plain)
        .map(drop)
        .map_err(Fault::from);
    assert_eq!(down, Err(Fault::transient("nobody answers")));
    let mut connection = open("mail.acme.example", Security::Tls).expect("it listens");
    let wait = Some(Duration::from_millis(1));
    assert!(matches!(
        connection.receive(1, wait),
        Err(NetError::Timeout(_))
    ));
    assert!(matches!(
        connection.upgrade("mail.acme.example"),
        Err(NetError::Invalid(_))
    ));
    let error = connection.read(&mut [0]).expect_err("nothing came");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(matches!(net::fault(error), Fault::Transient { .. }));
    connection.shutdown().expect("open");
    assert!(matches!(
        connection.send(b"more"),
        Err(NetError::Invalid(_))
    ));
}

#[test]
fn a_revealed_secret_is_not_printed() {
    testing::secrets(&[("password", Some("hunter2"))]);
    let value = secret::reveal("password").expect("it is there");
    assert_eq!(value.bytes(), b"hunter2");
    assert_eq!(
        format!("{value:?} {:?}", Some(&value)),
        "[secret] Some([secret])"
    );
}
