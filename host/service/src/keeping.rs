//! A deployment's state store as the service uses it: one pipeline's ledger while it runs, and what people ask of
//! checkpoints and dead letters when it does not.

use crate::audit::{Action, Audit};
use crate::deployment::{Deployment, shown};
use crate::ledger::{Ledger, Room};
use crate::plan::Plan;
use crate::run::Place;
use crate::{Error, holder, key};
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::{Checkpoint, Totals};
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, SplitId, StreamName};
use sluice_model::ports::{StateBatch, StateStats, StateStore, StoreError};
use sluice_model::schema::Schema;
use sluice_model::tomlfile::FileError;
use sluice_state::journal::{self, Desk, JournalError, Pause};
pub use sluice_state::journal::{Filter as LetterFilter, Kept};
use sluice_state::sealed::{self, OpenError, SealedStore, Sealing};
pub use sluice_state::sealed::{KeyView, Shred};
use sluice_state::{Options, SledStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Checkpoints read at a time.
const PAGE: usize = 256;

/// The open store of a deployment.
pub struct Keeping {
    sealed: Arc<SealedStore<SledStore>>,
    store: Arc<dyn StateStore>,
    desk: Arc<Desk>,
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let told = error.to_string();
        let mistake = |hint: &str| FileError::new("arguments", told.clone()).hint(hint).into();
        match error {
            JournalError::Unsettled { split, .. } => mistake(&format!(
                "what is under way settles it, or the next run does; where the source has that split no more, `sluice checkpoint reset PIPELINE --split {split}`"
            )),
            JournalError::NotWaiting { .. } => mistake("only letters that wait are changed"),
            JournalError::Edit { .. } => mistake("a record is one JSON object"),
            _ => Error::Host(told),
        }
    }
}

/// A checkpoint as `sluice checkpoint` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
        Self::open_as(deployment, holder::COMMAND)
    }

    /// The same, for a command of this name: whoever finds the store in use is told of it.
    pub fn open_as(deployment: &Deployment, command: &str) -> Result<Self, Error> {
        let (dir, key) = (deployment.state_dir(), key::source(deployment)?);
        let opened = sealed::open(&dir, Options::default(), Sealing::default(), &*key);
        let sealed = opened.map_err(|error| match error {
            OpenError::Store(StoreError::Locked(_)) => Error::InUse(holder::in_use(deployment)),
            error => error.into(),
        })?;
        holder::tell(deployment, command);
        let sealed = Arc::new(sealed);
        Ok(Self {
            store: Arc::clone(&sealed) as _,
            sealed,
            desk: Arc::default(),
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

    /// Opens the store that must be there: to look something up. What is older than the audit trail is told, and not
    /// shown: rows of it would be missing, and nothing else says so.
    pub fn open_existing(deployment: &Deployment) -> Result<Self, Error> {
        let keeping = Self::open_as_it_is(deployment)?;
        if deployment.audit_dir().is_dir() {
            Audit::open(deployment)?.hold_store(&keeping)?;
        }
        Ok(keeping)
    }

    /// The same, older or not: for whoever looks into that.
    pub fn open_as_it_is(deployment: &Deployment) -> Result<Self, Error> {
        Self::open_if_there(deployment)?.ok_or_else(|| {
            let dir = shown(&deployment.state_dir());
            Error::wrong(FileError::new(dir, "nothing has run here yet"))
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
    pub fn ledger(&self, plan: &Plan, room: Room) -> Ledger {
        Ledger::new(Arc::clone(&self.store), Arc::clone(&self.desk), plan, room)
    }

    /// What is below: for those who act on dead letters.
    pub(crate) fn store(&self) -> (&Arc<dyn StateStore>, &Desk) {
        (&self.store, &self.desk)
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
        let turn = self.desk.turn(pipeline);
        let mut moves = journal::reset(&*self.store, &turn, split, now_ms())?;
        if schemas {
            let mut batch = StateBatch::default();
            journal::delete_schemas(&mut batch, &*self.store, pipeline)?;
            moves.batches.push(batch);
        }
        if let Some(split) = split
            && Guard::SplitKnown.bars(moves.splits == 0)
        {
            return Err(unknown(pipeline, split));
        }
        moves.batches.retain(|batch| !batch.writes.is_empty());
        if !moves.batches.is_empty() {
            let act = Action::CheckpointReset
                .with("pipeline", pipeline)
                .with_some("split", split);
            let act = act
                .with("schemas", schemas)
                .with("checkpoints", moves.splits);
            audit.act_at(act, self)?;
        }
        for batch in moves.batches {
            self.store.commit(batch)?;
        }
        Ok(moves.splits)
    }

    /// Sets a split to another place (none: the beginning), as the source encodes it in this version; `new`: one that no run
    /// has read yet. What cannot be audited is not done.
    pub fn set_place(
        &self,
        audit: &Audit,
        pipeline: &PipelineName,
        split: &SplitId,
        (place, version): (Option<String>, u32),
        new: bool,
    ) -> Result<usize, Error> {
        let turn = self.desk.turn(pipeline);
        let held = journal::hold(&*self.store, pipeline, split)?;
        let is_there = held.checkpoint().is_some();
        if Guard::SplitKnown.bars(is_there == new) {
            return Err(if new {
                let message = format!("`{pipeline}` has a checkpoint of split `{split}`");
                FileError::new("arguments", message)
                    .hint("without `--new` it is moved")
                    .into()
            } else {
                unknown(pipeline, split)
            });
        }
        let place = place.map(|place| {
            let place = Place {
                source: place.into_bytes().into(),
                version,
                document: None,
            };
            place.encode()
        });
        let act = Action::CheckpointSet
            .with("pipeline", pipeline)
            .with("split", split);
        let act = act.with(
            "to",
            if place.is_some() {
                "a place"
            } else {
                "the beginning"
            },
        );
        let moves = journal::set_place(&*self.store, &turn, split, place, now_ms())?;
        audit.act_at(act, self)?;
        for batch in moves.batches {
            self.store.commit(batch)?;
        }
        Ok(moves.splits)
    }

    /// Why a pipeline's plugins are not run; none where nothing stands against it.
    pub(crate) fn quarantined(&self, pipeline: &PipelineName) -> Result<Option<Pause>, Error> {
        Ok(journal::pause(&*self.store, pipeline)?)
    }

    /// Has a pipeline's plugins not run again.
    pub(crate) fn quarantine(&self, pipeline: &PipelineName, pause: &Pause) -> Result<(), Error> {
        let mut batch = StateBatch::default();
        journal::put_pause(&mut batch, pipeline, pause);
        self.store.commit(batch)?;
        Ok(())
    }

    /// Lets them run again. Whether anything stood against it.
    pub(crate) fn lift(&self, pipeline: &PipelineName) -> Result<bool, Error> {
        if self.quarantined(pipeline)?.is_none() {
            return Ok(false);
        }
        let mut batch = StateBatch::default();
        journal::delete_pause(&mut batch, pipeline);
        self.store.commit(batch)?;
        Ok(true)
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
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// How large it is, where it is, and whether it must be opened anew.
    pub(crate) fn stats(&self) -> StateStats {
        self.store.stats()
    }

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

/// A name that was mistyped, rather than a split that nobody has read yet.
fn unknown(pipeline: &PipelineName, split: &SplitId) -> Error {
    let message = format!("`{pipeline}` has no checkpoint of split `{split}`");
    let problem = FileError::new("arguments", message);
    problem
        .hint("`sluice checkpoint list` shows its splits")
        .into()
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
