//! What goes wrong with which request. By the number of the request, so that the same seed makes the same trouble
//! however fast or slow the machine is. Knows nothing of sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// What happens to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is handed on this much later.
    Latency(Duration),
    /// Its answer comes in so many bytes at a time, with this between two pieces.
    Drip(usize, Duration),
    /// It is read and never handed on, and nothing is said for so long; then the connection is reset.
    Hang(Duration),
    /// It is handed on and done; nothing is said for so long, and then the connection is reset.
    HangDone(Duration),
    /// The connection is reset, and nothing was handed on.
    ResetBefore,
    /// Half of it is handed on, then both connections are reset.
    ResetMidRequest,
    /// It is done, and the connection reset before the first byte of the answer.
    ResetAfter,
    /// It is done, and half of the answer's body came before the reset.
    ResetMidBody,
    /// It is done with a 2xx, and the connection is closed in order without an answer.
    Lost,
    /// It is done, and the connection is closed in order in the middle of the answer's body.
    Cut,
    /// It is done, and the answer is half of its body with a length that is right: HTTP, and no JSON.
    Torn,
    /// It is done, and the answer is no HTTP.
    Garbage,
    /// Nothing is done; this is the answer.
    Answer(u16, Vec<(String, String)>),
    /// It is done; this is the answer all the same, as a gateway gives it.
    AnswerDone(u16),
    /// It is done and answered; then the connection is closed without a word, as the next request is on its way.
    CloseAfter,
    /// It is done; its answer waits until another, later request is answered, at most so long.
    Overtaken(Duration),
    /// Every connection is reset, and for so long none is accepted.
    Refuse(Duration),
}

impl Trouble {
    /// An answer without headers.
    pub fn status(status: u16) -> Self {
        Trouble::Answer(status, Vec::new())
    }

    /// An answer that asks for a wait.
    pub fn retry_after(status: u16, seconds: u32) -> Self {
        let header = ("retry-after".to_owned(), seconds.to_string());
        Trouble::Answer(status, vec![header])
    }

    /// What it is counted as.
    pub fn word(&self) -> &'static str {
        match self {
            Trouble::Latency(_) => "latency",
            Trouble::Drip(..) => "drip",
            Trouble::Hang(_) => "hang",
            Trouble::HangDone(_) => "hang-done",
            Trouble::ResetBefore => "reset-before",
            Trouble::ResetMidRequest => "reset-mid-request",
            Trouble::ResetAfter => "reset-after",
            Trouble::ResetMidBody => "reset-mid-body",
            Trouble::Lost => "lost",
            Trouble::Cut => "cut",
            Trouble::Torn => "torn",
            Trouble::Garbage => "garbage",
            Trouble::Answer(..) => "answer",
            Trouble::AnswerDone(_) => "answer-done",
            Trouble::CloseAfter => "close-after",
            Trouble::Overtaken(_) => "overtaken",
            Trouble::Refuse(_) => "refuse",
        }
    }
}

/// Which requests meet which trouble. Requests are counted from 0, over all connections.
#[derive(Debug, Clone, Default)]
pub struct Script {
    seed: u64,
    by_number: BTreeMap<u64, Trouble>,
}

impl Script {
    /// One without trouble, whose later choices are this seed's.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            by_number: BTreeMap::new(),
        }
    }

    /// This request meets this trouble, unless it has one already.
    #[must_use]
    pub fn at(mut self, number: u64, trouble: Trouble) -> Self {
        self.by_number.entry(number).or_insert(trouble);
        self
    }

    /// So many of these requests do, the seed says which.
    ///
    /// # Panics
    /// Where there are not so many that have none yet.
    #[must_use]
    pub fn some(mut self, count: usize, among: Range<u64>, trouble: &Trouble) -> Self {
        let mut chance = Chance(self.seed ^ hash(trouble.word()));
        let mut free: BTreeSet<u64> = among
            .filter(|number| !self.by_number.contains_key(number))
            .collect();
        assert!(free.len() >= count, "too few requests for {trouble:?}");
        for _ in 0..count {
            let at = chance.below(free.len() as u64) as usize;
            let number = *free.iter().nth(at).expect("below its length");
            free.remove(&number);
            self.by_number.insert(number, trouble.clone());
        }
        self
    }

    /// What this request meets.
    pub(crate) fn of(&self, number: u64) -> Option<&Trouble> {
        self.by_number.get(&number)
    }

    /// How often each trouble is meant to come.
    pub fn planned(&self) -> BTreeMap<&'static str, u64> {
        let mut planned = BTreeMap::new();
        for trouble in self.by_number.values() {
            *planned.entry(trouble.word()).or_default() += 1;
        }
        planned
    }
}

/// FNV-1a: tells the choices of one trouble from those of another.
fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_script() {
        let script = |seed| {
            let script = Script::seeded(seed).at(3, Trouble::Garbage);
            let script = script.some(5, 0..100, &Trouble::ResetBefore);
            script.some(2, 0..8, &Trouble::Cut)
        };
        assert_eq!(script(1).by_number, script(1).by_number);
        assert_ne!(script(1).by_number, script(2).by_number);
        for seed in 0..50 {
            let script = script(seed);
            assert_eq!(script.of(3), Some(&Trouble::Garbage));
            let planned = [("cut", 2), ("garbage", 1), ("reset-before", 5)];
            assert_eq!(script.planned(), BTreeMap::from(planned));
        }
    }
}
