//! A pipeline, from its source to its sink: every record of the source is delivered, filtered or a dead letter, once;
//! a plain sink may be told of one again, under the same identity; and what is counted is what there is.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the sink promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// It keeps its place with its data: no record arrives twice.
    Transactional,
    /// A record may arrive again, with the key it had before.
    Plain,
}

/// What there is: texts, as they were found.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What kind of sink they were delivered to.
    pub sink: Sink,
    /// The source's files, by name: one JSON object a line.
    pub source: Vec<(String, String)>,
    /// Transactional: each published file. Plain: the body of each request that was taken, an array.
    pub delivered: Vec<String>,
    /// Dead letters as `sluice dlq export` writes them.
    pub letters: String,
    /// Checkpoints as `sluice checkpoint list --json` tells them.
    pub checkpoints: String,
}

/// What is held of a record besides its id: its status, which is put in capitals on the way, and its note.
type Fields = (Value, Value);

fn fields(record: &Value) -> Fields {
    (record["status"].clone(), record["note"].clone())
}

/// What is to become of each record.
#[derive(Debug, Default)]
struct Due {
    /// Each as it is to arrive, by its id.
    delivered: BTreeMap<u64, Fields>,
    filtered: u64,
    /// By file and line.
    refused: BTreeSet<(String, u64)>,
}

/// What became of them.
#[derive(Debug, Default)]
struct Found {
    delivered: BTreeMap<u64, Fields>,
    twice: Vec<u64>,
    refused: BTreeMap<(String, u64), u64>,
    pending: u64,
    counts: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

const COUNTS: [&str; 4] = ["read", "written", "filtered", "dead_lettered"];

/// After a run that came to its end.
pub fn check_complete(facts: &Facts) -> Vec<String> {
    let (due, found) = (Due::of(&facts.source), Found::of(facts));
    let mut wrong = found.wrong.clone();
    let lost = lost(&due, &found);
    if lost > 0 {
        wrong.push(format!(
            "{lost} of {} records are lost",
            due.delivered.len()
        ));
    }
    let unrefused: Vec<_> = due
        .refused
        .iter()
        .filter(|place| !found.refused.contains_key(*place))
        .collect();
    if let Some(first) = unrefused.first() {
        wrong.push(format!(
            "{} refused records are no dead letters: {first:?}",
            unrefused.len()
        ));
    }
    if found.pending > 0 {
        wrong.push(format!(
            "{} dead letters are pending at the end",
            found.pending
        ));
    }
    wrong.extend(both(&due, &found));
    let expected = [
        due.delivered.len() as u64 + due.filtered + due.refused.len() as u64,
        due.delivered.len() as u64,
        due.filtered,
        due.refused.len() as u64,
    ];
    for (count, expected) in COUNTS.into_iter().zip(expected) {
        if found.counts[count] != expected {
            wrong.push(format!(
                "`{count}` is {} over all runs, and {expected} is so",
                found.counts[count]
            ));
        }
    }
    wrong
}

/// At any moment: what a checkpoint says is behind is there.
pub fn check_midway(facts: &Facts) -> Vec<String> {
    let (due, found) = (Due::of(&facts.source), Found::of(facts));
    let mut wrong = found.wrong.clone();
    wrong.extend(both(&due, &found));
    wrong.extend(behind(facts, &found));
    if found.counts["written"] > found.delivered.len() as u64 {
        wrong.push(format!(
            "the checkpoint is ahead: {} written, and {} at the sink",
            found.counts["written"],
            found.delivered.len()
        ));
    }
    let settled = found.refused.values().sum::<u64>();
    if found.counts["dead_lettered"] > settled {
        wrong.push(format!(
            "the checkpoint is ahead: {} dead-lettered, and {settled} kept",
            found.counts["dead_lettered"]
        ));
    }
    wrong
}

/// Records that were to arrive, and did not.
fn lost(due: &Due, found: &Found) -> usize {
    let ids = due.delivered.keys();
    ids.filter(|id| !found.delivered.contains_key(id)).count()
}

/// Each split's own checkpoint: all that lies before it is somewhere. A split is a file, and is read line by line.
fn behind(facts: &Facts, found: &Found) -> Vec<String> {
    let checkpoints: Value = serde_json::from_str(&facts.checkpoints).unwrap_or_default();
    let mut wrong = Vec::new();
    for checkpoint in checkpoints.as_array().into_iter().flatten() {
        let split = checkpoint["split"].as_str().unwrap_or_default();
        let Some((name, text)) = facts.source.iter().find(|(name, _)| name == split) else {
            wrong.push(format!("no file `{split}`, and a checkpoint of it"));
            continue;
        };
        let read = checkpoint["read"].as_u64().unwrap_or_default();
        let lines = text.split_inclusive('\n').take(read as usize);
        let due = Due::of(&[(name.clone(), lines.collect())]);
        let unkept = due.refused.iter();
        let unkept = unkept.filter(|place| !found.refused.contains_key(*place));
        let nowhere = lost(&due, found) + unkept.count();
        if nowhere > 0 {
            wrong.push(format!(
                "`{split}` is at {read}, and {nowhere} before it are nowhere"
            ));
        }
    }
    wrong
}

/// Whether a split was read in part.
pub fn is_in_the_middle(facts: &Facts) -> bool {
    let checkpoints: Value = serde_json::from_str(&facts.checkpoints).unwrap_or_default();
    let mut checkpoints = checkpoints.as_array().into_iter().flatten();
    checkpoints.any(|checkpoint| {
        let of = |(name, _): &&(String, String)| checkpoint["split"] == name.as_str();
        let lines = facts.source.iter().find(of);
        let lines = lines.map_or(0, |(_, text)| text.lines().count() as u64);
        checkpoint["read"]
            .as_u64()
            .is_some_and(|read| 0 < read && read < lines)
    })
}

/// How many records the source has.
pub fn records(facts: &Facts) -> u64 {
    facts
        .source
        .iter()
        .map(|(_, text)| text.lines().count() as u64)
        .sum()
}

fn both(due: &Due, found: &Found) -> Vec<String> {
    let mut wrong = Vec::new();
    if !found.twice.is_empty() {
        wrong.push(format!(
            "{} records stand twice: {:?}",
            found.twice.len(),
            &found.twice[..found.twice.len().min(5)]
        ));
    }
    let (mut foreign, mut other) = (0, 0);
    for (id, fields) in &found.delivered {
        match due.delivered.get(id) {
            None => foreign += 1,
            Some(due) if due != fields => other += 1,
            Some(_) => {}
        }
    }
    if foreign > 0 {
        wrong.push(format!(
            "{foreign} records are at the sink that nobody sent"
        ));
    }
    if other > 0 {
        wrong.push(format!(
            "{other} records arrived, and are not what they were to be"
        ));
    }
    let doubled = found.refused.values().filter(|count| **count > 1).count();
    if doubled > 0 {
        wrong.push(format!("{doubled} records are dead letters twice"));
    }
    let strange = found
        .refused
        .keys()
        .filter(|place| !due.refused.contains(place))
        .count();
    if strange > 0 {
        wrong.push(format!(
            "{strange} dead letters are of records that were not refused"
        ));
    }
    let [read, written, filtered, dead] = COUNTS.map(|count| found.counts[count]);
    if read != written + filtered + dead {
        wrong.push(format!(
            "{read} read is not {written} written + {filtered} filtered + {dead} dead-lettered"
        ));
    }
    wrong
}

impl Due {
    fn of(source: &[(String, String)]) -> Self {
        let mut due = Self::default();
        for (name, text) in source {
            for (line, number) in text.lines().zip(1..) {
                let record: Value = serde_json::from_str(line).expect("the source is ours");
                match record["id"].as_u64() {
                    None => drop(due.refused.insert((name.clone(), number))),
                    Some(_) if record["status"] == "cancelled" => due.filtered += 1,
                    Some(id) => {
                        let (status, note) = fields(&record);
                        let capitals = status.as_str().map(str::to_uppercase);
                        due.delivered.insert(id, (capitals.into(), note));
                    }
                }
            }
        }
        due
    }
}

impl Found {
    fn of(facts: &Facts) -> Self {
        let mut found = Self::default();
        match facts.sink {
            Sink::Transactional => found.parts(&facts.delivered),
            Sink::Plain => found.requests(&facts.delivered),
        }
        found.letters(&facts.letters);
        found.totals(&facts.checkpoints);
        found
    }

    fn parts(&mut self, parts: &[String]) {
        for line in parts.iter().flat_map(|part| part.lines()) {
            let record: Value = serde_json::from_str(line).unwrap_or_default();
            match record["id"].as_u64() {
                Some(id) if self.delivered.insert(id, fields(&record)).is_none() => {}
                Some(id) => self.twice.push(id),
                None => self
                    .wrong
                    .push(format!("a published line is no record: {line}")),
            }
        }
    }

    fn requests(&mut self, bodies: &[String]) {
        let mut keys: BTreeMap<u64, String> = BTreeMap::new();
        for body in bodies {
            let Ok(Value::Array(records)) = serde_json::from_str::<Value>(body) else {
                self.wrong.push(format!("a request is no array: {body}"));
                continue;
            };
            for record in records {
                let (Some(id), Some(key)) = (record["id"].as_u64(), record["key"].as_str()) else {
                    self.wrong
                        .push(format!("a record has no id or no key: {record}"));
                    continue;
                };
                self.delivered.insert(id, fields(&record));
                let known = keys.entry(id).or_insert_with(|| key.to_owned());
                if known != key {
                    self.wrong
                        .push(format!("record {id} came again under another key"));
                }
            }
        }
        let different: BTreeSet<&String> = keys.values().collect();
        if different.len() < keys.len() {
            self.wrong.push(format!(
                "{} records share {} keys",
                keys.len(),
                different.len()
            ));
        }
    }

    fn letters(&mut self, text: &str) {
        for line in text.lines() {
            let letter: Value = serde_json::from_str(line).unwrap_or_default();
            let place = &letter["rejection"]["place"];
            let (Some(document), Some(line)) = (place["document"].as_str(), place["line"].as_u64())
            else {
                self.wrong
                    .push(format!("a dead letter has no place: {letter}"));
                continue;
            };
            if letter["pending"] == true {
                self.pending += 1;
            }
            *self.refused.entry((document.to_owned(), line)).or_default() += 1;
        }
    }

    fn totals(&mut self, text: &str) {
        let checkpoints: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(checkpoints) = checkpoints.as_array() else {
            self.wrong
                .push(format!("the checkpoints are no list: {text}"));
            self.counts = COUNTS.map(|count| (count, 0)).into();
            return;
        };
        for count in COUNTS {
            let each = checkpoints
                .iter()
                .map(|checkpoint| checkpoint[count].as_u64());
            let sum = each.sum::<Option<u64>>();
            if sum.is_none() {
                self.wrong.push(format!("a checkpoint has no `{count}`"));
            }
            self.counts.insert(count, sum.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(sink: Sink) -> Facts {
        let delivered = match sink {
            Sink::Transactional => vec![
                "{\"id\":1,\"status\":\"X\"}\n".to_owned(),
                "{\"id\":4}\n".to_owned(),
            ],
            Sink::Plain => vec![
                "[{\"id\":1,\"status\":\"X\",\"key\":\"a\"},{\"id\":4,\"key\":\"b\"}]".to_owned(),
                "[{\"id\":4,\"key\":\"b\"}]".to_owned(),
            ],
        };
        Facts {
            sink,
            source: vec![(
                "a.ndjson".to_owned(),
                "{\"id\":1,\"status\":\"x\"}\n{\"id\":2,\"status\":\"cancelled\"}\n{\"id\":\"3\"}\n{\"id\":4}\n".to_owned(),
            )],
            delivered,
            letters: "{\"rejection\":{\"place\":{\"document\":\"a.ndjson\",\"line\":3}},\"pending\":false}\n".to_owned(),
            checkpoints: "[{\"split\":\"a.ndjson\",\"read\":4,\"written\":2,\"filtered\":1,\"dead_lettered\":1}]".to_owned(),
        }
    }

    #[test]
    fn what_is_whole_passes() {
        for sink in [Sink::Transactional, Sink::Plain] {
            assert_eq!(check_complete(&facts(sink)), Vec::<String>::new());
            assert_eq!(check_midway(&facts(sink)), Vec::<String>::new());
            assert_eq!(records(&facts(sink)), 4);
        }
    }

    fn told(sink: Sink, change: impl FnOnce(&mut Facts)) -> String {
        let mut facts = facts(sink);
        change(&mut facts);
        check_complete(&facts).join("; ")
    }

    #[test]
    fn what_is_lost_doubled_or_miscounted_is_told() {
        use Sink::{Plain, Transactional};
        let lost = |facts: &mut Facts| drop(facts.delivered.pop());
        assert!(told(Transactional, lost).contains("1 of 2 records are lost"));
        let twice = |facts: &mut Facts| facts.delivered.push("{\"id\":4}\n".to_owned());
        assert!(told(Transactional, twice).contains("1 records stand twice"));
        let half = |facts: &mut Facts| facts.delivered.push("{\"id\":".to_owned());
        assert!(told(Transactional, half).contains("is no record"));
        let other = |facts: &mut Facts| {
            facts
                .delivered
                .push("[{\"id\":4,\"key\":\"c\"}]".to_owned());
        };
        assert!(told(Plain, other).contains("under another key"));
        let shared = |facts: &mut Facts| {
            facts.delivered = vec![
                "[{\"id\":1,\"status\":\"X\",\"key\":\"a\"},{\"id\":4,\"key\":\"a\"}]".to_owned(),
            ];
        };
        assert!(told(Plain, shared).contains("share 1 keys"));
        let garbled = |facts: &mut Facts| {
            facts.delivered[0] = facts.delivered[0].replace('X', "x");
        };
        assert!(told(Transactional, garbled).contains("1 records arrived, and are not"));
        let foreign = |facts: &mut Facts| facts.delivered.push("{\"id\":2}\n".to_owned());
        assert!(told(Transactional, foreign).contains("that nobody sent"));
        let silent = |facts: &mut Facts| facts.letters.clear();
        assert!(told(Transactional, silent).contains("are no dead letters"));
        let doubled = |facts: &mut Facts| facts.letters = facts.letters.repeat(2);
        assert!(told(Transactional, doubled).contains("dead letters twice"));
        let strange = |facts: &mut Facts| facts.letters = facts.letters.replace("3}", "4}");
        assert!(told(Transactional, strange).contains("were not refused"));
        let pending = |facts: &mut Facts| facts.letters = facts.letters.replace("false", "true");
        assert!(told(Transactional, pending).contains("are pending"));
        let miscounted = |facts: &mut Facts| {
            facts.checkpoints = facts.checkpoints.replace("\"read\":4", "\"read\":5");
        };
        assert!(told(Transactional, miscounted).contains("5 read is not"));
        let few = |facts: &mut Facts| facts.checkpoints = "[]".to_owned();
        assert!(told(Transactional, few).contains("`read` is 0"));
    }

    #[test]
    fn a_checkpoint_ahead_of_its_sink_is_told() {
        let mut ahead = facts(Sink::Transactional);
        ahead.delivered.pop();
        ahead.letters.clear();
        let told = check_midway(&ahead).join("; ");
        assert!(
            told.contains("2 written, and 1 at the sink")
                && told.contains("1 dead-lettered, and 0 kept"),
            "{told}"
        );
    }

    /// … though another split has delivered more than its own says.
    #[test]
    fn a_split_ahead_of_its_sink_is_told() {
        let mut ahead = facts(Sink::Transactional);
        ahead
            .source
            .push(("b.ndjson".to_owned(), "{\"id\":9}\n".to_owned()));
        ahead.delivered = vec!["{\"id\":4}\n{\"id\":9}\n".to_owned()];
        let told = check_midway(&ahead).join("; ");
        assert_eq!(told, "`a.ndjson` is at 4, and 1 before it are nowhere");
        assert!(!is_in_the_middle(&ahead));
        ahead.checkpoints = ahead.checkpoints.replace('4', "2");
        assert!(is_in_the_middle(&ahead));
    }
}
