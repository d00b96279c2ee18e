//! The schemas of a run's streams: as they enter, as the sinks get them, and how they grow where the contract lets
//! them. One truth for all tasks of a run.

use sluice_model::contract::Drift;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::StreamName;
use sluice_model::schema::Schema;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One stream's two ends.
#[derive(Debug, Clone)]
pub struct Ends {
    /// As its records enter the pipeline.
    pub entering: Arc<Schema>,
    /// As they reach the sinks.
    pub leaving: Arc<Schema>,
}

/// The schemas of a run.
#[derive(Debug)]
pub struct Schemas {
    drift: Drift,
    streams: Mutex<BTreeMap<StreamName, Ends>>,
    grown: Mutex<BTreeSet<StreamName>>,
    discarded: AtomicU64,
}

impl Schemas {
    /// As a run begins.
    pub fn new(drift: Drift, streams: BTreeMap<StreamName, Ends>) -> Self {
        Self {
            drift,
            streams: Mutex::new(streams),
            grown: Mutex::default(),
            discarded: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamName, Ends>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this stream's records are decoded to.
    pub fn now(&self, stream: &StreamName) -> Result<Arc<Schema>, Fault> {
        self.lock()
            .get(stream)
            .map(|ends| Arc::clone(&ends.entering))
            .ok_or_else(|| unknown(stream))
    }

    /// What reaches the sinks, as it was when the run began.
    pub fn output(&self, stream: &StreamName) -> Result<Arc<Schema>, Fault> {
        self.lock()
            .get(stream)
            .map(|ends| Arc::clone(&ends.leaving))
            .ok_or_else(|| unknown(stream))
    }

    /// Takes a wider schema for what enters. Whichever task comes first decides; the others decode again.
    pub fn grow(&self, stream: &StreamName, wider: Arc<Schema>) {
        if let Some(ends) = self.lock().get_mut(stream)
            && wider.fields().len() > ends.entering.fields().len()
        {
            tracing::info!(%stream, fields = wider.fields().len(), "schema grew");
            ends.entering = wider;
            self.grown
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(stream.clone());
        }
    }

    /// Holds columns that a source hands over to the schema it promised, and gives that schema: it has the key.
    pub fn must_be(&self, stream: &StreamName, schema: &Arc<Schema>) -> Result<Arc<Schema>, Fault> {
        let now = self.now(stream)?;
        if now.fields() == schema.fields() {
            return Ok(now);
        }
        let grows = schema.fields().starts_with(now.fields())
            && schema.fields()[now.fields().len()..]
                .iter()
                .all(|field| field.nullable);
        if self.drift == Drift::Evolve && grows {
            let wider = Schema::new(schema.fields().to_vec(), now.key().to_vec());
            let wider =
                wider.map_err(|error| Fault::new(FaultKind::Malformed, error.to_string()))?;
            self.grow(stream, Arc::new(wider));
            let now = self.now(stream)?;
            // Another split may have let it grow otherwise, in between.
            if now.fields() == schema.fields() {
                return Ok(now);
            }
        }
        if !Guard::ColumnsPromised.stands() {
            return Ok(now);
        }
        let fault = Fault::new(
            FaultKind::Drift,
            format!("stream `{stream}` came with other columns than the schema it began with"),
        );
        Err(fault.hint("`[contract] drift = \"evolve\"` lets columns be added at the end"))
    }

    /// Counts values that were left out or made null, as the contract says.
    pub fn discarded(&self, values: u64) {
        self.discarded.fetch_add(values, Ordering::Relaxed);
    }

    /// How many values were left out or made null so far.
    pub fn discarded_values(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }

    /// The schemas that grew since this was last asked: to be stored with the next commit.
    pub fn take_grown(&self) -> Vec<(StreamName, Arc<Schema>)> {
        let grown = std::mem::take(&mut *self.grown.lock().unwrap_or_else(PoisonError::into_inner));
        let streams = self.lock();
        grown
            .into_iter()
            .filter_map(|stream| {
                streams
                    .get(&stream)
                    .map(|ends| (stream.clone(), Arc::clone(&ends.entering)))
            })
            .collect()
    }
}

fn unknown(stream: &StreamName) -> Fault {
    Fault::new(
        FaultKind::Malformed,
        format!("the source gave records of stream `{stream}`, which was not asked for"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::schema::{Field, FieldType};

    fn schema(names: &[&str]) -> Arc<Schema> {
        let fields = names
            .iter()
            .map(|name| Field::new(*name, FieldType::Text, true))
            .collect();
        Arc::new(Schema::new(fields, vec![]).unwrap())
    }

    fn schemas(drift: Drift) -> (Schemas, StreamName) {
        let stream: StreamName = "s".parse().unwrap();
        let ends = Ends {
            entering: schema(&["a"]),
            leaving: schema(&["a"]),
        };
        (
            Schemas::new(drift, BTreeMap::from([(stream.clone(), ends)])),
            stream,
        )
    }

    #[test]
    fn columns_may_be_added_where_the_contract_says() {
        let (evolving, stream) = schemas(Drift::Evolve);
        evolving.must_be(&stream, &schema(&["a", "b"])).unwrap();
        assert_eq!(evolving.take_grown().len(), 1);
        assert!(evolving.take_grown().is_empty());
        assert!(evolving.must_be(&stream, &schema(&["b", "a"])).is_err());
        let (fixed, stream) = schemas(Drift::DeadLetter);
        let fault = fixed.must_be(&stream, &schema(&["a", "b"])).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Drift);
    }

    #[test]
    fn a_stream_that_was_not_asked_for_is_the_sources_fault() {
        let (schemas, _) = schemas(Drift::Evolve);
        let fault = schemas.now(&"other".parse().unwrap()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed);
    }
}
