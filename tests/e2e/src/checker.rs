//! What a scenario left behind, held against what it was given: nothing lost, nothing doubled but under one identity,
//! every record accounted for. It shares no code with the host: it reads what servers and folders received, and what
//! the binary prints.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A record as a server was sent it. Records are told apart by their `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Which record.
    pub id: u64,
    /// The identity it was sent with.
    pub key: String,
    /// What the server answered for it: 201 where it kept it, 200 where it had it already.
    pub status: u16,
}

/// All that is known of a scenario whose pipeline ran until it was done.
#[derive(Debug, Default)]
pub struct Story {
    /// The records of each split, in its order.
    pub splits: Vec<Range<u64>>,
    /// Those that were to be refused.
    pub refused: BTreeSet<u64>,
    /// What the server was sent, in the order of arrival.
    pub sent: Vec<Sent>,
    /// What `dlq export` says.
    pub letters: Vec<Value>,
    /// What `run --json` says, of each run.
    pub reports: Vec<Value>,
    /// What `checkpoint list --json` says.
    pub checkpoints: Value,
}

/// What is wrong, in words; nothing where all is well.
pub type Breaches = Vec<String>;

impl Story {
    /// Every invariant of a sink that takes keys.
    pub fn judge(&self) -> Breaches {
        let mut breaches = self.accounts();
        breaches.extend(self.identities());
        breaches.extend(self.order());
        breaches
    }

    fn ids(&self) -> BTreeSet<u64> {
        self.splits.iter().cloned().flatten().collect()
    }

    fn taken(&self) -> BTreeSet<u64> {
        let taken = self.sent.iter().filter(|sent| sent.status < 300);
        taken.map(|sent| sent.id).collect()
    }

    fn lettered(&self, breaches: &mut Breaches) -> BTreeSet<u64> {
        let mut lettered = BTreeSet::new();
        for letter in &self.letters {
            match letter_id(letter) {
                None => breaches.push(format!("a dead letter of no known record: {letter}")),
                Some(id) if !lettered.insert(id) => {
                    breaches.push(format!("record {id} is a dead letter twice"));
                }
                Some(_) => {}
            }
        }
        lettered
    }

    /// Each record is at the server or among the dead letters, and nowhere twice; and the host counts the same.
    fn accounts(&self) -> Breaches {
        let mut breaches = Vec::new();
        let (ids, taken) = (self.ids(), self.taken());
        let lettered = self.lettered(&mut breaches);
        for id in &ids {
            match (taken.contains(id), lettered.contains(id)) {
                (false, false) => breaches.push(format!("record {id} is lost")),
                (true, true) => breaches.push(format!("record {id} is delivered and refused")),
                _ => {}
            }
        }
        for id in taken.union(&lettered).filter(|id| !ids.contains(id)) {
            breaches.push(format!("record {id} was never in the source"));
        }
        if lettered != self.refused {
            let (more, fewer) = (&lettered - &self.refused, &self.refused - &lettered);
            breaches.push(format!("refused are also {more:?}, and not {fewer:?}"));
        }
        let all = (ids.len(), taken.len(), lettered.len());
        breaches.extend(self.counts(all.0 as u64, all.1 as u64, all.2 as u64));
        breaches
    }

    /// The host's own counts, of each run and over all of them.
    pub fn counts(&self, read: u64, written: u64, lettered: u64) -> Breaches {
        let mut breaches = Vec::new();
        for report in &self.reports {
            if !equation(report, count(report, "in_flight")) {
                breaches.push(format!("a run whose counts do not add up: {report}"));
            }
        }
        let of = |name: &str| {
            let splits = self.checkpoints.as_array().into_iter().flatten();
            splits.map(|split| count(split, name)).sum::<u64>()
        };
        for split in self.checkpoints.as_array().into_iter().flatten() {
            if !equation(split, 0) {
                breaches.push(format!("a split whose counts do not add up: {split}"));
            }
        }
        for (name, expected) in [
            ("read", read),
            ("written", written),
            ("dead_lettered", lettered),
            ("filtered", 0),
        ] {
            if of(name) != expected {
                let own = of(name);
                breaches.push(format!(
                    "{own} {name} by the host's count, {expected} by ours"
                ));
            }
        }
        breaches
    }

    /// A record has one identity, however often it is sent, and no other has it.
    fn identities(&self) -> Breaches {
        let mut breaches = Vec::new();
        let (mut of_id, mut of_key) = (BTreeMap::new(), BTreeMap::new());
        let mut kept = BTreeSet::new();
        for Sent { id, key, status } in &self.sent {
            if key.is_empty() {
                breaches.push(format!("record {id} was sent without an identity"));
            }
            if *of_id.entry(*id).or_insert(key) != key {
                breaches.push(format!("record {id} was sent under two identities"));
            }
            if *of_key.entry(key).or_insert(*id) != *id {
                breaches.push(format!("{key} is the identity of two records"));
            }
            if *status == 201 && !kept.insert(*id) {
                breaches.push(format!("record {id} was kept twice"));
            }
        }
        breaches
    }

    /// A split's records are taken first in its order.
    fn order(&self) -> Breaches {
        let mut last: Vec<Option<u64>> = vec![None; self.splits.len()];
        let mut seen = BTreeSet::new();
        let mut breaches = Vec::new();
        for Sent { id, status, .. } in &self.sent {
            let split = self.splits.iter().position(|split| split.contains(id));
            if let (Some(split), true, true) = (split, *status < 300, seen.insert(*id)) {
                if last[split].is_some_and(|last| last > *id) {
                    breaches.push(format!("record {id} came behind a later one of its split"));
                }
                last[split] = Some(*id);
            }
        }
        breaches
    }

    /// Every invariant of what was read from a server into a folder: how often each record is there, where more than
    /// once is for those the server itself gave twice.
    pub fn judge_read(&self, out: &[u64], twice: &BTreeSet<u64>) -> Breaches {
        let mut breaches = Vec::new();
        let lettered = self.lettered(&mut breaches);
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        for id in out {
            *times.entry(*id).or_default() += 1;
        }
        for id in self.ids() {
            let (times, lettered) = (times.remove(&id).unwrap_or(0), lettered.contains(&id));
            match (times, lettered) {
                (0, false) => breaches.push(format!("record {id} is lost")),
                (1, false) | (0, true) => {}
                (2, false) if twice.contains(&id) => {}
                _ => breaches.push(format!("record {id} is there {times} times ({lettered})")),
            }
        }
        for id in times.keys() {
            breaches.push(format!("record {id} was never in the source"));
        }
        if lettered != self.refused {
            breaches.push(format!("refused are {lettered:?}, not {:?}", self.refused));
        }
        let (written, letters) = (out.len() as u64, lettered.len() as u64);
        breaches.extend(self.counts(written + letters, written, letters));
        breaches
    }
}

fn count(of: &Value, name: &str) -> u64 {
    let found = of.get(name).or_else(|| of["totals"].get(name));
    found
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no `{name}` in {of}"))
}

fn equation(of: &Value, in_flight: u64) -> bool {
    let settled = ["written", "filtered", "dead_lettered"].map(|name| count(of, name));
    count(of, "read") == settled.iter().sum::<u64>() + in_flight
}

/// The `id` of the record that a dead letter is of.
pub fn letter_id(letter: &Value) -> Option<u64> {
    let record = &letter["rejection"]["record"];
    let text = record["json"].as_str().or_else(|| record["raw"].as_str())?;
    serde_json::from_str::<Value>(text).ok()?["id"].as_u64()
}

/// Whether what the binary said is fit for a person: nothing of a panic, nothing that moves a terminal's cursor.
pub fn readable(said: &str) -> Breaches {
    let mut breaches = Vec::new();
    for word in ["panicked", "RUST_BACKTRACE", "a defect of sluice"] {
        if said.contains(word) {
            breaches.push(format!("it said `{word}`: {said}"));
        }
    }
    if said.chars().any(|c| c.is_control() && c != '\n') {
        breaches.push(format!("it said control characters: {said:?}"));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn letter(id: u64) -> Value {
        json!({ "rejection": { "record": { "json": format!("{{\"id\":{id}}}") } } })
    }

    fn sent(id: u64, key: &str, status: u16) -> Sent {
        let key = key.to_owned();
        Sent { id, key, status }
    }

    /// Three records in two splits, of which the second is refused and the first sent twice.
    fn good() -> Story {
        let totals =
            json!({ "read": 3, "written": 2, "filtered": 0, "dead_lettered": 1, "in_flight": 0 });
        Story {
            splits: vec![0..2, 2..3],
            refused: BTreeSet::from([1]),
            sent: vec![
                sent(0, "a", 201),
                sent(0, "a", 200),
                sent(1, "b", 422),
                sent(2, "c", 201),
            ],
            letters: vec![letter(1)],
            reports: vec![totals.clone()],
            checkpoints: json!([totals]),
        }
    }

    #[test]
    fn each_breach_is_seen() {
        assert_eq!(good().judge(), Breaches::new());
        let check = |wrong: &str, change: &dyn Fn(&mut Story)| {
            let mut story = good();
            change(&mut story);
            let breaches = story.judge();
            assert!(
                breaches.iter().any(|breach| breach.contains(wrong)),
                "{wrong}: {breaches:?}"
            );
        };
        check("record 2 is lost", &|story| drop(story.sent.pop()));
        check("record 1 is lost", &|story| story.letters.clear());
        check("delivered and refused", &|story| {
            story.sent.push(sent(1, "b", 201));
        });
        check("dead letter twice", &|story| story.letters.push(letter(1)));
        check("no known record", &|story| story.letters.push(json!({})));
        check("never in the source", &|story| {
            story.sent.push(sent(9, "z", 201));
        });
        check("refused are also {1}", &|story| story.refused.clear());
        check("two identities", &|story| {
            story.sent.push(sent(2, "d", 200));
        });
        check("identity of two records", &|story| {
            story.sent[3].key = "a".to_owned();
        });
        check("without an identity", &|story| {
            story.sent[3].key = String::new();
        });
        check("kept twice", &|story| story.sent.push(sent(2, "c", 201)));
        check("behind a later one", &|story| {
            story.splits = std::iter::once(0..3).collect();
            story.sent.rotate_right(1);
        });
        check("a run whose counts", &|story| {
            story.reports[0]["written"] = json!(1);
        });
        check("a split whose counts", &|story| {
            story.checkpoints[0]["read"] = json!(4);
        });
        check("1 written by the host's count, 2 by ours", &|story| {
            story.checkpoints[0]["written"] = json!(1);
        });
    }

    #[test]
    fn each_breach_of_what_was_read_is_seen() {
        let twice = BTreeSet::from([2]);
        let mut story = good();
        assert_eq!(story.judge_read(&[0, 2], &twice), Breaches::new());
        let wrong = |out: &[u64]| !good().judge_read(out, &twice).is_empty();
        assert!(wrong(&[0]) && wrong(&[0, 0, 2]) && wrong(&[0, 1, 2]) && wrong(&[0, 2, 3]));
        story.checkpoints[0]["read"] = json!(4);
        story.checkpoints[0]["written"] = json!(3);
        assert_eq!(story.judge_read(&[0, 2, 2], &twice), Breaches::new());
    }

    #[test]
    fn a_panic_is_not_readable() {
        assert!(readable("all is well\n").is_empty());
        assert!(!readable("thread 'main' panicked at x").is_empty());
        assert!(!readable("\u{1b}[2J").is_empty());
    }
}
