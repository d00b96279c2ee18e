//! One pipeline's part of the state store, for one run: its checkpoints, moved with the dead letters, the redrives and the
//! schemas that go with them. Blocking.

use crate::Error;
use crate::audit::Audit;
use crate::check::{Known, StreamShape};
use crate::keeping::{Keeping, now_ms};
use crate::plan::Plan;
use crate::report::CodeCount;
use crate::run::{RefusedRecord, Window};
use sluice_model::checkpoint::{Checkpoint, Cursor, Mark};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, PluginName, SplitId, StageId, StreamName};
use sluice_model::ports::{StateBatch, StateStore, StateWrite, StoreError};
use sluice_model::schema::Schema;
use sluice_model::sizes::ByteSize;
use sluice_state::journal::{
    self, Block, DeadLetter, Desk, Digest, Fate, Held, JournalError, Kept, Redriven, SchemaRecord,
    Step,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Digests of one unit that outlast the run. More would not fit the commit that they go with (4 MiB): those would come
/// again, once.
const BLOCK_DIGESTS_MAX: usize = 100_000;

/// What became of a unit's records, besides those that the sinks took.
#[derive(Debug, Default)]
pub struct Unit {
    /// Refused ones, by whomever.
    pub refused: Vec<RefusedRecord>,
    /// The dead letters that it redrives; else its refused records become dead letters.
    pub letters: Vec<Letter>,
    /// What is remembered of its records.
    pub seen: Option<Seen>,
    /// Schemas that grew on the way.
    pub grown: Vec<(StreamName, Arc<Schema>)>,
}

/// A dead letter on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter {
    /// Which.
    pub number: u64,
    /// How often it was edited when it was read.
    pub edits: u32,
    /// Whether a transform left nothing of it.
    pub filtered: bool,
}

/// Digests of a unit's records, for a source that repeats itself.
#[derive(Debug)]
pub struct Seen {
    /// The unit.
    pub mark: Mark,
    /// Of those of its records that are new.
    pub digests: Vec<Digest>,
}

/// How room is made for dead letters: those that wait no more go first.
pub struct Room(Box<dyn Fn() -> Result<u64, Error> + Send + Sync>);

impl Room {
    /// By removing settled letters, written down.
    pub fn of(keeping: &Arc<Keeping>, audit: &Arc<Audit>, plan: &Plan) -> Self {
        let (keeping, audit) = (Arc::clone(keeping), Arc::clone(audit));
        let pipeline = plan.name().clone();
        Self(Box::new(move || {
            Ok(keeping.make_room(&audit, &pipeline)?.letters)
        }))
    }
}

/// See the module.
pub struct Ledger {
    store: Arc<dyn StateStore>,
    desk: Arc<Desk>,
    pipeline: PipelineName,
    run: String,
    plugins: HashMap<StageId, PluginName>,
    dlq_limit: ByteSize,
    room: Room,
    window: Option<Window>,
    held: Mutex<HashMap<SplitId, Held>>,
    codes: Mutex<Codes>,
}

/// Why records became dead letters.
#[derive(Default)]
struct Codes {
    counts: BTreeMap<String, u64>,
    /// Of each split's last unit with letters: it may be stored more than once.
    last: HashMap<SplitId, (Mark, BTreeMap<String, u64>)>,
}

impl Codes {
    fn note(&mut self, split: &SplitId, mark: Mark, letters: Vec<DeadLetter>) {
        if letters.is_empty() {
            return; // Also where a unit is settled whose letters were stored with its intent.
        }
        let mut of_unit = BTreeMap::new();
        for letter in letters {
            *of_unit.entry(letter.rejection.code).or_default() += 1;
        }
        for (code, records) in &of_unit {
            *self.counts.entry(code.clone()).or_default() += records;
        }
        let before = self.last.insert(split.clone(), (mark, of_unit));
        let again = before.filter(|(before, _)| *before == mark);
        for (code, records) in again.into_iter().flat_map(|(_, codes)| codes) {
            if let Some(count) = self.counts.get_mut(&code) {
                *count -= records;
            }
        }
    }
}

/// Of the unit that a checkpoint is about.
fn mark(next: &Checkpoint) -> Mark {
    let intent = next.intent.as_ref().map(|intent| intent.mark);
    intent.unwrap_or(Mark {
        epoch: next.epoch,
        sequence: next.sequence,
    })
}

impl Ledger {
    pub(crate) fn new(
        store: Arc<dyn StateStore>,
        desk: Arc<Desk>,
        plan: &Plan,
        room: Room,
    ) -> Self {
        let all = plan.stages();
        Self {
            store,
            desk,
            pipeline: plan.name().clone(),
            run: format!("{:x}", now_ms()),
            plugins: all
                .map(|stage| (stage.id, stage.artifact.manifest.plugin.name.clone()))
                .collect(),
            dlq_limit: plan.pipeline.dlq.limit,
            room,
            window: None,
            held: Mutex::default(),
            codes: Mutex::default(),
        }
    }

    /// With a memory of what came before, where the pipeline asks for one.
    pub fn remembering(mut self, plan: &Plan) -> Result<Self, JournalError> {
        if let Some(settings) = &plan.pipeline.source.dedupe {
            let blocks = journal::seen(&*self.store, &self.pipeline)?;
            let blocks = blocks.into_iter().map(|block| {
                let digests = block.digests()?;
                Ok((block, digests))
            });
            let blocks = blocks.collect::<Result<_, JournalError>>()?;
            self.window = Some(Window::new(settings.clone(), blocks));
        }
        Ok(self)
    }

    /// The memory of what came before.
    pub fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// What the run is called.
    pub fn run(&self) -> &str {
        &self.run
    }

    fn held(&self) -> MutexGuard<'_, HashMap<SplitId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store holds of a split, from now on this run's to move.
    pub fn checkpoint(&self, split: &SplitId) -> Result<Option<Checkpoint>, Fault> {
        let held = journal::hold(&*self.store, &self.pipeline, split)?;
        let checkpoint = held.checkpoint().cloned();
        self.held().insert(split.clone(), held);
        Ok(checkpoint)
    }

    /// Those of these splits that were read to their end.
    pub fn ended(&self, splits: HashSet<SplitId>) -> Result<HashSet<SplitId>, Fault> {
        let mut ended = HashSet::new();
        for split in splits {
            let held = journal::hold(&*self.store, &self.pipeline, &split)?;
            if held.checkpoint().is_some_and(|checkpoint| checkpoint.ended) {
                ended.insert(split);
            }
        }
        Ok(ended)
    }

    /// Keeps where splits begin, all or none, where no place of them is kept.
    pub fn begin(&self, starts: &[(SplitId, Cursor)]) -> Result<(), Fault> {
        Ok(journal::begin(
            &*self.store,
            &self.pipeline,
            starts,
            now_ms(),
        )?)
    }

    /// Moves a split to another place (none: the beginning): its own run is not under way.
    pub fn move_to(&self, split: &SplitId, place: Option<Cursor>) -> Result<(), Fault> {
        let turn = self.desk.turn(&self.pipeline);
        let moves = journal::set_place(&*self.store, &turn, split, place, now_ms())?;
        for batch in moves.batches {
            self.store.commit(batch)?;
        }
        Ok(())
    }

    /// Makes `next` the checkpoint, with what became of its unit.
    pub fn store(&self, split: &SplitId, next: Checkpoint, unit: Unit) -> Result<(), Fault> {
        let held = self
            .held()
            .get(split)
            .cloned()
            .expect("a split's checkpoint is loaded before it is moved");
        let now_ms = now_ms();
        let also = self.also(split, &held, &next, &unit, now_ms);
        let fates = self.fates(&unit);
        let mark = mark(&next);
        let letters = if fates.is_empty() {
            self.letters(split, mark, unit.refused, now_ms)?
        } else {
            Vec::new()
        };
        let step = Step {
            next,
            letters: &letters,
            fates: &fates,
            also: &also,
            now_ms,
            run: &self.run,
            bytes_max: Some(self.dlq_limit.0),
        };
        let stored = || {
            let steps = held.steps(&*self.store, &self.desk, &step)?;
            steps.commit()
        };
        let held = match stored() {
            Err(JournalError::Full { .. }) if self.made_room()? => stored(),
            outcome => outcome,
        };
        let held = held.map_err(|error| match error {
            JournalError::Store(StoreError::Fenced) if !fates.is_empty() => {
                let kind = FaultKind::Transient { retry_after: None };
                let message = "a dead letter was changed while it was on its way";
                Fault::new(kind, message).hint("run it again: what is delivered stays delivered")
            }
            error => self.told(error),
        })?;
        self.held().insert(split.clone(), held);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.note(split, mark, letters);
        Ok(())
    }

    /// What is written besides: the schemas that grew, and what is remembered of the unit.
    fn also(
        &self,
        split: &SplitId,
        held: &Held,
        next: &Checkpoint,
        unit: &Unit,
        now_ms: u64,
    ) -> Vec<StateWrite> {
        let mut batch = StateBatch::default();
        for (stream, schema) in &unit.grown {
            self.put_schema(&mut batch, stream.clone(), schema, now_ms);
        }
        let Some(window) = &self.window else {
            return batch.writes;
        };
        let under_way = held.under_way();
        if let Some(mark) = under_way.filter(|mark| next.mark < Some(*mark)) {
            // It was not delivered, and comes again.
            journal::delete_seen(&mut batch, &self.pipeline, split, mark);
            window.undelivered(split, mark);
        }
        if let Some(seen) = unit.seen.as_ref().filter(|seen| !seen.digests.is_empty()) {
            let kept = seen.digests.len().saturating_sub(BLOCK_DIGESTS_MAX);
            let block = Block::new(split.clone(), seen.mark, now_ms, &seen.digests[kept..]);
            journal::put_seen(&mut batch, &self.pipeline, &block);
            let digests = seen.digests.clone();
            for (split, mark) in window.delivered(split.clone(), seen.mark, now_ms, digests) {
                journal::delete_seen(&mut batch, &self.pipeline, &split, mark);
            }
        }
        batch.writes
    }

    /// Whether there is more room now than there was.
    fn made_room(&self) -> Result<bool, Fault> {
        let made = (self.room.0)();
        let gone = made.map_err(|error| Fault::new(FaultKind::Host, error.to_string()))?;
        Ok(gone > 0)
    }

    fn told(&self, error: JournalError) -> Fault {
        match error {
            JournalError::Full { bytes, limit } => full(&self.pipeline, bytes, limit),
            error => error.into(),
        }
    }

    /// That there is no room for dead letters, before a record is read for which there would be none.
    pub fn has_room(&self) -> Result<(), Fault> {
        let bytes = || Ok::<_, Fault>(journal::account(&*self.store, &self.pipeline)?.bytes);
        let limit = self.dlq_limit.0;
        if bytes()? < limit || !Guard::DlqFull.stands() {
            return Ok(());
        }
        self.made_room()?;
        match bytes()? {
            bytes if bytes < limit => Ok(()),
            bytes => Err(full(&self.pipeline, bytes, limit)),
        }
    }

    /// The letter of this number, where it waits to be redriven.
    pub fn waiting(&self, number: u64) -> Result<Option<DeadLetter>, Fault> {
        let kept = journal::dead_letter(&*self.store, &self.pipeline, number)?;
        Ok(kept.filter(Kept::is_open).map(|kept| kept.letter))
    }

    /// How the redrive of each of a unit's letters ended; nothing where it redrives none.
    fn fates(&self, unit: &Unit) -> Vec<Redriven> {
        let refused = unit.refused.iter();
        let refused = refused.filter_map(|refused| Some((refused.letter?, &refused.rejection)));
        let refused: HashMap<u64, _> = refused.collect();
        let fate = |letter: &Letter| match refused.get(&letter.number) {
            Some(rejection) => Fate::Refused {
                plugin: self.plugins[&rejection.stage].clone(),
                rejection: Box::new((*rejection).clone()),
            },
            None if letter.filtered => Fate::Filtered,
            None => Fate::Delivered,
        };
        let redriven = |letter: &Letter| Redriven {
            number: letter.number,
            edits: letter.edits,
            fate: fate(letter),
        };
        unit.letters.iter().map(redriven).collect()
    }

    fn letters(
        &self,
        split: &SplitId,
        mark: Mark,
        refused: Vec<RefusedRecord>,
        at_ms: u64,
    ) -> Result<Vec<DeadLetter>, Fault> {
        if refused.is_empty() {
            return Ok(Vec::new());
        }
        let count = refused.len() as u64;
        let numbers = self.desk.reserve(&*self.store, &self.pipeline, count)?;
        let rejections = refused.into_iter().map(|refused| refused.rejection);
        Ok(rejections
            .zip(numbers.first..)
            .map(|(rejection, number)| DeadLetter {
                number,
                pipeline: self.pipeline.clone(),
                split: split.clone(),
                run: self.run.clone(),
                mark,
                plugin: self.plugins[&rejection.stage].clone(),
                at_ms,
                rejection,
                standing: journal::Standing::default(),
                attempts: 0,
                attempt: None,
                edits: 0,
                edited: None,
            })
            .collect())
    }

    fn put_schema(
        &self,
        batch: &mut StateBatch,
        stream: StreamName,
        schema: &Schema,
        updated_ms: u64,
    ) {
        let (pipeline, schema) = (self.pipeline.clone(), schema.clone());
        journal::put_schema(
            batch,
            &SchemaRecord {
                pipeline,
                stream,
                schema,
                updated_ms,
            },
        );
    }

    /// Fixes the schemas that were inferred just now: from here on they are what is promised. Those that the source
    /// told are kept too: its dead letters can be sent again while it is away.
    pub fn fix(
        &self,
        streams: &[StreamShape],
        fixed: &BTreeMap<StreamName, Arc<Schema>>,
    ) -> Result<(), Fault> {
        let mut batch = StateBatch::default();
        for shape in streams.iter().filter(|shape| match shape.known {
            Known::Inferred => true,
            Known::Source => fixed.get(&shape.stream) != Some(&shape.entering),
            Known::Declared | Known::Fixed => false,
        }) {
            self.put_schema(&mut batch, shape.stream.clone(), &shape.entering, now_ms());
        }
        if !batch.writes.is_empty() {
            self.store.commit(batch)?;
        }
        Ok(())
    }

    /// Why records were dead-lettered so far in this run, most first.
    pub fn codes(&self) -> Vec<CodeCount> {
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut codes: Vec<CodeCount> = codes
            .counts
            .iter()
            .filter(|(_, records)| **records > 0)
            .map(|(code, records)| CodeCount {
                code: code.clone(),
                records: *records,
            })
            .collect();
        codes.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.code.cmp(&b.code)));
        codes
    }
}

fn full(pipeline: &PipelineName, bytes: u64, limit: u64) -> Fault {
    let message = format!(
        "the dead letters of `{pipeline}` take {bytes} bytes, and `[dlq] limit` gives them {}; it stops rather than drop one",
        ByteSize(limit)
    );
    Fault::new(FaultKind::DlqFull, message).hint(
        "see why with `sluice dlq list`; redrive or discard them, or raise `limit` under `[dlq]`",
    )
}
