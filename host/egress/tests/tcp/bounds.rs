//! Time, bytes and numbers: what a server or a plugin cannot make the host spend.

use crate::ground::{Ground, PATIENT, Watch, plain, read, told};
use crate::server::{Server, echo};
use sluice_egress::{NetDoor, TcpSettings};
use sluice_model::limits::{TCP_READ_BYTES_MAX, TCP_WRITE_BYTES_MAX};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn granted(port: u16, terms: &str) -> (NetDoor, Arc<Watch>) {
    let terms = terms.to_owned();
    Ground {
        terms,
        ..Ground::default()
    }
    .door(port)
}

#[tokio::test]
async fn a_slow_server_is_waited_for_no_longer_than_asked_and_loses_nothing() {
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let server = Server::start(move |mut stream: TcpStream| {
        let wait = Arc::clone(&wait);
        async move {
            let waited = wait.lock().await.take();
            if let Some(waited) = waited {
                let _ = waited.await;
            }
            let _ = stream.write_all(b"late").await;
            let _ = stream.read(&mut [0]).await;
        }
    })
    .await;
    let (door, _) = Ground::default().door(server.port);
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    let (kind, text) = told(connection.read(10, Duration::from_millis(20)).await);
    assert_eq!(kind, "timeout");
    assert_eq!(
        text,
        format!("`db.acme.example:{}` sent nothing within 20ms", server.port)
    );
    assert_eq!(told(connection.read(10, Duration::ZERO).await).0, "timeout");
    go.send(()).expect("it waits");
    assert_eq!(read(&mut *connection, 4).await, b"late");
}

#[tokio::test]
async fn the_hosts_own_patience_is_the_longest() {
    let server = Server::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let short = Duration::from_millis(30);
    let settings = TcpSettings {
        read_time_max: short,
        write_time_max: short,
        ..TcpSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(server.port);
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    assert_eq!(told(connection.read(1, PATIENT).await).0, "timeout");
    // A server that never reads: the system's buffers fill up, and then nothing moves.
    let piece = vec![0; TCP_WRITE_BYTES_MAX];
    let stuck = loop {
        if let Err(error) = connection.write(&piece).await {
            break told::<()>(Err(error));
        }
    };
    assert_eq!(stuck.0, "timeout", "{}", stuck.1);
    let (kind, text) = told(connection.write(b"more").await);
    assert_eq!(kind, "closed");
    assert!(text.ends_with("a write was not finished"), "{text}");
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("an address");
    // The system answers for a few that nobody accepts, and then no more.
    let answers = || tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address));
    let mut waiting = Vec::new();
    while let Ok(answered) = answers().await {
        waiting.push(answered.expect("a connection"));
        assert!(waiting.len() < 100, "its queue never fills up");
    }
    let settings = TcpSettings {
        connect_time_max: Duration::from_millis(50),
        ..TcpSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(address.port());
    let (kind, text) = told(plain(&door, "db.acme.example", address.port()).await);
    assert_eq!(kind, "timeout", "{text}");
    assert!(text.ends_with("did not answer within 50ms"), "{text}");
}

#[tokio::test]
async fn a_server_that_ends_is_an_end_and_one_that_breaks_off_is_not() {
    let ends = Server::start(|mut stream: TcpStream| async move {
        let _ = stream.write_all(b"bye").await;
    })
    .await;
    let (door, _) = Ground::default().door(ends.port);
    let mut connection = plain(&door, "db.acme.example", ends.port)
        .await
        .expect("a connection");
    assert_eq!(read(&mut *connection, 3).await, b"bye");
    for _ in 0..3 {
        assert_eq!(connection.read(10, PATIENT).await.expect("the end"), b"");
    }
    let breaks = Server::start(|stream: TcpStream| async move {
        stream.set_zero_linger().expect("an option");
    })
    .await;
    let (door, _) = Ground::default().door(breaks.port);
    let mut connection = plain(&door, "db.acme.example", breaks.port)
        .await
        .expect("a connection");
    let (kind, text) = told(connection.read(10, PATIENT).await);
    assert_eq!(kind, "closed", "{text}");
    let closed = format!(
        "the connection to `db.acme.example:{}` is closed: it broke off",
        breaks.port
    );
    assert_eq!(
        told(connection.read(10, PATIENT).await),
        ("closed", closed.clone())
    );
    assert_eq!(told(connection.write(b"x").await), ("closed", closed));
}

#[tokio::test]
async fn a_half_closed_connection_still_gives_its_answer() {
    let server = Server::start(|mut stream: TcpStream| async move {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        let _ = stream
            .write_all(format!("{} bytes", all.len()).as_bytes())
            .await;
    })
    .await;
    let (door, _) = Ground::default().door(server.port);
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    connection.write(b"hello").await.expect("written");
    connection.shutdown().await.expect("ended");
    assert_eq!(told(connection.write(b"more").await).0, "invalid");
    assert_eq!(told(connection.shutdown().await).0, "invalid");
    assert_eq!(
        told(connection.upgrade("db.acme.example").await).0,
        "invalid"
    );
    assert_eq!(read(&mut *connection, 7).await, b"5 bytes");
    assert_eq!(connection.read(1, PATIENT).await.expect("the end"), b"");
}

#[tokio::test]
async fn one_call_moves_so_many_bytes_and_no_more() {
    let server = Server::start(|mut stream: TcpStream| async move {
        let flood = vec![b'x'; 1 << 20];
        while stream.write_all(&flood).await.is_ok() {}
    })
    .await;
    let (door, watch) = Ground::default().door(server.port);
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    let mut received = 0;
    for asked in [1, 100, usize::MAX, usize::MAX] {
        let got = connection.read(asked, PATIENT).await.expect("bytes").len();
        assert!(
            (1..=asked.min(TCP_READ_BYTES_MAX)).contains(&got),
            "{got} of {asked}"
        );
        received += got as u64;
    }
    assert_eq!(told(connection.read(0, PATIENT).await).0, "invalid");
    let (kind, text) = told(connection.write(&vec![0; TCP_WRITE_BYTES_MAX + 1]).await);
    assert_eq!(
        (kind, text.as_str()),
        (
            "limit",
            "one write holds 1048576 bytes at most, not 1048577"
        )
    );
    assert!(
        !connection
            .read(1, PATIENT)
            .await
            .expect("it goes on")
            .is_empty()
    );
    drop(connection);
    assert_eq!(
        watch.used(&format!("db.acme.example:{}", server.port)),
        (1, 0, received + 1)
    );
}

#[tokio::test]
async fn a_flood_ends_at_the_grants_budget() {
    let server = Server::start(|mut stream: TcpStream| async move {
        let flood = vec![b'x'; 1 << 20];
        while stream.write_all(&flood).await.is_ok() {}
    })
    .await;
    let (door, watch) = granted(server.port, "bytes_in_max = \"1MiB\"");
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    let mut received = 0;
    let refused = loop {
        match connection.read(1 << 16, PATIENT).await {
            Ok(bytes) => received += bytes.len(),
            Err(error) => break told::<()>(Err(error)),
        }
    };
    assert!(received <= 1 << 20, "{received}");
    assert_eq!(refused.0, "denied");
    assert!(
        refused.1.contains("`bytes_in_max = \"1MiB\"`"),
        "{}",
        refused.1
    );
    assert!(
        refused.1.ends_with("bytes_in_max = \"2MiB\""),
        "{}",
        refused.1
    );
    assert_eq!(told(connection.read(1, PATIENT).await).0, "closed");
    // What is spent is spent, for every connection of that entry.
    assert_eq!(
        told(plain(&door, "other.acme.example", server.port).await).0,
        "denied"
    );
    assert_eq!(watch.refusals().len(), 2);
    plain(&door, "127.0.0.1", server.port)
        .await
        .expect("another entry of the grant");
}

#[tokio::test]
async fn what_is_sent_ends_at_the_grants_budget_over_all_connections() {
    let server = Server::start(echo).await;
    let (door, _) = granted(server.port, "bytes_out_max = \"10\"");
    let mut one = plain(&door, "one.acme.example", server.port)
        .await
        .expect("a connection");
    let mut two = plain(&door, "two.acme.example", server.port)
        .await
        .expect("a connection");
    one.write(b"123456").await.expect("six");
    two.write(b"1234").await.expect("ten");
    assert_eq!(told(two.write(b"1").await).0, "denied");
    assert_eq!(read(&mut *one, 6).await, b"123456");
}

#[tokio::test]
async fn a_thousand_connections_are_not_to_be_had() {
    let server = Server::start(echo).await;
    let settings = TcpSettings {
        connections_max: 20,
        ..TcpSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(server.port);
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..1_000 {
        match plain(&door, "db.acme.example", server.port).await {
            Ok(connection) => open.push(connection),
            Err(error) => {
                let (kind, text) = told::<()>(Err(error));
                assert_eq!(
                    (kind, text.as_str()),
                    ("limit", "20 connections are open: let go of one first")
                );
                refused += 1;
            }
        }
    }
    assert_eq!((open.len(), refused), (20, 980));
    open.pop();
    let mut last = plain(&door, "db.acme.example", server.port)
        .await
        .expect("one was let go of");
    // Answered, it was accepted, and all before it.
    last.write(b"x").await.expect("written");
    assert_eq!(read(&mut *last, 1).await, b"x");
    assert_eq!(server.connections(), 21);
}

#[tokio::test]
async fn a_dropped_connection_is_closed() {
    let (closed, ended) = tokio::sync::mpsc::channel::<usize>(1);
    let server = Server::start(move |mut stream: TcpStream| {
        let closed = closed.clone();
        async move {
            let left = stream.read(&mut [0]).await.unwrap_or_default();
            let _ = closed.send(left).await;
        }
    })
    .await;
    let mut ended = ended;
    let (door, _) = Ground::default().door(server.port);
    drop(
        plain(&door, "db.acme.example", server.port)
            .await
            .expect("a connection"),
    );
    assert_eq!(ended.recv().await, Some(0));
}
