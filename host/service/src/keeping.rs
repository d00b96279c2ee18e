//! A deployment's state store as the service uses it: one pipeline's ledger while it runs, and what people ask of
//! checkpoints and dead letters when it does not.

use crate::audit::{Action, Audit};
use crate::check::{Known, StreamShape};
use crate::deployment::{Deployment, shown};
use crate::report::CodeCount;
use crate::run::Place;
use crate::{Error, key};
use serde::Serialize;
use sluice_model::checkpoint::{Checkpoint, Totals};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::{PipelineName, PluginName, SplitId, StageId, StreamName};
use sluice_model::ports::{StateBatch, StateStore, StoreError};
use sluice_model::rejection::Rejection;
use sluice_model::schema::Schema;
use sluice_state::journal::{self, DeadLetter, Held, JournalError, Numbering, SchemaRecord};
pub use sluice_state::journal::{Filter as LetterFilter, Kept};
use sluice_state::sealed::{self, SealedStore, Sealing};
pub use sluice_state::sealed::{KeyView, Shred};
use sluice_state::{Options, SledStore};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Checkpoints read at a time.
const PAGE: usize = 256;

/// The open store of a deployment.
pub struct Keeping {
    sealed: Arc<SealedStore<SledStore>>,
    store: Arc<dyn StateStore>,
    numbering: Arc<Numbering>,
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        Error::Host(error.to_string())
    }
}

/// A checkpoint as `sluice checkpoint` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct CheckpointView {
    /// The split.
    pub split: SplitId,
    /// Units delivered over all runs.
    pub sequence: u64,
    /// Runs that have owned it.
    pub epoch: u64,
    /// Whether it was read to its end.
    pub ended: bool,
    /// Records over all runs.
    #[serde(flatten)]
    pub totals: Totals,
    /// The source's own place, as text where it is text.
    pub place: Option<serde_json::Value>,
    /// The document last read from, and its next line.
    pub document: Option<String>,
    /// Whether a unit was under way when the last run ended.
    pub unsettled: bool,
    /// When it was stored, in milliseconds since 1970.
    pub updated_ms: u64,
}

impl Keeping {
    /// Opens the store, or creates it.
    pub fn open(deployment: &Deployment) -> Result<Self, Error> {
        let (dir, key) = (deployment.state_dir(), key::source(deployment)?);
        let sealed = sealed::open(&dir, Options::default(), Sealing::default(), &*key)?;
        let sealed = Arc::new(sealed);
        Ok(Self {
            store: Arc::clone(&sealed) as _,
            sealed,
            numbering: Arc::default(),
        })
    }

    /// Opens the store where there is one.
    pub fn open_if_there(deployment: &Deployment) -> Result<Option<Self>, Error> {
        if deployment.state_dir().is_dir() {
            Self::open(deployment).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Opens the store that must be there: to look something up.
    pub fn open_existing(deployment: &Deployment) -> Result<Self, Error> {
        Self::open_if_there(deployment)?.ok_or_else(|| {
            let dir = shown(&deployment.state_dir());
            Error::wrong(sluice_model::tomlfile::FileError::new(
                dir,
                "nothing has run here yet",
            ))
        })
    }

    /// The number of the last durable commit.
    pub fn last_commit(&self) -> u64 {
        self.store.stats().last_commit.0
    }

    /// What the pipeline's row identities are made with.
    pub fn row_key(&self, pipeline: &PipelineName) -> Result<[u8; 32], Error> {
        Ok(journal::row_key(&*self.store, pipeline)?)
    }

    /// The schemas fixed for a pipeline.
    pub fn schemas(
        &self,
        pipeline: &PipelineName,
    ) -> Result<BTreeMap<StreamName, Arc<Schema>>, Error> {
        let records = journal::schemas(&*self.store, pipeline)?;
        Ok(records
            .into_iter()
            .map(|record| (record.stream, Arc::new(record.schema)))
            .collect())
    }

    /// One pipeline's part, for a run.
    pub fn ledger(&self, pipeline: &PipelineName, plugins: HashMap<StageId, PluginName>) -> Ledger {
        Ledger {
            store: Arc::clone(&self.store),
            numbering: Arc::clone(&self.numbering),
            pipeline: pipeline.clone(),
            run: format!("{:x}", now_ms()),
            plugins,
            held: Mutex::default(),
            codes: Mutex::default(),
        }
    }

    /// Every checkpoint of a pipeline.
    pub fn checkpoints(&self, pipeline: &PipelineName) -> Result<Vec<CheckpointView>, Error> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (records, next) =
                journal::checkpoints(&*self.store, pipeline, after.as_deref(), PAGE)?;
            found.extend(
                records
                    .into_iter()
                    .map(|record| view(record.split, &record.checkpoint, record.updated_ms)),
            );
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        found.sort_by(|a, b| a.split.cmp(&b.split));
        Ok(found)
    }

    /// Forgets where a pipeline is, or one split of it, and with `schemas` what was inferred for it. How many
    /// checkpoints that were. What cannot be audited is not forgotten.
    pub fn reset(
        &self,
        audit: &Audit,
        pipeline: &PipelineName,
        split: Option<&SplitId>,
        schemas: bool,
    ) -> Result<usize, Error> {
        let mut batch = journal::reset(&*self.store, pipeline, split)?;
        let forgotten = batch.expect.len();
        if schemas {
            journal::delete_schemas(&mut batch, &*self.store, pipeline)?;
        }
        if !batch.writes.is_empty() {
            let act = Action::CheckpointReset
                .with("pipeline", pipeline)
                .with_some("split", split);
            let act = act.with("schemas", schemas).with("checkpoints", forgotten);
            audit.act(act.at(self.last_commit()))?;
            self.store.commit(batch)?;
        }
        Ok(forgotten)
    }

    /// Dead letters of a pipeline after this number, in order.
    pub fn dead_letters(
        &self,
        pipeline: &PipelineName,
        filter: &LetterFilter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Kept>, Error> {
        Ok(journal::dead_letters(
            &*self.store,
            pipeline,
            filter,
            after,
            limit,
        )?)
    }

    /// The dead letter of this number.
    pub fn dead_letter(&self, pipeline: &PipelineName, number: u64) -> Result<Option<Kept>, Error> {
        Ok(journal::dead_letter(&*self.store, pipeline, number)?)
    }
}

/// How the state is sealed, as `sluice state show` tells it.
#[derive(Debug, Clone, Serialize)]
pub struct StateView {
    /// The deployment's key.
    pub key: String,
    /// The keys that it wraps.
    pub keys: Vec<KeyView>,
    /// What the store takes on disk.
    pub bytes: u64,
    /// The number of its last commit.
    pub last_commit: u64,
}

impl Keeping {
    /// How the state is sealed.
    pub fn state(&self) -> StateView {
        let stats = self.store.stats();
        StateView {
            key: self.sealed.key().to_string(),
            keys: self.sealed.keys(),
            bytes: stats.bytes,
            last_commit: stats.last_commit.0,
        }
    }

    /// Makes unreadable what is kept for a pipeline, for good.
    pub fn shred(&self, pipeline: &PipelineName) -> Result<Shred, Error> {
        Ok(self.sealed.shred(pipeline)?)
    }
}

fn view(split: SplitId, checkpoint: &Checkpoint, updated_ms: u64) -> CheckpointView {
    let place = checkpoint
        .place
        .as_ref()
        .and_then(|cursor| Place::decode(cursor).ok());
    CheckpointView {
        split,
        sequence: checkpoint.sequence,
        epoch: checkpoint.epoch,
        ended: checkpoint.ended,
        totals: checkpoint.totals,
        document: place
            .as_ref()
            .and_then(|place| place.document.as_ref())
            .map(|line| format!("{}:{}", line.name, line.next)),
        place: place.map(|place| {
            let bytes = place.source.as_bytes();
            serde_json::from_slice(bytes)
                .unwrap_or_else(|_| serde_json::to_value(&place.source).unwrap_or_default())
        }),
        unsettled: checkpoint.intent.is_some(),
        updated_ms,
    }
}

/// What is told where the dead letters of one unit are more than one commit takes: it is whoever refused them that has to
/// do otherwise, and nothing is lost.
fn too_many(letters: &[DeadLetter]) -> Fault {
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for letter in letters {
        let by = format!("`{}` as {}", letter.plugin, letter.rejection.code);
        *refused.entry(by).or_default() += 1;
    }
    let most = refused.into_iter().max_by_key(|(_, count)| *count);
    let (by, count) = most.unwrap_or_default();
    let message = format!(
        "{count} records of one unit were refused by {by}: more than are kept in one commit, and none is dropped"
    );
    Fault::new(FaultKind::LimitExceeded, message)
        .hint("find out why so many are refused with `sluice check`; or let the sink's manifest ask for a smaller `unit`")
}

/// One pipeline's part of the store, for one run. Blocking.
pub struct Ledger {
    store: Arc<dyn StateStore>,
    numbering: Arc<Numbering>,
    pipeline: PipelineName,
    run: String,
    plugins: HashMap<StageId, PluginName>,
    held: Mutex<HashMap<SplitId, Held>>,
    codes: Mutex<BTreeMap<String, u64>>,
}

impl Ledger {
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

    /// Makes `next` the checkpoint, with the dead letters of its unit and the schemas that grew, in one commit.
    pub fn store(
        &self,
        split: &SplitId,
        next: Checkpoint,
        rejections: Vec<Rejection>,
        grown: Vec<(StreamName, Arc<Schema>)>,
    ) -> Result<(), Fault> {
        let held = self
            .held()
            .get(split)
            .cloned()
            .expect("a split's checkpoint is loaded before it is moved");
        let now = now_ms();
        let letters = self.letters(split, &next, rejections, now)?;
        let (mut batch, held) = held.step(next, &letters, now);
        for (stream, schema) in grown {
            self.put_schema(&mut batch, stream, &schema, now);
        }
        let stored = self.store.commit(batch);
        stored.map_err(|error| match error {
            StoreError::TooLarge(_) if !letters.is_empty() => too_many(&letters),
            error => error.into(),
        })?;
        self.held().insert(split.clone(), held);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        for letter in letters {
            *codes.entry(letter.rejection.code).or_default() += 1;
        }
        Ok(())
    }

    fn letters(
        &self,
        split: &SplitId,
        next: &Checkpoint,
        rejections: Vec<Rejection>,
        at_ms: u64,
    ) -> Result<Vec<DeadLetter>, Fault> {
        if rejections.is_empty() {
            return Ok(Vec::new());
        }
        let numbers =
            self.numbering
                .reserve(&*self.store, &self.pipeline, rejections.len() as u64)?;
        let mark = next.intent.as_ref().map(|intent| intent.mark).or(next.mark);
        let mark = mark.unwrap_or(sluice_model::checkpoint::Mark {
            epoch: next.epoch,
            sequence: next.sequence,
        });
        Ok(rejections
            .into_iter()
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

    /// Fixes the schemas that were inferred just now: from here on they are what is promised.
    pub fn fix(&self, streams: &[StreamShape]) -> Result<(), Fault> {
        let mut batch = StateBatch::default();
        for shape in streams
            .iter()
            .filter(|shape| shape.known == Known::Inferred)
        {
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
            .iter()
            .map(|(code, records)| CodeCount {
                code: code.clone(),
                records: *records,
            })
            .collect();
        codes.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.code.cmp(&b.code)));
        codes
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
