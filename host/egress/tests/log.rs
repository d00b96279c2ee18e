//! What the log has of requests. A program of its own: whether anybody listens to a place in the code is found out once
//! for a whole process, and tests that run beside this one would find out that nobody does.
#![allow(dead_code, reason = "it uses a part of the door's ground")]

#[path = "door/ground.rs"]
mod ground;
#[path = "door/server.rs"]
mod server;

use ground::{Ground, request, send};
use server::{Server, ok};
use std::sync::{Arc, Mutex};

/// What the log has, at its loudest.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_no_query_no_header_and_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    for place in ["bearer", "query:key"] {
        let server = Server::start(|_| ok("hello")).await;
        let (door, _) = Ground {
            auth: Some(place),
            ..Ground::default()
        }
        .door(&server);
        let uri = format!("http://api.acme.example:{}/v2/a?page=quiet", server.port());
        send(&door, request("GET", &uri, &[("x-note", "quiet")], ""))
            .await
            .expect("an answer");
        let refused = format!("http://api.acme.example:{}/v9?page=quiet", server.port());
        send(&door, request("GET", &refused, &[], ""))
            .await
            .expect_err("not granted");
    }
    let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    assert!(
        text.contains("request method=GET host=api.acme.example:") && text.contains("status=200"),
        "{text}"
    );
    assert!(
        !text.contains("quiet") && !text.contains("s3cret"),
        "{text}"
    );
}
