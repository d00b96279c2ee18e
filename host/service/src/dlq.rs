//! What people and time do to dead letters: send them again, give them up, mend them, let them go. Each act is written
//! down before it is done. Blocking.

use crate::Error;
use crate::audit::{Action, Audit};
use crate::keeping::{Keeping, LetterFilter, now_ms};
use crate::redact::Hidden;
use crate::run::Chosen;
use serde::{Deserialize, Serialize};
use sluice_model::ids::{PipelineName, PluginName};
use sluice_model::rejection::Record;
use sluice_state::journal::{self, JournalError, Kept, StandingKind, Sweep, Turn};

pub use sluice_state::journal::{Account, Standing};

/// Dead letters read, changed or removed at a time.
const PAGE: usize = 256;

/// How many dead letters an act touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Touched {
    /// So many.
    pub letters: u64,
}

/// Letters that wait and that a filter lets through, page after page; as they are shown, for how many there are tells
/// what a text is found in.
fn each_page(
    keeping: &Keeping,
    hidden: &Hidden,
    pipeline: &PipelineName,
    filter: &LetterFilter,
    mut page: impl FnMut(&[Kept]) -> Result<(), Error>,
) -> Result<(), Error> {
    let filter = LetterFilter {
        standing: Some(StandingKind::Waiting),
        ..filter.clone()
    };
    let mut after = 0;
    loop {
        let letters = hidden.letters(keeping, pipeline, &filter, after, PAGE)?;
        let Some(last) = letters.last() else {
            return Ok(());
        };
        after = last.letter.number;
        page(&letters)?;
    }
}

impl Keeping {
    /// How many dead letters a pipeline has, and what became of all it ever had.
    pub fn account(&self, pipeline: &PipelineName) -> Result<Account, Error> {
        Ok(journal::account(&**self.store().0, pipeline)?)
    }

    /// The letters that wait and that a filter lets through, by the sinks that they go to.
    pub(crate) fn choose(
        &self,
        hidden: &Hidden,
        pipeline: &PipelineName,
        filter: &LetterFilter,
        sinks: &[PluginName],
    ) -> Result<Chosen, Error> {
        let mut chosen = Chosen::default();
        each_page(self, hidden, pipeline, filter, |letters| {
            // Those of a redrive that was killed too: it is found out what became of them when their sinks are opened.
            for kept in letters.iter().filter(|kept| !kept.pending) {
                chosen.add(&kept.letter, sinks);
            }
            Ok(())
        })?;
        Ok(chosen)
    }

    /// Gives up the letters that wait and that a filter lets through: their records go, and that they were there stays.
    pub fn discard(
        &self,
        audit: &Audit,
        hidden: &Hidden,
        pipeline: &PipelineName,
        filter: &LetterFilter,
        reason: &str,
    ) -> Result<Touched, Error> {
        let mut touched = Touched::default();
        each_page(self, hidden, pipeline, filter, |letters| {
            touched.letters += letters.iter().filter(|kept| kept.is_open()).count() as u64;
            Ok(())
        })?;
        if touched.letters == 0 {
            return Ok(touched);
        }
        let act = Action::DlqDiscarded
            .with("pipeline", pipeline)
            .with("reason", reason);
        let act = act
            .with("letters", touched.letters)
            .with("which", which(filter));
        audit.act_at(act, self)?;
        let by = audit.actor();
        touched.letters = 0;
        let (store, desk) = self.store();
        each_page(self, hidden, pipeline, filter, |letters| {
            let turn = desk.turn(pipeline);
            // As they are now that nobody else has the turn.
            let mut now = Vec::with_capacity(letters.len());
            for kept in letters {
                now.extend(self.dead_letter(pipeline, kept.letter.number)?);
            }
            now.retain(Kept::is_open);
            if now.is_empty() {
                return Ok(());
            }
            touched.letters += now.len() as u64;
            store.commit(journal::discard(
                &**store,
                &turn,
                &now,
                &by,
                reason,
                now_ms(),
            )?)?;
            Ok(())
        })?;
        Ok(touched)
    }

    /// Has another record sent in the place of a letter's own, which stays beside it.
    pub fn edit(
        &self,
        audit: &Audit,
        pipeline: &PipelineName,
        number: u64,
        record: String,
    ) -> Result<Option<Kept>, Error> {
        let (store, desk) = self.store();
        let turn = desk.turn(pipeline);
        let Some(kept) = self.dead_letter(pipeline, number)? else {
            return Ok(None);
        };
        let (record, by) = (Record::Json(record), audit.actor());
        let batch = journal::edit(&**store, &turn, &kept, record, &by, now_ms())?;
        let act = Action::DlqEdited
            .with("pipeline", pipeline)
            .with("letter", number);
        audit.act_at(act, self)?;
        store.commit(batch)?;
        drop(turn);
        self.dead_letter(pipeline, number)
    }

    /// Removes letters that came, or were settled, before this moment.
    pub fn expire(
        &self,
        audit: &Audit,
        pipeline: &PipelineName,
        before_ms: u64,
    ) -> Result<Touched, Error> {
        let store = self.store().0;
        self.sweep(audit, pipeline, "old", |turn, after| {
            journal::expire(&**store, turn, before_ms, after, PAGE)
        })
    }

    /// Removes letters that wait no more: there is no room for others.
    pub fn make_room(&self, audit: &Audit, pipeline: &PipelineName) -> Result<Touched, Error> {
        let store = self.store().0;
        self.sweep(audit, pipeline, "settled", |turn, after| {
            journal::purge(&**store, turn, after, PAGE)
        })
    }

    fn sweep(
        &self,
        audit: &Audit,
        pipeline: &PipelineName,
        which: &str,
        next: impl Fn(&Turn, u64) -> Result<Sweep, JournalError>,
    ) -> Result<Touched, Error> {
        let (store, desk) = self.store();
        let (mut touched, mut after) = (Touched::default(), Some(0));
        while let Some(from) = after {
            let turn = desk.turn(pipeline);
            let sweep = next(&turn, from)?;
            after = sweep.next;
            if sweep.letters == 0 {
                continue;
            }
            let act = Action::DlqExpired
                .with("pipeline", pipeline)
                .with("which", which);
            let act = act.with("letters", sweep.letters).by_the_host();
            audit.act_at(act, self)?;
            store.commit(sweep.batch)?;
            touched.letters += sweep.letters;
        }
        Ok(touched)
    }
}

/// A filter in words, for the trail.
pub(crate) fn which(filter: &LetterFilter) -> String {
    let mut words = Vec::new();
    if let Some(numbers) = filter.numbers {
        words.push(format!("number {} to {}", numbers.first, numbers.last));
    }
    let mut word = |key: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{key} {value}")));
    };
    word("code", filter.code.clone());
    word("stream", filter.stream.as_ref().map(ToString::to_string));
    word("split", filter.split.as_ref().map(ToString::to_string));
    word("plugin", filter.plugin.as_ref().map(ToString::to_string));
    word("since", filter.since_ms.map(|ms| ms.to_string()));
    word("until", filter.until_ms.map(|ms| ms.to_string()));
    word("text", filter.text.as_ref().map(|_| "given".to_owned()));
    if words.is_empty() {
        words.push("all that wait".to_owned());
    }
    words.join(", ")
}
