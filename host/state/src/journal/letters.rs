//! Dead letters: numbered within their pipeline, in the order in which they came.
//!
//! Whether one is pending is not written in it: it is, for as long as its split's checkpoint holds the intent it came
//! with. So promoting thousands of letters is one small write.

use super::checkpoints::hold;
use super::key;
use super::record::{JournalError, decode, encode};
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::{Mark, Numbers};
use sluice_model::ids::{PipelineName, PluginName, SplitId, StreamName};
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use sluice_model::rejection::Rejection;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const WHAT: &str = "a dead letter";
/// Dead letters read at a time: of the largest, 16 MiB.
const PAGE: usize = 64;
/// Numbers are set aside in blocks of so many, so that splits side by side need no commit for each. What is left of a
/// block when the host stops is never used.
const BLOCK: u64 = 1_024;

/// A record that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Unique in its pipeline, for ever.
    pub number: u64,
    /// Whose.
    pub pipeline: PipelineName,
    /// Of which split.
    pub split: SplitId,
    /// The run that met it.
    pub run: String,
    /// The unit it was in.
    pub mark: Mark,
    /// The plugin of the stage that refused it, the source's for what could not be decoded.
    pub plugin: PluginName,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What, where and why.
    pub rejection: Rejection,
}

/// A dead letter as it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The letter.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// Whether its unit may still turn out not to have been delivered: then it will be deleted and its record read
    /// again. Such a letter must not be sent again.
    pub pending: bool,
    /// What it takes in the store.
    pub bytes: u64,
}

/// Which dead letters.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this split.
    pub split: Option<SplitId>,
    /// Of this stream.
    pub stream: Option<StreamName>,
    /// With this code.
    pub code: Option<String>,
}

/// How many, and how much they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Letters, pending ones included.
    pub letters: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Gives out the numbers of dead letters. One for the whole host: two would give out the same.
#[derive(Debug, Default)]
pub struct Numbering {
    /// For each pipeline the numbers that are set aside: the next, and the first that is not.
    blocks: Mutex<HashMap<PipelineName, (u64, u64)>>,
}

impl Numbering {
    /// `count` numbers that follow on one another, at least 1. Commits when a new block is needed.
    pub fn reserve(
        &self,
        store: &dyn StateStore,
        pipeline: &PipelineName,
        count: u64,
    ) -> Result<Numbers, JournalError> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, end) = blocks.get(pipeline).copied().unwrap_or_default();
        let (next, end) = if end - next >= count {
            (next, end)
        } else {
            set_aside(store, pipeline, count.max(BLOCK))?
        };
        blocks.insert(pipeline.clone(), (next + count, end));
        Ok(Numbers {
            first: next,
            last: next + count.max(1) - 1,
        })
    }
}

fn set_aside(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    count: u64,
) -> Result<(u64, u64), JournalError> {
    let key = key::numbering(pipeline);
    let held = store.get(Namespace::Meta, &key)?;
    let next = held
        .as_deref()
        .map(|bytes| decode("the numbering of dead letters", bytes))
        .transpose()?
        .unwrap_or(1);
    let end: u64 = next + count;
    store.commit(StateBatch {
        expect: vec![(Namespace::Meta, key.clone(), held)],
        writes: vec![StateWrite::Put(Namespace::Meta, key, encode(&end))],
    })?;
    Ok((next, end))
}

pub(super) fn put_letter(batch: &mut StateBatch, letter: &DeadLetter) {
    let key = key::letter(&letter.pipeline, letter.number);
    batch
        .writes
        .push(StateWrite::Put(Namespace::DeadLetter, key, encode(letter)));
}

pub(super) fn delete_letters(
    batch: &mut StateBatch,
    pipeline: &PipelineName,
    numbers: Option<Numbers>,
) {
    let numbers = numbers
        .into_iter()
        .flat_map(|numbers| numbers.first..=numbers.last);
    batch
        .writes
        .extend(numbers.map(|number| {
            StateWrite::Delete(Namespace::DeadLetter, key::letter(pipeline, number))
        }));
}

/// Adds to a batch that these letters are discarded, for good. It holds only if none of them changed meanwhile.
pub fn discard(batch: &mut StateBatch, letters: &[Kept]) {
    for Kept { letter, .. } in letters {
        let key = key::letter(&letter.pipeline, letter.number);
        batch
            .expect
            .push((Namespace::DeadLetter, key.clone(), Some(encode(letter))));
        batch
            .writes
            .push(StateWrite::Delete(Namespace::DeadLetter, key));
    }
}

/// The letter of this number.
pub fn dead_letter(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    number: u64,
) -> Result<Option<Kept>, JournalError> {
    let key = key::letter(pipeline, number);
    let Some(bytes) = store.get(Namespace::DeadLetter, &key)? else {
        return Ok(None);
    };
    Intents::new(store).kept(&key, &bytes).map(Some)
}

/// Letters of a pipeline that pass the filter, at most `limit`, after this number (0: from the first), in order.
pub fn dead_letters(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    filter: &Filter,
    after: u64,
    limit: usize,
) -> Result<Vec<Kept>, JournalError> {
    let mut intents = Intents::new(store);
    let (mut found, mut after) = (Vec::new(), key::letter(pipeline, after));
    while found.len() < limit {
        let pairs = store.scan(
            Namespace::DeadLetter,
            &key::pipeline(pipeline),
            &after,
            PAGE,
        )?;
        let Some((last, _)) = pairs.last() else { break };
        after.clone_from(last);
        for (key, bytes) in &pairs {
            let kept = intents.kept(key, bytes)?;
            if filter.passes(&kept.letter) {
                found.push(kept);
            }
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// How many letters a pipeline has. Reads them all: keep the answer and add to it.
pub fn usage(store: &dyn StateStore, pipeline: &PipelineName) -> Result<Usage, JournalError> {
    let (mut usage, mut after) = (Usage::default(), Vec::new());
    loop {
        let pairs = store.scan(
            Namespace::DeadLetter,
            &key::pipeline(pipeline),
            &after,
            PAGE,
        )?;
        let Some((last, _)) = pairs.last() else {
            return Ok(usage);
        };
        after.clone_from(last);
        usage.letters += pairs.len() as u64;
        usage.bytes += pairs
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum::<u64>();
    }
}

impl Filter {
    fn passes(&self, letter: &DeadLetter) -> bool {
        self.split
            .as_ref()
            .is_none_or(|split| *split == letter.split)
            && self
                .stream
                .as_ref()
                .is_none_or(|stream| *stream == letter.rejection.stream)
            && self
                .code
                .as_ref()
                .is_none_or(|code| *code == letter.rejection.code)
    }
}

/// The intents of the splits that a listing meets, each read once.
struct Intents<'a> {
    store: &'a dyn StateStore,
    marks: HashMap<SplitId, Option<Mark>>,
}

impl<'a> Intents<'a> {
    fn new(store: &'a dyn StateStore) -> Self {
        Self {
            store,
            marks: HashMap::new(),
        }
    }

    fn kept(&mut self, key: &[u8], bytes: &[u8]) -> Result<Kept, JournalError> {
        let letter: DeadLetter = decode(WHAT, bytes)?;
        let intended = if let Some(mark) = self.marks.get(&letter.split) {
            *mark
        } else {
            let held = hold(self.store, &letter.pipeline, &letter.split)?;
            let intent = held.checkpoint().and_then(|held| held.intent.as_ref());
            let mark = intent.map(|intent| intent.mark);
            self.marks.insert(letter.split.clone(), mark);
            mark
        };
        let pending = intended == Some(letter.mark);
        Ok(Kept {
            letter,
            pending,
            bytes: (key.len() + bytes.len()) as u64,
        })
    }
}
