//! A sink that refuses one record in a hundred, answers 500 for a while, hangs for a while, and recovers, under a
//! service that is scraped all the while. Every record is delivered or a dead letter, the equation holds at each sample,
//! one bad state is entered and left, and the server is not stormed meanwhile: its requests are counted.
//!
//! Short in every test run; at its full length by `cargo x storm`.

#![allow(
    clippy::print_stdout,
    reason = "the figures of the storm, for whoever asked for it"
)]

use serde_json::Value;
use sluice_e2e::checker::{Sent, Story, readable};
use sluice_e2e::progress::{Page, Sample, entered};
use sluice_e2e::service::{Service, add, deployment, view};
use sluice_e2e::{TestHost, numbered};
use sluice_upstream::{FaultProxy, Options, Script, Trouble, Upstream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Set by `cargo x storm`.
const FULL: &str = "SLUICE_STORM";
const PIPELINE: &str = "pipelines/storm.toml";
const BATCH: u64 = 20;
const REFUSED_PER_MILLE: u64 = 10;
/// Longer than the host waits for an answer: it gives up first, or the proxy lets go.
const HANG: Duration = Duration::from_mins(10);
/// How often the service is scraped.
const SCRAPE_EVERY: Duration = Duration::from_millis(100);

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

fn prepared(size: &Size, address: &str) -> TestHost {
    let host = deployment();
    for (number, ids) in size.ranges().into_iter().enumerate() {
        host.write(&format!("in/{number}.ndjson"), numbered(ids, 220));
    }
    let max_delay = size.max_delay.as_millis();
    let pipeline = format!(
        "[pipeline]\nname = \"storm\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [schema.rows]\nkey = [\"id\"]\nfields = {{ id = \"int64\", name = \"text\" }}\n\n\
         [[sink]]\nplugin = \"sluice/http@0.1\"\n\
         config = {{ url = \"{address}\", path = \"/v1/rows\", mode = \"batch\", batch_size = {BATCH}, results = \"\" }}\n\n\
         [delivery]\nretry = {{ for = \"10m\", max_delay = \"{max_delay}ms\" }}\n"
    );
    add(&host, "storm", pipeline);
    host
}

/// What a storm left.
struct Told {
    story: Story,
    samples: Vec<Sample>,
    /// Times that each bad state was entered, as the service counts them.
    alerts: Vec<(&'static str, u64)>,
    /// Requests while the server answered 500, and while it hung.
    outage: u64,
    hang: u64,
}

/// What a machine that scrapes the service sees, until it is told to stop.
fn scrape(listen: &str, stop: &AtomicBool) -> Vec<Page> {
    let url = format!("http://{listen}/metrics");
    let mut pages = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        pages.push(Page::fetch(&url).expect("a page"));
        std::thread::sleep(SCRAPE_EVERY);
    }
    pages.push(Page::fetch(&url).expect("a page"));
    pages
}

/// Has the scraping end when it is dropped.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
    let host = prepared(size, &proxy.address());
    let began = Instant::now();
    let mut service = Service::start(&host);
    let (listen, stop) = (service.listen(), AtomicBool::new(false));
    let (outage, hang, pages) = std::thread::scope(|scope| {
        // Also where something here fails: the scope waits for whoever scrapes.
        let stops = Stops(&stop);
        let scraped = scope.spawn(|| scrape(&listen, &stop));
        // In the middle of the run, wherever that is in time.
        let requests = size.records / BATCH;
        let is_over = || view(&host, "storm")["state"] == "done";
        service.until("a quarter is sent", |_| {
            proxy.requests() >= requests / 4 || is_over()
        });
        assert!(!is_over(), "too fast for its storm");
        let during = |trouble: Trouble, time: Duration| {
            proxy.impose(trouble);
            let before = proxy.requests();
            std::thread::sleep(time);
            proxy.requests() - before
        };
        let outage = during(Trouble::status(500), size.outage);
        let hang = during(Trouble::Hang(HANG), size.hang);
        proxy.relent();
        service.until_in("storm", "done");
        drop(stops);
        (outage, hang, scraped.join().expect("it scrapes"))
    });
    let seconds = began.elapsed().as_secs_f64();
    let samples: Vec<Sample> = pages
        .iter()
        .filter_map(|page| page.sample("storm"))
        .collect();
    let end = samples.last().expect("a sample").clone();
    assert_eq!((end.read, end.in_flight), (size.records, 0), "{end:?}");
    println!(
        "{} records in {} splits, {seconds:.1} s: {} requests, {outage} of them in {:?} of 500, {hang} in {:?} of hanging; {} dead letters; {} samples",
        size.records,
        size.splits,
        proxy.requests(),
        size.outage,
        size.hang,
        end.dead_lettered,
        samples.len(),
    );
    let entered = |state: &'static str| {
        let labels = [("pipeline", "storm"), ("state", state)];
        let last = pages.last().expect("a page");
        let times = last.count("sluice_pipeline_alerts_total", &labels);
        (state, times.unwrap_or_default())
    };
    let alerts = ["degraded", "stalled", "paused"].map(entered).to_vec();
    service.stops();
    assert_eq!(readable(&host.read("serve.log")), Vec::<String>::new());
    let checkpoints = host
        .sluice(&["checkpoint", "list", PIPELINE, "--json"])
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
        letters: host.dead_letters(PIPELINE),
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
        samples,
        alerts,
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
    let least = (size.outage + size.hang).as_millis() / SCRAPE_EVERY.as_millis() / 2;
    assert!(
        told.samples.len() as u128 > least,
        "{} samples",
        told.samples.len()
    );
    for sample in &told.samples {
        assert!(sample.balances(), "{sample:?}");
    }
    // The bad state: entered with the first trouble, and not left before the end of the last.
    let waits = told.samples.iter().map(|sample| sample.is_degraded);
    assert_eq!(entered(waits), (1, true), "{:#?}", told.samples);
    assert_eq!(
        told.alerts,
        [("degraded", 1), ("stalled", 0), ("paused", 0)]
    );
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
