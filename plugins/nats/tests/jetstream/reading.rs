//! The source against a server that sends twice, sends to others and goes away: whatever happens, each message is read
//! once, and none is acknowledged before it is durable.

use crate::fake::{self, Fake, SETTINGS, Shared};
use proptest::prelude::*;
use sluice_nats::{NatsSource, Place, StreamReader};
use sluice_sdk::source::{Content, Limit, Next, Split};
use sluice_sdk::testing::{self, Event, Turn};
use sluice_sdk::{Fault, Page, Reader as _, Source as _};
use std::cell::RefCell;
use std::rc::Rc;

const LIMIT: Limit = Limit {
    rows: 5,
    bytes: 1 << 20,
    wait_ms: 20,
};

fn open(place: Option<Place>) -> Result<StreamReader, Fault> {
    let config = sluice_sdk::parse_config(SETTINGS).expect("settings");
    NatsSource::open(config, Split::new("things", "things"), place)
}

fn prepare() -> Result<(), Fault> {
    let config = sluice_sdk::parse_config(SETTINGS).expect("settings");
    NatsSource::prepare(&config, &["things".to_owned()])
}

/// The numbers of a page's messages, which are their bodies.
fn numbers(page: &Page<Place>) -> Vec<u64> {
    let mut numbers = Vec::new();
    for part in &page.parts {
        let Content::Document(document) = &part.content else {
            panic!("{part:?}")
        };
        let lines = String::from_utf8(document.bytes.clone()).expect("text");
        numbers.extend(
            lines
                .lines()
                .map(|line| line.parse::<u64>().expect("a number")),
        );
    }
    numbers
}

fn place(sequence: u64) -> Place {
    serde_json::from_value(serde_json::json!({ "sequence": sequence, "created": "then" }))
        .expect("a place")
}

fn sequence(place: &Place) -> u64 {
    serde_json::to_value(place).expect("JSON")["sequence"]
        .as_u64()
        .expect("a number")
}

/// A host: what it has read, and what of it is durable.
struct Host {
    fake: Shared,
    reader: Option<StreamReader>,
    /// What each page held, and its place.
    pages: Vec<(Vec<u64>, Place)>,
    /// So many of them are durable.
    durable: usize,
}

impl Host {
    fn new() -> Self {
        let fake = fake::start();
        prepare().expect("it is there");
        Self {
            fake,
            reader: None,
            pages: Vec::new(),
            durable: 0,
        }
    }

    fn place(&self, pages: usize) -> Option<Place> {
        pages.checked_sub(1).map(|last| self.pages[last].1.clone())
    }

    /// As after a fault: at the last page; as after a kill: at the last that is durable.
    fn reopen(&mut self, is_killed: bool) {
        self.reader = None;
        if is_killed {
            self.pages.truncate(self.durable);
        }
        let place = self.place(self.pages.len());
        self.reader = open(place).ok();
    }

    fn read(&mut self) -> bool {
        let Some(reader) = &mut self.reader else {
            self.reopen(false);
            return true;
        };
        match reader.read(LIMIT) {
            Ok(page) => {
                let is_more = page.next == Next::More || !page.parts.is_empty();
                self.pages.push((numbers(&page), page.cursor));
                is_more
            }
            Err(Fault::Transient { .. }) => {
                self.reader = None;
                true
            }
            Err(fault) => panic!("{fault}"),
        }
    }

    /// Reads until nothing comes, also where a reader has to begin anew.
    fn drain(&mut self) {
        let mut idle = 0;
        while idle < 3 {
            idle = if self.read() { 0 } else { idle + 1 };
        }
    }

    fn acknowledge(&mut self, pages: usize) {
        let durable = (self.durable + pages).min(self.pages.len());
        let Some(place) = self.place(durable) else {
            return;
        };
        self.durable = durable;
        self.fake.borrow_mut().durable = sequence(&place);
        if let Some(reader) = &mut self.reader
            && reader.acknowledge(place).is_err()
        {
            self.reader = None;
        }
    }

    /// All that was read, in order.
    fn found(&self) -> Vec<u64> {
        self.pages
            .iter()
            .flat_map(|(numbers, _)| numbers)
            .copied()
            .collect()
    }
}

#[derive(Debug, Clone)]
enum Happens {
    Store(u64),
    Read,
    Acknowledge(usize),
    Fault,
    Kill,
    Expire,
    Steal(u64),
    Break(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (1..20_u64).prop_map(Happens::Store),
        8 => Just(Happens::Read),
        3 => (1..4_usize).prop_map(Happens::Acknowledge),
        1 => Just(Happens::Fault),
        1 => Just(Happens::Kill),
        2 => Just(Happens::Expire),
        1 => (1..4_u64).prop_map(Happens::Steal),
        1 => (1..3_u64).prop_map(Happens::Break),
    ]
}

fn store(fake: &mut Fake, count: u64) {
    for _ in 0..count {
        let number = fake.last + 1;
        fake.store(number.to_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The one that matters. The fake asserts that nothing is acknowledged before its time.
    #[test]
    fn each_message_is_read_once_whatever_happens(story in proptest::collection::vec(happens(), 1..80)) {
        let mut host = Host::new();
        for event in story {
            match event {
                Happens::Store(count) => store(&mut host.fake.borrow_mut(), count),
                Happens::Read => {
                    host.read();
                }
                Happens::Acknowledge(pages) => host.acknowledge(pages),
                Happens::Fault => host.reopen(false),
                Happens::Kill => host.reopen(true),
                Happens::Expire => host.fake.borrow_mut().expire(),
                Happens::Steal(count) => host.fake.borrow_mut().steal(count),
                Happens::Break(count) => host.fake.borrow_mut().broken = count,
            }
            let found = host.found();
            prop_assert!(found.iter().copied().eq(1..=found.len() as u64), "{found:?}");
        }
        // To the end, and all of it acknowledged.
        host.drain();
        // What somebody else was sent last is told of once its time is over.
        host.fake.borrow_mut().expire();
        host.drain();
        let last = host.fake.borrow().last;
        prop_assert_eq!(host.found().len() as u64, last);
        for _ in 0..4 {
            host.acknowledge(host.pages.len());
            host.fake.borrow_mut().expire();
            host.read();
            host.read();
        }
        host.acknowledge(host.pages.len());
        let fake = host.fake.borrow();
        prop_assert!(fake.pending.is_empty(), "{:?}", fake.pending);
    }

    /// No words of a server panic the plugin, or keep it: they are answered, refused or waited out.
    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(word(), 0..40)) {
        let config = SETTINGS.replace(r#""user": "u", "#, "");
        testing::secrets(&[("token", None)]);
        let words = Rc::new(RefCell::new(words));
        testing::net(move |_, _, _| {
            let words = Rc::clone(&words);
            let mut greeted = false;
            Ok(Box::new(move |event| match event {
                Event::Upgrade(_) => Turn::Wait,
                Event::Read(_) if !std::mem::replace(&mut greeted, true) => {
                    Turn::Send(b"INFO {\"headers\":true,\"jetstream\":true,\"tls_available\":true,\"max_payload\":1000}\r\n".to_vec())
                }
                Event::Read(said) => match words.borrow_mut().pop() {
                    None => Turn::End,
                    // What is sent to whoever asked last.
                    Some(word) => Turn::Send(word.replace("REPLY", &reply_of(said)).into_bytes()),
                },
            }))
        });
        let read = || -> Result<(), Fault> {
            let mut reader = NatsSource::open(sluice_sdk::parse_config(&config)?, Split::new("things", "things"), Some(place(3)))?;
            for _ in 0..5 {
                let page = reader.read(LIMIT)?;
                reader.acknowledge(page.cursor)?;
            }
            Ok(())
        };
        let _ = read();
    }
}

/// Where the last question is answered to.
fn reply_of(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said).into_owned();
    let words = said.split_whitespace().rev();
    words
        .into_iter()
        .find(|word| word.starts_with("_INBOX."))
        .unwrap_or("nobody")
        .to_owned()
}

/// What servers say, and what they should not.
fn word() -> impl Strategy<Value = String> {
    let framed = |body: &str| format!("MSG REPLY 1 {}\r\n{body}\r\n", body.len());
    let consumer = r#"{"config":{"ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"deliver_policy":"all","replay_policy":"instant","max_ack_pending":100000},"delivered":{"consumer_seq":7,"stream_seq":18446744073709551615},"num_pending":3}"#;
    let status = "NATS/1.0 409 Consumer Deleted\r\n\r\n";
    let mut all = vec![
        "PING\r\n".to_owned(),
        "PONG\r\n".to_owned(),
        "+OK\r\n".to_owned(),
        "-ERR 'Slow Consumer'\r\n".to_owned(),
        "INFO {\"max_payload\":-1}\r\n".to_owned(),
        "INFO {}\r\n".to_owned(),
        "MSG a 2 $JS.ACK.HERE.c.1.8.8.0.0 1\r\n7\r\n".to_owned(),
        "MSG a 2 $JS.ACK.HERE.c.1.18446744073709551615.8.18446744073709551615.18446744073709551615 0\r\n\r\n".to_owned(),
        "MSG a 2 $JS.ACK.HERE.c.2.9.9.0.0 1\r\n7\r\n".to_owned(),
        "MSG a 2 reply 1\r\n7\r\n".to_owned(),
        "MSG a 2 1\r\n7\r\n".to_owned(),
        "MSG a 2 9".to_owned(),
        "MSG a 2 99999999999\r\n".to_owned(),
        "HMSG a 2 12 2\r\n".to_owned(),
        format!("HMSG REPLY 2 {0} {0}\r\n{status}\r\n", status.len()),
        format!("HMSG REPLY 1 {0} {0}\r\n{status}\r\n", status.len()),
    ];
    for body in [
        "",
        "{}",
        "nonsense",
        consumer,
        r#"{"created":"then","config":{},"state":{"first_seq":1,"last_seq":18446744073709551615}}"#,
        r#"{"created":"then","config":{},"state":{"first_seq":1,"last_seq":9}}"#,
        r#"{"created":"then","config":{},"state":{"first_seq":"one","last_seq":9}}"#,
        r#"{"message":{"subject":"a","seq":1,"data":"e30=","time":"2026-11-27T08:00:00Z"}}"#,
        r#"{"message":{"subject":"a","seq":4,"data":"e30=","time":"2026-11-27T08:00:00Z"}}"#,
        r#"{"message":{"subject":"a","seq":5,"data":"not base64","time":"never"}}"#,
        r#"{"message":{"subject":"a","seq":18446744073709551615,"data":"","time":"2026-11-27T08:00:00Z"}}"#,
        r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#,
        r#"{"error":{"code":500,"err_code":1,"description":"x"}}"#,
    ] {
        all.push(framed(body));
    }
    prop_oneof![6 => proptest::sample::select(all), 1 => "[ -~\r\n]{0,40}"]
}

#[test]
fn a_server_that_always_says_something_does_not_keep_a_read() {
    let fake = fake::start();
    prepare().expect("it is there");
    let mut reader = open(None).expect("it opens");
    for _ in 0..2 {
        let page = reader.read(LIMIT).expect("nothing is there");
        assert!(page.parts.is_empty());
    }
    fake.borrow_mut().floods = true;
    let began = std::time::Instant::now();
    let page = reader.read(LIMIT).expect("nothing comes");
    assert!(page.parts.is_empty() && began.elapsed().as_secs() < 5);
}

#[test]
fn what_two_readers_take_from_each_other_is_told_and_read() {
    let mut host = Host::new();
    store(&mut host.fake.borrow_mut(), 3);
    host.drain();
    store(&mut host.fake.borrow_mut(), 9);
    host.fake.borrow_mut().steal(2);
    let reader = host.reader.as_mut().expect("it is open");
    let fault = reader.read(LIMIT).expect_err("two are missing");
    assert!(
        fault
            .to_string()
            .starts_with("transient: the consumer `c` has sent messages to somebody else"),
        "{fault}"
    );
    host.reopen(false);
    host.drain();
    assert!(host.found().into_iter().eq(1..=12));
}

#[test]
fn a_backfill_leaves_the_consumer_alone() {
    let mut host = Host::new();
    store(&mut host.fake.borrow_mut(), 20);
    host.drain();
    host.acknowledge(99);
    let sent = host.fake.borrow().sent;
    let mut again = open(Some(place(4))).expect("it opens");
    let mut found = Vec::new();
    loop {
        let page = again.read(LIMIT).expect("a page");
        found.extend(numbers(&page));
        // As the host does it: a page that is empty, and waits, is the end.
        if page.parts.is_empty() && page.next != Next::More {
            break;
        }
    }
    assert!(found.into_iter().eq(5..=20));
    assert_eq!(host.fake.borrow().sent, sent, "nothing was taken");
}

#[test]
fn a_consumer_that_is_gone_is_told() {
    let mut host = Host::new();
    store(&mut host.fake.borrow_mut(), 3);
    host.drain();
    host.fake.borrow_mut().consumer = None;
    let fault = open(Some(place(3))).err().expect("it is gone");
    assert!(
        matches!(fault, Fault::Misconfigured(_))
            && fault.message().contains("start the pipeline again"),
        "{fault}"
    );
    // A check looks at what is there, and makes none.
    let mut sampled = open(None).expect("it opens");
    let page = sampled.read(LIMIT).expect("a page");
    assert_eq!(numbers(&page), [1, 2, 3]);
    assert_eq!(sampled.read(LIMIT).expect("a page").next, Next::End);
    assert!(host.fake.borrow().consumer.is_none());
}
