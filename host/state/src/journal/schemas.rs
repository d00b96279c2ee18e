//! The schema a pipeline has fixed for a stream whose source gives none.

use super::key;
use super::record::{JournalError, decode, encode};
use serde::{Deserialize, Serialize};
use sluice_model::ids::{PipelineName, StreamName};
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use sluice_model::schema::Schema;

const WHAT: &str = "a schema";
/// Schemas read at a time.
const PAGE: usize = 256;

/// A fixed schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRecord {
    /// Whose.
    pub pipeline: PipelineName,
    /// Of which stream.
    pub stream: StreamName,
    /// What it is.
    pub schema: Schema,
    /// When it was fixed, in milliseconds since 1970.
    pub updated_ms: u64,
}

/// Adds the fixing of a schema to a batch.
pub fn put_schema(batch: &mut StateBatch, record: &SchemaRecord) {
    let key = key::schema(&record.pipeline, &record.stream);
    batch
        .writes
        .push(StateWrite::Put(Namespace::Meta, key, encode(record)));
}

/// The schema fixed for a stream.
pub fn schema(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    stream: &StreamName,
) -> Result<Option<SchemaRecord>, JournalError> {
    let bytes = store.get(Namespace::Meta, &key::schema(pipeline, stream))?;
    bytes.map(|bytes| decode(WHAT, &bytes)).transpose()
}

/// All schemas of a pipeline, in no order that means anything.
pub fn schemas(
    store: &dyn StateStore,
    pipeline: &PipelineName,
) -> Result<Vec<SchemaRecord>, JournalError> {
    let prefix = key::schemas(pipeline);
    let (mut records, mut after) = (Vec::new(), Vec::new());
    loop {
        let pairs = store.scan(Namespace::Meta, &prefix, &after, PAGE)?;
        let Some((last, _)) = pairs.last() else {
            return Ok(records);
        };
        after.clone_from(last);
        for (_, bytes) in &pairs {
            records.push(decode(WHAT, bytes)?);
        }
    }
}

/// Adds the forgetting of a pipeline's schemas to a batch.
pub fn delete_schemas(
    batch: &mut StateBatch,
    store: &dyn StateStore,
    pipeline: &PipelineName,
) -> Result<(), JournalError> {
    let records = schemas(store, pipeline)?;
    let delete = |record: SchemaRecord| {
        StateWrite::Delete(
            Namespace::Meta,
            key::schema(&record.pipeline, &record.stream),
        )
    };
    batch.writes.extend(records.into_iter().map(delete));
    Ok(())
}
