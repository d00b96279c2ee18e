//! A NATS server of the tests' own, with JetStream: its streams in a temporary folder, on loopback at a port that was
//! free, with TLS by a made-up authority for plugins, and without for the tests. Gone when it is dropped.

use crate::process::{Process, program};
use crate::tls::Tls;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Who reads and publishes: what the plugin's README asks for, and no more.
pub const USER: &str = "sluice";
/// Made up.
pub const PASSWORD: &str = "correct-horse-battery-staple-7";
/// Who sets everything up.
const ADMIN: &str = "admin";
/// The signal that ends a server.
const KILL: &str = "-KILL";
/// How long the tests wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages of one question, and before the answers to what was published are read.
const AT_ONCE: usize = 2_000;

/// A running server.
pub struct Nats {
    /// On 127.0.0.1, by the name `localhost`.
    pub port: u16,
    /// The authority behind its certificate, as PEM.
    pub authority: String,
    // Over before its folder is gone.
    process: Process,
    _folder: tempfile::TempDir,
}

impl Nats {
    /// A server without streams.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with more in its configuration.
    pub fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = Tls::new();
        for (name, text) in [("server.crt", &tls.certificate), ("server.key", &tls.key)] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let (port, process) = Process::start("Server is ready", KILL, |port| {
            let configuration = configuration(folder.path(), port, more);
            std::fs::write(folder.path().join("server.conf"), configuration).expect("a file");
            let mut server = Command::new(program("nats-server"));
            server
                .args(["-c", "server.conf"])
                .current_dir(folder.path())
                .env_clear();
            server
        });
        Self {
            port,
            authority: tls.authority,
            process,
            _folder: folder,
        }
    }

    /// Killed, and back on the same port.
    pub fn restart(&mut self) {
        self.stop();
        self.process.comes_back();
    }

    /// Killed.
    pub fn stop(&mut self) {
        self.process.stop(KILL);
    }

    /// Somebody who may do anything.
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }
}

fn configuration(folder: &Path, port: u16, more: &str) -> String {
    let folder = folder.display();
    // As the README lists it, for streams and consumers of any name.
    let permissions = r#"{
      publish = ["here.>", "there.>", "warehouse.>", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.DURABLE.CREATE.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*", "$JS.ACK.>"]
      subscribe = ["_INBOX.>"]
    }"#;
    format!(
        "listen = \"127.0.0.1:{port}\"\njetstream {{ store_dir = \"{folder}/streams\" }}\n\
         tls {{ cert_file = \"{folder}/server.crt\", key_file = \"{folder}/server.key\" }}\nallow_non_tls = true\n\
         authorization {{ users = [\n  {{ user = {USER}, password = \"{PASSWORD}\", permissions = {permissions} }}\n  \
         {{ user = {ADMIN}, password = \"{PASSWORD}\" }}\n] }}\n{more}\n"
    )
}

/// Speaks to a server, in the clear.
pub struct Client {
    stream: BufReader<TcpStream>,
    asked: usize,
}

/// What was sent to it.
struct Message {
    subject: String,
    reply: Option<String>,
    head: String,
    body: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = Self {
            stream: BufReader::new(stream),
            asked: 0,
        };
        client.line();
        client.say(&format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"{ADMIN}\",\"pass\":\"{PASSWORD}\"}}\r\n\
             SUB _INBOX.tests.* 1\r\n"
        ));
        client
    }

    fn say(&mut self, said: &str) {
        let sent = self.stream.get_mut().write_all(said.as_bytes());
        sent.expect("it listens");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("it answers");
        line
    }

    fn message(&mut self) -> Message {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split_whitespace().collect();
            let (head, reply) = match words[..] {
                ["PING"] => {
                    self.say("PONG\r\n");
                    continue;
                }
                ["MSG", _, _, _] => (0, None),
                ["MSG", _, _, reply, _] => (0, Some(reply)),
                ["HMSG", _, _, head, _] => (head.parse().expect("a number"), None),
                ["HMSG", _, _, reply, head, _] => (head.parse().expect("a number"), Some(reply)),
                _ => panic!("{line}"),
            };
            let length: usize = words[words.len() - 1].parse().expect("a number");
            let mut content = vec![0; length + 2];
            self.stream.read_exact(&mut content).expect("a message");
            content.truncate(length);
            let body = content.split_off(head);
            return Message {
                subject: words[1].to_owned(),
                reply: reply.map(ToOwned::to_owned),
                head: String::from_utf8(content).expect("text"),
                body,
            };
        }
    }

    /// What JetStream answers.
    pub fn ask(&mut self, subject: &str, body: &Value) -> Value {
        let body = body.to_string();
        self.say(&format!(
            "PUB $JS.API.{subject} _INBOX.tests.ask {}\r\n{body}\r\n",
            body.len()
        ));
        loop {
            let message = self.message();
            if message.subject == "_INBOX.tests.ask" {
                return serde_json::from_slice(&message.body).expect("JSON");
            }
        }
    }

    /// The same, where it must do what was asked.
    pub fn done(&mut self, subject: &str, body: &Value) -> Value {
        let answer = self.ask(subject, body);
        assert!(answer["error"].is_null(), "{subject}: {answer}");
        answer
    }

    /// A stream of all subjects below its name in small letters, with more settings.
    pub fn stream(&mut self, name: &str, more: &Value) {
        let mut config = json!({ "name": name, "subjects": [format!("{}.>", name.to_lowercase())], "storage": "file" });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        drop(self.done(&format!("STREAM.CREATE.{name}"), &config));
    }

    /// Messages to one subject, each of which is stored when it returns.
    pub fn publish(&mut self, subject: &str, bodies: impl IntoIterator<Item = String>) {
        let mut bodies = bodies.into_iter().peekable();
        while bodies.peek().is_some() {
            let mut said = String::new();
            let mut count = 0;
            for body in bodies.by_ref().take(AT_ONCE) {
                // Writing to a string cannot fail.
                let _ = write!(
                    said,
                    "PUB {subject} _INBOX.tests.stored {}\r\n{body}\r\n",
                    body.len()
                );
                count += 1;
            }
            self.say(&said);
            for _ in 0..count {
                let message = self.message();
                let body = String::from_utf8_lossy(&message.body);
                assert!(
                    body.contains("\"seq\""),
                    "{subject}: {} {body}",
                    message.head
                );
            }
        }
    }

    /// A stream and its state.
    pub fn info(&mut self, stream: &str) -> Value {
        self.done(&format!("STREAM.INFO.{stream}"), &json!({}))
    }

    /// How many messages it has.
    pub fn count(&mut self, stream: &str) -> u64 {
        self.info(stream)["state"]["messages"]
            .as_u64()
            .expect("a number")
    }

    /// A consumer and its state.
    pub fn consumer(&mut self, stream: &str, name: &str) -> Value {
        self.ask(&format!("CONSUMER.INFO.{stream}.{name}"), &json!({}))
    }

    /// Every message that a stream has, in order: subject, head and body. By a consumer that leaves no trace.
    pub fn messages(&mut self, stream: &str) -> Vec<(String, String, Vec<u8>)> {
        let count = usize::try_from(self.count(stream)).expect("a number");
        let config = json!({ "stream_name": stream, "config": { "ack_policy": "none", "deliver_policy": "all", "inactive_threshold": 60_000_000_000_u64 } });
        let made = self.done(&format!("CONSUMER.CREATE.{stream}"), &config);
        let name = made["name"].as_str().expect("a name").to_owned();
        let mut messages = Vec::new();
        while messages.len() < count {
            self.asked += 1;
            let batch = AT_ONCE.min(count - messages.len());
            let body = json!({ "batch": batch, "expires": 20_000_000_000_u64 }).to_string();
            self.say(&format!(
                "PUB $JS.API.CONSUMER.MSG.NEXT.{stream}.{name} _INBOX.tests.{} {}\r\n{body}\r\n",
                self.asked,
                body.len()
            ));
            for _ in 0..batch {
                let message = self.message();
                assert!(message.reply.is_some(), "{}", message.head);
                messages.push((message.subject, message.head, message.body));
            }
        }
        messages
    }
}
