//! A sink that refuses one record in a hundred, answers 500 for a while, hangs for a while, and recovers. Every record
//! is delivered or a dead letter, the equation holds at each sample, one bad state is entered and left, and the server
//! is not stormed meanwhile: its requests are counted.
//!
//! Short in every test run; at its full length by `cargo x storm`.

#![allow(
    clippy::print_stdout,
    reason = "the figures of the storm, for whoever asked for it"
)]

use serde_json::Value;
use sluice_e2e::checker::{Sent, Story, readable};
use sluice_e2e::progress::{Sample, entered};
use sluice_e2e::{TestHost, numbered};
use sluice_upstream::{FaultProxy, Options, Script, Trouble, Upstream};
use std::fs::File;
use std::ops::Range;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Set by `cargo x storm`.
const FULL: &str = "SLUICE_STORM";
const BATCH: u64 = 20;
const REFUSED_PER_MILLE: u64 = 10;
/// Longer than the host waits for an answer: it gives up first, or the proxy lets go.
const HANG: Duration = Duration::from_mins(10);

/// A storm's size.
struct Size {
    records: u64,
    splits: u64,
    outage: Duration,
    hang: Duration,
    max_delay: Duration,
}

impl Size {
    fn short(splits: u64) -> Self {
        Self {
            records: 20_000,
            splits,
            outage: Duration::from_secs(6),
            hang: Duration::from_secs(6),
            max_delay: Duration::from_millis(200),
        }
    }

    fn asked(splits: u64) -> Self {
        if std::env::var_os(FULL).is_none() {
            return Self::short(splits);
        }
        Self {
            records: 100_000,
            splits,
            outage: Duration::from_mins(1),
            hang: Duration::from_mins(1),
            max_delay: Duration::from_secs(2),
        }
    }

    fn ranges(&self) -> Vec<Range<u64>> {
        let each = self.records / self.splits;
        let split = |number| {
            let last = number + 1 == self.splits;
            number * each..if last {
                self.records
            } else {
                (number + 1) * each
            }
        };
        (0..self.splits).map(split).collect()
    }

    /// What one prober may ask in so long, with room for chance: the waits are drawn from zero to `max_delay`, so that
    /// it asks twice in each of those. However many splits there are.
    fn requests_max(&self, time: Duration) -> u64 {
        let one = 2 * time.as_millis() / self.max_delay.as_millis();
        one as u64 * 14 / 10 + 5
    }
}

/// By chance, and the same each time.
fn is_refused(id: u64) -> bool {
    let mixed = (id ^ 0x5eed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33 & 0xffff
        < 65_536 * REFUSED_PER_MILLE / 1_000
}

fn deployment(size: &Size, address: &str) -> TestHost {
    let host = TestHost::new();
    for (number, ids) in size.ranges().into_iter().enumerate() {
        host.write(&format!("in/{number}.ndjson"), numbered(ids, 220));
    }
    let max_delay = size.max_delay.as_millis();
    host.write(
        "storm.toml",
        format!(
            "[pipeline]\nname = \"storm\"\n\n\
             [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
             [schema.rows]\nkey = [\"id\"]\nfields = {{ id = \"int64\", name = \"text\" }}\n\n\
             [[sink]]\nplugin = \"sluice/http@0.1\"\n\
             config = {{ url = \"{address}\", path = \"/v1/rows\", mode = \"batch\", batch_size = {BATCH}, results = \"\" }}\n\n\
             [delivery]\nretry = {{ for = \"10m\", max_delay = \"{max_delay}ms\" }}\n"
        ),
    );
    host.grant_local("storm.toml");
    host
}

/// What a storm left.
struct Told {
    story: Story,
    samples: Vec<Sample>,
    /// Requests while the server answered 500, and while it hung.
    outage: u64,
    hang: u64,
}

fn storm(size: &Size) -> Told {
    let refuse = |record: &Value| {
        let id = record["id"].as_u64()?;
        is_refused(id).then(|| "taken".to_owned())
    };
    let upstream = Upstream::start(Options {
        refuse: Some(Arc::new(refuse)),
        journal: true,
        ..Options::default()
    })
    .expect("a server");
    let proxy = FaultProxy::start(upstream.port(), Script::default()).expect("a proxy");
    let host = deployment(size, &proxy.address());
    let (out, err) = (host.path("out.txt"), host.path("err.txt"));
    let began = Instant::now();
    let mut child = host
        .command(&["run", "storm.toml"])
        .stdout(Stdio::from(File::create(&out).expect("a file")))
        .stderr(Stdio::from(File::create(&err).expect("a file")))
        .spawn()
        .expect("the binary runs");

    // In the middle of the run, wherever that is in time.
    let requests = size.records / BATCH;
    while proxy.requests() < requests / 4 {
        assert!(child.try_wait().expect("our own child").is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let during = |trouble: Trouble, time: Duration| {
        proxy.impose(trouble);
        let before = proxy.requests();
        std::thread::sleep(time);
        proxy.requests() - before
    };
    let outage = during(Trouble::status(500), size.outage);
    let hang = during(Trouble::Hang(HANG), size.hang);
    proxy.relent();
    let status = child.wait().expect("it ends");
    let seconds = began.elapsed().as_secs_f64();
    let (out, err) = (host.read("out.txt"), host.read("err.txt"));
    assert!(status.success(), "{out}\n{err}");
    assert_eq!(readable(&format!("{out}{err}")), Vec::<String>::new());
    let end = out.lines().find_map(Sample::of_end).expect("the equation");
    assert!(end.balances() && end.in_flight == 0, "{end:?}");
    println!(
        "{} records in {} splits, {seconds:.1} s: {} requests, {outage} of them in {:?} of 500, {hang} in {:?} of hanging; {} dead letters",
        size.records,
        size.splits,
        proxy.requests(),
        size.outage,
        size.hang,
        end.dead_lettered,
    );
    let checkpoints = host
        .sluice(&["checkpoint", "list", "storm.toml", "--json"])
        .done()
        .json();
    let sent = upstream.journal().into_iter().map(|sent| Sent {
        id: sent.record["id"].as_u64().expect("an id"),
        key: sent.key.unwrap_or_default(),
        status: sent.status,
    });
    let story = Story {
        splits: size.ranges(),
        refused: (0..size.records).filter(|id| is_refused(*id)).collect(),
        sent: sent.collect(),
        letters: host.dead_letters("storm.toml"),
        reports: Vec::new(),
        checkpoints,
    };
    let fired = proxy.fired();
    assert!(
        fired.contains_key("answer") && fired.contains_key("hang"),
        "{fired:?}"
    );
    Told {
        story,
        samples: err
            .lines()
            .filter_map(Sample::of_line)
            .chain([end])
            .collect(),
        outage,
        hang,
    }
}

#[test]
fn a_storm_loses_nothing_and_the_equation_holds_all_the_while() {
    let size = Size::asked(4);
    let told = storm(&size);
    let breaches = told.story.judge();
    assert!(
        breaches.is_empty(),
        "{}",
        breaches[..breaches.len().min(20)].join("\n")
    );
    let share = told.story.refused.len() as u64 * 1_000 / size.records;
    assert!(
        (5..=15).contains(&share),
        "{share} of a thousand are refused"
    );
    assert!(told.samples.len() > 1, "no sample but the last was taken");
    for sample in &told.samples {
        assert!(sample.balances(), "{sample:?}");
    }
    // The bad state: entered with the first trouble, and not left before the end of the last.
    let waits = told.samples.iter().map(|sample| sample.waiting.is_some());
    assert_eq!(entered(waits), (1, true), "{:#?}", told.samples);
    assert!(told.outage > 0 && told.hang <= told.outage);
}

/// However many splits there are, one asks whether the server is back.
#[test]
fn an_outage_makes_no_storm_of_requests() {
    for splits in [1, 8] {
        let size = Size::asked(splits);
        let told = storm(&size);
        let breaches = told.story.judge();
        assert!(
            breaches.is_empty(),
            "{}",
            breaches[..breaches.len().min(20)].join("\n")
        );
        let bound = size.requests_max(size.outage);
        assert!(
            told.outage <= bound,
            "{splits} splits: {} requests in {:?}, at most {bound} were to be",
            told.outage,
            size.outage
        );
        // What hangs is asked once, and again where the host itself gave up.
        assert!(
            told.hang <= 4,
            "{splits} splits: {} requests hung",
            told.hang
        );
    }
}
