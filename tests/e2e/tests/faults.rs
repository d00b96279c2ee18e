//! Sinks and sources that are slow, hang, reset, half succeed, lose their answers and lie, through the real binary and a
//! proxy that makes the trouble: each script over several seeds, each held by the checker, each trouble seen to happen.

use serde_json::{Value, json};
use sluice_e2e::checker::{self, Sent, Story};
use sluice_e2e::{Answer, TestHost, numbered};
use sluice_upstream::{Falter, FaultProxy, Options, Rewrite, Script, Trouble, Upstream};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many seeds each script is played with, where it is not [`SEEDS`].
const SEEDS_ASKED: &str = "SLUICE_FAULT_SEEDS";
const SEEDS: u64 = 5;
/// One file, one split: of several units, and of one.
const SPLITS: [Range<u64>; 2] = [0..620, 620..1_000];
const RECORDS: u64 = 1_000;
const BATCH: u64 = 10;
/// Runs after which a pipeline must be done.
const RUNS_MAX: usize = 6;

fn seeds() -> u64 {
    let asked = std::env::var(SEEDS_ASKED);
    asked.map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"))
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One script, with what is to be expected of it.
struct Sinking {
    /// The troubles, of so many requests at least.
    script: fn(Script, Range<u64>) -> Script,
    /// Records that the server does not take at first.
    falters: bool,
    /// Only with batches.
    batches: bool,
    /// Words that a run may stop with. None: it must be done in one.
    stops: Option<&'static str>,
}

impl Sinking {
    fn of(script: fn(Script, Range<u64>) -> Script) -> Self {
        Self {
            script,
            falters: false,
            batches: false,
            stops: None,
        }
    }

    /// Every seed, by turns record by record and in batches.
    fn play(&self) {
        let wrong: Vec<String> = (0..seeds())
            .flat_map(|seed| {
                let breaches = self.once(seed);
                breaches
                    .into_iter()
                    .map(move |breach| format!("seed {seed}: {breach}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn once(&self, seed: u64) -> Vec<String> {
        let batches = self.batches || seed % 2 == 1;
        let requests = if batches { RECORDS / BATCH } else { RECORDS };
        let refused: BTreeSet<u64> = (0..RECORDS).filter(|id| is_refused(*id, seed)).collect();
        let refuse =
            move |record: &Value| is_refused(id_of(record)?, seed).then(|| "taken".to_owned());
        let upstream = Upstream::start(Options {
            refuse: Some(Arc::new(refuse)),
            falter: self.falters.then(|| faltering(seed)),
            journal: true,
            ..Options::default()
        })
        .expect("a server");
        let script = (self.script)(Script::seeded(seed), 0..requests);
        let planned = script.planned();
        let proxy = FaultProxy::start(upstream.port(), script).expect("a proxy");
        let host = sender(&proxy.address(), batches, "20s");

        let mut breaches = Vec::new();
        let reports = until_done(&host, "push.toml", self.stops, &mut breaches);
        let story = Story {
            refused,
            sent: sent(&upstream),
            reports,
            ..after(&host, "push.toml")
        };
        breaches.extend(story.judge());
        breaches.extend(vacuous(&planned, &proxy.fired()));
        if self.falters && !story.sent.iter().any(|sent| sent.status == 503) {
            breaches.push("no record faltered: this shows nothing".to_owned());
        }
        breaches
    }
}

/// What became of the records of `push.toml`, of which none is refused; nothing is wrong with it, nor was before.
fn judged(
    upstream: &Upstream,
    host: &TestHost,
    reports: Vec<Value>,
    mut breaches: Vec<String>,
) -> Story {
    let story = Story {
        sent: sent(upstream),
        reports,
        ..after(host, "push.toml")
    };
    breaches.extend(story.judge());
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    story
}

fn is_refused(id: u64, seed: u64) -> bool {
    id % 97 == seed * 13 % 97
}

fn id_of(record: &Value) -> Option<u64> {
    record["id"].as_u64()
}

/// One record in fifty is not taken when it is sent first, and one in a hundred not the second time.
fn faltering(seed: u64) -> Falter {
    let times: Mutex<HashMap<u64, u64>> = Mutex::default();
    Arc::new(move |record| {
        let id = id_of(record)?;
        let mut times = times.lock().expect("no handler panics");
        let sent = times.entry(id).or_default();
        *sent += 1;
        let falters = (id + seed) % 50 == 3 && *sent <= 1 + u64::from((id + seed) % 100 == 3);
        falters.then_some(503)
    })
}

/// A deployment with a file for each split, and a pipeline that sends them.
fn sender(address: &str, batches: bool, budget: &str) -> TestHost {
    let host = TestHost::new();
    for (number, ids) in SPLITS.into_iter().enumerate() {
        host.write(&format!("in/{number}.ndjson"), numbered(ids, 2_000));
    }
    let batch = if batches {
        format!(", mode = \"batch\", batch_size = {BATCH}, results = \"\"")
    } else {
        String::new()
    };
    host.write(
        "push.toml",
        format!(
            "[pipeline]\nname = \"push\"\n\n\
             [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
             [schema.rows]\nkey = [\"id\"]\nfields = {{ id = \"int64\", name = \"text\" }}\n\n\
             [[sink]]\nplugin = \"sluice/http@0.1\"\n\
             config = {{ url = \"{address}\", path = \"/v1/rows\"{batch} }}\n\n\
             [delivery]\nretry = {{ for = \"{budget}\", max_delay = \"50ms\" }}\n"
        ),
    );
    host.grant_local("push.toml");
    host
}

fn sent(upstream: &Upstream) -> Vec<Sent> {
    let sent = upstream.journal().into_iter().map(|sent| Sent {
        id: id_of(&sent.record).expect("an id"),
        key: sent.key.unwrap_or_default(),
        status: sent.status,
    });
    sent.collect()
}

/// Runs it until it is done. Where it stops before, it must say so in words of the plugin's stage, and these.
fn until_done(
    host: &TestHost,
    pipeline: &str,
    stops: Option<&str>,
    breaches: &mut Vec<String>,
) -> Vec<Value> {
    let mut reports = Vec::new();
    for _ in 0..RUNS_MAX {
        let answer = host.sluice(&["run", pipeline, "--json"]);
        breaches.extend(checker::readable(&format!("{}{}", answer.out, answer.err)));
        if is_first_question(&answer, stops) {
            continue;
        }
        let report = answer.json();
        let done = report["ending"] == "done";
        if !done {
            breaches.extend(stopped(&answer, &report, stops));
        }
        reports.push(report);
        if done {
            return reports;
        }
    }
    breaches.push(format!("not done after {RUNS_MAX} runs: {reports:?}"));
    reports
}

/// Whether a run that went on from another one ended before it read anything: its first question met a transient fault,
/// see `a_source_that_fails_the_first_question`, or what stops it.
fn is_first_question(answer: &Answer, stops: Option<&str>) -> bool {
    let Some(stops) = stops else { return false };
    let last = answer.err.lines().next_back().unwrap_or_default();
    let told: Value = serde_json::from_str(last).unwrap_or_default();
    let kind = &told["fault"]["kind"];
    let is_known = !kind["transient"].is_null() || kind == stops;
    answer.code == Some(1) && answer.out.is_empty() && is_known && told["stage"].is_string()
}

/// What is wrong with how a run stopped.
fn stopped(answer: &Answer, report: &Value, stops: Option<&str>) -> Vec<String> {
    let splits = report["splits"].as_array().into_iter().flatten();
    let faults: Vec<&Value> = splits
        .filter_map(|split| split.get("fault"))
        .filter(|fault| !fault.is_null())
        .collect();
    let told = |words: &str| {
        faults.iter().all(|fault| {
            let message = fault["message"].as_str().unwrap_or_default();
            let kind = fault["kind"].to_string();
            let by_stage = message.contains(" (sink 1): ") || message.contains(" (source): ");
            by_stage
                && words
                    .split('|')
                    .any(|word| format!("{kind} {message}").contains(word))
        })
    };
    match stops {
        Some(words) if answer.code == Some(1) && !faults.is_empty() && told(words) => Vec::new(),
        _ => vec![format!("it stopped: {faults:?}")],
    }
}

/// What the host says after the last run.
fn after(host: &TestHost, pipeline: &str) -> Story {
    let checkpoints = host
        .sluice(&["checkpoint", "list", pipeline, "--json"])
        .done()
        .json();
    Story {
        splits: SPLITS.to_vec(),
        letters: host.dead_letters(pipeline),
        checkpoints,
        ..Story::default()
    }
}

fn vacuous(planned: &BTreeMap<&str, u64>, fired: &BTreeMap<&'static str, u64>) -> Vec<String> {
    let missing = planned.keys().filter(|word| !fired.contains_key(**word));
    missing
        .map(|word| format!("`{word}` never happened: this shows nothing"))
        .collect()
}

#[test]
fn a_slow_sink() {
    Sinking::of(|script, all| {
        let drip = Trouble::Drip(16, ms(1));
        let script = script.some(6, all.clone(), &Trouble::Latency(ms(40)));
        script.some(6, all, &drip)
    })
    .play();
}

#[test]
fn a_sink_that_hangs() {
    Sinking::of(|script, all| {
        let script = script.some(2, all.clone(), &Trouble::Hang(ms(250)));
        script.some(2, all, &Trouble::HangDone(ms(250)))
    })
    .play();
}

#[test]
fn a_sink_that_answers_5xx() {
    Sinking::of(|script, all| {
        let script = script.some(6, all.clone(), &Trouble::status(500));
        let first = all.start;
        script.at(first + 3, Trouble::retry_after(503, 1))
    })
    .play();
}

#[test]
fn a_sink_that_answers_429() {
    Sinking::of(|script, all| {
        let script = script.some(5, all.clone(), &Trouble::status(429));
        let first = all.start;
        script.at(first + 5, Trouble::retry_after(429, 1))
    })
    .play();
}

#[test]
fn a_gateway_that_says_no_when_it_is_done() {
    Sinking::of(|script, all| script.some(8, all, &Trouble::AnswerDone(504))).play();
}

#[test]
fn a_sink_that_resets_before_it_reads() {
    Sinking::of(|script, all| {
        let script = script.some(5, all.clone(), &Trouble::ResetBefore);
        script.some(5, all, &Trouble::ResetMidRequest)
    })
    .play();
}

#[test]
fn a_sink_that_resets_its_answer() {
    Sinking::of(|script, all| {
        let script = script.some(5, all.clone(), &Trouble::ResetAfter);
        script.some(5, all, &Trouble::ResetMidBody)
    })
    .play();
}

#[test]
fn a_sink_whose_answers_are_lost() {
    Sinking::of(|script, all| script.some(10, all, &Trouble::Lost)).play();
}

#[test]
fn a_sink_whose_answers_are_cut() {
    Sinking::of(|script, all| script.some(8, all, &Trouble::Cut)).play();
}

/// What is no HTTP is a broken line. What is HTTP and no JSON is a server that is not what the settings say.
#[test]
fn a_sink_that_talks_nonsense() {
    let talks = |script: Script, all: Range<u64>| {
        let script = script.some(4, all.clone(), &Trouble::Garbage);
        script.some(2, all, &Trouble::Torn)
    };
    let stops = Some("the answer's `results`");
    Sinking {
        stops,
        ..Sinking::of(talks)
    }
    .play();
}

#[test]
fn a_sink_that_is_away() {
    Sinking::of(|script, all| script.some(2, all, &Trouble::Refuse(ms(200)))).play();
}

#[test]
fn a_sink_that_closes_kept_connections() {
    Sinking::of(|script, all| script.some(20, all, &Trouble::CloseAfter)).play();
}

#[test]
fn a_sink_that_takes_a_part_of_each_batch() {
    Sinking {
        falters: true,
        batches: true,
        ..Sinking::of(|script, all| script.some(3, all, &Trouble::status(500)))
    }
    .play();
}

/// Of two splits side by side, one's answers overtake the other's.
#[test]
fn a_sink_that_answers_out_of_order() {
    Sinking::of(|script, all| {
        let script = script.some(10, all.clone(), &Trouble::Overtaken(ms(100)));
        script.some(3, all, &Trouble::Lost)
    })
    .play();
}

/// Trouble that does not end: the run stops, says why, and holds its place. Then it ends.
#[test]
fn a_sink_that_stays_away() {
    let troubles = [
        (Trouble::status(500), "answered 500"),
        (Trouble::status(401), "unauthorized"),
        (Trouble::status(404), "misconfigured"),
        (Trouble::retry_after(503, 60), "answered 503"),
        (Trouble::ResetBefore, "transient"),
        (Trouble::Lost, "transient"),
        (Trouble::Garbage, "transient"),
        (Trouble::Refuse(Duration::ZERO), "cannot be reached"),
    ];
    for (seed, (trouble, words)) in troubles.into_iter().enumerate() {
        let upstream = Upstream::start(Options {
            journal: true,
            ..Options::default()
        })
        .expect("a server");
        let proxy = FaultProxy::start(upstream.port(), Script::default()).expect("a proxy");
        let host = sender(&proxy.address(), seed % 2 == 1, "400ms");
        proxy.impose(trouble.clone());
        let mut breaches = Vec::new();
        let answer = host.sluice(&["run", "push.toml", "--json"]);
        let first = answer.json();
        breaches.extend(stopped(&answer, &first, Some(words)));
        proxy.relent();
        let mut reports = vec![first];
        reports.extend(until_done(&host, "push.toml", None, &mut breaches));
        println!("{trouble:?}");
        let _ = judged(&upstream, &host, reports, breaches);
    }
}

/// A call of the plugin that waits for a silent server runs out of time: the server's doing, and no record's.
#[test]
fn a_sink_that_hangs_past_the_time_of_a_call_refuses_nothing() {
    let upstream = Upstream::start(Options {
        journal: true,
        ..Options::default()
    })
    .expect("a server");
    let proxy = FaultProxy::start(upstream.port(), Script::default()).expect("a proxy");
    let host = sender(&proxy.address(), true, "2s");
    let hasty = sluice_e2e::manifest("http")
        .replace("sluice/http", "acme/hasty")
        .replace("call_time = \"300s\"", "call_time = \"1s\"");
    drop(host.pack("http", &hasty, "hasty.wasm").done());
    host.edit("push.toml", "sluice/http@0.1", "hasty.wasm");
    host.grant_local("push.toml");
    proxy.impose(Trouble::Hang(Duration::from_mins(5)));
    let mut breaches = Vec::new();
    let answer = host.sluice(&["run", "push.toml", "--json"]);
    let first = answer.json();
    breaches.extend(stopped(&answer, &first, Some("waited in `write`")));
    assert!(proxy.fired().contains_key("hang"));
    proxy.relent();
    let mut reports = vec![first];
    reports.extend(until_done(&host, "push.toml", None, &mut breaches));
    let _ = judged(&upstream, &host, reports, breaches);
}

/// One request in ten fails, and each try of a unit gets on by nine: no budget is spent by that, however long it takes.
#[test]
fn a_sink_that_fails_now_and_then_is_not_given_up() {
    let requests = AtomicU64::new(0);
    let falter = move |_: &Value| {
        let number = requests.fetch_add(1, Ordering::Relaxed);
        (number % 10 == 9).then_some(503)
    };
    let upstream = Upstream::start(Options {
        falter: Some(Arc::new(falter)),
        journal: true,
        ..Options::default()
    })
    .expect("a server");
    let host = sender(&upstream.address(), false, "500ms");
    let mut breaches = Vec::new();
    let reports = until_done(&host, "push.toml", None, &mut breaches);
    let story = judged(&upstream, &host, reports, breaches);
    let failed = story.sent.iter().filter(|sent| sent.status == 503).count();
    assert!(failed > 50, "{failed}");
}

const PAGE: u64 = 20;

/// What a server does with its pages: troubles on the way, and lies in them.
struct Reading {
    script: fn(Script, Range<u64>) -> Script,
    /// A lie, by the seed.
    lie: Option<fn(u64) -> Rewrite>,
    /// Those that are refused for it.
    refused: fn(u64) -> BTreeSet<u64>,
    /// Those that it makes the server give twice.
    twice: fn(u64) -> BTreeSet<u64>,
    /// Words that a run may stop with.
    stops: Option<&'static str>,
}

impl Reading {
    fn of(script: fn(Script, Range<u64>) -> Script) -> Self {
        Self {
            script,
            lie: None,
            refused: |_| BTreeSet::new(),
            twice: |_| BTreeSet::new(),
            stops: None,
        }
    }

    fn lying(lie: fn(u64) -> Rewrite) -> Self {
        Self {
            lie: Some(lie),
            ..Self::of(|script, all| script.some(2, all, &Trouble::ResetBefore))
        }
    }

    fn play(&self) {
        let wrong: Vec<String> = (0..seeds())
            .flat_map(|seed| {
                let breaches = self.once(seed);
                breaches
                    .into_iter()
                    .map(move |breach| format!("seed {seed}: {breach}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn once(&self, seed: u64) -> Vec<String> {
        let record = |id: u64| json!({ "id": id, "name": format!("record {id}") });
        let upstream = Upstream::start(Options {
            seed: vec![("rows".to_owned(), (0..RECORDS).map(record).collect())],
            page_max: PAGE as usize,
            rewrite: self.lie.map(|lie| lie(seed)),
            ..Options::default()
        })
        .expect("a server");
        // The first question of a run is asked once: see `a_source_that_fails_the_first_question`.
        let script = (self.script)(Script::seeded(seed), 1..RECORDS / PAGE);
        let planned = script.planned();
        let proxy = FaultProxy::start(upstream.port(), script).expect("a proxy");
        let host = reader(&proxy.address());
        let mut breaches = Vec::new();
        let reports = until_done(&host, "pull.toml", self.stops, &mut breaches);
        let out: Vec<u64> = host
            .records("out")
            .iter()
            .map(|record| id_of(record).expect("an id"))
            .collect();
        let story = Story {
            splits: std::iter::once(0..RECORDS).collect(),
            refused: (self.refused)(seed),
            reports,
            ..after(&host, "pull.toml")
        };
        breaches.extend(story.judge_read(&out, &(self.twice)(seed)));
        breaches.extend(vacuous(&planned, &proxy.fired()));
        breaches
    }
}

fn reader(address: &str) -> TestHost {
    let host = TestHost::new();
    host.write(
        "pull.toml",
        format!(
            "[pipeline]\nname = \"pull\"\n\n\
             [source]\nplugin = \"sluice/rest@0.1\"\n\n\
             [source.config]\nbase_url = \"{address}\"\n\n\
             [[source.config.streams]]\nname = \"rows\"\npath = \"/v1/rows\"\nrecords = \"/data\"\n\
             pagination = {{ style = \"cursor\", cursor_pointer = \"/next_cursor\", size_param = \"limit\", size = {PAGE} }}\n\n\
             [schema.rows]\nkey = [\"id\"]\nfields = {{ id = \"int64\", name = \"text\" }}\n\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n\n\
             [delivery]\nretry = {{ for = \"20s\", max_delay = \"50ms\" }}\n"
        ),
    );
    host.grant_local("pull.toml");
    host
}

/// Which page the lie of a seed is in: somewhere in the middle.
fn page_of(seed: u64) -> u64 {
    10 + seed * 7 % 38
}

#[test]
fn a_source_that_resets() {
    Reading::of(|script, all| {
        let script = script.some(4, all.clone(), &Trouble::ResetBefore);
        let script = script.some(4, all.clone(), &Trouble::ResetAfter);
        script.some(4, all, &Trouble::ResetMidBody)
    })
    .play();
}

#[test]
fn a_source_whose_answers_are_lost_and_cut() {
    Reading::of(|script, all| {
        let script = script.some(4, all.clone(), &Trouble::Lost);
        let script = script.some(4, all.clone(), &Trouble::Cut);
        script.some(4, all, &Trouble::Garbage)
    })
    .play();
}

#[test]
fn a_source_that_answers_5xx_and_429() {
    Reading::of(|script, all| {
        let script = script.some(4, all.clone(), &Trouble::status(500));
        let script = script.some(1, all.clone(), &Trouble::retry_after(503, 1));
        script.some(4, all, &Trouble::status(429))
    })
    .play();
}

#[test]
fn a_source_that_is_slow_and_hangs() {
    Reading::of(|script, all| {
        let script = script.some(4, all.clone(), &Trouble::Latency(ms(30)));
        let script = script.some(2, all.clone(), &Trouble::Drip(200, ms(2)));
        script.some(2, all, &Trouble::Hang(ms(200)))
    })
    .play();
}

/// What a run asks before it reads may fail for a moment, as anything may.
#[test]
fn a_source_that_fails_the_first_question() {
    for trouble in [
        Trouble::status(503),
        Trouble::ResetMidBody,
        Trouble::Hang(ms(50)),
    ] {
        let upstream = Upstream::start(Options {
            seed: vec![("rows".to_owned(), vec![json!({ "id": 0, "name": "x" })])],
            ..Options::default()
        })
        .expect("a server");
        let script = Script::default().at(0, trouble.clone());
        let proxy = FaultProxy::start(upstream.port(), script).expect("a proxy");
        let host = reader(&proxy.address());
        let answer = host.sluice(&["run", "pull.toml", "--json"]);
        assert_eq!(proxy.fired().len(), 1);
        assert_eq!(answer.code, Some(0), "{trouble:?}: {answer:#?}");
        assert_eq!(host.records("out").len(), 1);
    }
}

/// A page that is cut and yet has the right length is no JSON: a defect of the server, and told as one.
#[test]
fn a_source_that_is_torn() {
    Reading {
        stops: Some("broken"),
        ..Reading::of(|script, all| script.some(2, all, &Trouble::Torn))
    }
    .play();
}

/// Once, the page before comes again, and with it the cursor that was asked for.
#[test]
fn a_source_that_repeats_itself() {
    Reading {
        stops: Some("broken"),
        ..Reading::lying(|seed| {
            let last: Mutex<Value> = Mutex::default();
            Arc::new(move |number, _, body| {
                let mut last = last.lock().expect("no handler panics");
                let before = std::mem::replace(&mut *last, body.clone());
                if number == page_of(seed) {
                    before
                } else {
                    body
                }
            })
        })
    }
    .play();
}

/// Once, a page is empty and there is more: not the end.
#[test]
fn a_source_with_a_gap() {
    Reading::lying(|seed| {
        Arc::new(move |number, query, body| {
            let asked = query.iter().find(|(name, _)| name == "cursor");
            match asked {
                // The same place in other words.
                Some((_, cursor)) if number == page_of(seed) => {
                    json!({ "data": [], "next_cursor": cursor.replacen('c', "c0", 1) })
                }
                _ => body,
            }
        })
    })
    .play();
}

/// Once, the next page is said to be one that was read: it and those behind it come again, and nothing is lost.
#[test]
fn a_source_whose_cursor_goes_backwards() {
    Reading {
        twice: |_| (0..RECORDS).collect(),
        ..Reading::lying(|seed| {
            let seen: Mutex<Vec<String>> = Mutex::default();
            Arc::new(move |number, query, mut body| {
                let mut seen = seen.lock().expect("no handler panics");
                if let Some((_, cursor)) = query.iter().find(|(name, _)| name == "cursor") {
                    seen.push(cursor.clone());
                }
                if number == page_of(seed) {
                    let back = seen.len().saturating_sub(3);
                    body["next_cursor"] = json!(seen[back]);
                }
                body
            })
        })
    }
    .play();
}

/// From a page on, some records have another type in a field, and some a field more.
#[test]
fn a_source_whose_schema_changes() {
    fn changed(seed: u64) -> BTreeSet<u64> {
        let first = page_of(seed) * PAGE;
        (first..RECORDS).filter(|id| id % 10 < 2).collect()
    }
    Reading {
        refused: changed,
        ..Reading::lying(|seed| {
            Arc::new(move |_, _, mut body| {
                let records = body["data"].as_array_mut().into_iter().flatten();
                for record in records {
                    let id = record["id"].as_u64().expect("an id");
                    match id % 10 {
                        _ if !changed(seed).contains(&id) => {}
                        0 => record["name"] = json!({ "first": "x" }),
                        _ => record["more"] = json!(true),
                    }
                }
                body
            })
        })
    }
    .play();
}
