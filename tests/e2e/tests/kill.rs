//! `kill -9` at ten random moments of a run, resumed each time: the output holds every record once, and so do the dead
//! letters.

#![allow(
    clippy::print_stdout,
    reason = "the seed of a failure, so that it can be looked at again"
)]

use sluice_e2e::{TestHost, lines, parts};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const RECORDS: usize = 300_000;
const KILLS: usize = 10;
/// One record in so many is refused, one in so many filtered.
const BAD_EVERY: usize = 1_000;
const FILTERED_EVERY: usize = 10;

/// A generator whose seed is printed, so that a failure can be looked at again.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos() as u64;
        println!("seed {seed}");
        Self(seed | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn input() -> String {
    let mut text = String::new();
    for id in 0..RECORDS {
        let status = if id % FILTERED_EVERY == 1 {
            "cancelled"
        } else {
            "shipped"
        };
        let id = if id % BAD_EVERY == 7 {
            format!("\"{id}\"")
        } else {
            id.to_string()
        };
        writeln!(
            text,
            "{{\"id\": {id}, \"status\": \"{status}\", \"note\": \"{}\"}}",
            "x".repeat(120)
        )
        .expect("memory");
    }
    text
}

#[test]
fn ten_kills_lose_nothing_and_double_nothing() {
    let host = TestHost::new();
    host.write("in/orders.ndjson", input());
    host.write(
        "orders.toml",
        "[pipeline]\nname = \"orders\"\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"in\", format = \"ndjson\", stream = \"orders\" }\n\
         [schema.orders]\nkey = [\"id\"]\nfields = { id = \"int64\", status = \"text\", note = \"text\" }\n\
         [[transform]]\nplugin = \"sluice/map@0.1\"\n\
         config = { steps = [ { keep = { column = \"status\", is_not = \"cancelled\" } }, { upper = [\"status\"] } ] }\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n",
    );
    host.grant("orders.toml");
    // How long a whole run takes here, so that the kills fall inside one.
    let began = Instant::now();
    let whole = host.run("orders.toml");
    let whole_ms = began.elapsed().as_millis() as u64;
    // The trail would say, rightly, that the store was rolled back.
    for folder in ["out", ".sluice/state", ".sluice/audit"] {
        std::fs::remove_dir_all(host.path(folder)).expect("to begin again");
    }
    let mut chance = Chance::new();
    let mut killed = 0;
    for _ in 0..KILLS {
        let mut child = host.start(&["run", "orders.toml"]);
        std::thread::sleep(Duration::from_millis(chance.below(whole_ms)));
        child.kill().expect("our own child"); // SIGKILL
        killed += usize::from(!child.wait().expect("it ends").success());
    }
    assert!(
        killed > 0,
        "no run was killed in its middle: the test shows nothing"
    );
    host.run("orders.toml");
    let mut seen = HashSet::new();
    for part in parts(&host.path("out")) {
        for record in lines(&std::fs::read_to_string(&part).expect("a part")) {
            let id = record["id"].as_u64().expect("an id");
            assert!(seen.insert(id), "record {id} stands twice");
        }
    }
    let letters = host.dead_letters("orders.toml");
    let refused: HashSet<u64> = letters
        .iter()
        .map(|letter| {
            letter["rejection"]["place"]["line"]
                .as_u64()
                .expect("a line")
        })
        .collect();
    assert_eq!(
        (refused.len(), letters.len()),
        (RECORDS / BAD_EVERY, RECORDS / BAD_EVERY),
        "dead letters are doubled or lost"
    );
    assert_eq!(
        seen.len() as u64,
        whole["written"].as_u64().expect("a count")
    );
    let totals = host
        .sluice(&["checkpoint", "list", "orders.toml", "--json"])
        .done()
        .json();
    for count in ["read", "written", "filtered", "dead_lettered"] {
        assert_eq!(totals[0][count], whole[count], "{count} over all runs");
    }
    println!(
        "{killed} of {KILLS} runs killed under way; {} records once each, {} dead letters once each",
        seen.len(),
        letters.len()
    );
}
