//! The store and its trail: what was acknowledged is there byte for byte, a step is there whole or not at all, and what
//! was audited is in a trail that holds.

use sluice_audit_verify::Against;
use std::collections::BTreeMap;
use std::path::Path;

/// A step of a writer: `(writer, number)`.
type Step = (u8, u64);

/// What the store was told to keep, and what it said that it keeps: gathered from all runs on it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The digests of each step that was tried, of its checkpoint and of its letters. More than one where a crash came
    /// before anybody knew.
    tried: BTreeMap<Step, Vec<(String, String)>>,
    acknowledged: BTreeMap<u8, u64>,
    commit: u64,
    /// The last entry of the trail that was acknowledged.
    entry: u64,
    acks: u64,
}

impl Told {
    /// Takes what one run said. A last line without an end was never said.
    pub fn hear(&mut self, text: &str) {
        for line in whole_lines(text) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["try", writer, number, checkpoint, letters] => {
                    let tried = self.tried.entry((small(writer), large(number)));
                    tried
                        .or_default()
                        .push((checkpoint.to_owned(), letters.to_owned()));
                }
                ["ack", writer, number, commit] => {
                    self.acknowledge(small(writer), large(number), large(commit));
                }
                ["audited", entry, commit] => {
                    self.entry = self.entry.max(large(entry));
                    self.commit = self.commit.max(large(commit));
                }
                _ => {}
            }
        }
    }

    fn acknowledge(&mut self, writer: u8, number: u64, commit: u64) {
        self.acks += 1;
        self.acknowledged.insert(writer, number);
        self.commit = self.commit.max(commit);
        if let Some(tried) = self.tried.get_mut(&(writer, number)) {
            tried.drain(..tried.len().saturating_sub(1));
        }
    }

    /// Steps that were acknowledged.
    pub fn acks(&self) -> u64 {
        self.acks
    }

    /// The last entry of the trail that was acknowledged.
    pub fn entries(&self) -> u64 {
        self.entry
    }
}

/// What one opening of the store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The number of its last commit.
    pub commit: u64,
    checkpoints: BTreeMap<u8, (u64, String)>,
    letters: BTreeMap<Step, String>,
    trail: Option<(u64, u64)>,
    is_whole: bool,
}

/// What each opening found, and the refusal that ended them.
pub fn openings(text: &str) -> (Vec<Held>, Option<String>) {
    let (mut found, mut refused): (Vec<Held>, _) = (Vec::new(), None);
    for line in whole_lines(text) {
        if let Some(why) = line.strip_prefix("failed ") {
            refused = Some(why.to_owned());
        }
        if line.starts_with("opening ") {
            found.push(Held::default());
        }
        if let Some(held) = found.last_mut() {
            held.hear(line);
        }
    }
    (found, refused)
}

impl Held {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["commit", number] => self.commit = large(number),
            ["checkpoint", writer, number, digest] => {
                let held = (large(number), digest.to_owned());
                self.checkpoints.insert(small(writer), held);
            }
            ["letters", writer, number, digest] => {
                let step = (small(writer), large(number));
                self.letters.insert(step, digest.to_owned());
            }
            ["trail", entries, commit] => self.trail = Some((large(entries), large(commit))),
            ["closed"] => self.is_whole = true,
            _ => {}
        }
    }
}

/// Judges what two openings found in this folder. `kept` is how many steps' letters a writer keeps. Gives what is wrong.
pub fn check(told: &Told, openings: &[Held], folder: &Path, kept: u64) -> Vec<String> {
    let [first, second] = openings else {
        return vec![format!("{} openings, and not two", openings.len())];
    };
    let mut wrong = Vec::new();
    // Rows are sealed anew in the background: the number of the last commit may be another.
    let alike = Held {
        commit: first.commit,
        ..second.clone()
    };
    if *first != alike || second.commit < first.commit {
        wrong.push("the second opening found something else than the first".to_owned());
    }
    if !(first.is_whole && second.is_whole) {
        wrong.push("an opening did not come to its end".to_owned());
    }
    wrong.extend(steps(told, second, kept));
    if second.commit < told.commit {
        wrong.push(format!(
            "it is at commit {}, and {} was acknowledged",
            second.commit, told.commit
        ));
    }
    wrong.extend(trail(told, second, folder));
    wrong
}

fn steps(told: &Told, held: &Held, kept: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let writers: Vec<u8> = told.tried.keys().map(|(writer, _)| *writer).collect();
    let writers = writers.into_iter().chain(held.checkpoints.keys().copied());
    let mut writers: Vec<u8> = writers.collect();
    writers.sort_unstable();
    writers.dedup();
    for writer in writers {
        let acknowledged = told.acknowledged.get(&writer).copied().unwrap_or_default();
        let (number, digest) = held.checkpoints.get(&writer).cloned().unwrap_or_default();
        if number < acknowledged {
            wrong.push(format!(
                "writer {writer} is at step {number}, and {acknowledged} was acknowledged"
            ));
        }
        let was_tried = |number: u64, is: &dyn Fn(&(String, String)) -> bool| {
            let tried = told.tried.get(&(writer, number));
            tried.is_some_and(|tried| tried.iter().any(is))
        };
        if number > 0 && !was_tried(number, &|(checkpoint, _)| *checkpoint == digest) {
            wrong.push(format!(
                "writer {writer} is at step {number}, as it was never written"
            ));
        }
        let due = number.saturating_sub(kept) + 1..=number;
        for step in due.clone().filter(|step| *step > 0) {
            match held.letters.get(&(writer, step)) {
                None => wrong.push(format!(
                    "writer {writer} is at step {number}, and the letters of step {step} are gone"
                )),
                Some(digest) if !was_tried(step, &|(_, letters)| letters == digest) => {
                    wrong.push(format!(
                        "the letters of step {step} of writer {writer} are not those written"
                    ));
                }
                Some(_) => {}
            }
        }
        let all = held.letters.range((writer, 0)..=(writer, u64::MAX));
        wrong.extend(
            all.filter(|((_, step), _)| !due.contains(step))
                .map(|((_, step), _)| {
                    format!(
                        "writer {writer} is at step {number}, and letters of step {step} are there"
                    )
                }),
        );
    }
    wrong
}

fn trail(told: &Told, held: &Held, folder: &Path) -> Vec<String> {
    let Some((entries, commit)) = held.trail else {
        return vec!["nothing is known of the trail".to_owned()];
    };
    let mut wrong = Vec::new();
    if entries < told.entry {
        wrong.push(format!(
            "the trail has {entries} entries, and {} were acknowledged",
            told.entry
        ));
    }
    if held.commit < commit {
        wrong.push(format!(
            "the store is at commit {}, and the trail has seen {commit}",
            held.commit
        ));
    }
    let against = Against {
        store_commit: Some(held.commit),
        ..Against::default()
    };
    match sluice_audit_verify::check(&folder.join("audit"), &against) {
        Ok(holds) if holds.entries == entries => {}
        Ok(holds) => wrong.push(format!(
            "the trail has {} entries, and its writer counts {entries}",
            holds.entries
        )),
        Err(why) => wrong.push(format!("the trail does not hold: {why}")),
    }
    wrong
}

fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
}

/// What does not read as a number is one that nothing has.
fn large(word: &str) -> u64 {
    word.parse().unwrap_or(u64::MAX)
}

fn small(word: &str) -> u8 {
    word.parse().unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str =
        "opened 0\ntry 0 1 c1 l1\nack 0 1 1\ntry 0 2 c2 l2\nack 0 2 2\ntry 0 3 c3 l3\n";
    const KEPT: u64 = 2;

    fn opening(body: &str) -> String {
        format!("opening 1\n{body}closed\nopening 2\n{body}closed\n")
    }

    /// What is wrong, without the trail: it has tests of its own.
    fn found(said: &str, body: &str) -> Vec<String> {
        let mut told = Told::default();
        told.hear(said);
        let (openings, refused) = openings(&opening(body));
        assert_eq!(refused, None);
        let all = check(&told, &openings, Path::new("/nowhere"), KEPT);
        all.into_iter()
            .filter(|wrong| !wrong.contains("trail"))
            .collect()
    }

    #[test]
    fn what_was_promised_is_asked_for() {
        let acked = "commit 2\ncheckpoint 0 2 c2\nletters 0 1 l1\nletters 0 2 l2\n";
        let ahead = "commit 3\ncheckpoint 0 3 c3\nletters 0 2 l2\nletters 0 3 l3\n";
        assert_eq!(found(SAID, acked), Vec::<String>::new());
        assert_eq!(
            found(SAID, ahead),
            Vec::<String>::new(),
            "durable, and not yet said"
        );
        for (body, says) in [
            (
                "commit 1\ncheckpoint 0 1 c1\nletters 0 1 l1\n",
                "is at step 1, and 2 was acknowledged",
            ),
            ("commit 0\n", "is at step 0"),
            (&acked.replace("c2", "cX"), "as it was never written"),
            (&acked.replace("0 2 l2", "0 2 lX"), "are not those written"),
            (
                &acked.replace("letters 0 1 l1\n", ""),
                "the letters of step 1 are gone",
            ),
            (
                &ahead.replace("letters 0 3 l3\n", ""),
                "the letters of step 3 are gone",
            ),
            (
                &format!("{ahead}letters 0 1 l1\n"),
                "letters of step 1 are there",
            ),
            (&acked.replace("commit 2", "commit 1"), "at commit 1, and 2"),
        ] {
            let found = found(SAID, body);
            assert!(
                found.iter().any(|wrong| wrong.contains(says)),
                "{says}: {found:?}"
            );
        }
    }

    #[test]
    fn openings_are_alike_and_whole() {
        let told = Told::default();
        let check = |text: &str| {
            let (openings, _) = openings(text);
            check(&told, &openings, Path::new("/nowhere"), KEPT).join("; ")
        };
        assert!(check("opening 1\ncommit 1\nclosed\n").contains("1 openings"));
        assert!(
            check("opening 1\ncommit 2\nclosed\nopening 2\ncommit 1\nclosed\n")
                .contains("something else")
        );
        assert!(check("opening 1\nclosed\nopening 2\n").contains("to its end"));
        let (_, refused) = openings("opening 1\nfailed no such key\n");
        assert_eq!(refused.as_deref(), Some("no such key"));
    }

    #[test]
    fn half_a_line_was_never_said() {
        let mut told = Told::default();
        told.hear("try 0 1 c l\nack 0 1 1");
        assert_eq!(told.acks(), 0);
        told.hear("try 0 1 c2 l2\nack 0 1 1\n");
        assert_eq!(told.acks(), 1);
        assert_eq!(told.tried[&(0, 1)], [("c2".to_owned(), "l2".to_owned())]);
    }
}
