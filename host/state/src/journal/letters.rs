//! Finding dead letters: by number, by what they are, and how they stand.
//!
//! Whether one is pending is not written in it: it is, for as long as its split's checkpoint holds the intent it came
//! with. The same holds for an attempt to redrive one. So settling thousands of letters is one small write.

use super::checkpoints::intent;
use super::key;
use super::letter::{DeadLetter, StandingKind};
use super::record::{JournalError, decode};
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::{Intent, Numbers};
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, PluginName, SplitId, StreamName};
use sluice_model::limits::LETTERS_FOUND_BYTES_MAX;
use sluice_model::ports::{Namespace, Pairs, StateStore};
use sluice_model::rejection::Record;
use std::collections::HashMap;

pub(super) const WHAT: &str = "a dead letter";
/// Dead letters read at a time: of the largest, 128 MiB.
const PAGE: usize = 64;

/// A dead letter as it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The letter, with what its last attempt brought if that is settled.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// Whether its unit may still turn out not to have been delivered: then it will be deleted and its record read
    /// again. Such a letter must not be sent again.
    pub pending: bool,
    /// Whether its last attempt is in a unit that may still turn out not to have been delivered: then the attempt will
    /// be undone.
    pub redriving: bool,
    /// What it takes in the store.
    pub bytes: u64,
    /// As it is stored: what a change of it is guarded by.
    #[serde(skip)]
    pub(super) stored: Vec<u8>,
}

impl Kept {
    /// Whether it can be redriven, edited or discarded now.
    pub fn is_open(&self) -> bool {
        !self.pending && !self.redriving && self.letter.standing.kind() == StandingKind::Waiting
    }
}

/// Which dead letters: those that are all of this.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// With one of these numbers.
    pub numbers: Option<Numbers>,
    /// Of this split.
    pub split: Option<SplitId>,
    /// Of this stream.
    pub stream: Option<StreamName>,
    /// With this code.
    pub code: Option<String>,
    /// Refused by this plugin.
    pub plugin: Option<PluginName>,
    /// That came then or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// That came before, in milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// With this text in message, code, place or record, in whatever case.
    pub text: Option<String>,
    /// That stand so.
    pub standing: Option<StandingKind>,
}

impl Filter {
    /// Whether the text that is sought, if any is, stands in this letter.
    pub fn finds_text(&self, letter: &DeadLetter) -> bool {
        let text = self.text.as_ref().map(|text| text.to_lowercase());
        text.is_none_or(|text| says(letter, &text))
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
    Intents::new(store, pipeline).kept(&key, bytes).map(Some)
}

/// Letters of a pipeline that pass the filter, after this number (0: from the first), in order: at most `limit`, and
/// fewer where they are large, but none only where there are none.
pub fn dead_letters(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    filter: &Filter,
    after: u64,
    limit: usize,
) -> Result<Vec<Kept>, JournalError> {
    let numbers = filter.numbers.unwrap_or(ALL);
    let first = numbers.first.max(after.saturating_add(1));
    let (mut intents, filter) = (Intents::new(store, pipeline), Ready::of(filter));
    let (mut found, mut taken) = (Vec::new(), 0);
    for stored in stored(store, pipeline, Numbers { first, ..numbers }) {
        if found.len() >= limit || taken >= Guard::LettersFound.limit(LETTERS_FOUND_BYTES_MAX) {
            break;
        }
        let (key, bytes) = stored?;
        let kept = intents.kept(&key, bytes)?;
        if filter.passes(&kept) {
            taken += kept.bytes;
            found.push(kept);
        }
    }
    Ok(found)
}

/// Every number there can be.
pub(super) const ALL: Numbers = Numbers {
    first: 1,
    last: u64::MAX,
};

/// A pipeline's letters with these numbers as they are stored, in order, read page by page.
pub(super) fn stored<'a>(
    store: &'a dyn StateStore,
    pipeline: &PipelineName,
    numbers: Numbers,
) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), JournalError>> + 'a {
    let prefix = key::pipeline(pipeline);
    let last = key::letter(pipeline, numbers.last);
    let mut after = key::letter(pipeline, numbers.first.saturating_sub(1));
    let mut page = Pairs::new().into_iter();
    let mut is_over = numbers.first > numbers.last;
    std::iter::from_fn(move || {
        let mut next = page.next();
        if next.is_none() && !is_over {
            match store.scan(Namespace::DeadLetter, &prefix, &after, PAGE) {
                Ok(pairs) => page = pairs.into_iter(),
                Err(error) => {
                    is_over = true;
                    return Some(Err(error.into()));
                }
            }
            next = page.next();
        }
        let (key, bytes) = next
            .filter(|(key, _)| !is_over && *key <= last)
            .or_else(|| {
                is_over = true;
                None
            })?;
        after.clone_from(&key);
        Some(Ok((key, bytes)))
    })
}

/// A filter made ready to be held against many letters.
struct Ready<'a> {
    filter: &'a Filter,
    text: Option<String>,
}

impl<'a> Ready<'a> {
    fn of(filter: &'a Filter) -> Self {
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        Self { filter, text }
    }

    fn passes(&self, kept: &Kept) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        let (filter, letter) = (self.filter, &kept.letter);
        is(filter.split.as_ref(), &letter.split)
            && is(filter.stream.as_ref(), &letter.rejection.stream)
            && is(filter.code.as_ref(), &letter.rejection.code)
            && is(filter.plugin.as_ref(), &letter.plugin)
            && is(filter.standing.as_ref(), &letter.standing.kind())
            && filter.since_ms.is_none_or(|since| since <= letter.at_ms)
            && filter.until_ms.is_none_or(|until| letter.at_ms < until)
            && self.text.as_ref().is_none_or(|text| says(letter, text))
    }
}

/// Whether a letter holds this text, which is in lower case.
fn says(letter: &DeadLetter, text: &str) -> bool {
    let rejection = &letter.rejection;
    let is_in = |record: &Record| match record {
        Record::Json(json) => json.to_lowercase().contains(text),
        Record::Raw(bytes) => String::from_utf8_lossy(bytes).to_lowercase().contains(text),
    };
    rejection.message.to_lowercase().contains(text)
        || rejection.code.to_lowercase().contains(text)
        || rejection.place.to_string().to_lowercase().contains(text)
        || is_in(&rejection.record)
        || letter
            .edited
            .as_ref()
            .is_some_and(|edit| is_in(&edit.record))
}

/// The intents of the splits that a listing meets, each read once.
pub(super) struct Intents<'a> {
    store: &'a dyn StateStore,
    pipeline: PipelineName,
    of: HashMap<SplitId, Option<Intent>>,
}

impl<'a> Intents<'a> {
    pub fn new(store: &'a dyn StateStore, pipeline: &PipelineName) -> Self {
        Self {
            store,
            pipeline: pipeline.clone(),
            of: HashMap::new(),
        }
    }

    /// A letter as it stands, from how it is stored.
    pub fn kept(&mut self, key: &[u8], stored: Vec<u8>) -> Result<Kept, JournalError> {
        let letter: DeadLetter = decode(WHAT, &stored)?;
        let pending = self.of(&letter.split)?.is_some_and(|intent| {
            let numbers = intent.dead_letters;
            numbers.is_some_and(|numbers| numbers.contains(letter.number))
        });
        let redriving = match &letter.attempt {
            Some(attempt) => {
                let intent = self.of(&attempt.split)?;
                intent.is_some_and(|intent| is_under(intent, &letter))
            }
            None => false,
        };
        Ok(Kept {
            letter: if redriving { letter } else { letter.settled() },
            pending,
            redriving,
            bytes: (key.len() + stored.len()) as u64,
            stored,
        })
    }

    fn of(&mut self, split: &SplitId) -> Result<Option<&Intent>, JournalError> {
        if !self.of.contains_key(split) {
            let intent = intent(self.store, &self.pipeline, split)?;
            self.of.insert(split.clone(), intent);
        }
        Ok(self.of.get(split).and_then(Option::as_ref))
    }
}

/// Whether a letter's last attempt was made under this intent, which is of the attempt's split.
pub(super) fn is_under(intent: &Intent, letter: &DeadLetter) -> bool {
    let redriven = intent.redriven;
    let attempt = letter.attempt.as_ref();
    redriven.is_some_and(|numbers| numbers.contains(letter.number))
        && attempt.is_some_and(|attempt| attempt.mark == intent.mark)
}
