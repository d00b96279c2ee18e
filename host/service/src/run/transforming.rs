//! The transforms' task of one split: each page through the transforms of its streams, in order, one instance for each
//! transform and stream. What a transform refuses becomes a rejection with the record as it entered.

use super::pages::{Page, Pages};
use super::stages::Stages;
use sluice_delivery::{Event, PageNo, Tally};
use sluice_engine::TransformStage;
use sluice_model::batch::{Batch, Rows};
use sluice_model::fault::Fault;
use sluice_model::guards::Guard;
use sluice_model::ids::{StageId, StreamName};
use sluice_model::limits::DEAD_LETTER_RECORD_BYTES_MAX;
use sluice_model::rejection::{Record, Rejection};
use sluice_model::schema::Schema;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// The task's own.
pub struct Transforming {
    /// To make instances of the transforms.
    pub stages: Arc<Stages>,
    /// Where pages are.
    pub pages: Pages,
    /// Where answers go.
    pub events: UnboundedSender<Event>,
}

/// An instance, and the schema it was opened for.
struct Open {
    stage: TransformStage,
    input: Arc<Schema>,
}

type Instances = HashMap<(usize, StreamName), Open>;

impl Transforming {
    /// Transforms the pages it is told to, until nobody tells it any more.
    pub async fn run(self, mut commands: UnboundedReceiver<PageNo>) {
        let mut instances = Instances::new();
        while let Some(no) = commands.recv().await {
            let event = match self.page(&mut instances, self.pages.get(no)).await {
                Ok(page) => {
                    let tally = page.tally;
                    self.pages.put(no, page);
                    Event::PageReady { page: no, tally }
                }
                Err(fault) => {
                    instances.clear(); // The one that failed may not be entered again; the others are cheap.
                    Event::TransformFailed { page: no, fault }
                }
            };
            if self.events.send(event).is_err() {
                return;
            }
        }
    }

    async fn page(&self, instances: &mut Instances, page: Page) -> Result<Page, Fault> {
        let mut out = Page {
            batches: Vec::with_capacity(page.batches.len()),
            ..page
        };
        out.tally = Tally {
            read: page.read,
            rejected: out.rejections.len() as u64,
            ..Tally::default()
        };
        out.tally.bytes = out.rejections.iter().map(letter_bytes).sum();
        for batch in page.batches {
            let mut fate = Fate::of(&batch);
            let done = self.batch(instances, batch, &mut fate).await?;
            let (filtered, rejected) = fate.settle(&done);
            out.tally.filtered += filtered;
            out.tally.rejected += rejected.len() as u64;
            out.tally.rows += done.rows() as u64;
            out.tally.bytes += done.bytes() + rejected.iter().map(letter_bytes).sum::<u64>();
            out.rejections.extend(rejected);
            out.batches.push(done);
        }
        // In the order of the records, whoever refused them; what has no line keeps its place.
        out.rejections
            .sort_by_key(|rejection| (rejection.place.document.clone(), rejection.place.line));
        Ok(out)
    }

    async fn batch(
        &self,
        instances: &mut Instances,
        mut batch: Batch,
        fate: &mut Fate,
    ) -> Result<Batch, Fault> {
        for (at, transform) in self.stages.plan.transforms.iter().enumerate() {
            if !transform.takes(&batch.stream) {
                continue;
            }
            let open = self.open(instances, at, &batch).await?;
            let applied = open.stage.apply(&batch).await;
            let applied = applied.map_err(|fault| transform.told(fault))?;
            for refused in applied.rejected {
                fate.reject(
                    &batch,
                    refused.row,
                    transform.id,
                    refused.code,
                    refused.message,
                );
            }
            batch = applied.batch;
        }
        Ok(batch)
    }

    async fn open<'a>(
        &self,
        instances: &'a mut Instances,
        at: usize,
        batch: &Batch,
    ) -> Result<&'a mut Open, Fault> {
        let key = (at, batch.stream.clone());
        if instances.get(&key).is_none_or(|open| {
            !Arc::ptr_eq(&open.input, &batch.schema) && open.input != batch.schema
        }) {
            let told = |fault| self.stages.plan.transforms[at].told(fault);
            let mut stage = self.stages.transform(at).await.map_err(told)?;
            stage.open(&batch.schema).await.map_err(told)?;
            instances.insert(
                key.clone(),
                Open {
                    stage,
                    input: Arc::clone(&batch.schema),
                },
            );
        }
        Ok(instances
            .get_mut(&key)
            .expect("it was put there just now where it was not there before"))
    }
}

/// What a dead letter weighs in a unit: twice its record and its words, so that a unit of nothing but dead letters
/// still fits one commit of the state store.
fn letter_bytes(rejection: &Rejection) -> u64 {
    const WORDS: usize = 512;
    2 * (rejection.record.bytes() + rejection.message.len() + WORDS) as u64
}

/// What becomes of the records of one batch, counted as they entered: one that a transform made three of is one.
struct Fate {
    entered: usize,
    rejected: HashMap<usize, Rejection>,
}

impl Fate {
    fn of(batch: &Batch) -> Self {
        Self {
            entered: batch.rows(),
            rejected: HashMap::new(),
        }
    }

    fn reject(&mut self, batch: &Batch, row: usize, stage: StageId, code: String, message: String) {
        let entered = batch.entered_row(row);
        self.rejected
            .entry(entered)
            .or_insert_with(|| rejection(batch, row, stage, code, message));
    }

    /// How many were filtered, and the rejections of those that are wholly gone. A record of which some rows go on
    /// counts as going on.
    fn settle(mut self, done: &Batch) -> (u64, Vec<Rejection>) {
        let remaining = match &done.origin.rows {
            Rows::Same => done.rows(),
            Rows::Kept(kept) => {
                self.rejected.retain(|row, _| !kept.has(*row));
                done.rows()
            }
            Rows::Picked(rows) => {
                let mut seen = vec![false; self.entered];
                let mut remaining = 0;
                for row in rows.iter() {
                    let seen = &mut seen[*row as usize];
                    remaining += usize::from(!std::mem::replace(seen, true));
                }
                self.rejected.retain(|row, _| !seen[*row]);
                remaining
            }
        };
        let filtered = self.entered.saturating_sub(remaining + self.rejected.len());
        let mut rejected: Vec<(usize, Rejection)> = self.rejected.into_iter().collect();
        rejected.sort_by_key(|(row, _)| *row);
        (
            filtered as u64,
            rejected
                .into_iter()
                .map(|(_, rejection)| rejection)
                .collect(),
        )
    }
}

/// A rejection of this row, with the record as it entered the pipeline.
pub fn rejection(
    batch: &Batch,
    row: usize,
    stage: StageId,
    code: String,
    message: String,
) -> Rejection {
    let mut record = sluice_codec::record_json(&batch.origin.entered, batch.entered_row(row));
    let truncated = record.len() > Guard::LetterJson.limit(DEAD_LETTER_RECORD_BYTES_MAX);
    if truncated {
        record.truncate(record.floor_char_boundary(DEAD_LETTER_RECORD_BYTES_MAX));
    }
    Rejection {
        stage,
        stream: batch.stream.clone(),
        code,
        message,
        place: batch.place(row),
        record: Record::Json(record),
        truncated,
        given: None,
        also: Vec::new(),
        identity: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_codec::{Document, DocumentFormat, Outcome, Target, decode};
    use sluice_model::contract::Drift;
    use sluice_model::ids::Role;
    use sluice_model::schema::{Field, FieldType};

    #[test]
    fn a_dead_letter_is_cut() {
        let text = format!("{{\"a\":\"{}\"}}", "å".repeat(DEAD_LETTER_RECORD_BYTES_MAX));
        let schema = Schema::new(vec![Field::new("a", FieldType::Text, true)], vec![]);
        let (stream, schema) = ("s".parse().unwrap(), Arc::new(schema.unwrap()));
        let target = Target {
            stream: &stream,
            schema: &schema,
            drift: Drift::Evolve,
            batch_rows: 1,
        };
        let document = Document {
            format: &DocumentFormat::Ndjson,
            bytes: text.as_bytes(),
            name: "file",
            first_line: 1,
        };
        let Outcome::Decoded(decoded) = decode(&document, &target) else {
            panic!("one record")
        };
        let stage = StageId {
            role: Role::Transform,
            index: 0,
        };
        let rejection = rejection(&decoded.batches[0], 0, stage, "no".into(), "no".into());
        let Record::Json(record) = rejection.record else {
            panic!("it was decoded")
        };
        assert!(rejection.truncated && record.len() <= DEAD_LETTER_RECORD_BYTES_MAX);
    }
}
