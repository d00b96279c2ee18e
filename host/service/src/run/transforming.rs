//! The transforms' task of one split: each page through the transforms of its streams, in order, one instance for each
//! transform and stream. What a transform refuses becomes a rejection with the record as it entered.

use super::pages::{Page, Pages, Refused, kept};
use super::quarantine::{sick, too_slow};
use super::stages::Stages;
use arrow_array::Array as _;
use sluice_codec::RowKey;
use sluice_delivery::{Event, Halving, HalvingSettings, PageNo, Tally, Verdict};
use sluice_engine::TransformStage;
use sluice_model::batch::{Batch, Change, Provenance, Rows};
use sluice_model::fault::Fault;
use sluice_model::guards::Guard;
use sluice_model::ids::{StageId, StreamName};
use sluice_model::limits::DEAD_LETTER_RECORD_BYTES_MAX;
use sluice_model::rejection::{Record, Rejection};
use sluice_model::schema::Schema;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// The task's own.
pub struct Transforming {
    /// To make instances of the transforms.
    pub stages: Arc<Stages>,
    /// Where pages are.
    pub pages: Pages,
    /// Where answers go.
    pub events: UnboundedSender<Event>,
    /// How many records a transform may fail on.
    pub halving: HalvingSettings,
    /// Records that failed alone in a row, by transform.
    pub alone: HashMap<usize, usize>,
}

/// An instance, and the schema it was opened for.
struct Open {
    stage: TransformStage,
    input: Arc<Schema>,
}

type Instances = HashMap<(usize, StreamName), Open>;

impl Transforming {
    /// Transforms the pages it is told to, until nobody tells it any more.
    pub async fn run(mut self, mut commands: UnboundedReceiver<PageNo>) {
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

    async fn page(&mut self, instances: &mut Instances, page: Page) -> Result<Page, Fault> {
        let mut out = Page {
            batches: Vec::with_capacity(page.batches.len()),
            ..page
        };
        out.tally = Tally {
            read: page.read,
            rejected: out.refused.len() as u64,
            ..Tally::default()
        };
        out.tally.bytes = out.refused.iter().map(letter_bytes).sum();
        for batch in page.batches {
            let mut fate = Fate::of(&batch, self.stages.row_key());
            let done = self.batch(instances, batch, page.from, &mut fate).await?;
            let done = fate.whole(done)?;
            let settled = fate.settle(&done);
            out.tally.filtered += settled.filtered;
            out.tally.rejected += settled.refused.len() as u64;
            for batch in &done {
                out.tally.rows += batch.rows() as u64;
                out.tally.bytes += batch.bytes();
            }
            out.tally.bytes += settled.refused.iter().map(letter_bytes).sum::<u64>();
            out.refused.extend(settled.refused);
            for letter in &mut out.letters {
                letter.filtered |= settled.filtered_letters.contains(&letter.number);
            }
            out.batches.extend(done);
        }
        // In the order of the records, whoever refused them; what has no line keeps its place.
        out.refused.sort_by_key(|refused| {
            let place = &refused.rejection.place;
            (place.document.clone(), place.line)
        });
        Ok(out)
    }

    /// What the transforms leave of a batch: in several pieces where a record had to be found that one of them fails on.
    async fn batch(
        &mut self,
        instances: &mut Instances,
        batch: Batch,
        from: usize,
        fate: &mut Fate,
    ) -> Result<Vec<Batch>, Fault> {
        let (stages, stream) = (Arc::clone(&self.stages), batch.stream.clone());
        let transforms = stages.plan.transforms.iter().enumerate().skip(from);
        let mut pieces = vec![batch];
        for (at, _) in transforms.filter(|(_, transform)| transform.takes(&stream)) {
            let mut left = Vec::with_capacity(pieces.len());
            for piece in pieces {
                left.extend(self.applied(instances, at, piece, fate).await?);
            }
            pieces = left;
        }
        Ok(pieces)
    }

    /// One transform on one batch. What it fails on is halved until the records stand alone that it cannot take: those
    /// are dead letters, the others go on.
    async fn applied(
        &mut self,
        instances: &mut Instances,
        at: usize,
        batch: Batch,
        fate: &mut Fate,
    ) -> Result<Vec<Batch>, Fault> {
        match self.apply(instances, at, &batch, fate).await? {
            Ok(done) => {
                self.alone.remove(&at);
                return Ok(vec![done]);
            }
            Err(fault) if Guard::Halving.bars(fault.may_be_a_record()) => {}
            Err(fault) => return Err(fault),
        }
        let alone = self.alone.get(&at).copied().unwrap_or_default();
        let mut search = Halving::of(batch.rows(), alone, self.halving);
        let mut done = Vec::new();
        let began = Instant::now();
        while let Some(rows) = search.next_piece() {
            let piece = batch.slice(rows.clone());
            match self.apply(instances, at, &piece, fate).await? {
                Ok(batch) => {
                    search.passed();
                    done.push(batch);
                }
                Err(fault) if fault.may_be_a_record() => {
                    search.failed();
                    if search.verdict() == Verdict::Sick {
                        return Err(sick(&fault, &search));
                    }
                    too_slow(&self.stages.plan, self.halving, began.elapsed(), &fault)?;
                    if rows.len() == 1 {
                        let stage = self.stages.plan.transforms[at].id;
                        fate.reject(&piece, 0, stage, fault.code(), fault.message);
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        self.alone.insert(at, search.alone());
        Ok(done)
    }

    /// The transform's own answer. A fault before it, of one that cannot be opened, is of no record: none was looked at.
    async fn apply(
        &self,
        instances: &mut Instances,
        at: usize,
        batch: &Batch,
        fate: &mut Fate,
    ) -> Result<Result<Batch, Fault>, Fault> {
        let transform = &self.stages.plan.transforms[at];
        let open = self.open(instances, at, batch).await?;
        let applied = open.stage.apply(batch).await.map_err(|fault| {
            instances.remove(&(at, batch.stream.clone()));
            transform.told(fault)
        });
        Ok(applied.map(|applied| {
            for refused in applied.rejected {
                let (code, message) = (refused.code, refused.message);
                fate.reject(batch, refused.row, transform.id, code, message);
            }
            applied.batch
        }))
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

/// What a dead letter weighs in a unit: twice its record and its words, for it is kept in memory and written.
fn letter_bytes(refused: &Refused) -> u64 {
    const WORDS: usize = 512;
    let rejection = &refused.rejection;
    let given = rejection.given.as_ref().map_or(0, String::len);
    2 * (rejection.record.bytes() + given + rejection.message.len() + WORDS) as u64
}

/// What becomes of the records of one batch, counted as they entered: one that a transform made three of is one.
struct Fate {
    entered: usize,
    origin: Provenance,
    row_key: RowKey,
    refused: HashMap<usize, Refused>,
}

/// What became of them.
struct Settled {
    filtered: u64,
    filtered_letters: Vec<u64>,
    refused: Vec<Refused>,
}

impl Fate {
    fn of(batch: &Batch, row_key: RowKey) -> Self {
        Self {
            entered: batch.origin.entered.data.num_rows(),
            origin: batch.origin.clone(),
            row_key,
            refused: HashMap::new(),
        }
    }

    fn reject(&mut self, batch: &Batch, row: usize, stage: StageId, code: String, message: String) {
        let (entered, key) = (batch.entered_row(row), &self.row_key);
        match self.refused.entry(entered) {
            // Two rows of one record: what the stage was given of it is more than one letter holds.
            Entry::Occupied(mut first) => first.get_mut().rejection.given = None,
            Entry::Vacant(none) => {
                none.insert(refuse(batch, row, stage, code, message, key));
            }
        }
    }

    /// What goes on: a record of which a row is refused goes nowhere, with all that was made of it.
    fn whole(&mut self, done: Vec<Batch>) -> Result<Vec<Batch>, Fault> {
        if self.refused.is_empty() || !Guard::RefusedWhole.stands() {
            return Ok(done);
        }
        let whole = done.into_iter().map(|batch| {
            let rows = 0..batch.rows();
            let stays = rows.map(|row| !self.refused.contains_key(&batch.entered_row(row)));
            let stays: Vec<bool> = stays.collect();
            for row in (0..batch.rows()).filter(|row| !stays[*row]) {
                if let Some(refused) = self.refused.get_mut(&batch.entered_row(row)) {
                    refused.rejection.given = None;
                }
            }
            kept(&batch, stays)
        });
        whole.collect()
    }

    /// How many were filtered, and the rejections.
    fn settle(mut self, done: &[Batch]) -> Settled {
        // What most batches come to, without a look at each row.
        if let [Batch { data, origin, .. }] = done
            && self.refused.is_empty()
            && origin.entered.letters.is_none()
            && matches!(origin.rows, Rows::Same | Rows::Kept(_))
        {
            return Settled {
                filtered: (self.entered - data.num_rows()) as u64,
                filtered_letters: Vec::new(),
                refused: Vec::new(),
            };
        }
        let mut stays = vec![false; self.entered];
        for batch in done {
            match &batch.origin.rows {
                Rows::Same => stays.fill(true),
                rows => (0..batch.rows()).for_each(|row| stays[rows.at(row)] = true),
            }
        }
        self.refused.retain(|row, _| !stays[*row]);
        let gone = (0..self.entered).filter(|row| !stays[*row] && !self.refused.contains_key(row));
        let letters = self.origin.entered.letters.as_ref();
        let (mut filtered, mut filtered_letters) = (0, Vec::new());
        for row in gone {
            filtered += 1;
            filtered_letters.extend(letters.and_then(|letters| letters.numbers.get(row)));
        }
        let mut refused: Vec<(usize, Refused)> = self.refused.into_iter().collect();
        refused.sort_by_key(|(row, _)| *row);
        Settled {
            filtered,
            filtered_letters,
            refused: refused.into_iter().map(|(_, refused)| refused).collect(),
        }
    }
}

/// A rejection of this row, with the record as it entered the pipeline, and as the stage was given it where that is
/// something else.
pub fn refuse(
    batch: &Batch,
    row: usize,
    stage: StageId,
    code: String,
    message: String,
    row_key: &RowKey,
) -> Refused {
    let (entered, at) = (&batch.origin.entered, batch.entered_row(row));
    let (record, truncated) = shortened(sluice_codec::record_json(
        &entered.schema,
        &entered.data,
        at,
    ));
    // What is redriven may have entered as a stage was given it: the letter's own record is another.
    let is_changed = entered.letters.is_some()
        || batch.schema != entered.schema
        || batch
            .data
            .columns()
            .iter()
            .zip(entered.data.columns())
            .any(|(now, then)| now.slice(row, 1).to_data() != then.slice(at, 1).to_data());
    // What was cut cannot be redriven from there.
    let given = is_changed.then(|| sluice_codec::record_json(&batch.schema, &batch.data, row));
    let given = given.filter(|given| given.len() <= DEAD_LETTER_RECORD_BYTES_MAX);
    let identity = sluice_codec::row_id(batch, row, row_key);
    let removal =
        batch.changes.as_ref().and_then(|changes| changes.get(row)) == Some(&Change::Delete);
    Refused {
        letter: batch.letter(row),
        rejection: Rejection {
            stage,
            stream: batch.stream.clone(),
            code,
            message,
            place: batch.place(row),
            record: Record::Json(record),
            csv: None,
            truncated,
            removal,
            given,
            also: Vec::new(),
            identity: Some(format!("{:032x}", u128::from_be_bytes(identity))),
        },
    }
}

/// No more of a record than a dead letter's limit.
fn shortened(mut record: String) -> (String, bool) {
    let truncated = record.len() > Guard::LetterJson.limit(DEAD_LETTER_RECORD_BYTES_MAX);
    if truncated {
        record.truncate(record.floor_char_boundary(DEAD_LETTER_RECORD_BYTES_MAX));
    }
    (record, truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_codec::{Document, DocumentFormat, Outcome, Target, decode};
    use sluice_model::contract::Drift;
    use sluice_model::ids::Role;
    use sluice_model::schema::{Field, FieldType};

    const STAGE: StageId = StageId {
        role: Role::Transform,
        index: 0,
    };

    /// The batch of these numbers, each a record, as a transform gave it that made three of the second.
    fn threefold() -> Batch {
        let schema = Schema::new(vec![Field::new("n", FieldType::Int64, false)], vec![]);
        let schema = Arc::new(schema.unwrap());
        let data = |numbers: &[i64]| {
            let column = arrow_array::Int64Array::from(numbers.to_vec());
            arrow_array::RecordBatch::try_new(Arc::clone(schema.arrow()), vec![Arc::new(column)])
                .unwrap()
        };
        let places = sluice_model::batch::Places::none();
        let stream = "s".parse().unwrap();
        let mut batch =
            Batch::entering(stream, Arc::clone(&schema), data(&[1, 2, 3]), None, places);
        batch.data = data(&[1, 20, 21, 22, 3]);
        batch.origin.rows = batch.origin.rows.picked([0, 1, 1, 1, 2]);
        batch
    }

    #[test]
    fn what_is_made_of_a_refused_record_goes_nowhere() {
        let batch = threefold();
        let mut fate = Fate::of(&batch, [7; 32]);
        let no = || "no".to_owned();
        fate.reject(&batch, 2, STAGE, no(), no());
        let done = fate
            .whole(vec![batch.slice(0..2), batch.slice(3..5)])
            .unwrap();
        let rows: Vec<usize> = done
            .iter()
            .flat_map(|batch| (0..batch.rows()).map(|row| batch.entered_row(row)))
            .collect();
        assert_eq!(rows, [0, 2]);
        let settled = fate.settle(&done);
        assert_eq!(settled.filtered, 0);
        let [refused] = &settled.refused[..] else {
            panic!("{} are refused", settled.refused.len())
        };
        let Record::Json(record) = &refused.rejection.record else {
            panic!("it was decoded")
        };
        assert_eq!(record, "{\"n\":2}");
        // What the stage was given of it is a third of it: it enters at the start.
        assert_eq!(refused.rejection.given, None);
    }

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
            changes: None,
        };
        let Outcome::Decoded(decoded) = decode(&document, &target) else {
            panic!("one record")
        };
        let batch = &decoded.batches[0];
        let rejection = refuse(batch, 0, STAGE, "no".into(), "no".into(), &[7; 32]).rejection;
        let Record::Json(record) = rejection.record else {
            panic!("it was decoded")
        };
        assert!(rejection.truncated && record.len() <= DEAD_LETTER_RECORD_BYTES_MAX);
    }
}
